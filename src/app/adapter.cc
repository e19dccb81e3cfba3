// SPDX-License-Identifier: Apache-2.0
// The verb `adapter`: external metrics for the stock HPA.
#include <fmt/core.h>

#include <memory>
#include <optional>

#include "aio/task_group.h"
#include "aio/tls.h"
#include "app/adapter_settings.h"
#include "app/adapter_sources.h"
#include "app/verbs.h"
#include "app/version.h"
#include "control/journal_file.h"
#include "control/journal_stream.h"
#include "external/api_server.h"
#include "external/certificate_keeper.h"
#include "external/mounted_certificate.h"
#include "model/json.h"
#include "model/quantity.h"

namespace sluice::app {
namespace {

using namespace std::chrono_literals;

constexpr Duration refusals_each = 1s;  // lines about refused requests at most; whoever asks must not fill a disk

// S25: kube-apiserver is one address with many connections; none of ours needs a body.
aio::http::ServerLimits adapter_limits() {
  return {.body_max = 1U << 10U, .connections_per_peer_max = 256};
}

std::string record_line(WallTime at, const external::Answered& answered) {
  std::string out = fmt::format(R"({{"event":"answer","at":"{}","namespace":)", format_wall(at));
  model::append_json_string(out, answered.question.space);
  out += ",\"metric\":";
  model::append_json_string(out, answered.question.metric);
  out += ",\"selector\":";
  model::append_json_string(out, answered.question.selector_text);
  out += fmt::format(",\"status\":{},\"values\":", answered.status);
  if (answered.items == nullptr) {
    out += "null,\"message\":";
    model::append_json_string(out, answered.message);
    return out + "}";
  }
  for (const external::Item& item : *answered.items) {
    out += fmt::format("{}\"{}\"", out.back() == ':' ? "[" : ",", model::format_milli(item.milli));
  }
  return out + "],\"message\":null}";
}

class Adapting {
 public:
  Adapting(Context& context, AdapterSettings settings);
  aio::Task<int> run();

 private:
  aio::Task<std::optional<aio::http::Greeted>> greet(std::unique_ptr<aio::Stream> stream, aio::Deadline deadline);
  aio::Task<void> until_signal();
  // Spawns what gives the serving certificate and renews it.
  void keep_certificate();
  void set_certificate(const external::KeyedCertificate& pair);
  void certificate_trouble(const std::string& why) const;
  void refused(int status, std::string_view path, std::string_view why);
  void record(const external::Answered& answered);
  [[nodiscard]] std::string not_ready() const;
  [[nodiscard]] external::ApiServerOptions server_options();

  Context& context_;
  const AdapterSettings settings_;
  StopSignals signals_;
  aio::TaskGroup group_;
  kube::Api api_;
  external::ProxyConfigWatch config_;
  external::Reviews reviews_;
  std::unique_ptr<control::JournalSink> sink_;  // null: nothing is recorded
  AdapterSources sources_;
  external::ApiServer api_server_;
  aio::http::Server server_;
  std::optional<external::MountedCertificate> mounted_;
  std::optional<external::CertificateKeeper> keeper_;
  std::optional<aio::TlsContext> tls_;  // of connections from now on
  bool leaving_ = false;
  Time refusal_told_ = Time::min();
  std::int64_t refusals_untold_ = 0;
};

std::unique_ptr<control::JournalSink> record_sink(const Context& context, const std::string& path) {
  if (path.empty()) {
    return nullptr;
  }
  if (path == "-") {
    return std::make_unique<control::JournalStream>(context.out.fd());
  }
  return std::make_unique<control::JournalFile>(path, control::JournalFile::Options{});
}

Adapting::Adapting(Context& context, AdapterSettings settings)
    : context_(context),
      settings_(std::move(settings)),
      signals_(context),
      group_(context.loop, context.clock),
      api_(context.loop, context.clock, settings_.access, file_reader(), context.environment),
      config_(api_, context.clock, context.random,
              [&context](const std::string& trouble) {
                if (trouble.empty()) {
                  context.log.info("adapter", "the authorities of clients can be read again", {});
                } else {
                  context.log.warn("adapter", "authorities of clients", {{"error", trouble}});
                }
              }),
      reviews_(api_, context.clock, context.random, group_),
      sink_(record_sink(context, settings_.record)),
      sources_(context, settings_),
      api_server_(context.clock, config_, reviews_, sources_.take(), server_options()),
      server_(
          context.loop, context.clock,
          [](aio::http::Request) -> aio::Task<aio::http::Response> { co_return aio::http::Response{.status = 503}; },
          adapter_limits()) {}

external::ApiServerOptions Adapting::server_options() {
  return {.answered =
              [this](const external::Answered& answered) {
                if (sink_) {
                  record(answered);
                }
              },
          .refused = [this](int status, std::string_view path, std::string_view why) { refused(status, path, why); },
          .not_ready = [this] { return not_ready(); }};
}

std::string Adapting::not_ready() const {
  if (leaving_) {
    return "this adapter leaves";
  }
  if (!tls_) {
    return "there is no serving certificate yet";
  }
  return config_.get() == nullptr ? "the authorities of clients are not known yet" : "";
}

void Adapting::record(const external::Answered& answered) {
  const Result<void> written = sink_->write(record_line(context_.clock.wall(), answered));
  if (!written) {
    refused(answered.status, "--record", written.error().what);
  }
}

void Adapting::refused(int status, std::string_view path, std::string_view why) {
  const Time now = context_.clock.now();
  if (refusal_told_ != Time::min() && now - refusal_told_ < refusals_each) {
    ++refusals_untold_;
    return;
  }
  context_.log.warn("adapter", "refused",
                    {{"status", status}, {"path", path}, {"why", why}, {"untold_before", refusals_untold_}});
  refusal_told_ = now;
  refusals_untold_ = 0;
}

void Adapting::keep_certificate() {
  const auto take = [this](const external::KeyedCertificate& pair) { set_certificate(pair); };
  const auto trouble = [this](const std::string& why) { certificate_trouble(why); };
  if (!settings_.cert_file.empty()) {
    mounted_.emplace(context_.clock, file_reader(),
                     external::MountedOptions{.cert_file = settings_.cert_file, .key_file = settings_.key_file}, take,
                     trouble);
    group_.spawn(mounted_->run());
    return;
  }
  keeper_.emplace(api_, context_.clock, context_.random,
                  external::KeeperOptions{.service = {.space = settings_.service_space, .name = settings_.service},
                                          .secret = settings_.service + "-ca"},
                  take, trouble);
  group_.spawn(keeper_->run());
}

void Adapting::certificate_trouble(const std::string& why) const {
  if (why.empty()) {
    context_.log.info("adapter", "the serving certificate is kept again", {});
  } else {
    context_.log.warn("adapter", "serving certificate", {{"error", why}});
  }
}

void Adapting::set_certificate(const external::KeyedCertificate& pair) {
  Result<aio::TlsContext> made =
      aio::TlsContext::server({.cert_pem = pair.cert_pem, .key_pem = pair.key_pem, .ask_client = true});
  if (!made) {
    context_.log.error("adapter", "serving certificate cannot be used", {{"error", made.error().what}});
    return;
  }
  tls_ = std::move(*made);
}

aio::Task<std::optional<aio::http::Greeted>> Adapting::greet(std::unique_ptr<aio::Stream> stream,
                                                             aio::Deadline deadline) {
  if (!tls_) {
    co_return std::nullopt;
  }
  Result<aio::TlsAccepted> accepted = co_await aio::tls_accept_peer(context_.clock, std::move(stream), *tls_, deadline);
  if (!accepted) {
    co_return std::nullopt;
  }
  auto visitor = std::make_shared<external::Visitor>(std::move(accepted->peer));
  co_return aio::http::Greeted{.stream = std::move(accepted->stream),
                               .handler = api_server_.handler(std::move(visitor))};
}

aio::Task<void> Adapting::until_signal() {
  co_await signals_.next();
  if (settings_.drain > Duration{0}) {
    leaving_ = true;
    server_.wind_down();
    context_.log.info("adapter", "leaves", {{"in", settings_.drain}});
    co_await context_.clock.sleep_for(settings_.drain);
  }
  group_.cancel();
}

aio::Task<int> Adapting::run() {
  const Result<std::uint16_t> port =
      server_.listen_tcp(settings_.listen.address, settings_.listen.port,
                         [this](std::unique_ptr<aio::Stream> stream, aio::Deadline deadline) {
                           return greet(std::move(stream), deadline);
                         });
  if (!port) {
    context_.err.line("sluice adapter: --listen: " + port.error().what);
    co_return exit_failed;
  }
  context_.log.info("adapter", "runs",
                    {{"server", settings_.access.server},
                     {"as", settings_.access.origin},
                     {"serves", sources_.words()},
                     {"port", fmt::format("{}", *port)}});
  group_.spawn(server_.run());
  group_.spawn(config_.run());
  keep_certificate();
  sources_.run(group_);
  group_.spawn(until_signal());
  co_await group_.join();
  co_return exit_done;
}

aio::Task<int> adapter(Context& context, Args args) {
  Result<AdapterSettings> settings = adapter_settings(context, args);
  if (!settings) {
    context.err.line("sluice adapter: " + settings.error().what);
    co_return exit_usage;
  }
  if (const std::optional<std::string> file = args.text("queues")) {
    std::optional<LoadedQueues> queues = load_queues(context, *file, args);
    if (!queues) {
      co_return exit_usage;
    }
    settings->queues = std::move(*queues);
  }
  Adapting adapting(context, std::move(*settings));
  co_return co_await adapting.run();
}

}  // namespace

Verb adapter_verb() {
  return {
      .name = "adapter",
      .summary = "serve backlogs to the Horizontal Pod Autoscaler: external.metrics.k8s.io",
      .about =
          "The aggregated API server v1beta1.external.metrics.k8s.io. It serves metrics of Cloud Monitoring, by the\n"
          "names that the Stackdriver adapter gives them, and of each pool sluice-backlog, sluice-ready,\n"
          "sluice-in-flight, sluice-oldest-age-seconds and sluice-desired-workers, with the selector pool=NAME.\n"
          "Answers come from memory, and what is not known is an error that says why: never 0.\n"
          "Clients are known as to kube-apiserver: by the front proxy, a certificate or a token; its rules say what\n"
          "they may read.",
      .examples = {{"sluice adapter --monitoring", "in a pod, with the account of its node or workload identity"},
                   {"sluice adapter --controller http://sluice.sluice.svc:7171", "the pools of a controller"}},
      .flags = adapter_flags(),
      .run = adapter,
  };
}

}  // namespace sluice::app
