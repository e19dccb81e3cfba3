// SPDX-License-Identifier: Apache-2.0
#include "kube/identity.h"

#include <fmt/core.h>

#include <boost/json.hpp>
#include <csignal>

#include "aio/base64.h"
#include "aio/fd.h"
#include "aio/process.h"
#include "base/text.h"

namespace sluice::kube {
namespace {

namespace json = boost::json;
using namespace std::chrono_literals;

// The kubelet rotates a token long before it expires.
constexpr Duration token_each = 10s;
// Before a plugin's credential expires. Chosen: longer than any plugin takes.
constexpr Duration ahead = 60s;
// Between two looks, whatever happens.
constexpr Duration look_each = 5s;
constexpr Duration plugin_max = 30s;
// What expires later is for ever: nanoseconds end in 292 years.
constexpr std::chrono::hours lasting{24 * 365};
constexpr std::size_t answer_max = 1U << 20U;

// Kills the plugin when whoever waits for it leaves.
struct Running {
  explicit Running(std::unique_ptr<aio::Process> p) : process(std::move(p)) {}
  ~Running() { process->signal(SIGKILL); }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;
  std::unique_ptr<aio::Process> process;
};

std::string member(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains({key.data(), key.size()});
  return value != nullptr && value->is_string() ? std::string(value->get_string()) : std::string();
}

}  // namespace

Identity::Identity(aio::Loop& loop, aio::Clock& clock, Access access, ReadFile read,
                   std::vector<std::string> environment)
    : loop_(loop),
      clock_(clock),
      access_(std::move(access)),
      read_(std::move(read)),
      environment_(std::move(environment)),
      one_at_a_time_(clock) {}

aio::Task<Result<Credential>> Identity::show(aio::Deadline deadline) {
  const std::optional<aio::Mutex::Hold> hold = co_await one_at_a_time_.lock(deadline);
  if (!hold) {
    co_return Error{Code::retry, "no credential came in time"};
  }
  if (clock_.now() >= again_at_) {
    looked_at_ = clock_.now();
    again_at_ = looked_at_ + look_each;
    Result<Credential> fresh = Error{};
    if (access_.exec) {
      fresh = co_await run_plugin(deadline);
    } else {
      fresh = read_token();
      again_at_ = fresh ? looked_at_ + token_each : again_at_;
    }
    failure_ = fresh ? std::nullopt : std::optional(fresh.error());
    shown_ = fresh ? std::optional(std::move(*fresh)) : shown_;
  }
  if (shown_ && clock_.now() < expires_at_) {
    co_return *shown_;
  }
  co_return failure_ ? *failure_ : Error{Code::denied, access_.origin + ": the credential has expired"};
}

void Identity::refused() {
  again_at_ = std::min(again_at_, looked_at_ + look_each);
}

Result<Credential> Identity::read_token() const {
  Credential out{.authorization = {}, .cert_pem = access_.cert_pem, .key_pem = access_.key_pem};
  std::string token = access_.token;
  if (!access_.token_file.empty()) {
    Result<std::string> content = read_(access_.token_file);
    if (!content) {
      return content.error();
    }
    token = trimmed(*content);
    if (token.empty()) {
      return Error{Code::denied, access_.token_file + ": empty"};
    }
  }
  if (!token.empty()) {
    out.authorization = "Bearer " + token;
  } else if (!access_.user.empty()) {
    out.authorization = "Basic " + aio::to_base64(access_.user + ":" + access_.password);
  }
  return out;
}

std::string Identity::exec_info() const {
  json::object spec{{"interactive", false}};
  if (access_.exec->gives_cluster_info) {
    json::object cluster{{"server", access_.server + access_.prefix}};
    if (!access_.ca_pem.empty()) {
      cluster["certificate-authority-data"] = aio::to_base64(access_.ca_pem);
    }
    if (!access_.tls_name.empty()) {
      cluster["tls-server-name"] = access_.tls_name;
    }
    spec["cluster"] = std::move(cluster);
  }
  return json::serialize(
      json::object{{"kind", "ExecCredential"}, {"apiVersion", access_.exec->api_version}, {"spec", std::move(spec)}});
}

aio::Task<Result<Credential>> Identity::run_plugin(aio::Deadline deadline) {
  const ExecPlugin& plugin = *access_.exec;
  const aio::Deadline until = deadline.earlier(clock_.in(plugin_max));
  aio::SpawnOptions options{.argv = plugin.argv, .environment = environment_};
  for (const auto& [name, value] : plugin.environment) {
    std::erase_if(options.environment, [&](const std::string& v) { return v.starts_with(name + "="); });
    options.environment.push_back(fmt::format("{}={}", name, value));
  }
  options.environment.push_back("KUBERNETES_EXEC_INFO=" + exec_info());
  Result<aio::Pipe> pipe = aio::make_pipe();
  if (!pipe) {
    co_return pipe.error();
  }
  options.stdout_fd = pipe->write_end.get();
  Result<std::unique_ptr<aio::Process>> started = aio::Process::spawn(loop_, clock_, options);
  if (!started) {
    const std::string hint = plugin.install_hint.empty() ? "" : fmt::format("; {}", trimmed(plugin.install_hint));
    co_return Error{Code::denied, started.error().what + hint};
  }
  pipe->write_end.reset();
  const Running running(std::move(*started));
  std::string answer;
  while (true) {
    const Result<std::string> some = co_await aio::read_some(loop_, clock_, pipe->read_end.get(), 65536, until);
    if (!some) {
      co_return Error{Code::retry, plugin.argv[0] + ": no credential came in time"};
    }
    if (some->empty()) {
      break;
    }
    answer += *some;
    if (answer.size() > answer_max) {
      co_return Error{Code::invalid, plugin.argv[0] + ": printed more than 1 MiB"};
    }
  }
  const Result<aio::ExitStatus> end = co_await running.process->wait(until);
  if (!end || !end->ok()) {
    co_return Error{Code::denied, fmt::format("{}: {}", plugin.argv[0], end ? aio::describe(*end) : "it does not end")};
  }
  co_return take_answer(answer);
}

Result<Credential> Identity::take_answer(const std::string& text) {
  const std::string& who = access_.exec->argv[0];
  json::error_code failed;
  const json::value root = json::parse({text.data(), text.size()}, failed);
  const json::object* object = failed ? nullptr : root.if_object();
  if (object == nullptr || member(*object, "kind") != "ExecCredential") {
    return Error{Code::invalid, who + ": what it printed is no ExecCredential"};
  }
  if (member(*object, "apiVersion") != access_.exec->api_version) {
    return Error{Code::invalid, fmt::format("{}: its ExecCredential is not of {}", who, access_.exec->api_version)};
  }
  const json::value* status = object->if_contains("status");
  const json::object* given = status != nullptr ? status->if_object() : nullptr;
  if (given == nullptr) {
    return Error{Code::invalid, who + ": its ExecCredential has no status"};
  }
  const std::string token = member(*given, "token");
  Credential out{.authorization = token.empty() ? "" : "Bearer " + token,
                 .cert_pem = member(*given, "clientCertificateData"),
                 .key_pem = member(*given, "clientKeyData")};
  if (out.cert_pem.empty() != out.key_pem.empty() || (token.empty() && out.cert_pem.empty())) {
    return Error{Code::invalid, who + ": its ExecCredential has neither a token nor a certificate with its key"};
  }
  const std::string expires = member(*given, "expirationTimestamp");
  const std::optional<WallTime> at = expires.empty() ? std::nullopt : parse_wall(expires);
  if (!expires.empty() && !at) {
    return Error{Code::invalid, who + ": the expirationTimestamp of its ExecCredential is no time as in RFC 3339, UTC"};
  }
  expires_at_ = at ? clock_.now() + std::min<std::chrono::milliseconds>(*at - clock_.wall(), lasting) : Time::max();
  again_at_ = at ? std::max(expires_at_ - ahead, looked_at_ + look_each) : Time::max();
  return out;
}

}  // namespace sluice::kube
