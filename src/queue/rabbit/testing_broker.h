// SPDX-License-Identifier: Apache-2.0
#pragma once
// A RabbitMQ for tests, in memory: shakes hands, opens channels, answers declares as it is told. For what a real one
// does only by accident: an order, a delay, a refusal at the right moment.
#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <set>

#include "aio/faults.h"
#include "aio/task_group.h"
#include "queue/rabbit/broker.h"

namespace sluice::queue::rabbit {

class FakeBroker {
 public:
  struct Queue {
    std::uint32_t ready = 0;
    std::uint32_t consumers = 0;
    std::uint16_t refusal = 0;     // the reply code with which a declare is refused
    Duration takes{0};             // until it is answered; what comes behind it on the connection waits
    bool ends_connection = false;  // instead of an answer
    std::string answers_as = "";   // another name in the answer
  };

  explicit FakeBroker(aio::Loop& loop, aio::Clock& clock) : clock_(clock), group_(loop, clock) {}

  // For BrokerOptions::dial.
  [[nodiscard]] auto dial() {
    return [this](Node, aio::Deadline) { return connect(); };
  }
  [[nodiscard]] aio::Task<void> stop() {
    group_.cancel();
    co_await group_.join();
  }
  // Every connection, as by a crash.
  void cut() {
    for (aio::Stream* stream : streams_) {
      stream->cut();
    }
  }

  std::map<std::string, Queue, std::less<>> queues;  // a declare of another name is refused with 404
  bool down = false;                                 // nobody listens
  std::string refused_password = "";                 // a login with it ends in a closed connection
  Duration dial_takes{0};
  Duration trip{0};  // until what came together is read
  int connections = 0;
  int goodbyes = 0;
  int channels = 0;                   // opened so far
  std::vector<std::string> declared;  // in the order they came, those that were dropped behind a refusal apart
  std::size_t declares = 0;           // those included
  int consumers = 0;                  // begun so far
  bool delivers = false;              // one message, to the next consumer

 private:
  struct Peer {
    explicit Peer(aio::Stream& s) : stream(&s) {}
    aio::Stream* stream;
    std::string out;
    std::set<std::uint16_t> closing;  // refused something, and waits for close-ok
  };

  aio::Task<Result<std::unique_ptr<aio::Stream>>> connect() {
    co_await clock_.sleep_for(dial_takes);
    if (down) {
      co_return Error{Code::retry, "refused"};
    }
    ++connections;
    aio::StreamPair pair = aio::stream_pair(clock_, 1U << 20U);
    group_.spawn(serve(std::move(pair.second)));
    co_return std::move(pair.first);
  }

  aio::Task<void> serve(std::unique_ptr<aio::Stream> stream) {
    streams_.insert(stream.get());
    co_await talk(*stream);
    streams_.erase(stream.get());
  }

  aio::Task<void> talk(aio::Stream& stream) {
    Peer peer(stream);
    std::string bytes;
    bool greeted = false;
    while (true) {
      const std::size_t have = bytes.size();
      bytes.resize(have + 65536);
      const Result<std::size_t> n = co_await peer.stream->read_some(std::span(bytes).subspan(have), aio::Deadline{});
      bytes.resize(have + n.value_or(0));
      if (n.value_or(0) == 0) {
        co_return;
      }
      co_await clock_.sleep_for(trip);
      if (!greeted && bytes.size() >= 8) {
        greeted = true;
        bytes.erase(0, 8);
        amqp_connection_start_t start{.version_major = 0,
                                      .version_minor = 9,
                                      .server_properties = {},
                                      .mechanisms = ::amqp_cstring_bytes("PLAIN"),
                                      .locales = ::amqp_cstring_bytes("en_US")};
        put(peer, 0, AMQP_CONNECTION_START_METHOD, start);
      }
      std::size_t used = 0;
      bool goes_on = true;
      while (greeted && goes_on) {
        const auto frame = first_frame(std::string_view(bytes).substr(used), {});
        if (!frame || !*frame) {
          break;
        }
        used += (*frame)->payload.size() + frame_extra_bytes;
        const std::uint16_t channel = (*frame)->channel;
        if ((*frame)->type == FrameType::method) {
          const std::string payload((*frame)->payload);
          goes_on = co_await take(peer, channel, payload);
        }
      }
      bytes.erase(0, used);
      const std::string out = std::exchange(peer.out, "");
      const Result<void> sent = co_await peer.stream->write_all(out, aio::Deadline{});
      if (!sent || !goes_on) {
        co_return;
      }
    }
  }

  // False ends the connection.
  aio::Task<bool> take(Peer& peer, std::uint16_t channel, std::string payload) {
    const Method method(read_u32(payload, 0), std::string_view(payload).substr(4));
    switch (method.number()) {
      case AMQP_CONNECTION_START_OK_METHOD: {
        if (!refused_password.empty() && payload.contains(refused_password)) {
          co_return false;
        }
        amqp_connection_tune_t tune{.channel_max = 2047, .frame_max = 131072, .heartbeat = 0};
        put(peer, 0, AMQP_CONNECTION_TUNE_METHOD, tune);
        break;
      }
      case AMQP_CONNECTION_OPEN_METHOD: {
        amqp_connection_open_ok_t ok{};
        put(peer, 0, AMQP_CONNECTION_OPEN_OK_METHOD, ok);
        break;
      }
      case AMQP_CONNECTION_CLOSE_METHOD: {
        amqp_connection_close_ok_t ok{};
        put(peer, 0, AMQP_CONNECTION_CLOSE_OK_METHOD, ok);
        ++goodbyes;
        co_return false;
      }
      case AMQP_CHANNEL_OPEN_METHOD: {
        ++channels;
        amqp_channel_open_ok_t ok{};
        put(peer, channel, AMQP_CHANNEL_OPEN_OK_METHOD, ok);
        break;
      }
      case AMQP_CHANNEL_CLOSE_METHOD: {
        amqp_channel_close_ok_t ok{};
        put(peer, channel, AMQP_CHANNEL_CLOSE_OK_METHOD, ok);
        break;
      }
      case AMQP_CHANNEL_CLOSE_OK_METHOD:
        peer.closing.erase(channel);
        break;
      case AMQP_BASIC_QOS_METHOD: {
        amqp_basic_qos_ok_t ok{};
        put(peer, channel, AMQP_BASIC_QOS_OK_METHOD, ok);
        break;
      }
      case AMQP_BASIC_CONSUME_METHOD: {
        amqp_basic_consume_ok_t ok{.consumer_tag = ::amqp_cstring_bytes("who")};
        put(peer, channel, AMQP_BASIC_CONSUME_OK_METHOD, ok);
        ++consumers;
        amqp_basic_deliver_t deliver{.consumer_tag = ::amqp_cstring_bytes("who"), .delivery_tag = 1};
        if (std::exchange(delivers, false)) {
          put(peer, channel, AMQP_BASIC_DELIVER_METHOD, deliver);
          EXPECT_TRUE(append_content(peer.out, channel, {}, "body", 131072));
        }
        break;
      }
      case AMQP_QUEUE_DECLARE_METHOD: {
        // By hand, since Method::as() reads what brokers send: a ticket, then the name behind its length.
        const std::string name(method.arguments().substr(3, static_cast<unsigned char>(method.arguments()[2])));
        const bool goes_on = co_await answer(peer, channel, name);
        co_return goes_on;
      }
      default:
        break;
    }
    co_return true;
  }

  aio::Task<bool> answer(Peer& peer, std::uint16_t channel, std::string name) {
    ++declares;
    if (peer.closing.contains(channel)) {
      co_return true;
    }
    declared.push_back(name);
    const auto found = queues.find(name);
    const Queue queue = found == queues.end() ? Queue{.refusal = 404} : found->second;
    if (queue.takes > Duration{0}) {
      const std::string out = std::exchange(peer.out, "");
      const Result<void> sent = co_await peer.stream->write_all(out, aio::Deadline{});
      EXPECT_TRUE(sent);
      co_await clock_.sleep_for(queue.takes);
    }
    if (queue.ends_connection) {
      co_return false;
    }
    if (queue.refusal != 0) {
      amqp_channel_close_t close{.reply_code = queue.refusal,
                                 .reply_text = ::amqp_cstring_bytes("REFUSED - as told"),
                                 .class_id = 50,
                                 .method_id = 10};
      put(peer, channel, AMQP_CHANNEL_CLOSE_METHOD, close);
      peer.closing.insert(channel);
      co_return true;
    }
    const std::string shown = queue.answers_as.empty() ? name : queue.answers_as;
    amqp_queue_declare_ok_t ok{
        .queue = to_bytes(shown), .message_count = queue.ready, .consumer_count = queue.consumers};
    put(peer, channel, AMQP_QUEUE_DECLARE_OK_METHOD, ok);
    co_return true;
  }

  template <class T>
  static void put(Peer& peer, std::uint16_t channel, amqp_method_number_t number, T& arguments) {
    append_method(peer.out, channel, number, &arguments, 131072);
  }

  aio::Clock& clock_;
  std::set<aio::Stream*> streams_;
  aio::TaskGroup group_;
};

}  // namespace sluice::queue::rabbit
