// SPDX-License-Identifier: Apache-2.0
#include "app/demo_screen.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>

#include "app/progress.h"
#include "app/text.h"
#include "app/verbs.h"
#include "app/version.h"

namespace sluice::app {
namespace {

using model::WorkerState;

constexpr int bar_width = 24;

std::string number(const std::optional<model::Reading>& reading) {
  return reading ? std::to_string(reading->n) : "?";
}

// A lone number is exact; a sign says how far it can be trusted.
std::string age(const std::optional<model::OldestAge>& oldest) {
  if (!oldest) {
    return "?";
  }
  if (oldest->age == Duration{0}) {
    return "-";  // nothing waits
  }
  const bool exact = oldest->kind == model::AgeKind::exact || oldest->kind == model::AgeKind::reported;
  const char* sign = exact ? "" : oldest->kind == model::AgeKind::estimate ? "≈" : "≤";
  return sign + humane_duration(oldest->age);
}

// "4 busy, 1 starting", in the order of a worker's life.
std::string by_state(const std::optional<model::FleetView>& view) {
  if (!view) {
    return "?";
  }
  std::array<int, model::worker_states> counts{};
  for (const model::Worker& worker : view->workers) {
    ++counts[static_cast<std::size_t>(worker.state)];
  }
  std::string out;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    if (counts[i] > 0) {
      const bool waits = static_cast<WorkerState>(i) == WorkerState::unscheduled;
      const std::string_view word = waits ? "waiting for a node" : model::word(static_cast<WorkerState>(i));
      out += fmt::format("{}{} {}", out.empty() ? "" : ", ", counts[i], word);
    }
  }
  return out;
}

std::string nodes(const DemoState& state, bool colour) {
  std::string out;
  for (const DemoNode& node : state.nodes) {
    std::string inside;
    if (node.state == fleet::NodeState::off) {
      inside = coloured("off", Colour::dim, colour);
    } else if (node.state == fleet::NodeState::booting) {
      inside = coloured("▤ boots", Colour::yellow, colour);
    } else {
      for (int i = 0; i < node.slots; ++i) {
        inside += i < node.workers ? coloured("■", Colour::green, colour) : "□";
      }
    }
    out += fmt::format("[{}] ", inside);
  }
  for (const model::Worker& worker : state.view ? state.view->workers : std::vector<model::Worker>{}) {
    if (worker.state == WorkerState::unscheduled) {
      return out + fmt::format("  {}: {}", worker.name, worker.why);
    }
  }
  return out;
}

std::string row(std::string_view name, const std::string& rest, bool colour) {
  return fmt::format("{}{}", coloured(padded(std::string(name), 9), Colour::bold, colour), rest);
}

}  // namespace

std::vector<std::string> demo_head(const DemoState& state, int columns, bool colour) {
  std::string title = fmt::format("sluice {}   embedded queue, local workers, nothing to install", version);
  const std::string keys = state.phase.empty() ? "Ctrl-C drains and stops" : state.phase;
  if (width(title) + 3 + width(keys) > columns) {
    title = fmt::format("sluice {}", version);
  }
  const int gap = std::max(3, columns - width(title) - width(keys));
  std::vector<std::string> out;
  out.push_back(coloured(title, Colour::bold, colour) + std::string(static_cast<std::size_t>(gap), ' ') + keys);
  out.push_back(
      coloured(fmt::format("pool {}   journal {}", state.pool_file, state.journal_file), Colour::dim, colour));
  out.emplace_back();
  const model::Sample sample = state.sample.value_or(model::Sample{});
  out.push_back(row(
      "publish",
      fmt::format("{}  {}/{} confirmed", coloured(bar(state.confirmed, state.count, bar_width), Colour::blue, colour),
                  state.confirmed, state.count),
      colour));
  out.push_back(row("done",
                    fmt::format("{}  {}/{}", coloured(bar(state.done, state.count, bar_width), Colour::green, colour),
                                state.done, state.count),
                    colour));
  out.push_back(row("ready",
                    fmt::format("{}  {:<4} in flight {:<3} oldest {}",
                                coloured(padded(state.ready.text(), bar_width), Colour::cyan, colour),
                                number(sample.ready), number(sample.in_flight), age(sample.oldest_age)),
                    colour));
  const std::string live = state.view ? std::to_string(state.view->workers.size()) : "?";
  out.push_back(row("workers",
                    fmt::format("{}  {:<4} {}", coloured(padded(state.workers.text(), bar_width), Colour::cyan, colour),
                                live, by_state(state.view)),
                    colour));
  out.push_back(row("nodes", nodes(state, colour), colour));
  return out;
}

std::vector<std::string> demo_picture(const DemoState& state, const std::vector<Told>& told, int columns, int rows,
                                      bool colour) {
  std::vector<std::string> out = demo_head(state, columns, colour);
  out.emplace_back();
  const std::size_t room = static_cast<std::size_t>(std::max(0, rows - static_cast<int>(out.size())));
  for (std::size_t i = told.size() - std::min(told.size(), room); i < told.size(); ++i) {
    out.push_back(line_of(told[i], colour));
  }
  return out;
}

std::string demo_line(const DemoState& state) {
  const model::Sample sample = state.sample.value_or(model::Sample{});
  const std::string states = by_state(state.view);
  return fmt::format("{} ready, {} in flight, {} of {} done, {}", number(sample.ready), number(sample.in_flight),
                     state.done, state.count, states.empty() ? "no worker" : states);
}

std::vector<std::string> demo_next(const Context& context, const std::string& file, bool whole) {
  const std::string pool = file.find(' ') == std::string::npos ? file : "'" + file + "'";
  std::vector<Example> next;
  const auto add = [&](std::string_view verb, std::string_view flags, std::string_view what) {
    if (std::ranges::any_of(verbs(), [verb](const Verb& one) { return one.name == verb; })) {
      next.push_back({fmt::format("{} {} -f {}{}", context.program, verb, pool, flags), std::string(what)});
    }
  };
  if (whole) {
    add("explain", "", "why the scaler did what it did");
    add("publish", " --count 50", "more of the same");
  }
  add("scale", "", whole ? "workers for it" : "goes on with what is queued");
  add("status", "", "how the pool is");
  int wide = 0;
  for (const Example& one : next) {
    wide = std::max(wide, width(one.command));
  }
  std::vector<std::string> lines;
  for (const Example& one : next) {
    lines.push_back(
        fmt::format("  {}   {}", padded(one.command, wide), coloured(one.what, Colour::dim, context.colour)));
  }
  return lines;
}

}  // namespace sluice::app
