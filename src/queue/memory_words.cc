// SPDX-License-Identifier: Apache-2.0
// The words of queue/memory.h's vocabularies.
#include "queue/memory.h"

namespace sluice::queue {

std::string_view word(Op op) {
  switch (op) {
    case Op::open:
      return "open";
    case Op::publish:
      return "publish";
    case Op::receive:
      return "receive";
    case Op::begin:
      return "begin";
    case Op::ack:
      return "ack";
    case Op::retry:
      return "retry";
    case Op::requeue:
      return "requeue";
    case Op::dead_letter:
      return "dead letter";
    case Op::extend:
      return "extend";
    case Op::cancel:
      return "cancel";
    case Op::close:
      return "close";
    case Op::sample:
      return "sample";
  }
  return "operation";
}

std::string_view word(Place place) {
  switch (place) {
    case Place::ready:
      return "ready";
    case Place::held:
      return "held";
    case Place::running:
      return "running";
    case Place::delayed:
      return "delayed";
    case Place::dead:
      return "dead";
    case Place::done:
      return "done";
  }
  return "nowhere";
}

}  // namespace sluice::queue
