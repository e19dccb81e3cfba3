// SPDX-License-Identifier: Apache-2.0
#include "gcp/token_wire.h"

#include <fmt/core.h>

#include <algorithm>

#include "aio/url.h"
#include "base/text.h"
#include "model/strict_json.h"

namespace sluice::gcp {
namespace {

namespace json = boost::json;
using namespace std::chrono_literals;

constexpr std::size_t token_max = 16384;  // Google reserves 2,048 bytes, and 12,288 for identity federation
constexpr std::size_t line_max = 255;
// Google's tokens last an hour, those of the metadata server up to as long.
constexpr std::int64_t life_max_s = 86400;

bool printable(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c > ' ' && c < '\x7f'; });
}

void add(std::string& form, std::string_view name, std::string_view value) {
  form += fmt::format("{}{}=", form.empty() ? "" : "&", name);
  form += aio::percent_encoded(value);
}

// The word in {"error":".."}, of those that are known.
std::string_view refusal_word(std::string_view body) {
  const Result<json::value> value = model::parse_strict_json(body);
  const json::value* found = value && value->is_object() ? value->get_object().if_contains("error") : nullptr;
  if (found != nullptr && found->is_string()) {
    for (const std::string_view word : {"invalid_grant", "invalid_client", "unauthorized_client", "invalid_scope"}) {
      if (word == std::string_view(found->get_string())) {
        return word;
      }
    }
  }
  return "";
}

Error unwell(int status) {
  const std::string text = fmt::format("status {} where a token was asked for", status);
  return Error{status == 429 ? Code::throttled : status >= 500 ? Code::retry : Code::denied, text};
}

}  // namespace

Result<aio::http::Request> token_request(const Key& key, std::string_view target, std::string_view scope,
                                         WallTime now) {
  aio::http::Request out{.method = "POST", .target = std::string(target)};
  out.headers = {{"Content-Type", "application/x-www-form-urlencoded"}, {"Accept-Encoding", "identity"}};
  if (const auto* account = std::get_if<ServiceAccountKey>(&key)) {
    const Result<Secret> assertion = make_assertion(*account, scope, now);
    if (!assertion) {
      return assertion.error();
    }
    add(out.body, "grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer");
    add(out.body, "assertion", assertion->reveal());
    return out;
  }
  const auto& user = std::get<UserKey>(key);
  add(out.body, "grant_type", "refresh_token");
  add(out.body, "client_id", user.client_id);
  add(out.body, "client_secret", user.client_secret.reveal());
  add(out.body, "refresh_token", user.refresh_token.reveal());
  return out;
}

aio::http::Request account_request(std::string_view what) {
  return {.target = fmt::format("/computeMetadata/v1/instance/service-accounts/default/{}", what),
          .headers = {{"Metadata-Flavor", "Google"}, {"Accept-Encoding", "identity"}}};
}

aio::http::Request project_request() {
  return {.target = "/computeMetadata/v1/project/project-id",
          .headers = {{"Metadata-Flavor", "Google"}, {"Accept-Encoding", "identity"}}};
}

Result<Token> parse_token(std::string_view body) {
  const Result<json::value> value = model::parse_strict_json(body);
  if (!value || !value->is_object()) {
    return value ? Error{Code::invalid, "the token's answer is no JSON object"} : value.error();
  }
  const json::object& object = value->get_object();
  const json::value* text = object.if_contains("access_token");
  const json::value* life = object.if_contains("expires_in");
  const json::value* type = object.if_contains("token_type");
  if (text == nullptr || !text->is_string() || text->get_string().empty() || text->get_string().size() > token_max ||
      !printable(std::string_view(text->get_string()))) {
    return Error{Code::invalid, "access_token: missing, or no token"};
  }
  if (life == nullptr || !life->is_int64() || life->get_int64() < 1) {
    return Error{Code::invalid, "expires_in: missing, or no number of seconds"};
  }
  if (type != nullptr && (!type->is_string() || std::string_view(type->get_string()) != "Bearer")) {
    return Error{Code::invalid, "token_type: not Bearer"};
  }
  return Token{.text = Secret(std::string_view(text->get_string())),
               .life = std::chrono::seconds{std::min(life->get_int64(), life_max_s)}};
}

Error token_refusal(int status, std::string_view body, const Key& key) {
  const std::string_view word = status == 400 || status == 401 || status == 403 ? refusal_word(body) : "";
  if (word.empty()) {
    return unwell(status);
  }
  if (std::holds_alternative<UserKey>(key)) {
    return Error{Code::denied,
                 fmt::format("the login is refused ({}): gcloud auth application-default login makes a new one", word)};
  }
  if (word == "invalid_grant") {
    return Error{Code::denied,
                 fmt::format("the key is refused ({}): it was deleted or disabled, or this machine's clock is wrong; "
                             "gcloud iam service-accounts keys create makes a new one",
                             word)};
  }
  return Error{Code::denied, fmt::format("the key is refused ({})", word)};
}

Error metadata_refusal(int status) {
  if (status == 404) {
    return Error{Code::denied,
                 "status 404: no service account is bound here; on GKE annotate the pod's service account with "
                 "iam.gke.io/gcp-service-account, or grant it roles itself"};
  }
  if (status == 403) {
    return Error{Code::denied,
                 "status 403: the pod's service account may not act as the Google one; grant it "
                 "roles/iam.workloadIdentityUser on that account"};
  }
  return unwell(status);
}

Result<std::string> metadata_line(const aio::http::Response& response) {
  if (aio::http::header(response.headers, "Metadata-Flavor").value_or("") != "Google") {
    return Error{Code::denied, "something that is no metadata server answered (no Metadata-Flavor: Google)"};
  }
  if (response.status != 200) {
    return metadata_refusal(response.status);
  }
  const std::string_view line = trimmed(response.body);
  if (line.empty() || line.size() > line_max || !printable(line)) {
    return Error{Code::invalid, "the metadata server's answer is not one line"};
  }
  return std::string(line);
}

std::string account_of(const Key& key) {
  const auto* account = std::get_if<ServiceAccountKey>(&key);
  return account != nullptr ? "service account " + account->email : "the user of gcloud's login";
}

const std::string& project_of(const Key& key) {
  const auto* account = std::get_if<ServiceAccountKey>(&key);
  return account != nullptr ? account->project : std::get<UserKey>(key).project;
}

}  // namespace sluice::gcp
