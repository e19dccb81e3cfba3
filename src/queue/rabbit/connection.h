// SPDX-License-Identifier: Apache-2.0
#pragma once
// One AMQP 0-9-1 connection on the loop: handshake, channels, heartbeats, and nothing that blocks. It lives once; who
// wants another after its end opens another.
//
//   stream --bytes--> frames --methods--> the channel they belong to: an answer, a delivery, a confirm, its end
//   channels --methods--> one outgoing buffer --one write for all that came together--> stream
//
// rabbitmq-c's codec reads and writes the methods; its own connection would need a thread and a socket of its own
// (decisions/0012).
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "aio/clock.h"
#include "aio/event.h"
#include "aio/loop.h"
#include "aio/stream.h"
#include "base/result.h"
#include "queue/rabbit/codec.h"

namespace sluice::queue::rabbit {

struct Login {
  std::string user = "guest";
  std::string password = "guest";  // empty: the client's certificate is the login, where the stream has shown one
  friend bool operator==(const Login&, const Login&) = default;
};

// Chosen: RabbitMQ gives up a silent peer after 2 to 3 of them, so a machine that is gone is noticed within 30 s. Its
// documentation advises 5 to 20 s.
inline constexpr Duration heartbeat_usual = std::chrono::seconds{8};

// What the stream under a connection is.
enum class Secured { no, tls, tls_with_certificate };

struct ConnectionOptions {
  std::string vhost = "/";
  std::string name = "sluice";           // shown by the broker's tools: what this connection is for
  Duration heartbeat = heartbeat_usual;  // a shorter one of the broker wins. 0: none
  FrameLimits limits;
  Secured secured = Secured::no;
  std::size_t out_max = 4U << 20U;  // bytes that wait to be written; more wait in room()
};

// Takes the body of a message that is too large to be kept, as it comes. Called on the loop.
class ContentSink {
 public:
  virtual ~ContentSink() = default;
  // The pieces are together as long as was announced.
  virtual void piece(std::string_view bytes) = 0;
  // While it is, the connection is not read; room() returns when it is not any more, which it sees to itself:
  // everything else on the connection waits for that.
  [[nodiscard]] virtual bool full() const = 0;
  [[nodiscard]] virtual aio::Task<void> room() = 0;
  // There will be no more, and it was not all.
  virtual void cut(const Error& why) = 0;
};

// What came for a channel beside the answers to its own calls. Called on the loop, in the order of arrival; must not
// destroy the channel.
class ChannelListener {
 public:
  virtual ~ChannelListener() = default;
  struct Content {
    std::shared_ptr<Pool> pool;  // what the properties lie in
    const amqp_basic_properties_t& properties;
    std::string body;         // empty when larger than Channel's body_max: then it was dropped while it came
    std::uint64_t body_size;  // as the broker announced it
  };
  // Instead of delivered(), when the body is larger than body_max and before any of it comes: it goes into the sink,
  // or, without one, nowhere.
  virtual std::shared_ptr<ContentSink> too_large(const amqp_basic_deliver_t&, Content) { return nullptr; }
  virtual void delivered(const amqp_basic_deliver_t&, Content) {}
  virtual void returned(const amqp_basic_return_t&, Content) {}
  virtual void confirmed(std::uint64_t /*tag*/, bool /*multiple*/, bool /*acked*/) {}
  // A method that no call of the channel waits for. Whether it belongs to something that was sent; otherwise the broker
  // breaks the protocol and the connection ends.
  virtual bool answered(const Method&) { return false; }
  virtual void cancelled() {}          // the broker ended the consumer: its queue is gone, or it moved
  virtual void ended(const Error&) {}  // the channel or its connection is closed: nothing comes any more
};

class Channel;

class Connection {
 public:
  struct State;

  // Over a connected stream, TLS included. Code::denied: login refused, virtual host missing or not permitted (the text
  // says which); invalid: the peer speaks no AMQP, or has none of what is needed; retry: cut or late.
  [[nodiscard]] static aio::Task<Result<std::unique_ptr<Connection>>> open(aio::Loop& loop, aio::Clock& clock,
                                                                           std::unique_ptr<aio::Stream> stream,
                                                                           ConnectionOptions options, Login login,
                                                                           aio::Deadline deadline);
  ~Connection();  // cuts the stream; its channels end
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // `listener` outlives the channel. Bodies up to `body_max` are kept.
  [[nodiscard]] aio::Task<Result<std::unique_ptr<Channel>>> channel(ChannelListener& listener, std::size_t body_max,
                                                                    aio::Deadline deadline);
  // Why it is over; empty while it lives.
  [[nodiscard]] const std::optional<Error>& end() const;
  // Says goodbye and waits for the answer; cuts the stream at the deadline.
  [[nodiscard]] aio::Task<void> close(aio::Deadline deadline);

 private:
  explicit Connection(std::shared_ptr<State> state) : state_(std::move(state)) {}
  std::shared_ptr<State> state_;
};

// A channel: calls are answered in order, one at a time.
class Channel {
 public:
  struct State;
  explicit Channel(std::shared_ptr<State> state) : state_(std::move(state)) {}
  ~Channel();  // closes it, without waiting for the answer
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  // The answer to a call. A broker that refuses closes the channel: Code::gone for 404, denied for 403 and 405, invalid
  // for 406 and what this client got wrong, retry for the rest and for a lost connection. A call that is not answered
  // by the deadline ends the connection: its answer could be taken for that of the next.
  struct Answer {
    amqp_method_number_t number = 0;
    std::string arguments;
    template <class T>
    [[nodiscard]] Result<const T*> as(Pool& pool) const {
      return Method(number, arguments).as<T>(pool);
    }
  };
  [[nodiscard]] aio::Task<Result<Answer>> call(amqp_method_number_t number, void* arguments,
                                               amqp_method_number_t expected, aio::Deadline deadline);

  // Sends without an answer; returns the position in the outgoing bytes, for written(). Error when the channel is over.
  // With `written_follows` it goes out at the latest when written() is called, which is to be soon.
  [[nodiscard]] Result<std::uint64_t> send(amqp_method_number_t number, void* arguments, bool written_follows = false);
  // basic.publish with its content, whole or not at all.
  [[nodiscard]] Result<std::uint64_t> publish(std::string_view exchange, std::string_view key, bool mandatory,
                                              const amqp_basic_properties_t& properties, std::string_view body);
  // The same with a body of `size` bytes, which publish_piece() then brings, and nothing else is sent meanwhile.
  [[nodiscard]] Result<std::uint64_t> begin_publish(std::string_view exchange, std::string_view key, bool mandatory,
                                                    const amqp_basic_properties_t& properties, std::uint64_t size);
  [[nodiscard]] Result<std::uint64_t> publish_piece(std::string_view bytes);
  // Returns when everything up to `position` was handed to the kernel, which sends it even if this process dies.
  [[nodiscard]] aio::Task<Result<void>> written(std::uint64_t position, aio::Deadline deadline);
  // Waits while more bytes wait to be written than the connection keeps, or the broker is blocked.
  [[nodiscard]] aio::Task<Result<void>> room(bool publishes, aio::Deadline deadline);

  [[nodiscard]] const std::optional<Error>& end() const;

 private:
  std::shared_ptr<State> state_;
};

}  // namespace sluice::queue::rabbit
