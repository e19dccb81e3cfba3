// SPDX-License-Identifier: Apache-2.0
#include "app/remote.h"

#include <fmt/core.h>

#include <algorithm>

#include "aio/url.h"
#include "app/controller_settings.h"
#include "app/places.h"
#include "base/nearest.h"
#include "base/text.h"
#include "control/explain.h"
#include "kube/objects.h"

namespace sluice::app {
namespace {

using namespace std::chrono_literals;
using aio::http::Response;

constexpr Duration again_each = 100ms;
constexpr std::size_t words_max = 300;  // of what the other side says
constexpr const char* default_service = "sluice:7171";

bool plain_name(std::string_view text) {
  return !text.empty() && text.size() <= 63 &&
         std::ranges::all_of(text, [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; });
}

// Not the one to ask now, or nobody behind that name yet: it says when to ask again.
bool later(const Response& response) {
  return response.status == 503 && aio::http::retry_after(response.headers).has_value();
}

Code code_of(int status) {
  switch (status) {
    case 401:
    case 403:
      return Code::denied;
    case 404:
      return Code::gone;
    case 400:
    case 405:
      return Code::invalid;
    default:
      return Code::retry;
  }
}

std::string words_of(const Response& response) {
  if (const Result<kube::Status> status = kube::read_status(response.body); status && !status->message.empty()) {
    return control::printable(control::cut(status->message, words_max));
  }
  const std::string_view line = trimmed(std::string_view(response.body).substr(0, response.body.find('\n')));
  return line.empty() ? fmt::format("answers {}", response.status) : control::printable(control::cut(line, words_max));
}

}  // namespace

std::vector<Flag> remote_flags() {
  return {{.name = "server",
           .kind = Kind::text,
           .value = "URL",
           .help = "ask a controller or a scaler that listens, such as http://127.0.0.1:7171"},
          {.name = "context", .kind = Kind::text, .value = "NAME", .help = "ask the controller of this cluster"},
          {.name = "namespace",
           .kind = Kind::text,
           .value = "NAME",
           .help = "ask the controller in this namespace; default: the context's"},
          {.name = "kubeconfig", .kind = Kind::file, .value = "FILE", .help = "instead of KUBECONFIG and ~/.kube"},
          {.name = "service",
           .kind = Kind::text,
           .value = "NAME:PORT",
           .help = "the controller's Service; default sluice:7171"}};
}

std::vector<Flag> place_and_remote_flags() {
  std::vector<Flag> out = place_flags();
  std::ranges::move(remote_flags(), std::back_inserter(out));
  return out;
}

bool asks_remote(const Args& args) {
  return std::ranges::any_of(remote_flags(), [&](const Flag& flag) { return args.has(flag.name); });
}

std::unique_ptr<Remote> Remote::open(Context& context, const Args& args, const std::string& verb) {
  std::unique_ptr<Remote> out(new Remote(context));
  Result<void> good;
  if (!args.texts("file").empty() || args.has("state") || args.has("secrets")) {
    good = Error{Code::invalid,
                 "-f, --state and --secrets are of pools on this machine; accepted beside --server, "
                 "--context or --namespace: the names of pools"};
  } else if (const std::optional<std::string> url = args.text("server")) {
    const bool both = args.has("context") || args.has("namespace") || args.has("kubeconfig") || args.has("service");
    good = both ? Result<void>(Error{Code::invalid,
                                     "--server names the one to ask; --context, --namespace, "
                                     "--kubeconfig and --service find it in a cluster; accepted: one way"})
                : out->by_url(*url);
  } else {
    good = out->by_cluster(args);
  }
  if (!good) {
    context.err.line(fmt::format("sluice {}: {}", verb, good.error().what));
    return nullptr;
  }
  return out;
}

Result<void> Remote::by_url(const std::string& text) {
  const Result<aio::Url> url = aio::parse_url(text);
  if (!url) {
    return url.error().in("--server");
  }
  if (url->target.contains('?')) {
    return Error{Code::invalid,
                 "--server: accepted: http://HOST:PORT or https://HOST:PORT, with a path where it lies "
                 "behind one"};
  }
  base_ = url->base();
  prefix_ = url->target.substr(0, url->target.find_last_not_of('/') + 1);  // npos + 1 is 0
  again_ = " --server " + text;
  return {};
}

Result<void> Remote::by_cluster(const Args& args) {
  const kube::Wanted wanted{.kubeconfig = args.text("kubeconfig").value_or(""),
                            .context = args.text("context").value_or(""),
                            .space = args.text("namespace").value_or("")};
  const auto variable = [this](const std::string& name) { return context_.env(name); };
  Result<kube::Access> access = kube::find_access(wanted, variable, file_reader());
  if (!access) {
    return access.error();
  }
  const std::string service = args.text("service").value_or(default_service);
  const std::size_t colon = service.find(':');
  const std::string name = service.substr(0, colon);
  const std::string port = colon == std::string::npos ? "7171" : service.substr(colon + 1);
  if (!plain_name(name) || !plain_name(port) || !plain_name(access->space)) {
    return Error{Code::invalid, "--service: accepted: NAME or NAME:PORT, such as sluice:7171, in a namespace"};
  }
  space_ = access->space;
  prefix_ = fmt::format("/api/v1/namespaces/{}/services/http:{}:{}/proxy", space_, name, port);
  for (const char* const flag : {"context", "namespace", "kubeconfig", "service"}) {
    again_ += args.has(flag) ? fmt::format(" --{} {}", flag, *args.text(flag)) : "";
  }
  api_ = std::make_unique<kube::Api>(context_.loop, context_.clock, std::move(*access), file_reader(),
                                     context_.environment);
  return {};
}

aio::Task<Result<Response>> Remote::exchange(std::string target, aio::Deadline deadline) {
  if (api_) {
    kube::Call call{.path = prefix_ + target};
    Result<Response> response = co_await api_->send(std::move(call), deadline);
    co_return response;
  }
  // A connection of its own for each: behind one name there may be several, and the next may be another.
  aio::http::Client client(context_.loop, context_.clock, {});
  aio::http::Request request{.target = prefix_ + target};
  Result<Response> response = co_await client.send(base_, std::move(request), deadline);
  co_return response;
}

aio::Task<Result<std::string>> Remote::get(std::string target, aio::Deadline deadline) {
  while (true) {
    Result<Response> response = co_await exchange(target, deadline);
    if (!response) {
      co_return response.error();
    }
    if (response->status == 200) {
      co_return std::move(response->body);
    }
    const aio::Deadline pause = context_.clock.in(again_each);
    if (later(*response) && pause.at < deadline.at) {
      co_await context_.clock.sleep_until(pause.at);
      continue;
    }
    Error error{code_of(response->status), words_of(*response)};
    if (api_ && response->status == 403) {
      error.what += fmt::format("; it takes the right to get services/proxy in namespace {}", space_);
    } else if (api_ && response->status == 404 && error.what.starts_with("services ")) {
      error.what += fmt::format(" in namespace {}; --namespace and --service name the controller's", space_);
    }
    co_return error;
  }
}

aio::Task<Result<std::vector<serve::PoolStatus>>> Remote::pools(std::vector<std::string> words,
                                                                aio::Deadline deadline) {
  const Result<std::string> body = co_await get("/api/v1/status", deadline);
  if (!body) {
    co_return body.error();
  }
  Result<serve::Answer> answer = serve::parse_answer(*body);
  if (!answer) {
    co_return answer.error().in("/api/v1/status");
  }
  if (words.empty()) {
    co_return std::move(answer->pools);
  }
  std::vector<serve::PoolStatus> out;
  for (const std::string& word : words) {
    const auto found = std::ranges::find_if(
        answer->pools, [&](const serve::PoolStatus& pool) { return pool.pool == word || pool.name() == word; });
    if (found == answer->pools.end()) {
      std::vector<std::string> names;
      std::ranges::transform(answer->pools, std::back_inserter(names), &serve::PoolStatus::name);
      const std::optional<std::string> near = nearest(word, names);
      co_return Error{Code::invalid, near ? fmt::format("no pool {}; did you mean {}?", word, control::printable(*near))
                                          : fmt::format("no pool {} there", word)};
    }
    out.push_back(*found);
  }
  co_return out;
}

}  // namespace sluice::app
