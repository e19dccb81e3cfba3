// SPDX-License-Identifier: Apache-2.0
#include "serve/face.h"

#include <fmt/core.h>

#include <utility>

#include "base/log.h"
#include "base/number.h"
#include "pool/pool.h"
#include "serve/asking.h"
#include "serve/metrics.h"

namespace sluice::serve {
namespace {

using aio::http::Response;

constexpr std::string_view paths = "/metrics, /healthz, /readyz, /api/v1/status, /api/v1/explain";
constexpr const char* plain = "text/plain; charset=utf-8";
// Explaining is the one answer that takes more than a moment, and the memory of a thousand decisions. Chosen.
constexpr int explaining_max = 2;
constexpr std::size_t names_max = 20;  // of pools, in an answer that says which there are
constexpr std::size_t columns_least = 40;
constexpr std::size_t columns_most = 400;

Response answered(const char* type, std::string body) {
  return {.status = 200,
          .headers = {{"Content-Type", type}, {"X-Content-Type-Options", "nosniff"}, {"Cache-Control", "no-store"}},
          .body = std::move(body)};
}

Response refused(int status, std::string_view sentence) {
  Response out = answered(plain, std::string(sentence) + "\n");
  out.status = status;
  return out;
}

// For now: who asks again in a second may be answered.
Response refused_for_now(std::string_view sentence) {
  Response out = refused(503, sentence);
  out.headers.emplace_back("Retry-After", "1");
  return out;
}

// Ends a count that is a member, whatever way its coroutine ends.
class Held {
 public:
  explicit Held(int& count) : count_(count) { ++count_; }
  ~Held() { --count_; }
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;

 private:
  int& count_;
};

bool named(std::string_view id, std::string_view word) {
  return id == word || id.substr(id.find('/') + 1) == word;  // npos + 1 is 0
}

// Empty and last=1 where nothing was said; 0 for what is no number.
std::int64_t last_of(const Query& query) {
  const std::string_view text = query.get("last");
  return text.empty() ? 1 : parse_number<std::int64_t>(text).value_or(0);
}

Result<Form> form_of(const Query& query, WallTime now) {
  const std::string_view format = query.get("format");
  if (!format.empty() && format != "json" && format != "text") {
    return Error{Code::invalid, "format: accepted: json, text"};
  }
  const std::string_view text = query.get("columns");
  const auto columns = text.empty() ? std::optional<std::size_t>(100) : parse_number<std::size_t>(text);
  if (!columns || *columns < columns_least || *columns > columns_most) {
    return Error{Code::invalid, fmt::format("columns: accepted: {} to {}", columns_least, columns_most)};
  }
  return Form{.json = format != "text", .columns = *columns, .now = now};
}

}  // namespace

aio::http::ServerLimits face_limits() {
  return {.body_max = 1U << 10U, .connections_max = 128, .connections_per_peer_max = 32};
}

std::string Face::pool_of(std::string_view name, Response& refusal) const {
  std::vector<std::string> found;
  std::string there;
  std::size_t n = 0;
  for (const auto& [id, pool] : board_.pools()) {
    if (name.empty() || named(id, name)) {
      found.push_back(id);
    }
    if (++n <= names_max) {
      there += (there.empty() ? "" : ", ") + id;
    }
  }
  there += n > names_max ? fmt::format(" and {} more", n - names_max) : "";
  if (found.size() == 1) {
    return found.front();
  }
  if (found.empty()) {
    refusal = refused(404, name.empty() ? "there is no pool"
                                        : fmt::format("no pool {}; there is: {}", json_escape(name.substr(0, 130)),
                                                      there.empty() ? "none" : there));
  } else {
    refusal = refused(400, fmt::format("which pool? accepted: pool=NAMESPACE/NAME; there is: {}", there));
  }
  return "";
}

Response Face::status(const Query& query) const {
  const std::string_view name = query.get("pool");
  std::string only_this;
  if (!name.empty()) {
    Response refusal;
    only_this = pool_of(name, refusal);
    if (only_this.empty()) {
      return refusal;
    }
  }
  const BoardOptions& options = board_.options();
  Answer out{.role = options.role, .version = options.version, .installation = options.installation, .pools = {}};
  const WallTime now = clock_.wall();
  for (const auto& [id, pool] : board_.pools()) {
    if (only_this.empty() || id == only_this) {
      out.pools.push_back(pool->status(now));
    }
  }
  return answered("application/json", to_json(out, now));
}

aio::Task<Response> Face::explain(Query query) {
  const WallTime now = clock_.wall();
  const Result<Form> form = form_of(query, now);
  const Result<control::Ask> ask =
      ask_of(std::string(query.get("at")), std::string(query.get("tick")), last_of(query), now, {"at", "tick", "last"});
  if (!form || !ask) {
    co_return refused(400, form ? ask.error().what : form.error().what);
  }
  Response refusal;
  const std::string pool = pool_of(query.get("pool"), refusal);
  if (pool.empty()) {
    co_return refusal;
  }
  if (explaining_ >= explaining_max) {
    co_return refused_for_now("others are being explained to; ask again in a second");
  }
  const Held held(explaining_);
  const std::optional<control::Story> story = board_.ring().story(pool, *ask);
  if (!story || !story->found()) {
    const std::string begins = board_.ring().begins_at(pool);
    const std::string older =
        begins.empty() ? "" : fmt::format("; here it begins at {}, older lines are in its file", begins);
    co_return refused(404, no_tick(pool, *ask, story && !story->empty()) + older);
  }
  const Result<std::vector<control::Told>> told = story->tell(pool::spec_from_json);
  if (!told || told->empty()) {
    co_return refused(404, pool + ": " + (told ? "no tick that can be read" : told.error().what));
  }
  std::string body;
  for (std::size_t i = 0; i < told->size(); ++i) {
    body += tell(*told, i, *form);
    co_await clock_.sleep_for(Duration{0});  // ticks of pools go on in between
  }
  co_return answered(form->json ? "application/x-ndjson" : plain, std::move(body));
}

aio::Task<Response> Face::answer(aio::http::Request request) {
  if (request.method != "GET" && request.method != "HEAD") {
    Response out = refused(405, "accepted: GET, HEAD");
    out.headers.emplace_back("Allow", "GET, HEAD");
    co_return out;
  }
  Result<Query> query = parse_target(request.target);
  if (!query) {
    co_return refused(400, query.error().what);
  }
  // Nothing but ok or not ok: anybody may ask these.
  if (query->path == "/healthz") {
    co_return answered(plain, "ok\n");
  }
  if (query->path == "/readyz") {
    co_return ready_() ? answered(plain, "ok\n") : refused(503, "not ok");
  }
  if (query->path == "/metrics") {
    co_return answered("text/plain; version=0.0.4; charset=utf-8", metrics_text(board_, clock_.now()));
  }
  const bool explains = query->path == "/api/v1/explain";
  if (!explains && query->path != "/api/v1/status") {
    co_return refused(404, fmt::format("no such path; accepted: {}", paths));
  }
  const Result<void> accepted =
      explains ? only(*query, {"pool", "at", "tick", "last", "format", "columns"}) : only(*query, {"pool"});
  if (!accepted) {
    co_return refused(400, accepted.error().what);
  }
  if (!board_.standing_by().empty()) {
    co_return refused_for_now(board_.standing_by());
  }
  if (explains) {
    Response out = co_await explain(std::move(*query));
    co_return out;
  }
  co_return status(*query);
}

}  // namespace sluice::serve
