// SPDX-License-Identifier: Apache-2.0
#include "queue/local/local_queue.h"

#include <algorithm>

#include "queue/local/content.h"
#include "queue/local/engine.h"
#include "queue/local/receiver.h"

namespace sluice::queue::local {

namespace {

using aio::Deadline;
using aio::Task;

constexpr std::size_t id_max = 255;  // what AMQP can carry too

std::size_t size_of(const Message& message) {
  std::size_t bytes = message.body.size() + message.type.size();
  for (const auto& [key, value] : message.headers) {
    bytes += key.size() + value.size();
  }
  return bytes;
}

std::string refusal(const Message& message, std::size_t body_max) {
  if (message.id.empty() || message.id.size() > id_max) {
    return "the message's id has " + std::to_string(message.id.size()) + " bytes; 1 to " + std::to_string(id_max) +
           " are taken";
  }
  if (const std::size_t bytes = size_of(message); bytes > body_max) {
    return "the message has " + std::to_string(bytes) + " bytes; at most " + std::to_string(body_max) +
           " are taken: store large data elsewhere and publish where it is";
  }
  return {};
}

class LocalPublisher final : public Publisher {
 public:
  LocalPublisher(std::shared_ptr<Engine> engine, std::size_t body_max)
      : engine_(std::move(engine)), body_max_(body_max) {}

  Task<std::vector<Published>> publish(std::vector<Message> batch, Deadline deadline) override {
    std::vector<Published> answers(batch.size());
    auto fine = std::make_shared<std::vector<Message>>();
    std::size_t bytes = 0;
    for (std::size_t i = 0; i < batch.size(); ++i) {
      answers[i].why = refusal(batch[i], body_max_);
      if (!answers[i].why.empty()) {
        answers[i].state = PublishState::failed;
      } else {
        bytes += size_of(batch[i]);
        fine->push_back(std::move(batch[i]));
      }
    }
    Verdict verdict{Fate::undone, Error{Code::retry, "the deadline had passed before it was sent"}};
    if (fine->empty()) {
      co_return answers;
    }
    if (!deadline.passed(engine_->clock().now())) {
      const auto work = [fine](Store& store, std::int64_t now_ms) {
        const WallTime now{std::chrono::milliseconds{now_ms}};
        for (const Message& message : *fine) {
          const std::string content = encode_content(message, message.published_at.value_or(now));
          store.publish(message.id, message.priority, content, now_ms);
        }
        return true;
      };
      const auto question = std::make_shared<Question<bool>>(work);
      question->deadline = deadline;
      question->bytes = bytes;
      verdict = co_await engine_->ask(question);
    }
    for (Published& answer : answers) {
      if (answer.why.empty()) {
        answer = told(verdict);
      }
    }
    co_return answers;
  }

 private:
  static Published told(const Verdict& verdict) {
    switch (verdict.fate) {
      case Fate::done:
        return Published{.state = PublishState::confirmed, .why = {}};
      case Fate::undone:
        return Published{.state = PublishState::failed, .why = verdict.error.what};
      case Fate::unknown:
        break;
    }
    return Published{.state = PublishState::unknown, .why = verdict.error.what};
  }

  std::shared_ptr<Engine> engine_;
  std::size_t body_max_;
};

struct Seen {
  Counters counters;
  std::optional<Duration> oldest;
  std::int64_t consumers = 0;
  Time at;
};

class LocalSource final : public BacklogSource {
 public:
  explicit LocalSource(std::shared_ptr<Engine> engine) : engine_(std::move(engine)) {}

  Task<Result<model::Sample>> sample(Deadline deadline) override {
    const auto work = [clock = &engine_->clock()](Store& store, std::int64_t now_ms) {
      Seen seen{.counters = store.counters(), .oldest = {}, .consumers = store.consumers(), .at = clock->now()};
      if (const std::optional<std::int64_t> since = store.oldest_fresh(); since) {
        seen.oldest = std::chrono::milliseconds{std::max<std::int64_t>(0, now_ms - *since)};
      }
      return seen;
    };
    const auto question = std::make_shared<Question<Seen>>(work);
    question->deadline = deadline;
    question->writes = false;
    const Verdict verdict = co_await engine_->ask(question);
    if (verdict.fate != Fate::done) {
      co_return verdict.error;
    }
    co_return read(*question->answer);
  }

 private:
  static model::Sample read(const Seen& seen) {
    const auto reading = [&](std::int64_t n) { return model::Reading{.n = n, .observed_at = seen.at}; };
    const Counters& c = seen.counters;
    // When only redelivered messages wait, the age of the oldest is not known: 0 would say that nothing waits.
    std::optional<model::OldestAge> oldest;
    if (seen.oldest || c.ready == 0) {
      oldest = model::OldestAge{
          .age = seen.oldest.value_or(Duration{0}), .kind = model::AgeKind::exact, .observed_at = seen.at};
    }
    return model::Sample{.ready = reading(c.ready),
                         .in_flight = reading(c.in_flight),
                         .total = reading(c.ready + c.in_flight),
                         .delayed = reading(c.delayed),
                         .dead = reading(c.dead),
                         .consumers = reading(seen.consumers),
                         .oldest_age = oldest,
                         .published_n = reading(c.published_n),
                         .acked_n = reading(c.acked_n)};
  }

  std::shared_ptr<Engine> engine_;
};

}  // namespace

LocalQueue::LocalQueue(std::shared_ptr<Engine> engine, LocalOptions options)
    : engine_(std::move(engine)), options_(std::move(options)) {}
LocalQueue::~LocalQueue() = default;

Task<Result<std::unique_ptr<LocalQueue>>> LocalQueue::open(aio::Loop& loop, aio::Clock& clock, Random& random,
                                                           std::string path, LocalOptions options, Deadline deadline) {
  EngineOptions engine_options;
  engine_options.create = options.create;
  engine_options.vfs = options.vfs;
  engine_options.look_every = options.look_every;
  auto engine = std::make_shared<Engine>(loop, clock, random, path, engine_options);
  const auto work = [](Store&, std::int64_t) { return true; };
  const auto question = std::make_shared<Question<bool>>(work);
  question->deadline = deadline;
  question->writes = false;
  const Verdict verdict = co_await engine->ask(question);
  if (verdict.fate != Fate::done) {
    co_return verdict.error;
  }
  co_return std::unique_ptr<LocalQueue>(new LocalQueue(std::move(engine), std::move(options)));
}

std::unique_ptr<Publisher> LocalQueue::publisher() {
  return std::make_unique<LocalPublisher>(engine_, options_.body_max);
}
std::unique_ptr<Receiver> LocalQueue::receiver(std::string who) {
  return std::make_unique<LocalReceiver>(engine_, std::move(who));
}
std::unique_ptr<BacklogSource> LocalQueue::source() {
  return std::make_unique<LocalSource>(engine_);
}

Task<Result<std::vector<DeadLetter>>> LocalQueue::dead_letters(std::int64_t after, std::size_t limit,
                                                               Deadline deadline) {
  const auto work = [after, limit](Store& store, std::int64_t) {
    return store.dead(after, static_cast<std::int64_t>(limit));
  };
  const auto question = std::make_shared<Question<std::vector<DeadRow>>>(work);
  question->deadline = deadline;
  question->writes = false;
  const Verdict verdict = co_await engine_->ask(question);
  if (verdict.fate != Fate::done) {
    co_return verdict.error;
  }
  std::vector<DeadLetter> out;
  for (DeadRow& row : *question->answer) {
    out.push_back(DeadLetter{.n = row.n,
                             .id = std::move(row.id),
                             .cause = row.cause,
                             .attempts = row.attempts,
                             .why = std::move(row.why),
                             .who = std::move(row.who),
                             .at = WallTime{std::chrono::milliseconds{row.at_ms}}});
  }
  co_return out;
}

}  // namespace sluice::queue::local
