// SPDX-License-Identifier: Apache-2.0
#include "aio/faults.h"

#include <algorithm>
#include <array>
#include <string>

#include "aio/event.h"

namespace sluice::aio {
namespace {

Error cut_error() {
  return Error{Code::retry, "connection cut: injected"};
}
Error late_error() {
  return Error{Code::retry, "nothing came in time: injected"};
}

class FaultyStream final : public Stream {
 public:
  FaultyStream(std::unique_ptr<Stream> below, Faults& faults, Clock& clock)
      : below_(std::move(below)), faults_(faults), clock_(clock) {}

  Task<Result<std::size_t>> read_some(std::span<char> into, Deadline deadline) override {
    switch (faults_.next()) {
      case Fault::none:
        break;
      case Fault::one_byte:
        into = into.first(1);
        break;
      case Fault::reset:
        below_->cut();
        co_return cut_error();
      case Fault::end:
        below_->cut();
        co_return std::size_t{0};
      case Fault::stall:
        co_await clock_.sleep_until(deadline.at);
        co_return late_error();
    }
    Result<std::size_t> n = co_await below_->read_some(into, deadline);
    co_return n;
  }

  Task<Result<void>> write_all(std::string_view bytes, Deadline deadline) override {
    const Fault fault = faults_.next();
    if (fault == Fault::stall) {
      co_await clock_.sleep_until(deadline.at);
      co_return late_error();
    }
    const std::string_view part = fault == Fault::reset ? bytes.substr(0, bytes.size() / 2) : bytes;
    Result<void> sent = co_await below_->write_all(part, deadline);
    if (fault == Fault::reset || fault == Fault::end) {
      below_->cut();
    }
    if (fault == Fault::reset) {
      co_return cut_error();
    }
    co_return sent;
  }

  Task<Result<void>> end_writing(Deadline deadline) override { return below_->end_writing(deadline); }
  bool quiet() override { return below_->quiet(); }
  void cut() override { below_->cut(); }

 private:
  std::unique_ptr<Stream> below_;
  Faults& faults_;
  Clock& clock_;
};

// One direction.
struct Channel {
  Channel(Clock& clock, std::size_t most) : changed(clock), room(clock), capacity(most) {}
  Event changed;  // bytes, or the end, for the reader
  Event room;     // for the writer
  std::size_t capacity;
  std::string bytes;
  bool closed = false;

  void close() {
    closed = true;
    changed.notify();
    room.notify();
  }
};

class MemoryStream final : public Stream {
 public:
  MemoryStream(std::shared_ptr<Channel> in, std::shared_ptr<Channel> out) : in_(std::move(in)), out_(std::move(out)) {}
  ~MemoryStream() override { MemoryStream::cut(); }

  Task<Result<std::size_t>> read_some(std::span<char> into, Deadline deadline) override {
    while (in_->bytes.empty() && !in_->closed) {
      const Wake why = co_await in_->changed.wait(deadline);
      if (why == Wake::timeout) {
        co_return Error{Code::retry, "nothing came in time"};
      }
    }
    const std::size_t n = std::min(into.size(), in_->bytes.size());
    std::copy_n(in_->bytes.begin(), n, into.begin());
    in_->bytes.erase(0, n);
    in_->room.notify();
    co_return n;
  }

  Task<Result<void>> write_all(std::string_view bytes, Deadline deadline) override {
    while (!bytes.empty()) {
      if (out_->closed) {
        co_return Error{Code::retry, "connection cut: Broken pipe"};
      }
      const std::size_t n = std::min(bytes.size(), out_->capacity - std::min(out_->capacity, out_->bytes.size()));
      if (n == 0) {
        const Wake why = co_await out_->room.wait(deadline);
        if (why == Wake::timeout) {
          co_return Error{Code::retry, "the peer did not take everything in time"};
        }
        continue;
      }
      out_->bytes.append(bytes.substr(0, n));
      bytes.remove_prefix(n);
      out_->changed.notify();
    }
    co_return Result<void>();
  }

  Task<Result<void>> end_writing(Deadline) override {
    out_->close();
    co_return Result<void>();
  }
  bool quiet() override { return in_->bytes.empty() && !in_->closed; }
  void cut() override {
    in_->close();
    out_->close();
  }

 private:
  std::shared_ptr<Channel> in_;
  std::shared_ptr<Channel> out_;
};

}  // namespace

std::string_view fault_word(Fault fault) {
  switch (fault) {
    case Fault::none:
      return "none";
    case Fault::reset:
      return "reset";
    case Fault::end:
      return "end";
    case Fault::stall:
      return "stall";
    case Fault::one_byte:
      return "one byte";
  }
  return "none";
}

std::size_t for_each_failure(const std::function<void(Faults&)>& exchange) {
  Faults none(0, Fault::none);
  exchange(none);
  for (const Fault fault : {Fault::reset, Fault::end, Fault::stall, Fault::one_byte}) {
    for (std::size_t at = 0; at < none.steps(); ++at) {
      Faults one(at, fault);
      exchange(one);
    }
  }
  return none.steps();
}

std::unique_ptr<Stream> with_faults(std::unique_ptr<Stream> stream, Faults& faults, Clock& clock) {
  return std::make_unique<FaultyStream>(std::move(stream), faults, clock);
}

Task<Result<void>> connect_step(Faults& faults, Clock& clock, Deadline deadline) {
  const Fault fault = faults.next();
  if (fault == Fault::stall) {
    co_await clock.sleep_until(deadline.at);
  }
  if (fault == Fault::none || fault == Fault::one_byte) {
    co_return Result<void>();
  }
  co_return cut_error().in("cannot connect");
}

StreamPair stream_pair(Clock& clock, std::size_t capacity) {
  const auto there = std::make_shared<Channel>(clock, capacity);
  const auto back = std::make_shared<Channel>(clock, capacity);
  return {std::make_unique<MemoryStream>(back, there), std::make_unique<MemoryStream>(there, back)};
}

}  // namespace sluice::aio
