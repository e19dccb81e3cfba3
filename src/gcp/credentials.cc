// SPDX-License-Identifier: Apache-2.0
#include "gcp/credentials.h"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "aio/event.h"
#include "aio/url.h"
#include "base/check.h"
#include "base/random.h"
#include "gcp/key_file.h"
#include "gcp/token_wire.h"

namespace sluice::gcp {
namespace {

using namespace std::chrono_literals;

// Not metadata.google.internal: the address needs no name server, and is what Google's own libraries ask.
constexpr const char* metadata_default = "169.254.169.254";
// Before a token's end. Google's metadata server gives the same token until 4 to 5 minutes before it.
constexpr Duration ahead_max = 5min;
constexpr Duration unusable_before = 10s;  // of its end: it must outlast the request that carries it
constexpr Duration look_each = 5s;
constexpr Duration refused_each = 10s;
constexpr Duration request_max = 10s;
constexpr std::size_t body_max = 64U << 10U;
constexpr Backoff::Options retries{.base = 1s, .cap = 60s};

struct Place {
  std::string file;      // empty: the metadata server
  std::string named_by;  // "GOOGLE_APPLICATION_CREDENTIALS"; empty: by no variable
};

std::string or_empty(const std::optional<std::string>& text) {
  return text.value_or("");
}

Place find_place(const CredentialsOptions& options) {
  if (!options.file.empty()) {
    return {.file = options.file};
  }
  if (const auto named = options.variable("GOOGLE_APPLICATION_CREDENTIALS"); named && !named->empty()) {
    return {.file = *named, .named_by = "GOOGLE_APPLICATION_CREDENTIALS"};
  }
  std::string folder = or_empty(options.variable("CLOUDSDK_CONFIG"));
  if (const std::string home = or_empty(options.variable("HOME")); folder.empty() && !home.empty()) {
    folder = home + "/.config/gcloud";
  }
  const std::string file = folder + "/application_default_credentials.json";
  return {.file = !folder.empty() && ::access(file.c_str(), F_OK) == 0 ? file : ""};
}

}  // namespace

struct Credentials::State {
  State(aio::Loop& l, aio::Clock& c, CredentialsOptions o)
      : loop(l),
        clock(c),
        options(std::move(o)),
        client(l, c,
               aio::http::ClientOptions{
                   .tls = options.tls, .body_max = body_max, .idle_connections_max = 1, .dial = options.dial}),
        changed(c),
        random(options.seed),
        metadata_host(or_empty(options.variable("GCE_METADATA_HOST"))) {
    if (metadata_host.empty()) {
      metadata_host = metadata_default;
    }
  }

  // Finds out who we are, and whether that changed.
  void look();
  [[nodiscard]] static aio::Task<void> refresh(std::shared_ptr<State> state);
  [[nodiscard]] aio::Task<Result<Token>> fetch(aio::Deadline deadline);
  [[nodiscard]] aio::Task<Result<Token>> fetch_by_key(Key key, aio::Deadline deadline);
  [[nodiscard]] aio::Task<Result<aio::http::Response>> ask_metadata(aio::http::Request request, aio::Deadline deadline);
  void take(Result<Token> got);
  [[nodiscard]] bool usable() const { return !token.empty() && clock.now() < ends_at - unusable_before; }
  [[nodiscard]] std::string where() const;
  [[nodiscard]] std::string account() const;

  aio::Loop& loop;
  aio::Clock& clock;
  CredentialsOptions options;
  aio::http::Client client;
  aio::Event changed;  // a refresh ended
  Random random;
  Backoff backoff{retries};
  std::string metadata_host;

  std::optional<Place> place;
  std::optional<KeyFile> file;
  Time look_at = Time::min();

  Secret token;
  Time ends_at{};
  Time got_at{};
  Time next_at = Time::min();
  bool refreshing = false;
  bool stale = false;  // the key changed while a token was being got
  std::optional<Error> failure;
  std::string email;    // by the metadata server
  std::string project;  // by the metadata server
};

std::string Credentials::State::where() const {
  if (!place) {
    return "not looked for yet";
  }
  if (place->file.empty()) {
    return "the metadata server " + metadata_host;
  }
  return place->named_by.empty() ? place->file : fmt::format("{} (named by {})", place->file, place->named_by);
}

std::string Credentials::State::account() const {
  if (file && file->key()) {
    return account_of(*file->key());
  }
  return email.empty() ? "the account of these credentials" : "service account " + email;
}

void Credentials::State::look() {
  if (clock.now() < look_at) {
    return;
  }
  look_at = clock.now() + look_each;
  if (!place || place->file.empty()) {
    place = find_place(options);
    file.reset();
    if (!place->file.empty()) {
      file.emplace(place->file, KeyLimits{.loopback_token_uri = options.loopback_token_uri});
    }
  }
  if (file && file->look()) {
    next_at = clock.now();
    stale = refreshing;
    backoff.reset();
  }
}

aio::Task<Result<aio::http::Response>> Credentials::State::ask_metadata(aio::http::Request request,
                                                                        aio::Deadline deadline) {
  Result<aio::http::Response> response = co_await client.send("http://" + metadata_host, std::move(request), deadline);
  if (!response) {
    co_return Error{response.error().code,
                    fmt::format("{}; outside of Google Cloud name a key file: GOOGLE_APPLICATION_CREDENTIALS",
                                response.error().what)};
  }
  co_return response;
}

aio::Task<Result<Token>> Credentials::State::fetch_by_key(Key key, aio::Deadline deadline) {
  const auto* account = std::get_if<ServiceAccountKey>(&key);
  const std::string uri = account != nullptr ? account->token_uri : options.user_token_uri;
  const Result<aio::Url> url = aio::parse_url(uri);
  if (!url) {
    co_return url.error().in("token_uri");
  }
  Result<aio::http::Request> request = token_request(key, url->target, options.scope, clock.wall());
  if (!request) {
    co_return request.error();
  }
  const Result<aio::http::Response> response = co_await client.send(url->base(), std::move(*request), deadline);
  if (!response) {
    co_return response.error();
  }
  co_return response->status == 200 ? parse_token(response->body)
                                    : token_refusal(response->status, response->body, key);
}

aio::Task<Result<Token>> Credentials::State::fetch(aio::Deadline deadline) {
  if (file) {
    if (!file->key()) {
      co_return *file->problem();
    }
    Result<Token> by_key = co_await fetch_by_key(*file->key(), deadline);
    co_return by_key ? std::move(by_key) : Result<Token>(by_key.error().in(where()));
  }
  const Result<aio::http::Response> response = co_await ask_metadata(account_request("token"), deadline);
  if (!response) {
    co_return response.error().in(where());
  }
  if (response->status != 200) {
    co_return metadata_refusal(response->status).in(where());
  }
  Result<Token> got = parse_token(response->body);
  if (got && email.empty()) {  // for people alone: without it, all goes on
    const Result<aio::http::Response> named = co_await ask_metadata(account_request("email"), deadline);
    const Result<std::string> line = named ? metadata_line(*named) : Result<std::string>(named.error());
    email = line.value_or("");
  }
  co_return got ? std::move(got) : Result<Token>(got.error().in(where()));
}

void Credentials::State::take(Result<Token> got) {
  const Time now = clock.now();
  if (!got) {
    failure = got.error().in("Google credentials");
    next_at = now + backoff.next(random);
  } else {
    failure.reset();
    backoff.reset();
    got_at = now;
    ends_at = now + got->life;
    token = std::move(got->text);
    next_at = std::max(ends_at - std::min<Duration>(ahead_max, got->life / 2), now + 1s);
  }
  next_at = std::exchange(stale, false) ? now : next_at;
  refreshing = false;
  changed.notify();
}

aio::Task<void> Credentials::State::refresh(std::shared_ptr<State> state) {
  const aio::Deadline deadline = state->clock.in(request_max);
  Result<Token> got = co_await state->fetch(deadline);
  state->take(std::move(got));
}

Credentials::Credentials(aio::Loop& loop, aio::Clock& clock, CredentialsOptions options)
    : state_(std::make_shared<State>(loop, clock, std::move(options))) {}

Credentials::~Credentials() = default;

aio::Task<Result<std::string>> Credentials::token(aio::Deadline deadline) {
  const std::shared_ptr<State> state = state_;
  while (true) {
    state->look();
    if (!state->refreshing && state->clock.now() >= state->next_at) {
      state->refreshing = true;
      state->loop.start(State::refresh(state),
                        [](const std::exception_ptr& failure) { check(failure == nullptr, "getting a token threw"); });
    }
    if (state->usable()) {
      co_return std::string(state->token.reveal());
    }
    if (!state->refreshing) {
      co_return state->failure.value_or(Error{Code::denied, "Google credentials: the token that they give is refused"});
    }
    const aio::Wake why = co_await state->changed.wait(deadline);
    if (why == aio::Wake::timeout) {
      co_return Error{Code::retry, fmt::format("Google credentials: {}: no token came in time", state->where())};
    }
  }
}

void Credentials::refused(const std::string& token) {
  if (state_->token.reveal() == token && !token.empty()) {
    state_->ends_at = Time{};
    // A server that refuses every token is not a reason to get one for each request.
    state_->next_at = std::min(state_->next_at, std::max(state_->clock.now(), state_->got_at + refused_each));
  }
}

aio::Task<Result<std::string>> Credentials::project(aio::Deadline deadline) {
  const std::shared_ptr<State> state = state_;
  state->look();
  if (state->file && !state->file->key()) {
    co_return state->file->problem()->in("Google credentials");
  }
  if (state->file) {
    const std::string& named = project_of(*state->file->key());
    co_return named.empty()
        ? Error{Code::invalid, fmt::format("Google credentials: {} names no project; say which", state->where())}
        : Result<std::string>(named);
  }
  if (state->project.empty()) {
    const aio::Deadline until = deadline.earlier(state->clock.in(request_max));
    const Result<aio::http::Response> response = co_await state->ask_metadata(project_request(), until);
    const Result<std::string> line = response ? metadata_line(*response) : Result<std::string>(response.error());
    if (!line) {
      co_return line.error().in(state->where()).in("Google credentials");
    }
    state->project = *line;
  }
  co_return state->project;
}

std::string Credentials::where() const {
  return state_->where();
}

std::string Credentials::account() const {
  return state_->account();
}

}  // namespace sluice::gcp
