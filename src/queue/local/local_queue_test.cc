// SPDX-License-Identifier: Apache-2.0
#include "queue/local/local_queue.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>

#include "base/testing_folder.h"
#include "queue/conformance.h"

namespace sluice::queue::local {
namespace {

// A queue file of its own in a fresh folder, on a real clock.
class LocalRig final : public conformance::Rig {
 public:
  LocalRig() {
    const auto main = [this]() -> aio::Task<void> {
      const aio::Deadline deadline = clock_.in(conformance::patience);
      Result<std::unique_ptr<LocalQueue>> queue =
          co_await LocalQueue::open(loop_, clock_, random_, folder_.path() + "/q.db", LocalOptions{}, deadline);
      EXPECT_TRUE(queue) << (queue ? "" : queue.error().what);
      queue_ = std::move(*queue);
    };
    loop_.run(main());
  }
  aio::Loop& loop() override { return loop_; }
  aio::Clock& clock() override { return clock_; }
  void run(aio::Task<void> main) override { loop_.run(std::move(main)); }
  conformance::Abilities abilities() const override { return {}; }
  std::unique_ptr<Publisher> publisher() override { return queue_->publisher(); }
  std::unique_ptr<Receiver> receiver(std::string who) override { return queue_->receiver(std::move(who)); }
  std::unique_ptr<BacklogSource> source() override { return queue_->source(); }
  void kill(std::unique_ptr<Receiver> receiver) override { receiver.reset(); }
  aio::Task<std::vector<conformance::DeadLetter>> dead_letters() override {
    const aio::Deadline deadline = clock_.in(conformance::patience);
    const Result<std::vector<DeadLetter>> dead = co_await queue_->dead_letters(0, 100, deadline);
    EXPECT_TRUE(dead);
    std::vector<conformance::DeadLetter> out;
    for (const DeadLetter& d : *dead) {
      out.push_back(conformance::DeadLetter{.id = d.id, .cause = d.cause, .attempts = d.attempts, .why = d.why});
    }
    co_return out;
  }

 private:
  aio::Loop loop_;
  aio::RealClock clock_{loop_};
  Random random_{1};
  TestFolder folder_;  // outlives the queue
  std::unique_ptr<LocalQueue> queue_;
};

}  // namespace
}  // namespace sluice::queue::local

namespace sluice::queue::conformance {
INSTANTIATE_TEST_SUITE_P(Local, QueueConformance,
                         testing::Values(Maker{.name = "file",
                                               .make = [] { return std::make_unique<local::LocalRig>(); }}),
                         [](const auto& info) { return info.param.name; });
}  // namespace sluice::queue::conformance
