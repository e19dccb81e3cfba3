// SPDX-License-Identifier: Apache-2.0
#pragma once
// Google credentials as every program of Google looks for them, and the token they are good for.
//
//   file given -> GOOGLE_APPLICATION_CREDENTIALS -> gcloud's own file -> metadata server (workload identity)
//
// The first that is there is used: a file that is named and cannot be read is an error, and not a reason to be somebody
// else. A key file is looked at again every 5 s; one that is half written or gone changes nothing, the last good one
// goes on being used. Tokens are got in the background, once for all who wait, 5 minutes before the old one ends.
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "aio/http.h"
#include "aio/loop.h"
#include "gcp/token.h"

namespace sluice::gcp {

struct CredentialsOptions {
  std::string file = {};  // a key file; empty: as above
  // Reads an environment variable: GOOGLE_APPLICATION_CREDENTIALS, CLOUDSDK_CONFIG, HOME, GCE_METADATA_HOST.
  std::function<std::optional<std::string>(const std::string& name)> variable = [](const std::string&) {
    return std::optional<std::string>();
  };
  std::string scope = "https://www.googleapis.com/auth/pubsub https://www.googleapis.com/auth/monitoring.read";
  // Of a person's credentials, whose file does not say it.
  std::string user_token_uri = "https://oauth2.googleapis.com/token";
  bool loopback_token_uri = false;  // tests: a key may name http://127.0.0.1 as its token_uri
  aio::TlsOptions tls = {};
  aio::http::Dial dial = {};  // empty: by name or address
  std::uint64_t seed = 1;     // of the jitter between two tries
};

class Credentials final : public TokenSource {
 public:
  // References outlive it, and what it asks in the background ends within 10 s after it.
  Credentials(aio::Loop& loop, aio::Clock& clock, CredentialsOptions options);
  ~Credentials() override;
  Credentials(const Credentials&) = delete;
  Credentials& operator=(const Credentials&) = delete;

  aio::Task<Result<std::string>> token(aio::Deadline deadline) override;
  void refused(const std::string& token) override;

  // Where nobody says a project: the metadata server's, or the one in the key file. Code::invalid when there is none.
  [[nodiscard]] aio::Task<Result<std::string>> project(aio::Deadline deadline);
  // "/etc/key.json (named by GOOGLE_APPLICATION_CREDENTIALS)", "the metadata server 169.254.169.254": for people.
  [[nodiscard]] std::string where() const;
  // Who it is, as far as it is known: "service account a@b.iam.gserviceaccount.com". For what names a missing role.
  [[nodiscard]] std::string account() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace sluice::gcp
