// SPDX-License-Identifier: Apache-2.0
// sluice decide: the deciding function from outside. JSON lines in, decisions out; or every tick of a journal again.
#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <map>

#include "app/context.h"
#include "app/line_reader.h"
#include "app/verbs.h"
#include "control/journal_read.h"
#include "model/json.h"
#include "model/json_reader.h"
#include "policy/hpa_json.h"
#include "pool/pool.h"
#include "rivals/keda_job_json.h"

namespace sluice::app {
namespace {

constexpr std::size_t line_max = std::size_t{1} << 20U;  // chosen: a thousand times a usual line
constexpr unsigned depth_max = 32;                       // chosen: four times the deepest line there is

Error invalid(std::string_view at, std::string_view found, std::string_view accepted) {
  return Error{Code::invalid, fmt::format("{}: {}; accepted: {}", at, found, accepted)};
}

Error first_problem(const std::vector<pool::Problem>& problems) {
  const pool::Problem& problem = problems.front();
  return invalid(problem.path, problem.found, problem.accepted);
}

// {"at":"$.seen.queue","message":".."} of "$.seen.queue: ..".
std::string error_json(const Error& error, std::optional<std::size_t> line) {
  const std::size_t colon = error.what.starts_with('$') ? error.what.find(": ") : std::string::npos;
  const bool placed = colon != std::string::npos;
  std::string out = line ? fmt::format(R"({{"error":{{"line":{},"at":)", *line) : R"({"error":{"at":)";
  model::append_json_string(out, placed ? error.what.substr(0, colon) : "$");
  out += ",\"message\":";
  model::append_json_string(out, placed ? error.what.substr(colon + 2) : error.what);
  return out + "}}";
}

bool has_policy(const boost::json::object& line, std::string_view word) {
  const boost::json::value* policy = line.if_contains("policy");
  return policy != nullptr && policy->is_object() && policy->get_object().contains(word);
}

struct Question {
  pool::PoolSpec spec;
  control::ControlState state;
  model::Observation seen;
};

Result<Question> read_question(const std::string& text, const boost::json::object& line) {
  pool::ParsedPolicy parsed = pool::parse_policy_json(text, {"seen", "at_ms", "state"});
  if (!parsed.problems.empty()) {
    return first_problem(parsed.problems);
  }
  if (!parsed.policy || !parsed.workers) {
    return invalid(parsed.policy ? "$.workers" : "$.policy", "nothing", "as in a pool file");
  }
  const boost::json::value* seen = line.if_contains("seen");
  const boost::json::value* at_ms = line.if_contains("at_ms");
  if (seen == nullptr || at_ms == nullptr) {
    return invalid(seen == nullptr ? "$.seen" : "$.at_ms", "nothing", "as in the journal");
  }
  if (!at_ms->is_int64() || at_ms->get_int64() < 0 || at_ms->get_int64() > std::int64_t{1} << 53) {
    return invalid("$.at_ms", model::kind_of(*at_ms), "milliseconds of a monotonic clock, a whole number");
  }
  Result<model::Observation> observation = model::observation_from_json(*seen, "$.seen");
  if (!observation) {
    return observation.error();
  }
  observation->at_ms = at_ms->get_int64();
  const boost::json::value* before = line.if_contains("state");
  Result<control::ControlState> state =
      control::state_from_json(before == nullptr ? boost::json::value() : *before, "$.state");
  if (!state) {
    return state.error();
  }
  Question out{.spec = {}, .state = *state, .seen = std::move(*observation)};
  out.spec.queue = pool::LocalQueue{};
  out.spec.policy = std::move(*parsed.policy);
  out.spec.workers = std::move(*parsed.workers);
  return out;
}

std::string answer(const Question& question) {
  const control::Step step = control::decide(question.spec, question.state, question.seen);
  std::string out = "{\"decision\":";
  model::append_json(out, step.decision);
  out += ",\"state\":";
  control::append_json(out, step.next);
  return out + "}";
}

// The answer to one line: of a pool's own policy, or of the stock HPA.
Result<std::string> answer_line(const std::string& text) {
  boost::system::error_code ec;
  boost::json::parse_options options;
  options.max_depth = depth_max;
  const boost::json::value json = boost::json::parse(text, ec, {}, options);
  if (ec || !json.is_object()) {
    return invalid("$", ec ? fmt::format("not JSON ({})", ec.message()) : model::kind_of(json),
                   "one JSON object a line");
  }
  // KEDA's own words, or with `workers` a pool's: the rival of a simulation.
  if (has_policy(json.get_object(), "kedaScaledJob") && !json.get_object().contains("workers")) {
    const Result<rivals::KedaJobQuestion> keda = rivals::keda_job_question_from_json(json);
    if (!keda) {
      return keda.error();
    }
    return rivals::answer_json(rivals::jobs_to_create(keda->options, keda->seen));
  }
  if (has_policy(json.get_object(), "hpa")) {
    const Result<policy::HpaQuestion> hpa = policy::hpa_question_from_json(json);
    if (!hpa) {
      return hpa.error();
    }
    return policy::answer_json(*hpa, policy::sync(hpa->options, hpa->state, hpa->seen));
  }
  const Result<Question> question = read_question(text, json.get_object());
  if (!question) {
    return question.error();
  }
  return answer(*question);
}

int decide_lines(Context& context) {
  Result<LineReader> lines = LineReader::open("-", line_max);
  bool bad = false;
  while (true) {
    const Result<std::optional<ReadLine>> line = lines->next();
    if (!line) {
      context.err.line("sluice decide: " + line.error().what);
      return exit_failed;
    }
    if (!*line) {
      return bad ? exit_partly : exit_done;
    }
    const Result<std::string> out = (*line)->too_long
                                        ? invalid("$", "a line of more than 1 MiB", "at most 1 MiB a line")
                                        : answer_line((*line)->text);
    bad = bad || !out;
    context.out.line(out ? *out : error_json(out.error(), std::nullopt));
  }
}

// Runs a journal's ticks again. A scaler that died while it wrote leaves half a line: at the end, or before the pool
// line with which the next one begins. Nothing was done by it, so it is told and not counted as bad.
class Rerun {
 public:
  explicit Rerun(Context& context) : context_(context) {}

  void take(const ReadLine& line) {
    const Result<control::JournalLine> parsed =
        line.too_long ? Result<control::JournalLine>(invalid("$", "a line of more than 1 MiB", "at most 1 MiB a line"))
                      : control::parse_journal_line(line.text);
    if (bad_line_) {
      settle(parsed && std::holds_alternative<control::PoolLine>(*parsed));
    }
    if (!parsed) {
      for (auto& [pool, replay] : replays_) {
        replay.gap();
      }
      bad_line_ = Bad{parsed.error(), line.number, !line.ended};
      return;
    }
    const Result<std::optional<control::Replayed>> replayed = replay_of(*parsed).feed(*parsed);
    if (!replayed) {
      bad(replayed.error(), line.number);
    } else if (*replayed) {
      tell(**replayed);
    }
  }
  // Returns the exit code.
  int end() {
    if (bad_line_) {
      settle(bad_line_->at_end);
    }
    context_.err.line(fmt::format("{} tick{} run again, {} different{}", ticks_, ticks_ == 1 ? "" : "s", different_,
                                  errors_ > 0 ? fmt::format(", {} lines could not be used", errors_) : ""));
    return different_ > 0 ? exit_failed : errors_ > 0 ? exit_partly : exit_done;
  }

 private:
  struct Bad {
    Error error;
    std::size_t line = 0;
    bool at_end = false;
  };

  control::Replay& replay_of(const control::JournalLine& line) {
    std::string pool = last_pool_;
    std::visit(
        [&pool](const auto& one) {
          if constexpr (requires { one.pool; }) {
            pool = one.pool;
          }
        },
        line);
    last_pool_ = pool;
    return replays_.try_emplace(pool, control::Replay(pool::spec_from_json)).first->second;
  }
  void settle(bool before_a_beginning) {
    const bool torn = before_a_beginning && bad_line_->error.what.starts_with("$: not JSON");
    if (torn) {
      context_.err.line(fmt::format("line {} is torn: the scaler ended while it was written", bad_line_->line));
    } else {
      bad(bad_line_->error, bad_line_->line);
    }
    bad_line_.reset();
  }
  void bad(const Error& error, std::size_t line) {
    ++errors_;
    context_.out.line(error_json(error, line));
  }
  void tell(const control::Replayed& replayed) {
    ++ticks_;
    different_ += replayed.same ? 0 : 1;
    std::string out = "{\"tick\":";
    model::append_json_string(out, replayed.tick);
    out += fmt::format(",\"same\":{},\"decision\":", replayed.same);
    model::append_json(out, replayed.decision);
    context_.out.line(out + "}");
  }

  Context& context_;
  std::map<std::string, control::Replay> replays_;  // by pool
  std::string last_pool_;
  std::optional<Bad> bad_line_;
  std::size_t ticks_ = 0;
  std::size_t different_ = 0;
  std::size_t errors_ = 0;
};

int decide_journal(Context& context, const std::string& path) {
  Result<LineReader> lines = LineReader::open(path, line_max);
  if (!lines) {
    context.err.line("sluice decide: " + lines.error().what);
    return exit_usage;
  }
  Rerun rerun(context);
  while (true) {
    const Result<std::optional<ReadLine>> line = lines->next();
    if (!line) {
      context.err.line("sluice decide: " + line.error().what);
      return exit_usage;
    }
    if (!*line) {
      return rerun.end();
    }
    rerun.take(**line);
  }
}

aio::Task<int> run_decide(Context& context, Args args) {
  const std::optional<std::string> journal = args.text("journal");
  co_return journal ? decide_journal(context, *journal) : decide_lines(context);
}

}  // namespace

Verb decide_verb() {
  return {
      .name = "decide",
      .summary = "decide from JSON lines, or run a journal's decisions again",
      .about =
          "Reads one JSON object a line from standard input and writes its decision:\n"
          "  {\"policy\":{..},\"workers\":{..},\"seen\":{..as in the journal..},\"at_ms\":1000,\"state\":null}\n"
          "  {\"decision\":{..},\"state\":{..}}\n"
          "Nothing is kept between lines but what `state` carries. A line that cannot be read gives\n"
          "{\"error\":{\"at\":\"$.path\",\"message\":\"..\"}} and exit 3 at the end.\n"
          "\n"
          "The policies of a pool are threshold, backlogPerWorker and lag. With {\"policy\":{\"hpa\":{..}}} it is the\n"
          "stock HorizontalPodAutoscaler of Kubernetes instead, one sync a line: docs/reference/hpa.md. Policies of\n"
          "other autoscalers can be asked as well, and one poll of KEDA's ScaledJob: docs/reference/rivals.md.\n"
          "\n"
          "With --journal every tick of a journal is decided again and compared: exit 1 when one differs.",
      .examples = {{"sluice decide --journal .sluice/orders/journal.jsonl", "is every decision still the same?"}},
      .flags = {{.name = "journal",
                 .kind = Kind::file,
                 .value = "FILE",
                 .help = "run every tick of this journal again (- is standard input)"}},
      .positionals = {},
      .rest = "",
      .run = run_decide};
}

}  // namespace sluice::app
