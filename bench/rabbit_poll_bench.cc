// SPDX-License-Identifier: Apache-2.0
// links: base model aio queue queue_rabbit
//
// What it costs to read the counts of many queues of one RabbitMQ, each on its own schedule as its pool's controller
// would: rabbit_poll_bench.py starts the broker and runs this with SLUICE_BENCH_AMQP and the arguments QUEUES SECONDS
// (between two looks at one queue). Processor time is this process's own; the memory is what the sources and their
// waiting tasks add to it.
#include <fmt/core.h>
#include <malloc.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <vector>

#include "aio/task_group.h"
#include "base/check.h"
#include "queue/rabbit/source.h"

namespace sluice::queue::rabbit {
namespace {

using namespace std::chrono_literals;

constexpr int rounds = 3;

struct World {
  aio::Loop loop;
  aio::RealClock clock{loop};
  Random random{1};
  ChannelListener nobody;
  std::int64_t looks = 0;
  std::int64_t late = 0;  // answered more than 100 ms after it was due
  std::string error;
};

double processor_s() {
  rusage used{};
  ::getrusage(RUSAGE_SELF, &used);
  const auto s = [](timeval t) { return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6; };
  return s(used.ru_utime) + s(used.ru_stime);
}

std::string name(int i) {
  return fmt::format("poll-{}", i);
}

aio::Task<void> declare_all(World& world, Broker& broker, int queues) {
  const aio::Deadline deadline = world.clock.in(10min);
  const auto connection = co_await broker.connection(deadline);
  check(connection.has_value(), connection ? "" : connection.error().what.c_str());
  const auto channel = co_await (*connection)->channel(world.nobody, 0, deadline);
  check(channel.has_value(), "no channel");
  for (int i = 0; i < queues; ++i) {
    const std::string queue = name(i);
    amqp_queue_declare_t declare{};
    declare.queue = to_bytes(queue);
    const auto done =
        co_await (*channel)->call(AMQP_QUEUE_DECLARE_METHOD, &declare, AMQP_QUEUE_DECLARE_OK_METHOD, deadline);
    check(done.has_value(), "a queue was not declared");
  }
}

// A look each period, `offset` after the others.
aio::Task<void> poll(World& world, RabbitSource& source, Duration period, Duration offset) {
  Time due = world.clock.now() + offset;
  while (true) {
    co_await world.clock.sleep_until(due);
    const aio::Deadline deadline = world.clock.in(5s);
    const Result<model::Sample> sample = co_await source.sample(deadline);
    ++world.looks;
    world.late += world.clock.now() - due > 100ms ? 1 : 0;
    if (!sample || !sample->ready) {
      world.error = sample ? "no count" : sample.error().what;
    }
    due += period;
  }
}

aio::Task<void> measure(World& world, const std::shared_ptr<Broker>& broker, int queues, Duration period) {
  const std::size_t before = ::mallinfo2().uordblks;
  std::vector<std::unique_ptr<RabbitSource>> sources;
  aio::TaskGroup group(world.loop, world.clock);
  for (int i = 0; i < queues; ++i) {
    sources.push_back(std::make_unique<RabbitSource>(broker, name(i)));
    group.spawn(poll(world, *sources.back(), period, period * i / queues));
  }
  co_await world.clock.sleep_for(period + 1s);
  const double bytes = static_cast<double>(::mallinfo2().uordblks - before) / queues;
  for (int round = 0; round < rounds; ++round) {
    const double used = processor_s();
    const Time begin = world.clock.now();
    world.looks = world.late = 0;
    co_await world.clock.sleep_for(period * 2);
    const double seconds = to_s(world.clock.now() - begin);
    fmt::print(
        "{:6} queues each {:2} s: {:5.2f} % of one core (wanted: 15 %), {:6.0f} looks a second, {} late, "
        "{:4.0f} bytes a queue (wanted: 16 KiB a pool)\n",
        queues, to_ms(period) / 1000, 100 * (processor_s() - used) / seconds,
        static_cast<double>(world.looks) / seconds, world.late, bytes);
  }
  group.cancel();
  co_await group.join();
}

aio::Task<void> run(World& world, const std::shared_ptr<Broker>& broker, int queues, Duration period) {
  co_await declare_all(world, *broker, queues);
  co_await measure(world, broker, queues, period);
  co_await broker->close(world.clock.in(10s));
}

}  // namespace
}  // namespace sluice::queue::rabbit

int main(int argc, char** argv) {
  using namespace sluice;
  using namespace sluice::queue::rabbit;
  const char* url = std::getenv("SLUICE_BENCH_AMQP");
  if (url == nullptr || argc != 3) {
    fmt::print(stderr, "run by rabbit_poll_bench.py, with SLUICE_BENCH_AMQP and QUEUES SECONDS\n");
    return 2;
  }
  World world;
  const Result<Address> address = parse_address(url, {}, "/");
  check(address.has_value(), "not an address");
  const auto broker =
      std::make_shared<Broker>(world.loop, world.clock, world.random, BrokerOptions{.address = *address});
  world.loop.run(run(world, broker, std::atoi(argv[1]), std::chrono::seconds{std::atoi(argv[2])}));
  if (!world.error.empty()) {
    fmt::print(stderr, "a look failed: {}\n", world.error);
    return 1;
  }
  return 0;
}
