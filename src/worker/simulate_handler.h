// SPDX-License-Identifier: Apache-2.0
#pragma once
// `--simulate`: takes time and does nothing, for trying out a pool before the program for it exists.
#include "base/random.h"
#include "worker/handler.h"

namespace sluice::worker {

struct SimulateOptions {
  Duration work{0};
  double spread = 0;  // each run takes work * (1 - spread .. 1 + spread), 0 to 1
};

class SimulateHandler final : public Handler {
 public:
  SimulateHandler(aio::Clock& clock, Random& random, SimulateOptions options)
      : clock_(clock), random_(random), options_(options) {}
  aio::Task<Outcome> handle(const queue::Delivery&, std::uint32_t, aio::Deadline) override {
    const double factor = 1 + options_.spread * (2 * random_.unit() - 1);
    const auto work = std::chrono::duration_cast<Duration>(options_.work * factor);
    co_await clock_.sleep_for(work);
    co_return Outcome::done();
  }

 private:
  aio::Clock& clock_;
  Random& random_;
  const SimulateOptions options_;
};

}  // namespace sluice::worker
