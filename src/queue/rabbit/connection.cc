// SPDX-License-Identifier: Apache-2.0
// The connection's own side: bytes in and out, and the handshake.
#include "queue/rabbit/connection.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>
#include <vector>

#include "base/check.h"
#include "queue/rabbit/connection_state.h"

namespace sluice::queue::rabbit {

namespace {

constexpr std::size_t read_bytes = 64U << 10U;
constexpr Duration last_words_wait = std::chrono::seconds{1};  // chosen: what was sent before the cut is here by then
constexpr std::string_view closed_by_peer = "the broker closed the connection";

// Two heartbeats without a byte and the peer is taken for dead (section 4.2.7).
aio::Deadline silence(const aio::Clock& clock, Duration heartbeat) {
  return heartbeat == Duration{0} ? aio::Deadline{} : clock.in(2 * heartbeat);
}

// What this client can do; the broker then says why it refuses a login, ends a consumer or takes nothing.
class ClientProperties {
 public:
  explicit ClientProperties(const std::string& name) {
    const std::array names{"publisher_confirms", "basic.nack", "consumer_cancel_notify", "connection.blocked",
                           "authentication_failure_close"};
    for (std::size_t i = 0; i < names.size(); ++i) {
      abilities_[i].key = ::amqp_cstring_bytes(names[i]);
      abilities_[i].value.kind = AMQP_FIELD_KIND_BOOLEAN;
      abilities_[i].value.value.boolean = 1;
    }
    const auto text = [this](std::size_t at, const char* key, std::string_view value) {
      entries_[at].key = ::amqp_cstring_bytes(key);
      entries_[at].value.kind = AMQP_FIELD_KIND_UTF8;
      entries_[at].value.value.bytes = to_bytes(value);
    };
    text(0, "product", "sluice");
    text(1, "connection_name", name);
    entries_[2].key = ::amqp_cstring_bytes("capabilities");
    entries_[2].value.kind = AMQP_FIELD_KIND_TABLE;
    entries_[2].value.value.table = amqp_table_t{static_cast<int>(abilities_.size()), abilities_.data()};
  }
  [[nodiscard]] amqp_table_t table() { return {static_cast<int>(entries_.size()), entries_.data()}; }

 private:
  std::array<amqp_table_entry_t, 5> abilities_{};
  std::array<amqp_table_entry_t, 3> entries_{};
};

bool offers(std::string_view mechanisms, std::string_view wanted) {
  while (!mechanisms.empty()) {
    const std::size_t blank = std::min(mechanisms.find(' '), mechanisms.size());
    if (mechanisms.substr(0, blank) == wanted) {
      return true;
    }
    mechanisms.remove_prefix(std::min(blank + 1, mechanisms.size()));
  }
  return false;
}

// How to log in (RFC 4422). A client's certificate is the login only of who has no password.
struct Sasl {
  const char* mechanism;
  std::string response;
};
Result<Sasl> choose_sasl(std::string_view mechanisms, const Login& login, Secured secured) {
  if (login.password.empty() && secured == Secured::tls_with_certificate) {
    if (!offers(mechanisms, "EXTERNAL")) {
      return Error{
          Code::denied,
          fmt::format("there is no password, and the broker takes no certificate as a login: it offers {}, not "
                      "EXTERNAL; add a password, or enable its plugin rabbitmq_auth_mechanism_ssl",
                      plain(mechanisms, 100))};
    }
    return Sasl{.mechanism = "EXTERNAL", .response = login.user};
  }
  if (!offers(mechanisms, "PLAIN")) {
    return Error{Code::denied, fmt::format("the broker takes no user name and password: it offers {}, not PLAIN",
                                           plain(mechanisms, 100))};
  }
  std::string response;
  response += '\0';
  response += login.user;
  response += '\0';
  response += login.password;
  return Sasl{.mechanism = "PLAIN", .response = std::move(response)};
}

// A stream that ends before the broker has said anything says nothing of itself either.
Error no_start(Error error, Secured secured) {
  if (error.what == closed_by_peer) {
    error.what += secured == Secured::no ? " without a word: this may be a port for TLS (amqps://), or no RabbitMQ"
                                         : " without a word: this may be no RabbitMQ";
  }
  return error;
}

// Why nothing could be read. A deadline is that of silence().
Error unread(Error error, Duration heartbeat) {
  if (error.what.find("in time") != std::string::npos) {
    error.what = fmt::format("the broker has said nothing for {}, two heartbeats", format_duration(2 * heartbeat));
  }
  return error;
}

}  // namespace

Error refusal(std::uint16_t code, std::string_view text) {
  std::string what = fmt::format("{} (AMQP {})", plain(text), code);
  switch (code) {
    case 404:
      return {Code::gone, std::move(what)};
    case 403:
    case 405:
    case 530:
      return {Code::denied, std::move(what)};
    case 406:
    case 501:
    case 502:
    case 503:
    case 504:
    case 505:
    case 540:
      return {Code::invalid, std::move(what)};
    default:
      return {Code::retry, std::move(what)};
  }
}

Connection::State::State(aio::Loop& l, aio::Clock& c, std::unique_ptr<aio::Stream> s, ConnectionOptions o)
    : loop(l), clock(c), stream(std::move(s)), options(std::move(o)), out_changed(c), progress(c) {}

void Connection::State::finish(const Error& why) {
  if (end) {
    return;
  }
  end = why;
  stream->cut();
  out_changed.notify();
  progress.notify();
  control->finish(why);
  for (const auto& [number, channel] : std::map(channels)) {
    channel->finish(why);
  }
  channels.clear();
}

std::uint64_t Connection::State::sent() {
  out_changed.notify();
  return given + out.size();
}

aio::Task<void> Connection::State::read(std::shared_ptr<State> state) {
  std::vector<char> bytes(read_bytes);
  std::size_t have = 0;
  std::size_t used = 0;
  while (!state->end) {
    bytes.resize(std::max(bytes.size(), have + read_bytes / 2));
    const aio::Deadline deadline = silence(state->clock, state->options.heartbeat);
    const Result<std::size_t> n = co_await state->stream->read_some(std::span(bytes).subspan(have), deadline);
    have += n.value_or(0);
    if (!n || *n == 0) {
      state->finish(n ? Error{Code::retry, std::string(closed_by_peer)} : unread(n.error(), state->options.heartbeat));
      break;
    }
    while (!state->end) {
      const Result<std::optional<Frame>> frame =
          first_frame(std::string_view(bytes.data(), have).substr(used), state->options.limits);
      if (!frame || !*frame) {
        if (!frame) {
          state->finish(frame.error());
        }
        break;
      }
      used += (*frame)->payload.size() + frame_extra_bytes;
      if (const Result<void> taken = state->take(**frame); !taken) {
        state->finish(taken.error());
      }
    }
    std::memmove(bytes.data(), bytes.data() + used, have - used);
    have -= std::exchange(used, 0);
    if (const std::shared_ptr<ContentSink> full = std::exchange(state->full, nullptr)) {
      co_await full->room();
    }
  }
}

aio::Task<void> Connection::State::write(std::shared_ptr<State> state) {
  std::string chunk;
  while (!state->end) {
    if (state->out.empty()) {
      const Duration heartbeat = state->options.heartbeat;
      const aio::Deadline quiet = heartbeat == Duration{0} ? aio::Deadline{} : state->clock.in(heartbeat / 2);
      const aio::Wake why = co_await state->out_changed.wait(quiet);
      if (why == aio::Wake::timeout) {
        append_frame(state->out, FrameType::heartbeat, 0, "");
      }
      continue;
    }
    chunk.clear();
    chunk.swap(state->out);
    state->given += chunk.size();
    const aio::Deadline deadline = silence(state->clock, state->options.heartbeat);
    state->writing = true;
    const Result<void> done = co_await state->stream->write_all(chunk, deadline);
    state->writing = !done;  // never again after an error
    if (!done) {
      // Why the broker closed is often what it said last, and that is still to be read.
      const aio::Deadline last_words = state->clock.in(last_words_wait);
      while (!state->end && !last_words.passed(state->clock.now())) {
        const aio::Wake why = co_await state->progress.wait(last_words);
        (void)why;
      }
      state->finish(done.error());
      break;
    }
    state->written = state->given;
    state->progress.notify();
  }
}

void Connection::State::write_now() {
  if (end || writing || out.empty()) {
    return;
  }
  const std::size_t n = stream->write_now(out);
  given += n;
  written = given;
  out.erase(0, n);
  if (n > 0) {
    progress.notify();
  }
  if (!out.empty()) {
    out_changed.notify();
  }
}

aio::Task<Result<void>> Connection::State::written_to(std::uint64_t position, aio::Deadline deadline) {
  write_now();
  while (written < position) {
    if (end) {
      co_return *end;
    }
    const aio::Wake why = co_await progress.wait(deadline);
    if (why == aio::Wake::timeout) {
      co_return Error{Code::retry, "not written in time"};
    }
  }
  co_return Result<void>{};
}

// Section 2.2.4: protocol header, start, start-ok, tune, tune-ok, open, open-ok. The server speaks first after the
// header, so each step waits for its answer as a call does.
aio::Task<Result<void>> Connection::State::shake_hands(std::shared_ptr<State> state, Login login,
                                                       aio::Deadline deadline) {
  Channel control(state->control);
  Pool pool;
  state->out.append("AMQP\x00\x00\x09\x01", 8);
  const Result<Channel::Answer> start = co_await control.call(0, nullptr, AMQP_CONNECTION_START_METHOD, deadline);
  if (!start) {
    co_return no_start(start.error(), state->options.secured);
  }
  const auto offer = start->as<amqp_connection_start_t>(pool);
  if (!offer) {
    co_return offer.error();
  }
  if ((*offer)->version_major != 0 || (*offer)->version_minor != 9) {
    co_return Error{Code::invalid, fmt::format("the broker speaks AMQP {}.{}, sluice 0.9.1", (*offer)->version_major,
                                               (*offer)->version_minor)};
  }
  const Result<Sasl> sasl = choose_sasl(to_view((*offer)->mechanisms), login, state->options.secured);
  if (!sasl) {
    co_return sasl.error();
  }
  ClientProperties properties(state->options.name);
  amqp_connection_start_ok_t start_ok{.client_properties = properties.table(),
                                      .mechanism = ::amqp_cstring_bytes(sasl->mechanism),
                                      .response = to_bytes(sasl->response),
                                      .locale = ::amqp_cstring_bytes("en_US")};
  const Result<Channel::Answer> tune =
      co_await control.call(AMQP_CONNECTION_START_OK_METHOD, &start_ok, AMQP_CONNECTION_TUNE_METHOD, deadline);
  if (!tune) {
    // A broker of before the capability, or one in a hurry, just closes.
    co_return tune.error().what == closed_by_peer
        ? Error{Code::denied, "the broker closed the connection at the login: wrong user name, password or certificate"}
        : tune.error().in(sasl->mechanism == std::string_view("PLAIN") ? fmt::format("login of user {}", login.user)
                                                                       : "login by certificate");
  }
  const auto terms = tune->as<amqp_connection_tune_t>(pool);
  if (!terms) {
    co_return terms.error();
  }
  FrameLimits& limits = state->options.limits;
  const auto least = [](auto ours, auto theirs) { return theirs == 0 ? ours : std::min(ours, theirs); };
  limits.frame_max = least(limits.frame_max, (*terms)->frame_max);
  limits.channel_max = least(limits.channel_max, (*terms)->channel_max);
  if (limits.frame_max < frame_min) {
    co_return Error{Code::invalid, fmt::format("the broker wants frames of at most {} bytes; {} is the least that AMQP "
                                               "allows",
                                               limits.frame_max, frame_min)};
  }
  const Duration theirs = std::chrono::seconds{(*terms)->heartbeat};
  Duration& heartbeat = state->options.heartbeat;
  heartbeat = theirs == Duration{0} ? heartbeat : heartbeat == Duration{0} ? theirs : std::min(heartbeat, theirs);
  amqp_connection_tune_ok_t tune_ok{.channel_max = limits.channel_max,
                                    .frame_max = limits.frame_max,
                                    .heartbeat = static_cast<std::uint16_t>(to_s(heartbeat))};
  const Result<std::uint64_t> tuned = control.send(AMQP_CONNECTION_TUNE_OK_METHOD, &tune_ok);
  if (!tuned) {
    co_return tuned.error();
  }
  amqp_connection_open_t open{.virtual_host = to_bytes(state->options.vhost), .capabilities = {}, .insist = 0};
  const Result<Channel::Answer> opened =
      co_await control.call(AMQP_CONNECTION_OPEN_METHOD, &open, AMQP_CONNECTION_OPEN_OK_METHOD, deadline);
  if (!opened) {
    co_return opened.error().in(fmt::format("virtual host \"{}\"", state->options.vhost));
  }
  co_return Result<void>{};
}

aio::Task<Result<std::unique_ptr<Connection>>> Connection::open(aio::Loop& loop, aio::Clock& clock,
                                                                std::unique_ptr<aio::Stream> stream,
                                                                ConnectionOptions options, Login login,
                                                                aio::Deadline deadline) {
  const auto state = std::make_shared<State>(loop, clock, std::move(stream), std::move(options));
  state->control = std::make_shared<Channel::State>(state, 0, nullptr, 0, clock);
  std::unique_ptr<Connection> connection(new Connection(state));
  const auto ended = [state](const std::exception_ptr& failure) {
    check(failure == nullptr, "a task of a connection threw");
    --state->tasks;
    state->progress.notify();
  };
  state->tasks = 2;
  loop.start(State::read(state), ended);
  loop.start(State::write(state), ended);
  const Result<void> agreed = co_await State::shake_hands(state, std::move(login), deadline);
  if (!agreed) {
    co_return agreed.error();
  }
  co_return connection;
}

Connection::~Connection() {
  state_->finish(Error{Code::retry, "the connection was given up"});
  state_->control.reset();  // it holds the state
}

const std::optional<Error>& Connection::end() const {
  return state_->end;
}

aio::Task<void> Connection::close(aio::Deadline deadline) {
  if (!state_->end) {
    Channel control(state_->control);
    amqp_connection_close_t goodbye{
        .reply_code = 200, .reply_text = ::amqp_cstring_bytes("goodbye"), .class_id = 0, .method_id = 0};
    const Result<Channel::Answer> answer =
        co_await control.call(AMQP_CONNECTION_CLOSE_METHOD, &goodbye, AMQP_CONNECTION_CLOSE_OK_METHOD, deadline);
    state_->finish(Error{Code::retry, answer ? "the connection is closed" : answer.error().what});
  }
  while (state_->tasks > 0) {  // what is cut ends at once
    const aio::Wake why = co_await state_->progress.wait(aio::Deadline{});
    (void)why;
  }
}

}  // namespace sluice::queue::rabbit
