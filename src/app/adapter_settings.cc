// SPDX-License-Identifier: Apache-2.0
#include "app/adapter_settings.h"

#include <fmt/core.h>

#include <algorithm>

#include "aio/url.h"

namespace sluice::app {
namespace {

bool is_label(std::string_view text) {
  const auto small = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  return !text.empty() && text.size() <= 63 && small(text.front()) && small(text.back()) &&
         std::ranges::all_of(text, [&](char c) { return small(c) || c == '-'; });
}

Result<void> read_service(const Args& args, AdapterSettings& out) {
  const std::string service = args.text("service").value_or("");
  const std::size_t slash = service.find('/');
  out.service_space = slash == std::string::npos ? out.access.space : service.substr(0, slash);
  out.service = service.empty() ? "sluice-adapter" : service.substr(slash + 1);  // npos + 1 is 0
  if (!is_label(out.service_space) || !is_label(out.service)) {
    return Error{Code::invalid,
                 fmt::format("--service {}: accepted: NAMESPACE/NAME of the Service before the adapter", service)};
  }
  return {};
}

Result<void> check_url(std::string_view flag, const std::string& text, bool secure, bool path) {
  const Result<aio::Url> url = aio::parse_url(text);
  const bool good = url && url->scheme != aio::Url::Scheme::unix_socket && !url->target.contains('?') &&
                    (path || url->target == "/") && (!secure || url->scheme == aio::Url::Scheme::https);
  return good ? Result<void>()
              : Error{Code::invalid, fmt::format("--{}: accepted: {}https://HOST[:PORT]{}", flag,
                                                 secure ? "" : "http://HOST:PORT or ", path ? "[/PATH]" : "")};
}

Result<void> read_monitoring(const Args& args, AdapterSettings& out) {
  constexpr const char* parts[] = {"monitoring-project", "monitoring-endpoint", "monitoring-credentials",
                                   "monitoring-stale-after", "monitoring-every"};
  if (!args.has("monitoring")) {
    for (const char* const part : parts) {
      if (args.has(part)) {
        return Error{Code::invalid, fmt::format("--{}: accepted beside --monitoring", part)};
      }
    }
    return {};
  }
  MonitoringSettings& monitoring = out.monitoring.emplace();
  monitoring.project = args.text("monitoring-project").value_or("");
  monitoring.endpoint = args.text("monitoring-endpoint").value_or("");
  monitoring.credentials = args.text("monitoring-credentials").value_or("");
  monitoring.stale_after = args.duration("monitoring-stale-after").value_or(monitoring.stale_after);
  if (monitoring.stale_after < std::chrono::seconds{1} || monitoring.stale_after > std::chrono::hours{1}) {
    return Error{Code::invalid, "--monitoring-stale-after: accepted: 1s to 1h"};
  }
  monitoring.every = args.duration("monitoring-every").value_or(monitoring.every);
  if (monitoring.every < std::chrono::seconds{1} || monitoring.every > std::chrono::minutes{5}) {
    return Error{Code::invalid, "--monitoring-every: accepted: 1s to 5m"};
  }
  return monitoring.endpoint.empty() ? Result<void>()
                                     : check_url("monitoring-endpoint", monitoring.endpoint, false, false);
}

Result<void> read_forward(const Args& args, AdapterSettings& out) {
  out.forward_to = args.text("forward-to").value_or("");
  const std::string file = args.text("forward-ca-file").value_or("");
  if (out.forward_to.empty()) {
    return file.empty() ? Result<void>() : Error{Code::invalid, "--forward-ca-file: accepted beside --forward-to"};
  }
  if (const Result<void> url = check_url("forward-to", out.forward_to, true, false); !url) {
    return url;
  }
  if (!file.empty()) {
    Result<std::string> pem = file_reader()(file);
    if (!pem) {
      return pem.error().in("--forward-ca-file");
    }
    out.forward_ca = std::move(*pem);
  }
  return {};
}

Result<void> read_certificate(const Args& args, AdapterSettings& out) {
  out.cert_file = args.text("cert-file").value_or("");
  out.key_file = args.text("key-file").value_or("");
  if (out.cert_file.empty() != out.key_file.empty()) {
    return Error{Code::invalid, "--cert-file and --key-file: accepted: both, or none, and a certificate is made"};
  }
  return {};
}

Result<void> read_listen(const Args& args, AdapterSettings& out) {
  const std::optional<std::string> text = args.text("listen");
  if (!text) {
    return {};
  }
  Result<ListenAt> place = parse_listen(*text);
  if (place) {
    out.listen = std::move(*place);
  }
  return place ? Result<void>() : place.error();
}

Result<void> read_controllers(const Args& args, AdapterSettings& out) {
  out.controllers = args.texts("controller");
  for (const std::string& url : out.controllers) {
    if (const Result<void> good = check_url("controller", url, false, true); !good) {
      return good;
    }
  }
  if (out.controllers.empty() && !out.monitoring && out.forward_to.empty() && !args.has("queues")) {
    return Error{Code::invalid,
                 "nothing to serve; accepted: at least one of --controller URL (pools), --queues FILE, --monitoring "
                 "(Cloud Monitoring), --forward-to URL"};
  }
  return {};
}

}  // namespace

Result<AdapterSettings> adapter_settings(Context& context, const Args& args) {
  AdapterSettings out;
  const auto variable = [&context](const std::string& name) { return context.env(name); };
  const kube::Wanted wanted{
      .kubeconfig = args.text("kubeconfig").value_or(""), .context = args.text("context").value_or(""), .space = ""};
  Result<kube::Access> access = kube::find_access(wanted, variable, file_reader());
  if (!access) {
    return access.error();
  }
  out.access = std::move(*access);
  out.record = args.text("record").value_or("");
  out.drain = args.duration("drain").value_or(Duration{0});
  for (const auto read :
       {read_service, read_monitoring, read_forward, read_certificate, read_listen, read_controllers}) {
    if (const Result<void> good = read(args, out); !good) {
      return good.error();
    }
  }
  return out;
}

std::vector<Flag> adapter_flags() {
  return {
      {.name = "controller",
       .kind = Kind::text,
       .value = "URL",
       .help = "serve the pools of this controller or scaler, such as http://sluice.sluice.svc:7171",
       .many = true},
      {.name = "queues",
       .kind = Kind::file,
       .value = "FILE",
       .help = "serve these queues, which have no pool: a QueueList"},
      secrets_flag(),
      {.name = "monitoring", .help = "serve the metrics of Cloud Monitoring, NAME|OF|ONE for NAME/OF/ONE"},
      {.name = "monitoring-project",
       .kind = Kind::text,
       .value = "ID",
       .help = "where a selector names no resource.labels.project_id; default: the credentials' own"},
      {.name = "monitoring-credentials",
       .kind = Kind::file,
       .value = "FILE",
       .help = "a key; default: GOOGLE_APPLICATION_CREDENTIALS, gcloud's, the metadata server's account"},
      {.name = "monitoring-endpoint", .kind = Kind::text, .value = "URL", .help = "instead of Google's"},
      {.name = "monitoring-stale-after",
       .kind = Kind::duration,
       .value = "DURATION",
       .help = "an older point is an error, not a value; default 5m"},
      {.name = "monitoring-every",
       .kind = Kind::duration,
       .value = "DURATION",
       .help = "how often each question is asked; samples come every 60s; default 60s"},
      {.name = "forward-to",
       .kind = Kind::text,
       .value = "URL",
       .help = "another server of external metrics, for names that are unknown here"},
      {.name = "forward-ca-file",
       .kind = Kind::file,
       .value = "FILE",
       .help = "what its certificate leads to; default: the system's bundle"},
      {.name = "listen", .kind = Kind::text, .value = "ADDRESS:PORT", .help = "default 0.0.0.0:6443"},
      {.name = "service",
       .kind = Kind::text,
       .value = "NAMESPACE/NAME",
       .help = "the Service before it, whose name the certificate carries; default sluice-adapter"},
      {.name = "cert-file",
       .kind = Kind::file,
       .value = "FILE",
       .help = "the serving certificate, read again when it changes; default: one is made"},
      {.name = "key-file", .kind = Kind::file, .value = "FILE", .help = "its key"},
      {.name = "kubeconfig", .kind = Kind::file, .value = "FILE", .help = "instead of KUBECONFIG and ~/.kube"},
      {.name = "context", .kind = Kind::text, .value = "NAME", .help = "of the kubeconfig"},
      {.name = "record",
       .kind = Kind::file,
       .value = "FILE",
       .help = "write each answer about a metric to it, a JSON line; - is stdout"},
      {.name = "drain",
       .kind = Kind::duration,
       .value = "DURATION",
       .help = "serve on for this long after SIGTERM, not ready any more; default 0s"},
  };
}

}  // namespace sluice::app
