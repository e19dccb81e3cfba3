// SPDX-License-Identifier: Apache-2.0
#pragma once
// What one process asks of an API server at most, by the kind of request: many pools that have something to say at once
// queue here, not there. Renewals of a lease are not counted.
#include <array>
#include <string_view>

#include "base/time.h"

namespace sluice::kube {

class VerbBudget {
 public:
  enum class Kind { read, create, remove, write, tell, judge };  // judge: a dry run
  static constexpr std::size_t kinds = 6;
  struct Rate {
    double a_second;
    double burst;  // at once, after a quiet time
  };
  // Chosen. Above what a controller of 1,000 pools needs, below what hurts an API server (whose own limit, for one
  // flow, is about 100 at a time): a burst of creates is a fleet's whole growth (`surge` 100), a burst of writes the
  // statuses of 100 pools, a burst of events what a person can read.
  static constexpr std::array<Rate, kinds> rates = {
      Rate{.a_second = 50, .burst = 100}, Rate{.a_second = 100, .burst = 200}, Rate{.a_second = 50, .burst = 100},
      Rate{.a_second = 25, .burst = 100}, Rate{.a_second = 5, .burst = 25},    Rate{.a_second = 25, .burst = 50}};

  // Which it is of: `method` and path of a request.
  [[nodiscard]] static Kind kind(std::string_view method, std::string_view path);
  // When a request of this kind that is ready `now` may be sent; its turn is taken only if that is before `deadline`.
  // Turns are given in the order in which they are asked for (GCRA, ITU-T I.371).
  [[nodiscard]] Time turn(Kind kind, Time now, Time deadline);

 private:
  std::array<Time, kinds> next_ = {Time::min(), Time::min(), Time::min(), Time::min(), Time::min(), Time::min()};
};

}  // namespace sluice::kube
