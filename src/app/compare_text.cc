// SPDX-License-Identifier: Apache-2.0
// A comparison as people and programs read it.
#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <utility>

#include "app/compare.h"
#include "app/text.h"
#include "control/explain.h"
#include "model/json.h"
#include "policy/words.h"

namespace sluice::app {
namespace {

using namespace std::chrono_literals;

// Chosen: the same decisions for other reasons are told so often.
constexpr Duration reasons_again = 10s;
constexpr int reason_least = 30;  // columns; narrower, it is not wrapped
constexpr int gap = 2;

struct Row {
  std::string policy, now, wants, would, why;
};

std::string would(const model::Plan& plan) {
  std::string out = plan.start.empty() ? "" : fmt::format("start {}", plan.start.size());
  const auto say = [&out](const std::string& text) { out += (out.empty() ? "" : ", ") + text; };
  if (!plan.withdraw.empty()) {
    say(fmt::format("take back {}", plan.withdraw.size()));
  }
  if (!plan.drain.empty()) {
    say(fmt::format("let {} go", plan.drain.size()));
  }
  return out.empty() ? "nothing" : out;
}

std::string queue_text(const model::SeenQueue& queue) {
  if (!queue.ready && queue.total) {
    return fmt::format("{} wait or are in work", queue.total->n);
  }
  const std::string waiting = queue.ready ? policy::messages_wait(queue.ready->n) : "it is not known how many wait";
  return waiting + (queue.in_flight ? fmt::format(", {} in work", queue.in_flight->n) : "");
}

// Words into lines of at most `columns`; the lines behind the first begin with `indent` blanks.
std::string wrapped(const std::string& text, int columns, int indent) {
  if (columns < reason_least) {
    return text;
  }
  std::string out;
  int at = 0;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find(' ', begin), text.size());
    const std::string word = text.substr(begin, end - begin);
    begin = end + 1;
    if (at > 0 && at + 1 + width(word) > columns) {
      out += "\n" + std::string(static_cast<std::size_t>(indent), ' ');
      at = 0;
    }
    out += (at > 0 ? " " : "") + word;
    at += (at > 0 ? 1 : 0) + width(word);
  }
  return out;
}

std::string right(const std::string& text, int columns) {
  return std::string(static_cast<std::size_t>(std::max(columns - width(text), 0)), ' ') + text;
}

}  // namespace

std::vector<std::string> Comparison::json() const {
  std::vector<std::string> out;
  for (const Compared& one : all_) {
    std::string line =
        fmt::format(R"({{"event":"compare","at":"{}","at_ms":{},"pool":)", format_wall(last_.at), last_.seen.at_ms);
    model::append_json_string(line, pool_);
    line += fmt::format(R"(,"policy":"{}","name":)", pool::policy_word(one.spec.policy));
    model::append_json_string(line, one.name);
    line += fmt::format(R"(,"own":{},"workers":{},"decision":)", one.own, last_.seen.useful());
    model::append_json(line, one.step.decision);
    line += ",\"plan\":";
    model::append_json(line, one.plan);
    out.push_back(line + "}");
  }
  return out;
}

std::string Comparison::news(int columns, bool colour) {
  std::vector<Row> rows{{"POLICY", "NOW", "WANTS", "WOULD", "WHY"}};
  std::string decided;
  std::string reasons;
  for (const Compared& one : all_) {
    const model::Decision& decision = one.step.decision;
    rows.push_back({one.name, fmt::format("{}", last_.seen.useful()), fmt::format("{}", decision.workers),
                    would(one.plan), control::printable(decision.reason)});
    const Row& row = rows.back();
    decided += fmt::format("{} {} {} {}\n", row.now, row.wants, row.would, row.why.substr(0, row.why.find(':')));
    reasons += row.why + "\n";
  }
  const bool again = reasons != told_reasons_ && last_.at - told_at_ >= reasons_again;
  if (decided == told_ && !again) {
    return "";
  }
  told_ = decided;
  told_reasons_ = reasons;
  told_at_ = last_.at;
  std::array<int, 4> widths{};
  for (const Row& row : rows) {
    widths = {std::max(widths[0], width(row.policy)), std::max(widths[1], width(row.now)),
              std::max(widths[2], width(row.wants)), std::max(widths[3], width(row.would))};
  }
  const int indent = 2 + widths[0] + widths[1] + widths[2] + widths[3] + 4 * gap;
  std::string out = std::exchange(begun_, true) ? "\n" : "";
  out += fmt::format("{}  {}: {}\n", coloured(format_clock(last_.at), Colour::dim, colour),
                     coloured(name_, Colour::bold, colour), queue_text(last_.seen.queue));
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const Row& row = rows[i];
    const bool own = i > 0 && all_[i - 1].own;
    const std::string line = fmt::format("{}{}  {}  {}  {}  {}", own ? "* " : "  ", padded(row.policy, widths[0]),
                                         right(row.now, widths[1]), right(row.wants, widths[2]),
                                         padded(row.would, widths[3]), wrapped(row.why, columns - indent, indent));
    out += coloured(line, i == 0 ? Colour::dim : own ? Colour::bold : Colour::none, colour) + "\n";
  }
  return out;
}

}  // namespace sluice::app
