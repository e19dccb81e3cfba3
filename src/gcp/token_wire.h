// SPDX-License-Identifier: Apache-2.0
#pragma once
// What is asked of those who give tokens, and what they answer: bytes apart from sockets.
#include <string>
#include <string_view>

#include "aio/http.h"
#include "base/result.h"
#include "gcp/key.h"

namespace sluice::gcp {

// With a body that proves who asks. Code::invalid for a key that cannot sign.
[[nodiscard]] Result<aio::http::Request> token_request(const Key& key, std::string_view target, std::string_view scope,
                                                       WallTime now);
// Of the metadata server: "token", "email".
[[nodiscard]] aio::http::Request account_request(std::string_view what);
[[nodiscard]] aio::http::Request project_request();

struct Token {
  Secret text;
  Duration life;
};
// Code::invalid for what is no token that can stand in a header. Nothing of the body is repeated.
[[nodiscard]] Result<Token> parse_token(std::string_view body);

// Why there is no token, and what to do about it. `status` is not 200.
[[nodiscard]] Error token_refusal(int status, std::string_view body, const Key& key);
[[nodiscard]] Error metadata_refusal(int status);

// The body of an answer of the metadata server: one line of a name, an address, a project. Code::invalid when it is not
// the metadata server that answered, or not one line.
[[nodiscard]] Result<std::string> metadata_line(const aio::http::Response& response);

// "service account a@b", "the user of gcloud's login".
[[nodiscard]] std::string account_of(const Key& key);
[[nodiscard]] const std::string& project_of(const Key& key);

}  // namespace sluice::gcp
