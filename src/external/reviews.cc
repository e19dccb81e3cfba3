// SPDX-License-Identifier: Apache-2.0
#include "external/reviews.h"

#include <openssl/evp.h>

#include <array>
#include <string_view>
#include <utility>

#include "base/check.h"

namespace sluice::external {
namespace {

// As client-go's webhooks: 500 ms, half as much again each time.
constexpr Backoff::Options backoff_options{.base = std::chrono::milliseconds{500}, .cap = std::chrono::seconds{3}};
// Different reviews at once. Beyond that who asks is told to come again, before memory is full. Chosen.
constexpr std::size_t flights_max = 1000;

// Not the token: what is kept in memory for a while should not be what opens doors.
std::string digest(std::string_view token) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> out{};
  unsigned int size = 0;
  const int done = EVP_Digest(token.data(), token.size(), out.data(), &size, EVP_sha256(), nullptr);
  check(done == 1, "SHA-256 is always there");
  return {reinterpret_cast<const char*>(out.data()), size};
}

}  // namespace

Reviews::Reviews(kube::Api& api, aio::Clock& clock, Random& random, aio::TaskGroup& group)
    : api_(api),
      clock_(clock),
      random_(random),
      group_(group),
      tokens_{.path = std::string(token_review_path), .parse = parse_token_review},
      rulings_{.path = std::string(access_review_path), .parse = parse_access_review} {}

aio::Task<Result<std::optional<User>>> Reviews::user_of(std::string token, aio::Deadline deadline) {
  return get(tokens_, digest(token), token_review_body(token), deadline);
}

aio::Task<Result<Ruling>> Reviews::ruling(User user, Act act, aio::Deadline deadline) {
  std::string body = access_review_body(user, act);
  std::string key = body;
  return get(rulings_, std::move(key), std::move(body), deadline);
}

template <class T>
aio::Task<Result<T>> Reviews::get(Kind<T>& kind, std::string key, std::string body, aio::Deadline deadline) {
  if (const T* const known = kind.cache.get(key, clock_.now())) {
    co_return *known;
  }
  std::shared_ptr<typename Kind<T>::Flight> flight;
  if (const auto at = kind.flights.find(key); at != kind.flights.end()) {
    flight = at->second;
  } else if (kind.flights.size() >= flights_max) {
    co_return Error{Code::throttled, "too many reviews are under way"};
  } else {
    flight = std::make_shared<typename Kind<T>::Flight>(clock_);
    kind.flights.emplace(key, flight);
    group_.spawn(fly(kind, std::move(key), std::move(body), flight));
  }
  while (!flight->answer) {
    const aio::Wake why = co_await flight->done.wait(deadline);
    if (why == aio::Wake::timeout) {
      co_return Error{Code::retry, "the API server did not answer in time"};
    }
  }
  co_return *flight->answer;
}

template <class T>
aio::Task<void> Reviews::fly(Kind<T>& kind, std::string key, std::string body,
                             std::shared_ptr<typename Kind<T>::Flight> flight) {
  const Time asked = clock_.now();
  Result<T> answer = co_await ask(kind, std::move(body));
  if (answer) {
    kind.cache.put(key, *answer, asked);
  }
  kind.flights.erase(key);
  flight->answer = std::move(answer);
  flight->done.notify();
}

template <class T>
aio::Task<Result<T>> Reviews::ask(Kind<T>& kind, std::string body) {
  Backoff backoff(backoff_options);
  const aio::Deadline deadline = clock_.in(review_max);
  while (true) {
    // Urgent: each waits for somebody's request, and there are no more of them than those.
    kube::Call call{.method = "POST", .path = kind.path, .body = body, .urgent = true};
    const Result<std::string> answer = co_await api_.ask(std::move(call), deadline);
    if (answer) {
      co_return kind.parse(*answer);
    }
    const Time again = clock_.now() + backoff.next(random_);
    const bool worth = answer.error().code == Code::retry || answer.error().code == Code::throttled;
    if (!worth || again >= deadline.at) {
      co_return answer.error();
    }
    co_await clock_.sleep_until(again);
  }
}

}  // namespace sluice::external
