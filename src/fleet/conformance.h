// SPDX-License-Identifier: Apache-2.0
#pragma once
// What every Fleet promises, as one suite: the in-memory twin runs it in virtual time, the others with real workers.
//
// An implementation gives a World: two Fleet objects over the same workers (two scalers), 5 slots named orders-w0..w4
// on nodes {min 1, max 2, 2 slots each} with a boot time long enough to see a worker wait, and a hand on the workers.
//
//   struct World {
//     aio::Clock& clock();
//     Fleet& fleet();                       // the scaler under test
//     Fleet& other();                       // a second scaler that shares the world, with a memory of its own
//     void run(aio::Task<void> body);       // the test's body, with whatever the fleets need running beside it
//     void make_next_fail();                // the next worker to start ends in error before it is ready
//     void end_well(int slot);              // that worker leaves by itself, exit 0, after it settled a message
//     void kill(int slot);                  // SIGKILL from outside
//     std::string name_of(int slot);        // of its worker; only where that is not orders-w<slot>
//   };
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "aio/clock.h"
#include "fleet/fleet.h"

namespace sluice::fleet {

template <class World>
class FleetConformance : public ::testing::Test {
 protected:
  using View = model::FleetView;
  using State = model::WorkerState;

  // Far beyond what a step takes, also with a sanitizer on a loaded machine.
  static constexpr Duration patience = std::chrono::seconds{60};

  [[nodiscard]] aio::Deadline soon() { return world.clock().in(patience); }

  // Looks until `holds`; the last view, or a failed test.
  aio::Task<View> until(Fleet& fleet, std::string what, std::function<bool(const View&)> holds) {
    const aio::Deadline limit = soon();
    for (;;) {
      Result<View> view = co_await fleet.view(limit);
      if (!view) {
        ADD_FAILURE() << what << ": " << view.error().what;
        co_return View{};
      }
      if (holds(*view)) {
        co_return *view;
      }
      if (limit.passed(world.clock().now() + std::chrono::seconds{1})) {
        ADD_FAILURE() << "never: " << what;
        co_return *view;
      }
      co_await world.clock().sleep_for(std::chrono::milliseconds{20});
    }
  }
  aio::Task<View> until_state(Fleet& fleet, int slot, State state) {
    const auto holds = [slot, state](const View& view) {
      const model::Worker* worker = find(view, slot);
      return worker != nullptr && worker->state == state;
    };
    const std::string what = "slot " + std::to_string(slot) + " " + std::string(model::word(state));
    View view = co_await until(fleet, what, holds);
    co_return view;
  }
  aio::Task<View> until_ended(Fleet& fleet, int slot) {
    const auto holds = [slot](const View& view) {
      return find(view, slot) == nullptr && end_of(view, slot) != nullptr;
    };
    View view = co_await until(fleet, "slot " + std::to_string(slot) + " ended", holds);
    co_return view;
  }
  // Starts a worker and waits until it is ready; its id.
  aio::Task<std::string> started(int slot) {
    const Result<void> asked = co_await world.fleet().start(slot, false, soon());
    EXPECT_TRUE(asked) << asked.error().what;
    const View view = co_await until_state(world.fleet(), slot, State::ready);
    const model::Worker* worker = find(view, slot);
    co_return worker == nullptr ? "" : worker->id;
  }

  [[nodiscard]] std::string name_of(int slot) {
    if constexpr (requires { world.name_of(slot); }) {
      return world.name_of(slot);
    } else {
      return "orders-w" + std::to_string(slot);
    }
  }
  static const model::Worker* find(const View& view, int slot) {
    const auto at = std::ranges::find(view.workers, slot, &model::Worker::slot);
    return at == view.workers.end() ? nullptr : &*at;
  }
  static const model::EndedWorker* end_of(const View& view, int slot) {
    const auto at = std::ranges::find(view.ended, slot, &model::EndedWorker::slot);
    return at == view.ended.end() ? nullptr : &*at;
  }

  World world;
};

TYPED_TEST_SUITE_P(FleetConformance);

TYPED_TEST_P(FleetConformance, AnEmptyFleetHasRoomAndEverySlotIsFree) {
  const auto body = [this]() -> aio::Task<void> {
    const Time before = this->world.clock().now();
    const auto view = co_await this->world.fleet().view(this->soon());
    EXPECT_TRUE(view);
    EXPECT_TRUE(view->workers.empty());
    EXPECT_TRUE(view->ended.empty());
    EXPECT_EQ(view->free_slots, (std::vector{0, 1, 2, 3, 4}));
    EXPECT_EQ(view->capacity.room, model::Room::room);
    EXPECT_GE(view->observed_at, before);
    EXPECT_LE(view->observed_at, this->world.clock().now());
  };
  this->world.run(body());
}

TYPED_TEST_P(FleetConformance, AStartedWorkerBecomesReadyInItsSlotAndTakesItAway) {
  const auto body = [this]() -> aio::Task<void> {
    const Time before = this->world.clock().now();
    const std::string id = co_await this->started(3);
    const auto view = co_await this->world.fleet().view(this->soon());
    EXPECT_EQ(view->workers.size(), 1U);
    const model::Worker& worker = view->workers.at(0);
    EXPECT_EQ(worker.name, this->name_of(3));
    EXPECT_FALSE(id.empty());
    EXPECT_EQ(worker.id, id);
    EXPECT_EQ(worker.place, "node 1");
    EXPECT_GE(worker.created_at, before);
    EXPECT_GE(worker.since, worker.created_at);
    EXPECT_EQ(view->free_slots, (std::vector{0, 1, 2, 4}));
  };
  this->world.run(body());
}

TYPED_TEST_P(FleetConformance, StartingALiveSlotIsSuccessAndTheSameWorker) {
  const auto body = [this]() -> aio::Task<void> {
    const std::string id = co_await this->started(0);
    const auto again = co_await this->world.fleet().start(0, false, this->soon());
    EXPECT_TRUE(again);
    const auto view = co_await this->world.fleet().view(this->soon());
    EXPECT_EQ(view->workers.size(), 1U);
    EXPECT_EQ(view->workers.at(0).id, id);
  };
  this->world.run(body());
}

TYPED_TEST_P(FleetConformance, ASecondScalerSeesTheWorkerAndCannotStartAnotherInItsSlot) {
  const auto body = [this]() -> aio::Task<void> {
    const std::string id = co_await this->started(0);
    const auto again = co_await this->world.other().start(0, false, this->soon());
    EXPECT_TRUE(again) << again.error().what;
    const std::vector<Fleet*> scalers{&this->world.fleet(), &this->world.other()};
    for (Fleet* fleet : scalers) {
      const auto view = co_await this->until_state(*fleet, 0, model::WorkerState::ready);
      EXPECT_EQ(view.workers.size(), 1U);
      EXPECT_EQ(view.workers.at(0).id, id);
      EXPECT_EQ(view.workers.at(0).place, "node 1");
    }
  };
  this->world.run(body());
}

TYPED_TEST_P(FleetConformance, RefusesASlotThatDoesNotExist) {
  const auto body = [this]() -> aio::Task<void> {
    for (const int slot : {-1, 5}) {
      const auto refused = co_await this->world.fleet().start(slot, false, this->soon());
      EXPECT_FALSE(refused);
      EXPECT_EQ(refused.error().code, Code::invalid);
    }
  };
  this->world.run(body());
}

TYPED_TEST_P(FleetConformance, AWorkerWithoutAPlaceWaitsForTheNodeThatBootsAndThenStarts) {
  const auto body = [this]() -> aio::Task<void> {
    Fleet& fleet = this->world.fleet();
    for (const int slot : {0, 1, 2}) {
      const auto asked = co_await fleet.start(slot, false, this->soon());
      EXPECT_TRUE(asked);
    }
    const auto waits = co_await this->until_state(fleet, 2, model::WorkerState::unscheduled);
    EXPECT_THAT(this->find(waits, 2)->why, ::testing::StartsWith("node 2 boots, "));
    EXPECT_EQ(waits.capacity.room, model::Room::waiting);
    EXPECT_THAT(waits.capacity.why, ::testing::StartsWith("1 worker waits: node 2 boots, "));
    const auto ready = co_await this->until_state(fleet, 2, model::WorkerState::ready);
    EXPECT_EQ(this->find(ready, 2)->place, "node 2");
    EXPECT_EQ(this->find(ready, 2)->id, this->find(waits, 2)->id);
    EXPECT_EQ(ready.capacity.room, model::Room::room);
  };
  this->world.run(body());
}

TYPED_TEST_P(FleetConformance, AFullFleetRefusesAndSaysWhy) {
  const auto body = [this]() -> aio::Task<void> {
    Fleet& fleet = this->world.fleet();
    for (const int slot : {0, 1, 2, 3}) {
      const auto asked = co_await fleet.start(slot, false, this->soon());
      EXPECT_TRUE(asked);
    }
    const auto refused = co_await fleet.start(4, false, this->soon());
    EXPECT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Code::throttled);
    EXPECT_THAT(refused.error().what, ::testing::HasSubstr("2 of 2 nodes full (4 slots)"));
    const auto view = co_await this->until_state(fleet, 3, model::WorkerState::ready);
    EXPECT_EQ(view.capacity.room, model::Room::full);
    EXPECT_EQ(view.capacity.why, "2 of 2 nodes full (4 slots)");
    EXPECT_EQ(view.free_slots, std::vector{4});
  };
  this->world.run(body());
}

TYPED_TEST_P(FleetConformance, WithdrawTakesBackAWorkerThatHasNoPlace) {
  const auto body = [this]() -> aio::Task<void> {
    Fleet& fleet = this->world.fleet();
    for (const int slot : {0, 1, 2}) {
      const auto asked = co_await fleet.start(slot, false, this->soon());
      EXPECT_TRUE(asked);
    }
    const auto waits = co_await this->until_state(fleet, 2, model::WorkerState::unscheduled);
    const std::string id = this->find(waits, 2)->id;
    const auto done = co_await fleet.withdraw(2, id, this->soon());
    EXPECT_TRUE(done) << done.error().what;
    const auto gone = [](const model::FleetView& view) { return TestFixture::find(view, 2) == nullptr; };
    const auto view = co_await this->until(fleet, "slot 2 is free again", gone);
    EXPECT_EQ(this->end_of(view, 2), nullptr);  // it never ran, so it did not end
    const auto again = co_await fleet.withdraw(2, id, this->soon());
    EXPECT_EQ(again.error().code, Code::gone);
  };
  this->world.run(body());
}

TYPED_TEST_P(FleetConformance, WithdrawLeavesAWorkerAloneThatHasItsPlace) {
  const auto body = [this]() -> aio::Task<void> {
    const std::string id = co_await this->started(0);
    const auto refused = co_await this->world.fleet().withdraw(0, id, this->soon());
    EXPECT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Code::conflict);
    const auto other = co_await this->world.fleet().withdraw(0, "another-id", this->soon());
    EXPECT_FALSE(other);
    EXPECT_EQ(other.error().code, Code::gone);
    const auto view = co_await this->world.fleet().view(this->soon());
    EXPECT_EQ(this->find(*view, 0)->id, id);
  };
  this->world.run(body());
}

TYPED_TEST_P(FleetConformance, ADrainedWorkerLeavesInPeace) {
  const auto body = [this]() -> aio::Task<void> {
    const std::string id = co_await this->started(1);
    const auto other = co_await this->world.fleet().drain(1, "another-id", this->soon());
    EXPECT_FALSE(other);
    EXPECT_EQ(other.error().code, Code::gone);
    const auto asked = co_await this->world.fleet().drain(1, id, this->soon());
    EXPECT_TRUE(asked) << asked.error().what;
    const auto view = co_await this->until_ended(this->world.fleet(), 1);
    EXPECT_EQ(this->end_of(view, 1)->kind, model::EndKind::succeeded);
    EXPECT_EQ(this->end_of(view, 1)->id, id);
    EXPECT_TRUE(this->end_of(view, 1)->started);
    const auto again = co_await this->world.fleet().drain(1, id, this->soon());
    EXPECT_FALSE(again);
    EXPECT_EQ(again.error().code, Code::gone);
  };
  this->world.run(body());
}

TYPED_TEST_P(FleetConformance, AWorkerKilledFromOutsideIsLostAndNotFailed) {
  const auto body = [this]() -> aio::Task<void> {
    const std::string id = co_await this->started(0);
    this->world.kill(0);
    const auto view = co_await this->until_ended(this->world.fleet(), 0);
    EXPECT_EQ(this->end_of(view, 0)->kind, model::EndKind::lost);
    EXPECT_EQ(this->end_of(view, 0)->id, id);
    EXPECT_TRUE(this->end_of(view, 0)->started);
    EXPECT_FALSE(this->end_of(view, 0)->why.empty());
  };
  this->world.run(body());
}

TYPED_TEST_P(FleetConformance, AWorkerThatEndsInErrorBeforeItIsReadyIsAFailedStart) {
  const auto body = [this]() -> aio::Task<void> {
    this->world.make_next_fail();
    const auto asked = co_await this->world.fleet().start(0, false, this->soon());
    EXPECT_TRUE(asked);
    const auto view = co_await this->until_ended(this->world.fleet(), 0);
    EXPECT_EQ(this->end_of(view, 0)->kind, model::EndKind::failed);
    EXPECT_FALSE(this->end_of(view, 0)->started);
    EXPECT_FALSE(this->end_of(view, 0)->why.empty());
  };
  this->world.run(body());
}

TYPED_TEST_P(FleetConformance, AnEndIsShownUntilItsSlotIsUsedAgainAndTheLongestFreeSlotComesFirst) {
  const auto body = [this]() -> aio::Task<void> {
    Fleet& fleet = this->world.fleet();
    const std::string first = co_await this->started(0);
    this->world.end_well(0);
    const auto ended = co_await this->until_ended(fleet, 0);
    EXPECT_EQ(this->end_of(ended, 0)->kind, model::EndKind::succeeded);
    EXPECT_EQ(ended.free_slots, (std::vector{1, 2, 3, 4, 0}));
    const std::string second = co_await this->started(1);
    const auto view = co_await fleet.view(this->soon());
    EXPECT_NE(this->end_of(*view, 0), nullptr);
    const std::string third = co_await this->started(0);
    const auto last = co_await fleet.view(this->soon());
    EXPECT_EQ(this->end_of(*last, 0), nullptr);
    EXPECT_NE(first, second);
    EXPECT_NE(first, third);
  };
  this->world.run(body());
}

REGISTER_TYPED_TEST_SUITE_P(FleetConformance, AnEmptyFleetHasRoomAndEverySlotIsFree,
                            AStartedWorkerBecomesReadyInItsSlotAndTakesItAway,
                            StartingALiveSlotIsSuccessAndTheSameWorker,
                            ASecondScalerSeesTheWorkerAndCannotStartAnotherInItsSlot, RefusesASlotThatDoesNotExist,
                            AWorkerWithoutAPlaceWaitsForTheNodeThatBootsAndThenStarts, AFullFleetRefusesAndSaysWhy,
                            WithdrawTakesBackAWorkerThatHasNoPlace, WithdrawLeavesAWorkerAloneThatHasItsPlace,
                            ADrainedWorkerLeavesInPeace, AWorkerKilledFromOutsideIsLostAndNotFailed,
                            AWorkerThatEndsInErrorBeforeItIsReadyIsAFailedStart,
                            AnEndIsShownUntilItsSlotIsUsedAgainAndTheLongestFreeSlotComesFirst);

}  // namespace sluice::fleet
