// SPDX-License-Identifier: Apache-2.0
#pragma once
// What the API server is asked about a client, and its answers as values: whose a token is (TokenReview), and what a
// user may do (SubjectAccessReview). An answer that cannot be read is an error and not a "no": the client gets a 5xx,
// which says that the question could not be put, and never data.
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "external/front_proxy.h"
#include "external/route.h"

namespace sluice::external {

inline constexpr std::string_view token_review_path = "/apis/authentication.k8s.io/v1/tokenreviews";
inline constexpr std::string_view access_review_path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";

[[nodiscard]] std::string token_review_body(std::string_view token);
// Of the API server's answer: the token's user with the group system:authenticated, or nobody. Code::invalid for what
// is no review, is longer than 64 KiB, or says "authenticated" of a user without a name.
[[nodiscard]] Result<std::optional<User>> parse_token_review(std::string_view body);

// What a request does, in the words of rules: "list" a metric in a namespace ("watch" with watch=true), or "get" a
// path.
struct Act {
  std::string verb;
  std::string space = {};
  std::string resource = {};  // a metric; empty: it is about a path
  std::string path = {};
  friend bool operator==(const Act&, const Act&) = default;
};
[[nodiscard]] Act act_of(const Route& route);

// Whether nobody is asked: probes, and the group system:masters, as in every API server.
[[nodiscard]] bool always_allowed(const Route& route);
[[nodiscard]] bool always_allowed(const User& user);

// The same user and act give the same bytes, which are so the key of what was ruled.
[[nodiscard]] std::string access_review_body(const User& user, const Act& act);

struct Ruling {
  bool allowed = false;
  std::string reason = {};
  friend bool operator==(const Ruling&, const Ruling&) = default;
};
// Code::invalid for what is no review or longer than 64 KiB. Allowed is what is allowed and not denied beside.
[[nodiscard]] Result<Ruling> parse_access_review(std::string_view body);

// The message of a 403 in an API server's words, which tell who lacks which right.
[[nodiscard]] std::string forbidden_message(const User& user, const Act& act, const Ruling& ruling);

}  // namespace sluice::external
