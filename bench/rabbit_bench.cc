// SPDX-License-Identifier: Apache-2.0
// links: base model aio queue queue_rabbit worker
//
// One run against a RabbitMQ: messages through the worker runtime or the publisher, or through the least that can be
// written with rabbitmq-c. rabbit_bench.py starts the broker, sets SLUICE_BENCH_AMQP, and takes turns:
//
//   rabbit_bench declare QUEUE classic|quorum     rabbit_bench purge QUEUE
//   rabbit_bench fill QUEUE BYTES COUNT
//   rabbit_bench bare-consume QUEUE PREFETCH COUNT
//   rabbit_bench consume QUEUE PREFETCH COUNT     handlers as the public library runs them: functions on threads
//   rabbit_bench loop-consume QUEUE PREFETCH COUNT     a handler that is a coroutine on the loop
//   rabbit_bench bare-publish QUEUE BYTES WINDOW COUNT
//   rabbit_bench publish QUEUE BYTES WINDOW COUNT
//
// A measuring run prints messages a second and the processor's microseconds per message of this process, all threads
// and the kernel's part included, both from when the broker has accepted the consumer or the channel.
#include <amqp.h>
#include <amqp_tcp_socket.h>
#include <fmt/core.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "aio/signals.h"
#include "aio/task_group.h"
#include "base/check.h"
#include "queue/rabbit/publisher.h"
#include "queue/rabbit/receiver.h"
#include "worker/brief_handler.h"
#include "worker/runtime.h"

namespace sluice::queue::rabbit {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t fill_window = 500;
constexpr std::size_t callers_max = 2;

// From its making to now.
class Measure {
 public:
  void print(std::size_t messages) const {
    const double n = static_cast<double>(messages);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
    fmt::print("{:.1f} {:.3f}\n", n / seconds, 1e6 * (processor_s() - used_) / n);
  }

 private:
  static double processor_s() {
    rusage used{};
    ::getrusage(RUSAGE_SELF, &used);
    const auto s = [](timeval t) { return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6; };
    return s(used.ru_utime) + s(used.ru_stime);
  }
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  double used_ = processor_s();
};

// --- rabbitmq-c, with its own connection

class Bare {
 public:
  explicit Bare(const Address& address) : connection_(::amqp_new_connection()) {
    amqp_socket_t* socket = ::amqp_tcp_socket_new(connection_);
    const Node& node = address.nodes.front();
    check(socket != nullptr && ::amqp_socket_open(socket, node.host.c_str(), node.port) == AMQP_STATUS_OK,
          "no connection to the broker");
    answered(::amqp_login(connection_, "/", 0, 131072, 0, AMQP_SASL_METHOD_PLAIN, "guest", "guest"));
    ::amqp_channel_open(connection_, channel);
    answered();
  }
  ~Bare() { ::amqp_destroy_connection(connection_); }
  Bare(const Bare&) = delete;
  Bare& operator=(const Bare&) = delete;

  void declare(const char* queue, const char* type) {
    amqp_table_entry_t entry{.key = ::amqp_cstring_bytes("x-queue-type"), .value = {}};
    entry.value.kind = AMQP_FIELD_KIND_UTF8;
    entry.value.value.bytes = ::amqp_cstring_bytes(type);
    ::amqp_queue_declare(connection_, channel, ::amqp_cstring_bytes(queue), 0, 1, 0, 0, amqp_table_t{1, &entry});
    answered();
  }
  void purge(const char* queue) {
    ::amqp_queue_purge(connection_, channel, ::amqp_cstring_bytes(queue));
    answered();
  }
  void consume(const char* queue, std::uint16_t prefetch, std::size_t count) {
    ::amqp_basic_qos(connection_, channel, 0, prefetch, 0);
    answered();
    ::amqp_basic_consume(connection_, channel, ::amqp_cstring_bytes(queue), amqp_empty_bytes, 0, 0, 0,
                         amqp_empty_table);
    answered();
    const Measure measure;
    for (std::size_t i = 0; i < count; ++i) {
      amqp_envelope_t envelope{};
      ::amqp_maybe_release_buffers(connection_);
      answered(::amqp_consume_message(connection_, &envelope, nullptr, 0));
      check(::amqp_basic_ack(connection_, channel, envelope.delivery_tag, 0) == AMQP_STATUS_OK, "not acknowledged");
      ::amqp_destroy_envelope(&envelope);
    }
    measure.print(count);
    close();
  }
  // Up to `window` not confirmed at any moment.
  void publish(const char* queue, std::size_t bytes, std::size_t window, std::size_t count, bool print) {
    ::amqp_confirm_select(connection_, channel);
    answered();
    const std::string body(bytes, 'b');
    amqp_basic_properties_t properties{};
    properties._flags = AMQP_BASIC_DELIVERY_MODE_FLAG | AMQP_BASIC_MESSAGE_ID_FLAG | AMQP_BASIC_TIMESTAMP_FLAG;
    properties.delivery_mode = 2;
    properties.timestamp = static_cast<std::uint64_t>(std::time(nullptr));
    std::size_t confirmed = 0;
    const Measure measure;
    for (std::size_t sent = 0; sent < count; ++sent) {
      while (sent - confirmed >= window) {
        confirmed = wait_confirm();
      }
      const std::string id = fmt::format("m-{:012}", sent);
      properties.message_id = to_bytes(id);
      check(::amqp_basic_publish(connection_, channel, amqp_empty_bytes, ::amqp_cstring_bytes(queue), 1, 0, &properties,
                                 to_bytes(body)) == AMQP_STATUS_OK,
            "not published");
    }
    while (confirmed < count) {
      confirmed = wait_confirm();
    }
    if (print) {
      measure.print(count);
    }
    close();
  }

 private:
  static constexpr amqp_channel_t channel = 1;
  // How many are confirmed after the next frame. The broker may confirm a later message before an earlier one.
  std::size_t wait_confirm() {
    amqp_frame_t frame{};
    ::amqp_maybe_release_buffers(connection_);
    check(::amqp_simple_wait_frame(connection_, &frame) == AMQP_STATUS_OK, "the connection is cut");
    check(frame.frame_type == AMQP_FRAME_METHOD && frame.payload.method.id == AMQP_BASIC_ACK_METHOD, "no confirm");
    const auto* ack = static_cast<const amqp_basic_ack_t*>(frame.payload.method.decoded);
    if (ack->multiple != 0) {
      up_to_ = std::max(up_to_, ack->delivery_tag);
      ahead_.erase(ahead_.begin(), ahead_.upper_bound(up_to_));
    } else {
      ahead_.insert(ack->delivery_tag);
    }
    while (ahead_.erase(up_to_ + 1) > 0) {
      ++up_to_;
    }
    return up_to_ + ahead_.size();
  }
  void answered() { answered(::amqp_get_rpc_reply(connection_)); }
  static void answered(const amqp_rpc_reply_t& reply) {
    check(reply.reply_type == AMQP_RESPONSE_NORMAL, "the broker refused");
  }
  void close() {
    ::amqp_channel_close(connection_, channel, AMQP_REPLY_SUCCESS);
    ::amqp_connection_close(connection_, AMQP_REPLY_SUCCESS);
  }

  amqp_connection_state_t connection_;
  std::uint64_t up_to_ = 0;        // all of these are confirmed,
  std::set<std::uint64_t> ahead_;  // and these
};

// --- sluice

struct World {
  aio::Loop loop;
  aio::RealClock clock{loop};
  Random random{1};
};

// Asks to drain when the last message is settled.
class Counter final : public worker::Observer {
 public:
  explicit Counter(std::size_t count) : count_(count) {}
  void ready() override { measure_.emplace(); }
  void settled(const worker::Settled& one) override {
    check(one.fate == worker::Fate::done, "a message was not done");
    if (++done_ == count_) {
      measure_->print(count_);
      runtime->request_drain();
    }
  }
  void trouble(std::string_view what) override { fmt::print(stderr, "{}\n", what); }
  worker::Runtime* runtime = nullptr;

 private:
  std::size_t count_;
  std::size_t done_ = 0;
  std::optional<Measure> measure_;
};

aio::Task<void> consume(World& world, std::shared_ptr<Broker> broker, std::shared_ptr<Broker> publishing,
                        worker::Handler& handler, std::string queue, std::size_t prefetch, std::size_t count) {
  RabbitReceiver receiver(
      broker, std::make_shared<RabbitPublisher>(publishing, PublisherOptions{}),
      ReceiverOptions{.queue = std::move(queue), .who = "bench", .prefetch = static_cast<std::uint16_t>(prefetch)});
  Counter counter(count);
  worker::RuntimeOptions options{.worker = "bench"};
  options.concurrency = prefetch;
  worker::Runtime runtime(world.loop, world.clock, world.random, receiver, handler, options, counter);
  counter.runtime = &runtime;
  const Result<worker::Summary> end = co_await runtime.run();
  check(end && end->counts.done == count, "not every message was done");
  const aio::Deadline soon = world.clock.in(10s);
  co_await broker->close(soon);
  co_await publishing->close(soon);
}

// As one caller does that hands over what it has and waits for the answers, and another that does so meanwhile: the
// broker has `window` messages to confirm at most, and work to do while a caller looks at its answers.
aio::Task<void> publish_some(World& world, RabbitPublisher& publisher, std::size_t bytes, std::size_t window,
                             std::size_t& next, std::size_t count) {
  const std::string body(bytes, 'b');
  while (next < count) {
    std::vector<Message> batch(std::min(window, count - next));
    for (Message& message : batch) {
      message.id = fmt::format("m-{:012}", next++);
      message.body = body;
    }
    const aio::Deadline soon = world.clock.in(60s);
    const std::vector<Published> answers = co_await publisher.publish(std::move(batch), soon);
    check(std::ranges::all_of(answers, [](const Published& p) { return p.state == PublishState::confirmed; }),
          "a message was not confirmed");
  }
}

aio::Task<void> publish(World& world, std::shared_ptr<Broker> broker, std::string queue, std::size_t bytes,
                        std::size_t window, std::size_t count) {
  RabbitPublisher publisher(broker, PublisherOptions{.exchange = "", .key = std::move(queue)});
  const std::size_t callers = std::min(window, callers_max);
  std::size_t next = count - 1;  // connects with one message
  co_await publish_some(world, publisher, bytes, 1, next, count);
  next = 0;
  const Measure measure;
  aio::TaskGroup group(world.loop, world.clock);
  for (std::size_t i = 0; i < callers; ++i) {
    group.spawn(publish_some(world, publisher, bytes, window / callers, next, count));
  }
  co_await group.join();
  measure.print(count);
  co_await broker->close(world.clock.in(10s));
}

// --- what is asked for

struct Words {
  std::string_view verb;
  const char* queue;
  std::size_t n[3];
};

void with_sluice(const Words& words, const Address& address) {
  World world;
  const auto broker =
      std::make_shared<Broker>(world.loop, world.clock, world.random, BrokerOptions{.address = address});
  const auto publishing =
      std::make_shared<Broker>(world.loop, world.clock, world.random, BrokerOptions{.address = address});
  if (words.verb == "publish") {
    world.loop.run(publish(world, broker, words.queue, words.n[0], words.n[1], words.n[2]));
  } else if (words.verb == "brief-consume") {
    worker::BriefHandler handler(
        world.loop, world.clock,
        [](const Delivery&, std::uint32_t, const std::atomic<bool>&) { return worker::Outcome::done(); },
        [](std::string_view) {});
    world.loop.run(consume(world, broker, publishing, handler, words.queue, words.n[0], words.n[1]));
  } else {
    worker::FunctionHandler handler(
        world.loop, world.clock, worker::threads_for(words.n[0]),
        [](const Delivery&, std::uint32_t, const std::atomic<bool>&) { return worker::Outcome::done(); });
    world.loop.run(consume(world, broker, publishing, handler, words.queue, words.n[0], words.n[1]));
  }
}

bool run(const Words& words, const Address& address) {
  if (words.verb == "bare-consume") {
    Bare(address).consume(words.queue, static_cast<std::uint16_t>(words.n[0]), words.n[1]);
  } else if (words.verb == "bare-publish") {
    Bare(address).publish(words.queue, words.n[0], words.n[1], words.n[2], true);
  } else if (words.verb == "fill") {
    Bare(address).publish(words.queue, words.n[0], fill_window, words.n[1], false);
  } else if (words.verb == "purge") {
    Bare(address).purge(words.queue);
  } else if (words.verb == "consume" || words.verb == "brief-consume" || words.verb == "publish") {
    with_sluice(words, address);
  } else {
    return false;
  }
  return true;
}

}  // namespace
}  // namespace sluice::queue::rabbit

int main(int argc, char** argv) {
  using namespace sluice;
  using namespace sluice::queue::rabbit;
  const char* url = std::getenv("SLUICE_BENCH_AMQP");
  if (url == nullptr || argc < 3) {
    fmt::print(stderr, "run by rabbit_bench.py, with SLUICE_BENCH_AMQP, a verb and its words\n");
    return 2;
  }
  aio::ignore_sigpipe();
  const Result<Address> address = parse_address(url, {}, "/");
  check(address.has_value(), "not an address");
  Words words{.verb = argv[1], .queue = argv[2], .n = {}};
  if (words.verb == "declare" && argc == 4) {
    Bare(*address).declare(words.queue, argv[3]);
    return 0;
  }
  for (int i = 3; i < std::min(argc, 6); ++i) {
    words.n[i - 3] = static_cast<std::size_t>(std::atoll(argv[i]));
  }
  if (!run(words, *address)) {
    fmt::print(stderr, "{}: not a verb of this\n", words.verb);
    return 2;
  }
  return 0;
}
