// SPDX-License-Identifier: Apache-2.0
#include "queue/rabbit/examine.h"

#include <fmt/core.h>

#include <utility>

#include "aio/url.h"
#include "queue/rabbit/broker.h"

namespace sluice::queue::rabbit {
namespace {

using Level = Examined::Level;
using Topic = Examined::Topic;

// For a regular expression of rabbitmqctl.
std::string escaped(std::string_view name) {
  std::string out;
  for (const char c : name) {
    out += std::string_view(".^$*+?()[]{}|\\").find(c) != std::string_view::npos ? std::string{'\\', c}
                                                                                 : std::string(1, c);
  }
  return out;
}

// What comes back to whoever publishes or takes without a worker.
class Examiner final : private ChannelListener {
 public:
  Examiner(std::shared_ptr<Broker> broker, std::shared_ptr<Management> management, ExamineOptions options)
      : broker_(std::move(broker)), management_(std::move(management)), options_(std::move(options)) {}

  aio::Task<std::vector<Examined>> run(aio::Deadline deadline) {
    // A broker with an alarm reads no more from who publishes: that must not cost the answer to why.
    const aio::Deadline tries = deadline.share(broker_->clock().now(), 2);
    const bool there = co_await try_queue(tries);
    if (connection_) {
      co_await try_others(tries);
      co_await try_write(tries);
    }
    if (there) {
      co_await try_configure(tries);
      co_await try_read(tries);  // last: where a message comes meanwhile, the connection goes with it
    }
    co_await ask_management(deadline);
    co_return std::move(out_);
  }

 private:
  void add(Topic topic, Level level, std::string text, std::string fix = "") {
    out_.push_back({.topic = topic, .level = level, .text = std::move(text), .fix = std::move(fix)});
  }

  // Connects and looks at the queue; returns whether it is there.
  aio::Task<bool> try_queue(aio::Deadline deadline) {
    const Result<std::shared_ptr<Connection>> connection = co_await broker_->connection(deadline);
    if (!connection) {
      add(Topic::connection, Level::failed, connection.error().what,
          connection.error().code == Code::denied
              ? fmt::format("rabbitmqctl authenticate_user {} shows whether the password is right; rabbitmqctl "
                            "list_vhosts, list_permissions -p {} what the user may enter",
                            options_.user, options_.vhost)
              : std::string("look whether the broker runs, and at url and hosts: rabbitmqctl status"));
      co_return false;
    }
    connection_ = *connection;
    add(Topic::connection, Level::ok, fmt::format("{} lets user {} in", broker_->address().text(), options_.user));
    const Result<std::uint32_t> ready = co_await count(options_.queue, deadline);
    if (!ready) {
      if (ready.error().code != Code::gone) {
        add(Topic::kind, Level::failed, ready.error().what,
            fmt::format("rabbitmqctl list_queues -p {} name type exclusive state", options_.vhost));
        co_return false;
      }
      add(Topic::missing, Level::failed, ready.error().what,
          options_.declares ? "sluice publish --declare makes it, with its queues for dead letters and retries"
                            : "declare it, or add declare: {type: quorum} and run sluice publish --declare");
      co_return false;
    }
    ready_ = *ready;
    add(Topic::missing, Level::ok, fmt::format("{} is there, {} waiting", options_.queue, ready_));
    co_return true;
  }

  aio::Task<Result<std::uint32_t>> count(std::string queue, aio::Deadline deadline) {
    const Result<Poller::Counts> counts = co_await Poller::of(broker_)->counts(std::move(queue), deadline);
    co_return counts ? Result<std::uint32_t>(counts->ready) : counts.error();
  }

  // The queues around it: without them messages stay at the head of the queue instead of waiting for their retry.
  aio::Task<void> try_others(aio::Deadline deadline) {
    std::vector<std::string> names = options_.retry_queues;
    names.insert(names.begin(), options_.dead_letter_queue);
    std::string missing;
    for (const std::string& name : names) {
      const Result<std::uint32_t> there = co_await count(name, deadline);
      if (!there) {
        missing += (missing.empty() ? "" : ", ") + name;
      }
    }
    if (missing.empty()) {
      add(Topic::dead_letters, Level::ok,
          fmt::format("{} and {} queues for retries are there", options_.dead_letter_queue,
                      options_.retry_queues.size()));
    } else {
      add(Topic::dead_letters, Level::warning,
          fmt::format("{}: not there, or not open to user {}; what belongs there has no way", missing, options_.user),
          options_.declares ? "sluice publish --declare"
                            : "declare them, or add declare: {type: quorum} and run sluice publish --declare");
    }
  }

  // On a channel of its own, since a refusal ends it.
  aio::Task<Result<std::unique_ptr<Channel>>> fresh_channel(aio::Deadline deadline) {
    Result<std::unique_ptr<Channel>> channel = co_await connection_->channel(*this, 0, deadline);
    co_return channel;
  }

  void refused(const Error& why, const std::string& what) {
    add(why.code == Code::denied ? Topic::permission : Topic::connection, Level::failed,
        fmt::format("user {} may not {}: {}", options_.user, what, why.what), permissions_command(options_));
  }

  // To a queue that nobody has, through the exchange that retries and dead letters go through.
  aio::Task<void> try_write(aio::Deadline deadline) {
    const Result<std::unique_ptr<Channel>> channel = co_await fresh_channel(deadline);
    if (!channel) {
      refused(channel.error(), "open a channel");
      co_return;
    }
    const amqp_basic_properties_t properties{};
    const Result<std::uint64_t> sent = (*channel)->publish("", "sluice-doctor-of-no-queue", false, properties, "");
    if (!sent) {
      refused(sent.error(), "publish");
      co_return;
    }
    // A call behind it is answered when the publish was judged: a refusal comes first and ends the channel.
    amqp_basic_qos_t qos{.prefetch_size = 0, .prefetch_count = 1, .global = 0};
    const Result<Channel::Answer> answer =
        co_await (*channel)->call(AMQP_BASIC_QOS_METHOD, &qos, AMQP_BASIC_QOS_OK_METHOD, deadline);
    if (!answer) {
      refused(answer.error(), "write to the default exchange, through which retries and dead letters go");
      co_return;
    }
    add(Topic::permission, Level::ok, "write: may publish, so retries and dead letters have a way");
  }

  // Only from an empty queue: what is taken and given back counts as an attempt.
  aio::Task<void> try_read(aio::Deadline deadline) {
    if (ready_ > 0) {
      add(Topic::permission, Level::ok, "read: not tried while messages wait, since a try would count as a delivery");
      co_return;
    }
    const Result<std::unique_ptr<Channel>> channel = co_await fresh_channel(deadline);
    if (!channel) {
      refused(channel.error(), "open a channel");
      co_return;
    }
    amqp_basic_get_t get{.ticket = 0, .queue = to_bytes(options_.queue), .no_ack = 0};
    const Result<Channel::Answer> answer =
        co_await (*channel)->call(AMQP_BASIC_GET_METHOD, &get, AMQP_BASIC_GET_EMPTY_METHOD, deadline);
    if (answer) {
      add(Topic::permission, Level::ok, fmt::format("read: may take messages from {}", options_.queue));
    } else if (answer.error().code == Code::denied) {
      refused(answer.error(), fmt::format("take messages from {}", options_.queue));
    } else {
      add(Topic::permission, Level::ok, "read: a message came meanwhile, and went back");
    }
  }

  // The same declare as publish --declare would be refused or not; one of a queue that is there makes nothing.
  aio::Task<void> try_configure(aio::Deadline deadline) {
    if (!options_.declares) {
      co_return;
    }
    const Result<std::unique_ptr<Channel>> channel = co_await fresh_channel(deadline);
    if (!channel) {
      refused(channel.error(), "open a channel");
      co_return;
    }
    amqp_queue_declare_t declare{};
    declare.queue = to_bytes(options_.queue);
    declare.durable = 1;
    const Result<Channel::Answer> answer =
        co_await (*channel)->call(AMQP_QUEUE_DECLARE_METHOD, &declare, AMQP_QUEUE_DECLARE_OK_METHOD, deadline);
    if (!answer && answer.error().code == Code::denied) {
      refused(answer.error(), fmt::format("declare {}", options_.queue));
    } else {  // other arguments are refused after the right to declare was looked at
      add(Topic::permission, Level::ok, fmt::format("configure: may declare {}", options_.queue));
    }
  }

  aio::Task<void> ask_management(aio::Deadline deadline) {
    if (!management_) {
      add(Topic::management, Level::ok,
          "no management API is named: policies, alarms and what is in flight stay unknown; management: "
          "http://HOST:15672 under rabbitmq adds them");
      co_return;
    }
    const Result<std::string> version = co_await management_->get("/api/overview?columns=rabbitmq_version", deadline);
    if (!version) {
      const bool denied = version.error().code == Code::denied;
      add(Topic::management, denied ? Level::failed : Level::warning, version.error().what,
          denied ? fmt::format("rabbitmqctl set_user_tags {} monitoring", options_.user)
                 : std::string("rabbitmq-plugins enable rabbitmq_management, or correct management"));
      co_return;
    }
    const Result<std::string> shown = version_of(*version);
    add(Topic::management, shown ? Level::ok : Level::warning,
        shown ? "the management API answers: RabbitMQ " + *shown : shown.error().what,
        shown ? "" : "look whether management names the management API");
    const Result<std::string> alarms = co_await management_->get("/api/health/checks/alarms", deadline);
    if (!alarms && alarms.error().what.find("status 503") != std::string::npos) {
      add(Topic::alarm, Level::failed, "the broker has an alarm and takes no messages: memory or disk is short",
          "rabbitmqctl list_alarms; rabbitmq-diagnostics memory_breakdown, df on the broker");
    } else if (alarms) {
      add(Topic::alarm, Level::ok, "no alarm of memory or disk");
    }
    const std::string target = fmt::format("/api/queues/{}/{}?columns={}", aio::percent_encoded(options_.vhost),
                                           aio::percent_encoded(options_.queue), definition_columns());
    const Result<std::string> definition = co_await management_->get(target, deadline);
    if (definition) {
      for (Examined& one : judge_definition(*definition, options_)) {
        out_.push_back(std::move(one));
      }
    } else if (definition.error().code != Code::gone) {
      add(Topic::management, Level::warning, definition.error().what, "");
    }
  }

  std::shared_ptr<Broker> broker_;
  std::shared_ptr<Management> management_;
  ExamineOptions options_;
  std::shared_ptr<Connection> connection_;
  std::uint32_t ready_ = 0;
  std::vector<Examined> out_;
};

}  // namespace

std::string permissions_command(const ExamineOptions& options) {
  std::string all = escaped(options.queue) + "|" + escaped(options.dead_letter_queue);
  for (const std::string& name : options.retry_queues) {
    all += "|" + escaped(name);
  }
  return fmt::format("rabbitmqctl set_permissions -p {} {} '{}' '^(amq\\.default|{})$' '^({})$'", options.vhost,
                     options.user, options.declares ? "^(" + all + ")$" : "^$", all, all);
}

aio::Task<std::vector<Examined>> examine(std::shared_ptr<Broker> broker, std::shared_ptr<Management> management,
                                         ExamineOptions options, aio::Deadline deadline) {
  Examiner examiner(std::move(broker), std::move(management), std::move(options));
  std::vector<Examined> out = co_await examiner.run(deadline);
  co_return out;
}

}  // namespace sluice::queue::rabbit
