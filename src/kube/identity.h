// SPDX-License-Identifier: Apache-2.0
#pragma once
// Who a client is to the API server, kept fresh: mounted tokens are rotated, those of plugins expire.
#include <memory>
#include <string>
#include <vector>

#include "aio/mutex.h"
#include "kube/access.h"

namespace sluice::kube {

struct Credential {
  std::string authorization;  // the header's value; empty: none
  std::string cert_pem;       // of a client; empty: none
  std::string key_pem;
};

class Identity {
 public:
  // `environment`: "KEY=value", of plugins, with the PATH where they are looked up.
  Identity(aio::Loop& loop, aio::Clock& clock, Access access, ReadFile read, std::vector<std::string> environment);

  // What to show for the next request. A token's file is read again when that was 10 s ago; a plugin runs again a
  // minute before what it gave expires. Errors name the file or the program, and never what came from it; what was read
  // before goes on being shown while it lasts.
  [[nodiscard]] aio::Task<Result<Credential>> show(aio::Deadline deadline);
  // The server answered 401: looks again before the next request, but not more often than each 5 s.
  void refused();

 private:
  [[nodiscard]] Result<Credential> read_token() const;
  [[nodiscard]] aio::Task<Result<Credential>> run_plugin(aio::Deadline deadline);
  [[nodiscard]] std::string exec_info() const;
  [[nodiscard]] Result<Credential> take_answer(const std::string& text);

  aio::Loop& loop_;
  aio::Clock& clock_;
  const Access access_;
  const ReadFile read_;
  const std::vector<std::string> environment_;
  aio::Mutex one_at_a_time_;
  std::optional<Credential> shown_;
  Time expires_at_ = Time::max();  // of shown_
  std::optional<Error> failure_;   // of the last look
  Time looked_at_ = Time::min();
  Time again_at_ = Time::min();  // when to look again
};

}  // namespace sluice::kube
