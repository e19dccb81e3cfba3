// SPDX-License-Identifier: Apache-2.0
#include "queue/rabbit/poller.h"

#include <fmt/core.h>

#include <algorithm>
#include <deque>
#include <list>
#include <optional>
#include <utility>

#include "queue/rabbit/broker.h"

namespace sluice::queue::rabbit {
namespace {

using namespace std::chrono_literals;

// Chosen: 64 declares of 20 us hide a round trip of a millisecond, and are what one refusal makes the broker do again.
constexpr std::size_t window_max = 64;
// Chosen: each refusal costs the broker a channel and a line in its log.
constexpr Duration refused_least = 1s;  // doubled up to
constexpr Duration refused_most = 8s;   // while the queue stays away
constexpr Duration refused_each = 50ms;
// A declare takes 20 us; a queue that makes others wait this long gets a channel where it cannot.
constexpr Duration slow = 200ms;
// RabbitMQ waits 250 ms for a quorum queue's leader, and answers 0 and 0 when none speaks (rabbit_quorum_queue:stat/2,
// 3.10 to 4.x).
constexpr Duration leaderless = 240ms;
// Only the round trip of a broker that is known to be far is no part of that: one that was measured in a busy moment
// would excuse the very answers that busy moments make wrong. Chosen.
constexpr Duration far = 120ms;
constexpr int trips_least = 3;
// How soon a connection with a new login, which the broker's object hands out from then on, is moved to. Chosen: it
// looks at the login that often itself.
constexpr Duration follow_each = 5s;
// An ask that ends connections is not sent for ever.
constexpr int connections_max = 2;

}  // namespace

struct Poller::Ask {
  Ask(const std::string& q, aio::Clock& clock) : queue(q), changed(clock) {}
  const std::string& queue;
  aio::Event changed;  // answered, or the channel is to be opened
  std::optional<Result<Counts>> answer;
  enum { nowhere, waiting, sent } where = nowhere;
  std::list<Ask*>::iterator place;  // while it waits
  int connections = 0;              // lost while it was under way

  void end(Result<Counts> with) {
    answer = std::move(with);
    changed.notify();
  }
};

class Poller::Lane final : public ChannelListener {
 public:
  Lane(Poller& poller, std::size_t most) : poller_(poller), most_(most), window_(most) {}

  [[nodiscard]] aio::Task<void> ask(Ask& ask, aio::Deadline deadline);
  void let_go_unless(const std::shared_ptr<Connection>& current);

 private:
  struct Sent {
    Ask* ask;  // null: nobody waits for it any more
    std::string queue;
    bool alone;  // nothing was under way: its answer takes a whole round trip
  };
  // Whoever asks is in here until it is answered, times out or is cancelled.
  class Place {
   public:
    Place(Lane& lane, Ask& ask) : lane_(lane), ask_(ask) { lane.queue(lane.waiting_.end(), ask); }
    ~Place() { lane_.forget(ask_); }
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;

   private:
    Lane& lane_;
    Ask& ask_;
  };
  class Opening {
   public:
    explicit Opening(Lane& lane) : lane_(lane) { lane.opening_ = true; }
    ~Opening() {
      lane_.opening_ = false;
      lane_.wake_one();
    }
    Opening(const Opening&) = delete;
    Opening& operator=(const Opening&) = delete;

   private:
    Lane& lane_;
  };

  bool answered(const Method& method) override;
  void ended(const Error& why) override;

  [[nodiscard]] bool open() const { return channel_ && !channel_->end(); }
  [[nodiscard]] aio::Task<Result<void>> make_channel(aio::Deadline deadline);
  [[nodiscard]] Result<Counts> judge(const Sent& sent, const amqp_queue_declare_ok_t& counts, Duration took);
  [[nodiscard]] bool leader_spoke(const Sent& sent, Duration took) const;
  void note_trip(Duration took);
  void queue(std::list<Ask*>::iterator before, Ask& ask);
  void send_more();
  void take_back(std::deque<Sent> sent);  // to be sent again, before all others
  void fail_all(const Error& error);
  void forget(Ask& ask);
  void wake_one();

  Poller& poller_;
  std::size_t most_;
  std::size_t window_;       // halved by a refusal, grown by answers: many at once must not be sent again and again
  std::list<Ask*> waiting_;  // in order of sending
  std::deque<Sent> sent_;    // in order of answers
  Duration trip_{0};      // the quickest round trip on this channel, so that a far broker is not taken for a slow one
  int trips_ = 0;         // how many were measured
  Time first_since_;      // the front of sent_ is what the broker works on
  bool opening_ = false;  // by one of those who wait
  Time follow_at_{};
  std::shared_ptr<Connection> connection_;
  std::unique_ptr<Channel> channel_;
};

aio::Task<void> Poller::Lane::ask(Ask& ask, aio::Deadline deadline) {
  const Place place(*this, ask);
  while (!ask.answer) {
    if ((!open() || poller_.clock_.now() >= follow_at_) && !opening_) {
      const Opening turn(*this);
      const Result<void> made = co_await make_channel(deadline);
      if (!made && deadline.passed(poller_.clock_.now())) {
        ask.end(made.error());  // whoever has more time may have more luck
      } else if (!made) {
        fail_all(made.error());
      }
      continue;
    }
    send_more();
    const aio::Wake why = co_await ask.changed.wait(deadline);
    if (why == aio::Wake::timeout && !ask.answer) {
      ask.end(Error{Code::retry, "the broker did not answer in time"});
    }
  }
}

void Poller::Lane::let_go_unless(const std::shared_ptr<Connection>& current) {
  if (connection_ != current && waiting_.empty() && sent_.empty() && !opening_) {
    channel_.reset();
    connection_.reset();
  }
}

aio::Task<Result<void>> Poller::Lane::make_channel(aio::Deadline deadline) {
  follow_at_ = poller_.clock_.now() + follow_each;
  Result<std::shared_ptr<Connection>> connection = co_await poller_.broker_->connection(deadline);
  if (open() && (!connection || *connection == connection_)) {
    co_return Result<void>{};
  }
  if (!connection) {
    co_return connection.error();
  }
  take_back(std::exchange(sent_, {}));
  channel_.reset();
  connection_ = std::move(*connection);
  const Time begin = poller_.clock_.now();
  Result<std::unique_ptr<Channel>> channel = co_await connection_->channel(*this, 0, deadline);
  trips_ = 0;
  note_trip(poller_.clock_.now() - begin);
  if (!channel) {
    co_return channel.error().in(poller_.broker_->address().text());
  }
  channel_ = std::move(*channel);
  co_return Result<void>{};
}

void Poller::Lane::queue(std::list<Ask*>::iterator before, Ask& ask) {
  ask.place = waiting_.insert(before, &ask);
  ask.where = Ask::waiting;
}

void Poller::Lane::send_more() {
  while (open() && sent_.size() < window_ && !waiting_.empty()) {
    Ask* ask = waiting_.front();
    amqp_queue_declare_t declare{};
    declare.queue = to_bytes(ask->queue);
    declare.passive = 1;
    if (!channel_->send(AMQP_QUEUE_DECLARE_METHOD, &declare)) {
      return;
    }
    waiting_.pop_front();
    if (sent_.empty()) {
      first_since_ = poller_.clock_.now();
    }
    sent_.push_back({ask, ask->queue, sent_.empty()});
    ask->where = Ask::sent;
  }
}

bool Poller::Lane::answered(const Method& method) {
  Pool pool;
  if (sent_.empty() || method.number() != AMQP_QUEUE_DECLARE_OK_METHOD) {
    return false;
  }
  const auto counts = method.as<amqp_queue_declare_ok_t>(pool);
  if (!counts || to_view((*counts)->queue) != sent_.front().queue) {
    return false;
  }
  const Sent sent = std::move(sent_.front());
  sent_.pop_front();
  const Time now = poller_.clock_.now();
  const Duration took = now - std::exchange(first_since_, now);
  window_ = std::min(window_ + 1, most_);
  const Result<Counts> judged = judge(sent, **counts, took);
  // What may be the wait for a leader is a round trip only if others took as long.
  if (sent.alone && (judged || took >= trip_ - trip_ / 10)) {
    note_trip(took);
  }
  if (sent.ask != nullptr) {
    sent.ask->where = Ask::nowhere;
    sent.ask->end(judged);
  }
  send_more();
  return true;
}

Result<Poller::Counts> Poller::Lane::judge(const Sent& sent, const amqp_queue_declare_ok_t& counts, Duration took) {
  if (took - (sent.alone ? std::min(trip_, took) : Duration{0}) < slow) {
    poller_.doubts_.erase(sent.queue);
  } else {
    poller_.doubt(sent.queue, std::nullopt);
  }
  if (counts.message_count == 0 && counts.consumer_count == 0 && !leader_spoke(sent, took)) {
    return poller_.explain(sent.queue, {Code::retry, fmt::format("the broker took {} to answer \"0 messages\", which "
                                                                 "is what it says of a queue without a leader",
                                                                 humane_duration(took))});
  }
  return Counts{counts.message_count, counts.consumer_count, poller_.clock_.now()};
}

bool Poller::Lane::leader_spoke(const Sent& sent, Duration took) const {
  const bool is_far = sent.alone && trips_ >= trips_least && trip_ >= far;
  return took - (is_far ? trip_ : Duration{0}) < leaderless;
}

void Poller::Lane::note_trip(Duration took) {
  trip_ = trips_ == 0 ? took : std::min(trip_, took);
  ++trips_;
}

void Poller::Lane::ended(const Error& why) {
  std::deque<Sent> lost = std::exchange(sent_, {});
  const bool refused = !connection_->end();
  if (refused && !lost.empty()) {
    const Sent first = std::move(lost.front());
    lost.pop_front();
    window_ = std::max<std::size_t>(window_ / 2, 1);
    const Error error = poller_.explain(first.queue, why);
    poller_.doubt(first.queue, error);
    if (first.ask != nullptr) {
      first.ask->where = Ask::nowhere;
      first.ask->end(error);
    }
  }
  for (Sent& sent : lost) {
    if (sent.ask != nullptr && !refused && ++sent.ask->connections >= connections_max) {
      sent.ask->where = Ask::nowhere;
      sent.ask->end(poller_.explain(sent.queue, why));
      sent.ask = nullptr;
    }
  }
  take_back(std::move(lost));
  wake_one();
}

void Poller::Lane::take_back(std::deque<Sent> sent) {
  for (auto one = sent.rbegin(); one != sent.rend(); ++one) {
    if (one->ask != nullptr) {
      queue(waiting_.begin(), *one->ask);
    }
  }
}

void Poller::Lane::fail_all(const Error& error) {
  for (Ask* ask : std::exchange(waiting_, {})) {
    ask->where = Ask::nowhere;
    ask->end(error);
  }
}

void Poller::Lane::forget(Ask& ask) {
  if (ask.where == Ask::waiting) {
    waiting_.erase(ask.place);
  } else if (ask.where == Ask::sent) {
    std::ranges::find(sent_, &ask, &Sent::ask)->ask = nullptr;
  }
  if (!open() && !opening_) {
    wake_one();  // it may have been the one to open the channel
  }
}

void Poller::Lane::wake_one() {
  if (!waiting_.empty()) {
    waiting_.front()->changed.notify();
  }
}

std::shared_ptr<Poller> Poller::of(const std::shared_ptr<Broker>& broker) {
  std::shared_ptr<Poller> poller = broker->poller().lock();
  if (!poller) {
    poller = std::make_shared<Poller>(broker);
    broker->poller() = poller;
  }
  return poller;
}

Poller::Poller(std::shared_ptr<Broker> broker)
    : broker_(std::move(broker)),
      clock_(broker_->clock()),
      sound_(std::make_unique<Lane>(*this, window_max)),
      doubtful_(std::make_unique<Lane>(*this, 1)) {}

Poller::~Poller() = default;

aio::Task<Result<Poller::Counts>> Poller::counts(std::string queue, aio::Deadline deadline) {
  const auto known = doubts_.find(queue);
  Lane& lane = known == doubts_.end() ? *sound_ : *doubtful_;
  if (known != doubts_.end() && known->second.refusal && clock_.now() < known->second.again) {
    co_return *known->second.refusal;
  }
  Ask ask(queue, clock_);
  co_await lane.ask(ask, deadline);
  co_return std::move(*ask.answer);
}

void Poller::let_go_unless(const std::shared_ptr<Connection>& current) {
  sound_->let_go_unless(current);
  doubtful_->let_go_unless(current);
}

void Poller::doubt(const std::string& queue, std::optional<Error> refusal) {
  Doubt& doubt = doubts_[queue];
  doubt.wait = refusal ? std::clamp(2 * doubt.wait, refused_least, refused_most) : Duration{0};
  doubt.again = clock_.now() + std::max(doubt.wait, refused_each * static_cast<Duration::rep>(doubts_.size()));
  doubt.refusal = std::move(refusal);
}

Error Poller::explain(const std::string& queue, const Error& refusal) const {
  Error out = refusal.in(fmt::format("queue {} on {}", queue, broker_->address().text()));
  if (refusal.what.ends_with("(AMQP 405)")) {
    out.what += "; an exclusive queue serves the one connection that declared it, so it cannot be scaled";
  }
  return out;
}

}  // namespace sluice::queue::rabbit
