// SPDX-License-Identifier: Apache-2.0
#pragma once
// The pools of a controller as metrics: sluice-backlog, sluice-ready, sluice-in-flight, sluice-oldest-age-seconds and
// sluice-desired-workers, with the labels `pool` and `namespace`. An HPA sees those of its own namespace.
//
// The controller is asked each second, however many ask here. What it said last is kept while it counts, so that a
// change of the leading controller, which begins by knowing nothing, is no gap.
#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "aio/http.h"
#include "external/source.h"
#include "serve/pool_status.h"

namespace sluice::external {

struct PoolsOptions {
  std::string url;                          // of a controller or scaler, or of a Service before several; see take()
  Duration each = std::chrono::seconds{1};  // chosen; more where an answer takes long
  aio::http::Dial dial = {};                // tests
};

class Pools final : public Source {
 public:
  // References outlive it.
  Pools(aio::Loop& loop, aio::Clock& clock, PoolsOptions options);

  // Asks until cancelled. Its owner spawns it once.
  [[nodiscard]] aio::Task<void> run();
  // One answer, taken in now.
  void take(const serve::Answer& answer);
  void failed(const Error& why) { why_ = why; }
  // One pool alone, for who looks at its queue himself.
  void take(const serve::PoolStatus& status);

  [[nodiscard]] bool knows(std::string_view metric) const override;
  [[nodiscard]] aio::Task<Result<std::vector<Item>>> read(Question question, aio::Deadline deadline) override;
  // The same, at once.
  [[nodiscard]] Result<std::vector<Item>> values(const Question& question) const;

 private:
  // A value and when it was so.
  struct Known {
    std::int64_t milli = 0;
    Time at;
  };
  struct Pool {
    std::optional<Known> backlog, ready, in_flight, oldest_age, desired;
    Duration counts_for{0};
    std::string why;  // something is not known
    Time told;        // the controller last spoke of it
  };
  using Member = std::optional<Known> Pool::*;

  [[nodiscard]] static Member member(std::string_view metric);
  using Map = std::map<std::string, Pool, std::less<>>;

  [[nodiscard]] Pool read_pool(const serve::PoolStatus& status) const;
  // What is known, with one pool as it is told now.
  void add(Map& next, const serve::PoolStatus& status) const;
  void replace(Map next);
  void keep_known(Pool& now, const Pool& before) const;
  [[nodiscard]] Result<Item> item(const Question& question, const std::string& id, const Pool& pool) const;
  [[nodiscard]] Error none_selected(const Question& question) const;
  [[nodiscard]] aio::Task<Result<Map>> ask(aio::Deadline deadline);
  [[nodiscard]] aio::Task<Result<Map>> read_answer(aio::http::Incoming& incoming, aio::Deadline deadline);

  aio::Loop& loop_;
  aio::Clock& clock_;
  const PoolsOptions options_;
  Map pools_;  // by "namespace/name"
  bool told_ = false;
  std::optional<Error> why_;  // the controller cannot be asked
};

}  // namespace sluice::external
