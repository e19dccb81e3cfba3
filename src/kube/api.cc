// SPDX-License-Identifier: Apache-2.0
#include "kube/api.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "aio/url.h"

namespace sluice::kube {
namespace {

using namespace std::chrono_literals;

constexpr int page_size = 500;          // kubectl's own
constexpr std::size_t words_max = 500;  // of the server's message that is passed on
constexpr std::size_t refusal_max = 1U << 16U;
constexpr Duration pause_max = 60s;  // whatever Retry-After says
constexpr Duration pause_unsaid = 1s;

// The server's text in one line, cut where it is long: it may quote what somebody else wrote.
std::string one_line(std::string_view text) {
  std::string out(text.substr(0, words_max));
  std::ranges::replace_if(out, [](char c) { return static_cast<unsigned char>(c) < ' ' || c == '\x7f'; }, ' ');
  return text.size() > words_max ? out + " .." : out;
}

Code code_of(int status, bool pause) {
  switch (status) {
    case 401:
    case 403:
      return Code::denied;
    case 404:
    case 410:
      return Code::gone;
    case 409:
      return Code::conflict;
    case 429:
      return Code::throttled;
    default:
      break;
  }
  if (status >= 500) {
    return pause ? Code::throttled : Code::retry;
  }
  return Code::invalid;
}

}  // namespace

void add_parameter(std::string& path, std::string_view name, std::string_view value) {
  path += path.contains('?') ? '&' : '?';
  path += name;
  path += '=';
  path += aio::percent_encoded(value);
}

Api::Api(aio::Loop& loop, aio::Clock& clock, Access access, ReadFile read, std::vector<std::string> environment,
         ApiOptions options)
    : loop_(loop),
      clock_(clock),
      access_(std::move(access)),
      options_(std::move(options)),
      identity_(loop, clock, access_, std::move(read), std::move(environment)) {}

void Api::renew_client(const Credential& credential) {
  if (!client_ || client_cert_ != credential.cert_pem) {
    client_cert_ = credential.cert_pem;
    client_ = std::make_shared<aio::http::Client>(loop_, clock_,
                                                  aio::http::ClientOptions{.tls = {.ca_pem = access_.ca_pem,
                                                                                   .cert_pem = credential.cert_pem,
                                                                                   .key_pem = credential.key_pem,
                                                                                   .server_name = access_.tls_name},
                                                                           .dial = options_.dial});
  }
}

aio::Task<Result<void>> Api::wait_for_turn(VerbBudget::Kind kind, aio::Deadline deadline) {
  while (clock_.now() < pause_until_) {
    if (deadline.at <= pause_until_) {
      co_return Error{Code::throttled, access_.server + " has asked for a pause"};
    }
    co_await clock_.sleep_until(pause_until_);
  }
  const Time turn = budget_.turn(kind, clock_.now(), deadline.at);
  if (turn >= deadline.at) {
    co_return Error{Code::throttled, "too many requests wait for their turn here"};
  }
  if (turn > clock_.now()) {
    co_await clock_.sleep_until(turn);
  }
  co_return Result<void>{};
}

aio::Task<Result<aio::http::Request>> Api::prepare(Call call, aio::Deadline deadline) {
  if (!call.urgent) {
    const Result<void> turn = co_await wait_for_turn(VerbBudget::kind(call.method, call.path), deadline);
    if (!turn) {
      co_return turn.error();
    }
  }
  const Result<Credential> credential = co_await identity_.show(deadline);
  if (!credential) {
    co_return credential.error();
  }
  renew_client(*credential);
  aio::http::Request request{.method = std::move(call.method),
                             .target = access_.prefix + call.path,
                             .headers = {{"Accept", "application/json"}, {"User-Agent", options_.user_agent}},
                             .body = std::move(call.body)};
  if (!request.body.empty()) {
    request.headers.emplace_back("Content-Type", std::move(call.content_type));
  }
  if (!credential->authorization.empty()) {
    request.headers.emplace_back("Authorization", credential->authorization);
  }
  co_return request;
}

Error Api::refusal(int status, const aio::http::HeaderList& headers, const std::string& body) {
  const Result<Status> said = read_status(body);
  std::optional<Duration> pause = aio::http::retry_after(headers);
  if (status == 429 && !pause) {
    pause = pause_unsaid;
  }
  if (pause && (status == 429 || status >= 500)) {
    pause_until_ = std::max(pause_until_, clock_.now() + std::min(pause_max, *pause));
  }
  if (status == 401) {
    identity_.refused();
  }
  const std::string words = said && !said->message.empty() ? one_line(said->message) : "";
  const Code code = code_of(status, pause.has_value());
  if (words.empty()) {
    return Error{code, fmt::format("{} answers {}", access_.server, status)};
  }
  return Error{code, status == 401 ? fmt::format("{} ({})", words, access_.origin) : words};
}

aio::Task<Result<aio::http::Response>> Api::send(Call call, aio::Deadline deadline) {
  Result<aio::http::Request> request = co_await prepare(std::move(call), deadline);
  if (!request) {
    co_return request.error();
  }
  const std::shared_ptr<aio::http::Client> client = client_;
  Result<aio::http::Response> response = co_await client->send(access_.server, std::move(*request), deadline);
  options_.answered(response ? response->status : 0);
  co_return response;
}

aio::Task<Result<std::string>> Api::ask(Call call, aio::Deadline deadline) {
  Result<aio::http::Response> response = co_await send(std::move(call), deadline);
  if (!response) {
    co_return response.error();
  }
  if (response->status >= 300) {
    co_return refusal(response->status, response->headers, response->body);
  }
  co_return std::move(response->body);
}

aio::Task<Result<ListHead>> Api::list(std::string path, TakeItem take, aio::Deadline deadline) {
  ListHead head;
  do {
    std::string page = path;
    add_parameter(page, "limit", fmt::format("{}", page_size));
    if (!head.more.empty()) {
      add_parameter(page, "continue", head.more);
    }
    Result<ListHead> next = co_await list_page(std::move(page), take, deadline);
    if (!next) {
      co_return next.error();
    }
    head = std::move(*next);
  } while (!head.more.empty());
  co_return head;
}

aio::Task<Result<std::unique_ptr<aio::http::Incoming>>> Api::open(std::string path, aio::Deadline deadline) {
  Call call{.path = std::move(path)};
  Result<aio::http::Request> request = co_await prepare(std::move(call), deadline);
  if (!request) {
    co_return request.error();
  }
  const std::shared_ptr<aio::http::Client> client = client_;
  Result<std::unique_ptr<aio::http::Incoming>> incoming =
      co_await client->open(access_.server, std::move(*request), deadline);
  options_.answered(incoming ? (*incoming)->status() : 0);
  if (!incoming || (*incoming)->status() < 300) {
    co_return incoming;
  }
  std::string body;
  while (body.size() < refusal_max) {
    const Result<std::string> some = co_await (*incoming)->next(deadline);
    if (!some || some->empty()) {
      break;  // what has come says enough
    }
    body += *some;
  }
  co_return refusal((*incoming)->status(), (*incoming)->headers(), body);
}

aio::Task<Result<ListHead>> Api::list_page(std::string path, TakeItem take, aio::Deadline deadline) {
  const Result<std::unique_ptr<aio::http::Incoming>> incoming = co_await open(std::move(path), deadline);
  if (!incoming) {
    co_return incoming.error();
  }
  ListSplitter splitter(std::move(take));
  while (true) {
    const Result<std::string> some = co_await (*incoming)->next(deadline);
    if (!some) {
      co_return some.error();
    }
    if (some->empty()) {
      break;
    }
    if (const Result<void> fed = splitter.feed(*some); !fed) {
      co_return fed.error();
    }
  }
  const Result<std::string> rest = splitter.finish();
  co_return rest ? read_list_head(*rest) : Result<ListHead>(rest.error());
}

aio::Task<Result<void>> Api::watch(std::string path, std::string version, WatchBegun begun, TakeItem take,
                                   Duration silence) {
  add_parameter(path, "watch", "1");
  add_parameter(path, "allowWatchBookmarks", "true");
  add_parameter(path, "resourceVersion", version);
  const aio::Deadline opened_by = clock_.in(silence);
  const Result<std::unique_ptr<aio::http::Incoming>> incoming = co_await open(std::move(path), opened_by);
  if (!incoming) {
    co_return incoming.error();
  }
  begun();
  LineSplitter splitter(std::move(take));
  while (true) {
    const aio::Deadline quiet_until = clock_.in(silence);
    const Result<std::string> some = co_await (*incoming)->next(quiet_until);
    if (!some || some->empty()) {
      co_return some ? splitter.finish() : Result<void>(some.error());
    }
    if (const Result<void> fed = splitter.feed(*some); !fed) {
      co_return fed.error();
    }
  }
}

}  // namespace sluice::kube
