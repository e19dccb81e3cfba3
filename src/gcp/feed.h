// SPDX-License-Identifier: Apache-2.0
#pragma once
// One question that is asked again and again, and what was answered: without a socket and without a wait.
//
// A feed of subscriptions has one member for each subscription that somebody wants; any other has one, called "".
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "gcp/monitoring.h"
#include "gcp/query.h"

namespace sluice::gcp {

struct FeedOptions {
  Duration stale_after;
  Duration each;
  Duration kept;
  std::size_t subscriptions_max = 0;
};

// What to say of a subscription without data, when Pub/Sub was asked whether it is `there`.
[[nodiscard]] Error no_data(const Query& query, bool there, Duration stale_after);

class Feed {
 public:
  // `query` with its project.
  Feed(Query query, FeedOptions options);

  // What two questions have in common that are the same feed.
  [[nodiscard]] static std::string key_of(const Query& query);
  [[nodiscard]] const Query& query() const { return query_; }

  // Somebody wants this at `now`. Code::throttled when there are too many members.
  [[nodiscard]] Result<void> want(const Query& query, Time now);
  // True when answer() has something to say, be it an error.
  [[nodiscard]] bool answered(const Query& query) const;
  // As Metrics::read says.
  [[nodiscard]] Result<std::vector<Point>> answer(const Query& query, Time now) const;

  // Lets go of members that nobody wanted for long. True when there is none left.
  [[nodiscard]] bool forget(Time now);

  // The calls of one reading.
  struct Plan {
    std::vector<std::string> filters;  // one call each
    std::size_t pages_max = 1;         // the most that each is worth
    std::set<std::string> names;       // the members asked for
    bool everything = true;            // all members
    bool all = false;                  // all subscriptions, whether anybody wants them or not
  };
  // Of everything, or only of what nobody knows yet.
  [[nodiscard]] Plan plan(bool everything) const;
  // Whether some member waits for its first answer.
  [[nodiscard]] bool incomplete() const;
  // A list of all subscriptions is too long to be worth it: from now on they are asked for by name.
  void set_crowded() { crowded_ = true; }
  [[nodiscard]] bool crowded() const { return crowded_; }

  // The answers to all calls of a plan, as of `now` and `wall`.
  void take(std::vector<Point> points, const Plan& plan, Time now, WallTime wall);
  void fail(Error why) { failure_ = std::move(why); }
  [[nodiscard]] const std::optional<Error>& failure() const { return failure_; }

 private:
  struct Known {
    Point point;
    Time ended_at;
  };
  struct Member {
    Time wanted_at;
    bool asked = false;  // its points, or that there are none, are known
  };
  [[nodiscard]] std::string member_of(const Query& query) const { return query.subscription.value_or(""); }
  [[nodiscard]] Error no_series(const Query& query) const;

  Query query_;
  FeedOptions options_;
  std::map<std::string, Member, std::less<>> members_;
  std::map<std::string, std::vector<Known>, std::less<>> known_;  // by member, or subscription
  std::optional<Time> listed_at_;                                 // all subscriptions
  std::optional<Error> failure_;                                  // of the last reading
  bool crowded_ = false;
};

}  // namespace sluice::gcp
