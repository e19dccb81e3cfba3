// SPDX-License-Identifier: Apache-2.0
#include "model/fleet_view.h"

namespace sluice::model {

std::string_view word(WorkerState state) {
  switch (state) {
    case WorkerState::requested:
      return "requested";
    case WorkerState::unscheduled:
      return "unscheduled";
    case WorkerState::starting:
      return "starting";
    case WorkerState::ready:
      return "ready";
    case WorkerState::busy:
      return "busy";
    case WorkerState::idle:
      return "idle";
    case WorkerState::draining:
      return "draining";
    case WorkerState::terminating:
      return "terminating";
    case WorkerState::suspended:
      return "suspended";
    case WorkerState::failing:
      return "failing";
    case WorkerState::unknown:
      return "unknown";
  }
  return "unknown";
}

std::string_view word(ClaimRung rung) {
  switch (rung) {
    case ClaimRung::reported:
      return "reported";
    case ClaimRung::readiness:
      return "readiness";
    case ClaimRung::broker:
      return "broker";
    case ClaimRung::consumers:
      return "consumers";
    case ClaimRung::after:
      return "after";
  }
  return "after";
}

std::string_view word(Room room) {
  switch (room) {
    case Room::room:
      return "room";
    case Room::waiting:
      return "waiting";
    case Room::full:
      return "full";
  }
  return "full";
}

std::string_view word(EndKind kind) {
  switch (kind) {
    case EndKind::succeeded:
      return "succeeded";
    case EndKind::failed:
      return "failed";
    case EndKind::lost:
      return "lost";
  }
  return "lost";
}

}  // namespace sluice::model
