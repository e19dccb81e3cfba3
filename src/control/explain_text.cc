// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "control/explain.h"
#include "model/json.h"
#include "policy/words.h"

namespace sluice::control {
namespace {

constexpr std::size_t label_columns = 10;  // "  needed  "

// U+0080..U+009F, U+200E/F, U+202A..E, U+2066..9: what a terminal may obey instead of show.
bool hidden_at(std::string_view text, std::size_t i) {
  const auto byte = [&](std::size_t at) { return at < text.size() ? static_cast<unsigned char>(text[at]) : 0U; };
  if (byte(i) == 0xC2) {
    return byte(i + 1) >= 0x80 && byte(i + 1) <= 0x9F;
  }
  if (byte(i) != 0xE2) {
    return false;
  }
  const unsigned last = byte(i + 2);
  return (byte(i + 1) == 0x80 && (last == 0x8E || last == 0x8F || (last >= 0xAA && last <= 0xAE))) ||
         (byte(i + 1) == 0x81 && last >= 0xA6 && last <= 0xA9);
}

bool continues(char c) {
  return (static_cast<unsigned char>(c) & 0xC0U) == 0x80U;
}

std::string span(std::int64_t ms) {
  return humane_duration(std::chrono::milliseconds{ms});
}

// What every value of a tick shares need not be said with each: only a reading older than this is worth its age.
constexpr std::int64_t fresh_ms = 1000;

std::string seen_text(const SeenFact& fact) {
  std::string out = fact.what + " ";
  if (fact.kind == "bound") {
    out += "≤ ";
  } else if (fact.kind == "estimate") {
    out += "≈ ";
  }
  out += fact.value;
  if (!fact.kind.empty()) {
    out += " " + fact.kind;
  }
  if (fact.age_ms && *fact.age_ms >= fresh_ms) {
    out += fmt::format(" ({} old)", span(*fact.age_ms));
  }
  return out;
}

std::string rates(const Explanation& e) {
  std::string out;
  if (e.in_per_s) {
    out += fmt::format("in {:.1f}/s", *e.in_per_s);
  }
  if (e.out_per_s) {
    out += fmt::format("{}out {:.1f}/s", out.empty() ? "" : ", ", *e.out_per_s);
  }
  return out;
}

// Items side by side as long as they fit; one that is longer than a line alone is broken between words.
class Rows {
 public:
  explicit Rows(std::size_t columns) : columns_(std::max<std::size_t>(columns, 40)) {}

  void row(std::string_view label, const std::vector<std::string>& items) {
    std::string line = fmt::format("  {:{}}", label, label_columns - 2);
    bool empty = true;
    for (const std::string& raw : items) {
      const std::string item = printable(raw);
      if (!empty && width(line) + 3 + width(item) <= columns_) {
        line += "   " + item;
        continue;
      }
      if (!empty) {
        end(line);
      }
      words(line, item);
      empty = false;
    }
    if (!empty) {
      end(line);
    }
  }
  // Each item on a line of its own.
  void list(std::string_view label, const std::vector<std::string>& items) {
    for (const std::string& item : items) {
      row(label, {item});
      label = "";
    }
  }
  // `line` and its continuation, which begins under the rows' values.
  void words(std::string& line, std::string_view text) {
    while (!text.empty()) {
      const std::size_t space = text.find(' ');
      const std::string_view word = text.substr(0, space);
      const bool begin = line.ends_with(' ') || line.empty();
      if (!begin && width(line) + 1 + width(word) > columns_) {
        end(line);
        line += word;
      } else {
        line += begin ? "" : " ";
        line += word;
      }
      text = space == std::string_view::npos ? std::string_view{} : text.substr(space + 1);
    }
  }
  void end(std::string& line) {
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
    line.assign(label_columns, ' ');
  }
  std::string out;

 private:
  std::size_t columns_;
};

std::string change_text(const Explanation& e) {
  const std::string pool = e.pool;
  const std::string now = policy::workers(e.wants);
  if (e.word == "blind") {
    return fmt::format("{} is blind and stays at {}", pool, now);
  }
  if (e.word == "full" || e.word == "broken" || e.word == "paused") {
    const std::string change =
        e.wants == e.had ? fmt::format("at {}", now) : fmt::format("and goes from {} to {}", e.had, now);
    return fmt::format("{} is {} {}", pool, e.word, change);
  }
  if (e.wants > e.had) {
    return fmt::format("{} grows from {} to {}", pool, e.had, now);
  }
  if (e.wants < e.had) {
    return fmt::format("{} shrinks from {} to {}", pool, e.had, now);
  }
  return e.word == "hold" ? fmt::format("{} holds at {}", pool, now) : fmt::format("{} is steady at {}", pool, now);
}

std::vector<std::string> did_text(const Explanation& e) {
  std::vector<std::string> out;
  const auto say = [&](std::string_view what, const std::vector<std::string>& names) {
    std::string all;
    for (const std::string& name : names) {
      all += (all.empty() ? "" : ", ") + name;
    }
    if (!all.empty()) {
      out.push_back(fmt::format("{} {}", what, all));
    }
  };
  if (e.did) {
    say("asked for", e.did->started);
    say("took back", e.did->withdrawn);
    say("asked to drain:", e.did->drained);
    for (const std::string& error : e.did->errors) {
      out.push_back("failed: " + error);
    }
  } else if (!e.plan.empty()) {
    out.emplace_back("nothing is recorded after the decision: a dry run, or the scaler ended there");
  }
  if (out.empty()) {
    out.emplace_back("nothing");
  }
  return out;
}

std::string look_text(const Explanation& e, std::optional<std::int64_t> age_ms) {
  if (!e.next_look_ms) {
    return "looks again when something happens, at least once a second";
  }
  if (age_ms && *age_ms < *e.next_look_ms) {
    return fmt::format("next look in {}", span(*e.next_look_ms - *age_ms));
  }
  return fmt::format("next look {} after it", span(*e.next_look_ms));
}

std::optional<std::int64_t> age_of(const Explanation& e, std::optional<WallTime> now) {
  const std::optional<WallTime> at = parse_wall(e.at);
  if (!now || !at || *at > *now) {
    return std::nullopt;
  }
  return (*now - *at).count();
}

std::string clock_of(const std::string& at) {
  const std::optional<WallTime> time = parse_wall(at);
  return time ? format_clock(*time) : "?";
}

std::string seconds(std::int64_t ms) {
  return fmt::format("{}.{:03}", ms / 1000, ms % 1000);
}

void append_list(std::string& out, std::string_view key, const std::vector<std::string>& items) {
  out += fmt::format(",\"{}\":[", key);
  for (const std::string& item : items) {
    out += out.back() == '[' ? "" : ",";
    model::append_json_string(out, item);
  }
  out += ']';
}

void append_rate(std::string& out, std::string_view key, const std::optional<double>& rate) {
  out += fmt::format(",\"{}\":", key);
  out += rate && std::isfinite(*rate) ? fmt::format("{:.3f}", *rate) : "null";
}

void append_seen(std::string& out, const std::vector<SeenFact>& facts) {
  out += ",\"seen\":{";
  for (const SeenFact& fact : facts) {
    std::string key = fact.what;
    std::ranges::replace(key, ' ', '_');
    out += out.back() == '{' ? "" : ",";
    const bool is_age = fact.what == "oldest";
    const std::string value = !fact.n ? "null" : is_age ? seconds(*fact.n) : std::to_string(*fact.n);
    out += fmt::format(R"("{}":{{"{}":{},"age_s":{})", key, is_age ? "oldest_s" : "n", value,
                       fact.age_ms ? seconds(*fact.age_ms) : "null");
    out += fact.kind.empty() ? "}" : fmt::format(R"(,"kind":"{}"}})", fact.kind);
  }
  out += '}';
}

}  // namespace

std::string printable(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (hidden_at(text, i)) {
      out += '?';
      ++i;
      while (i + 1 < text.size() && continues(text[i + 1])) {
        ++i;
      }
    } else {
      out += c < 0x20 || c == 0x7F ? ' ' : text[i];
    }
  }
  return out;
}

std::size_t width(std::string_view text) {
  return static_cast<std::size_t>(std::ranges::count_if(text, [](char c) { return !continues(c); }));
}

std::string cut(std::string_view text, std::size_t columns) {
  if (width(text) <= columns) {
    return std::string(text);
  }
  std::size_t bytes = 0;
  std::size_t characters = 0;
  while (bytes < text.size() && (characters + 1 < columns || continues(text[bytes]))) {
    characters += continues(text[bytes]) ? 0 : 1;
    ++bytes;
  }
  while (bytes < text.size() && continues(text[bytes])) {
    ++bytes;
  }
  return columns == 0 ? "" : std::string(text.substr(0, bytes)) + "…";
}

std::string to_text(const Explanation& e, std::optional<WallTime> now, std::size_t columns) {
  const std::optional<std::int64_t> age = age_of(e, now);
  Rows rows(columns);
  std::string head;
  const std::string when = age ? fmt::format("{} ago", span(*age)) : e.at;
  rows.words(head, printable(fmt::format("{}: {}.", change_text(e), e.sentence)));
  rows.end(head);
  rows.row("tick", {e.tick, fmt::format("{} UTC", clock_of(e.at)), when});
  std::vector<std::string> seen;
  std::ranges::transform(e.seen, std::back_inserter(seen), seen_text);
  seen.push_back(e.workers);
  if (const std::string text = rates(e); !text.empty()) {
    seen.push_back(text);
  }
  rows.row("seen", seen);
  rows.list("", e.waiting);
  rows.list("unknown", e.unknown);
  rows.row("needed", e.needed);
  std::vector<std::string> clamps;
  for (const ExplainedClamp& c : e.clamps) {
    clamps.push_back(fmt::format("{} → {}   {}: {}", c.clamp.from, c.clamp.to, c.clamp.by, c.why));
  }
  rows.list("clamps", clamps);
  std::vector<std::string> did = did_text(e);
  did.push_back(look_text(e, age));
  rows.row("did", did);
  if (e.steady_ticks > 0) {
    rows.row("since", {fmt::format("{} more looks until {} changed nothing", e.steady_ticks, clock_of(e.steady_to))});
  }
  rows.list("change", e.would_change);
  return rows.out;
}

std::string to_history_line(const Explanation& e, std::size_t columns) {
  std::string line = fmt::format("{}  {:<6}  {:>3}  {}", clock_of(e.at), e.word, e.wants, e.sentence);
  if (e.did && !e.did->started.empty()) {
    line += fmt::format(": {}", e.did->started.front());
    line += e.did->started.size() > 1 ? fmt::format(" and {} more", e.did->started.size() - 1) : "";
  }
  return cut(printable(line), columns);
}

void append_json(std::string& out, const Explanation& e, std::optional<WallTime> now) {
  const std::optional<std::int64_t> age = age_of(e, now);
  out += R"({"event":"explain","pool":)";
  model::append_json_string(out, e.pool);
  out += ",\"tick\":";
  model::append_json_string(out, e.tick);
  out += ",\"at\":";
  model::append_json_string(out, e.at);
  out += fmt::format(",\"age_s\":{},\"word\":", age ? seconds(*age) : "null");
  model::append_json_string(out, e.word);
  out += ",\"sentence\":";
  model::append_json_string(out, e.sentence);
  out += fmt::format(R"(,"workers":{{"from":{},"to":{}}})", e.had, e.wants);
  append_seen(out, e.seen);
  append_rate(out, "in_per_s", e.in_per_s);
  append_rate(out, "out_per_s", e.out_per_s);
  append_list(out, "waiting", e.waiting);
  append_list(out, "unknown", e.unknown);
  append_list(out, "needed", e.needed);
  out += ",\"clamps\":[";
  for (const ExplainedClamp& c : e.clamps) {
    out += out.back() == '[' ? "{\"by\":" : ",{\"by\":";
    model::append_json_string(out, c.clamp.by);
    out += fmt::format(",\"from\":{},\"to\":{},\"why\":", c.clamp.from, c.clamp.to);
    model::append_json_string(out, c.why);
    out += '}';
  }
  out += "],\"did\":";
  if (e.did) {
    std::string lists;
    append_list(lists, "started", e.did->started);
    append_list(lists, "withdrawn", e.did->withdrawn);
    append_list(lists, "drained", e.did->drained);
    append_list(lists, "errors", e.did->errors);
    out += "{" + lists.substr(1) + "}";
  } else {
    out += "null";
  }
  out += fmt::format(",\"next_look_s\":{}", e.next_look_ms ? seconds(*e.next_look_ms) : "null");
  append_list(out, "would_change", e.would_change);
  out += fmt::format(",\"steady_ticks\":{}}}", e.steady_ticks);
}

}  // namespace sluice::control
