// SPDX-License-Identifier: Apache-2.0
// What a queue's arguments and policy mean for its messages.
#include <fmt/core.h>

#include <algorithm>

#include "model/strict_json.h"
#include "queue/rabbit/examine.h"

namespace sluice::queue::rabbit {
namespace {

namespace json = boost::json;
using Level = Examined::Level;
using Topic = Examined::Topic;
using namespace std::chrono_literals;

// RabbitMQ's consumer_timeout unless rabbitmq.conf says otherwise, since 3.8.17.
constexpr Duration consumer_timeout_default = 30min;

// A setting by argument (x-NAME) or by policy (NAME); the broker takes the argument where both are there, or the
// smaller of two numbers, which is the same to whoever asks whether there is a limit at all.
class Settings {
 public:
  explicit Settings(const json::object& queue)
      : arguments_(object(queue, "arguments")), policy_(object(queue, "effective_policy_definition")) {}

  [[nodiscard]] std::optional<std::int64_t> number(std::string_view name) const {
    const json::value* value = find(name);
    const std::int64_t* n = value != nullptr ? value->if_int64() : nullptr;
    return n != nullptr ? std::optional(*n) : std::nullopt;
  }
  [[nodiscard]] std::optional<std::string> text(std::string_view name) const {
    const json::value* value = find(name);
    return value != nullptr && value->is_string() ? std::optional(std::string(std::string_view(value->get_string())))
                                                  : std::nullopt;
  }
  [[nodiscard]] bool flag(std::string_view name) const {
    const json::value* value = find(name);
    return value != nullptr && value->is_bool() && value->get_bool();
  }
  // Where it is set, for people.
  [[nodiscard]] std::string where(std::string_view name) const {
    return find_in(arguments_, fmt::format("x-{}", name)) != nullptr ? fmt::format("argument x-{}", name)
                                                                     : fmt::format("policy, {}", name);
  }

 private:
  static json::object object(const json::object& queue, std::string_view key) {
    const json::value* found = find_in(queue, key);
    return found != nullptr && found->is_object() ? found->get_object() : json::object{};
  }
  static const json::value* find_in(const json::object& object, std::string_view key) {
    return object.if_contains({key.data(), key.size()});
  }
  [[nodiscard]] const json::value* find(std::string_view name) const {
    const json::value* argument = find_in(arguments_, fmt::format("x-{}", name));
    return argument != nullptr ? argument : find_in(policy_, name);
  }

  json::object arguments_;
  json::object policy_;
};

class Judge {
 public:
  Judge(const json::object& queue, const ExamineOptions& options) : options_(options), settings_(queue) {
    const json::value* type = queue.if_contains("type");
    type_ = type != nullptr && type->is_string() ? std::string(std::string_view(type->get_string())) : "";
    const json::value* exclusive = queue.if_contains("exclusive");
    exclusive_ = exclusive != nullptr && exclusive->is_bool() && exclusive->get_bool();
    const json::value* durable = queue.if_contains("durable");
    transient_ = durable != nullptr && durable->is_bool() && !durable->get_bool();
  }

  std::vector<Examined> run() {
    kind();
    loss();
    dead_letters();
    timeout();
    if (out_.empty()) {
      add(Topic::kind, Level::ok, fmt::format("{} is a {} queue that loses nothing by itself", options_.queue, type_));
    }
    return std::move(out_);
  }

 private:
  void add(Topic topic, Level level, std::string text, std::string fix = "") {
    out_.push_back({.topic = topic, .level = level, .text = std::move(text), .fix = std::move(fix)});
  }
  void kind() {
    const std::string& queue = options_.queue;
    if (type_ == "stream") {
      add(Topic::kind, Level::failed, fmt::format("{} is a stream: reading takes nothing from it", queue),
          "name a quorum or classic queue; a stream can feed one through an exchange");
    }
    if (exclusive_) {
      add(Topic::kind, Level::failed, fmt::format("{} is exclusive to the connection that declared it", queue),
          "declare it without exclusive");
    }
    if (settings_.flag("single-active-consumer")) {
      add(Topic::kind, Level::warning,
          fmt::format("{} serves one consumer at a time ({}), so one worker is all it gets", queue,
                      settings_.where("single-active-consumer")),
          "workers.max: 1, or a queue without it");
    }
    if (transient_) {
      add(Topic::loss, Level::warning, fmt::format("{} is not durable: a restart of the broker empties it", queue),
          "declare it durable");
    }
  }
  // Whether what the broker drops goes to a dead letter exchange instead.
  [[nodiscard]] bool kept() const { return settings_.text("dead-letter-exchange").has_value(); }
  void loss() {
    const std::string kept_fix = clear_fix();
    for (const char* name : {"message-ttl", "max-length", "max-length-bytes"}) {
      const std::optional<std::int64_t> limit = settings_.number(name);
      const bool refuses = settings_.text("overflow").value_or("drop-head") == "reject-publish";
      if (!limit || (refuses && std::string_view(name) != "message-ttl")) {
        continue;
      }
      const bool time = std::string_view(name) == "message-ttl";
      const std::string what =
          time ? fmt::format("messages that wait longer than {}",
                             humane_duration(std::chrono::milliseconds{std::clamp<std::int64_t>(*limit, 0, 1LL << 40)}))
               : fmt::format("the oldest messages beyond {}{}", *limit,
                             name == std::string("max-length") ? "" : " bytes");
      add(Topic::loss, Level::warning,
          fmt::format("{} {} {} ({})", options_.queue, kept() ? "gives up" : "silently drops", what,
                      settings_.where(name)),
          time ? kept_fix : kept_fix + ", or set overflow to reject-publish, so that publishers hear of it");
    }
    if (const std::optional<std::int64_t> expires = settings_.number("expires")) {
      add(Topic::loss, Level::warning,
          fmt::format("{} is removed with all in it when nobody has used it for {} ({})", options_.queue,
                      humane_duration(std::chrono::milliseconds{std::clamp<std::int64_t>(*expires, 0, 1LL << 40)}),
                      settings_.where("expires")),
          kept_fix);
    }
  }
  [[nodiscard]] std::string clear_fix() const {
    return fmt::format(
        "rabbitmqctl list_policies -p {} shows a policy, clear_policy removes it; an argument needs the "
        "queue to be declared anew",
        options_.vhost);
  }
  void dead_letters() {
    const std::optional<std::int64_t> limit = settings_.number("delivery-limit");
    if (type_ != "quorum" || !limit || *limit < 0) {
      return;
    }
    if (*limit < options_.attempts) {
      add(Topic::dead_letters, Level::warning,
          fmt::format("{} gives a message up after {} deliveries ({}), before the {} attempts of deadLetter.after",
                      options_.queue, *limit, settings_.where("delivery-limit"), options_.attempts),
          fmt::format("deadLetter: {{after: {}}}, or a delivery-limit of at least {}",
                      std::max<std::int64_t>(*limit, 1), 4 * options_.attempts));
    }
    if (!kept()) {
      add(Topic::dead_letters, Level::warning,
          fmt::format("{} has a delivery limit ({}) and no dead letter exchange: what it gives up is lost",
                      options_.queue, settings_.where("delivery-limit")),
          fmt::format("rabbitmqctl set_policy -p {} {}-dead '^{}$' "
                      "'{{\"dead-letter-exchange\":\"\",\"dead-letter-routing-key\":\"{}\"}}' --apply-to queues",
                      options_.vhost, options_.queue, options_.queue, options_.dead_letter_queue));
    }
  }
  void timeout() {
    const std::optional<std::int64_t> own = settings_.number("consumer-timeout");
    const Duration limit =
        own && *own >= 0 && *own < 1LL << 40 ? Duration{std::chrono::milliseconds{*own}} : consumer_timeout_default;
    if (options_.max_runtime && *options_.max_runtime >= limit) {
      const std::int64_t wanted = to_ms(*options_.max_runtime * 2);
      add(Topic::timeout, Level::warning,
          fmt::format("workers.maxRuntime is {}, and the broker takes a message away from its worker after {}{}",
                      humane_duration(*options_.max_runtime), humane_duration(limit),
                      own ? fmt::format(" ({})", settings_.where("consumer-timeout"))
                          : ", unless its configuration says otherwise"),
          fmt::format("consumer_timeout = {} in rabbitmq.conf; until a restart: rabbitmqctl eval "
                      "'application:set_env(rabbit, consumer_timeout, {}).'",
                      wanted, wanted));
    }
  }

  const ExamineOptions& options_;
  Settings settings_;
  std::string type_;
  bool exclusive_ = false;
  bool transient_ = false;
  std::vector<Examined> out_;
};

}  // namespace

std::string_view definition_columns() {
  return "name,type,durable,exclusive,arguments,effective_policy_definition";
}

Result<std::string> version_of(std::string_view body) {
  const Result<json::value> value = model::parse_strict_json(body);
  const json::value* version =
      value && value->is_object() ? value->get_object().if_contains("rabbitmq_version") : nullptr;
  if (version == nullptr || !version->is_string()) {
    return Error{Code::invalid, "what answers names no version of RabbitMQ"};
  }
  const std::string_view text(version->get_string());
  constexpr std::string_view plain = "0123456789.-+abcdefghijklmnopqrstuvwxyz";
  if (text.empty() || text.size() > 40 || text.find_first_not_of(plain) != std::string_view::npos) {
    return Error{Code::invalid, "what answers names a version that is none"};
  }
  return std::string(text);
}

std::vector<Examined> judge_definition(std::string_view body, const ExamineOptions& options) {
  const Result<json::value> value = model::parse_strict_json(body);
  if (!value || !value->is_object()) {
    return {{.topic = Topic::management,
             .level = Level::failed,
             .text = "what the broker says of the queue cannot be read: " + (value ? "no object" : value.error().what),
             .fix = "look whether management names the management API"}};
  }
  return Judge(value->get_object(), options).run();
}

}  // namespace sluice::queue::rabbit
