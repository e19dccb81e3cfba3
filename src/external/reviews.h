// SPDX-License-Identifier: Apache-2.0
#pragma once
// Reviews as they are asked for: from memory, or of the API server; once, whoever else wants the same meanwhile.
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "aio/event.h"
#include "aio/task_group.h"
#include "base/random.h"
#include "external/review.h"
#include "external/review_cache.h"
#include "kube/api.h"

namespace sluice::external {

// A review's answer is waited for this long, tries again included: as an aggregated API server's own.
inline constexpr Duration review_max = std::chrono::seconds{10};

class Reviews {
 public:
  // All references outlive it; `group` carries what is under way.
  Reviews(kube::Api& api, aio::Clock& clock, Random& random, aio::TaskGroup& group);

  // Whose the token is; nobody's: empty. An Error when that could not be found out: then nobody gets anything.
  [[nodiscard]] aio::Task<Result<std::optional<User>>> user_of(std::string token, aio::Deadline deadline);
  [[nodiscard]] aio::Task<Result<Ruling>> ruling(User user, Act act, aio::Deadline deadline);

 private:
  template <class T>
  struct Kind {
    struct Flight {
      explicit Flight(aio::Clock& clock) : done(clock) {}
      aio::Event done;
      std::optional<Result<T>> answer;
    };
    std::string path;
    Result<T> (*parse)(std::string_view body) = nullptr;
    ReviewCache<T> cache = ReviewCache<T>();
    std::map<std::string, std::shared_ptr<Flight>, std::less<>> flights = {};
  };
  template <class T>
  aio::Task<Result<T>> get(Kind<T>& kind, std::string key, std::string body, aio::Deadline deadline);
  template <class T>
  aio::Task<void> fly(Kind<T>& kind, std::string key, std::string body,
                      std::shared_ptr<typename Kind<T>::Flight> flight);
  template <class T>
  aio::Task<Result<T>> ask(Kind<T>& kind, std::string body);

  kube::Api& api_;
  aio::Clock& clock_;
  Random& random_;
  aio::TaskGroup& group_;
  Kind<std::optional<User>> tokens_;
  Kind<Ruling> rulings_;
};

}  // namespace sluice::external
