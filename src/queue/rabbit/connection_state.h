// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a connection, its two tasks and its channels share. Only connection*.cc and channel.cc include this.
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "aio/mutex.h"
#include "queue/rabbit/connection.h"

namespace sluice::queue::rabbit {

// Content on its way: its method has come, its header and body follow on the same channel.
struct Arriving {
  std::shared_ptr<Pool> pool;                       // what all of these lie in
  const amqp_basic_deliver_t* delivered = nullptr;  // one of the two
  const amqp_basic_return_t* returned = nullptr;
  const amqp_basic_properties_t* properties = nullptr;  // once the header is there
  std::uint64_t size = 0;
  std::uint64_t come = 0;
  bool too_large = false;
  std::shared_ptr<ContentSink> sink;  // where it goes then
  std::string body;
};

struct Channel::State {
  State(std::shared_ptr<Connection::State> c, std::uint16_t n, ChannelListener* l, std::size_t max, aio::Clock& clock)
      : connection(std::move(c)), number(n), listener(l), body_max(max), answered(clock), turn(clock) {}

  void finish(const Error& why);

  std::shared_ptr<Connection::State> connection;
  std::uint16_t number;
  ChannelListener* listener;  // null once the Channel is gone
  std::size_t body_max;
  std::optional<Error> end;
  std::optional<Answer> answer;
  aio::Event answered;  // an answer came, or the end
  aio::Mutex turn;      // held while a call is under way
  std::optional<Arriving> arriving;
};

struct Connection::State : std::enable_shared_from_this<Connection::State> {
  State(aio::Loop& l, aio::Clock& c, std::unique_ptr<aio::Stream> s, ConnectionOptions o);

  // The two tasks; each keeps the state alive and ends soon after finish().
  [[nodiscard]] static aio::Task<void> read(std::shared_ptr<State> state);
  [[nodiscard]] static aio::Task<void> write(std::shared_ptr<State> state);
  [[nodiscard]] static aio::Task<Result<void>> shake_hands(std::shared_ptr<State> state, Login login,
                                                           aio::Deadline deadline);

  // Everything that waits for this connection ends with `why`; only the first call counts.
  void finish(const Error& why);
  [[nodiscard]] Result<void> take(const Frame& frame);
  [[nodiscard]] Result<void> take_control(const Method& method);
  [[nodiscard]] Result<void> take_method(Channel::State& channel, const Method& method);
  [[nodiscard]] Result<void> take_content(Channel::State& channel, const Method& method);
  [[nodiscard]] Result<void> take_head(Channel::State& channel, const Frame& frame);
  [[nodiscard]] Result<void> take_body(Channel::State& channel, std::string_view bytes);
  void deliver(Channel::State& channel);
  void announce(Channel::State& channel);
  void close_channel(Channel::State& channel, const amqp_channel_close_t& close);
  // Lets the writer go on; returns the position of the last byte.
  std::uint64_t sent();
  [[nodiscard]] aio::Task<Result<void>> written_to(std::uint64_t position, aio::Deadline deadline);
  // Hands to the kernel what it takes at once, past the writing task and its turn of the loop.
  void write_now();

  aio::Loop& loop;
  aio::Clock& clock;
  std::unique_ptr<aio::Stream> stream;
  ConnectionOptions options;
  std::string out;            // not yet given to the writer
  std::uint64_t given = 0;    // bytes that the writer took
  std::uint64_t written = 0;  // of those, handed to the kernel
  bool writing = false;       // the writing task has some
  aio::Event out_changed;
  aio::Event progress;  // written grew, blocked changed, or the end
  std::optional<Error> end;
  std::string blocked;  // why the broker takes no messages (a memory or disk alarm); empty while it does
  int tasks = 0;        // read() and write(), while they run
  std::shared_ptr<Channel::State> control;  // channel 0
  std::map<std::uint16_t, std::shared_ptr<Channel::State>> channels;
  std::shared_ptr<ContentSink> full;  // one that wants no more for now
  std::uint16_t next_channel = 1;
};

// Code by reply code (section 1.2 of the specification): 404 gone; 403, 405 and 530 denied; 406 and what is this
// client's fault invalid; everything else retry.
[[nodiscard]] Error refusal(std::uint16_t code, std::string_view text);

}  // namespace sluice::queue::rabbit
