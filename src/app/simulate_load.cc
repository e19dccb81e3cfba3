// SPDX-License-Identifier: Apache-2.0
#include "app/simulate_load.h"

#include <fmt/core.h>

#include <algorithm>
#include <filesystem>

#include "app/wiring.h"

namespace sluice::app {
namespace {

constexpr std::size_t scenario_bytes_max = std::size_t{1} << 20U;  // the reader's own limit
constexpr std::size_t trace_bytes_max = std::size_t{64} << 20U;    // chosen: a year of minutes is 10 MiB

// A file that a scenario names: beside it, else in the folder of traces.
Result<std::string> open_named(const std::string& name, const std::filesystem::path& beside,
                               const std::optional<std::string>& traces) {
  std::error_code ec;
  for (const std::filesystem::path& folder : {beside, std::filesystem::path(traces.value_or(""))}) {
    if (!folder.empty() && std::filesystem::is_regular_file(folder / name, ec)) {
      return read_file((folder / name).string(), trace_bytes_max);
    }
  }
  return Error{Code::invalid, name + " is not there"};
}

// The part of a scenario that was asked for; false: there is no such policy in it.
bool choose(Context& context, const std::string& path, const Args& args, lab::Scenario& scenario) {
  if (const std::optional<Duration> first = args.duration("first")) {
    scenario.lasts = std::min(scenario.lasts, *first);
  }
  const std::vector<std::string> wanted = args.texts("policy");
  if (wanted.empty()) {
    return true;
  }
  std::string names;
  for (const lab::Contender& one : scenario.policies) {
    names += (names.empty() ? "" : ", ") + lab::name_of(one);
  }
  std::erase_if(scenario.policies, [&wanted](const lab::Contender& one) {
    const std::string name = lab::name_of(one);
    return std::ranges::none_of(wanted, [&name](const std::string& word) { return name.starts_with(word); });
  });
  if (scenario.policies.empty()) {
    context.err.line(fmt::format("sluice simulate: {}: no policy begins so; accepted: {}", path, names));
  }
  return !scenario.policies.empty();
}

}  // namespace

std::optional<Loaded> load_scenario(Context& context, const std::string& path, std::string_view text,
                                    const Args& args) {
  const std::filesystem::path parent = std::filesystem::path(path).parent_path();
  const std::filesystem::path beside = parent.empty() ? std::filesystem::path(".") : parent;
  const std::optional<std::string> given = args.text("traces");
  const std::optional<std::string> traces = given ? given : context.env("SLUICE_TRACES");
  lab::Read read = lab::read_scenario(
      text, [&beside, &traces](const std::string& name) { return open_named(name, beside, traces); });
  for (const pool::Problem& problem : read.problems) {
    context.err.line(pool::render(problem, path));
  }
  if (!read.scenario) {
    return std::nullopt;
  }
  return fitted(context, path, std::move(*read.scenario), std::move(read.files), args);
}

std::optional<Loaded> fitted(Context& context, const std::string& name, lab::Scenario scenario, lab::Files files,
                             const Args& args) {
  Loaded out{.scenario = std::move(scenario), .files = std::move(files), .seeds = {}};
  if (!choose(context, name, args, out.scenario)) {
    return std::nullopt;
  }
  out.seeds = out.scenario.seeds;
  if (const std::optional<std::int64_t> n = args.count("seeds")) {
    out.seeds.clear();
    for (std::int64_t seed = 1; seed <= *n; ++seed) {
      out.seeds.push_back(seed);
    }
  }
  return out;
}

std::optional<std::vector<Loaded>> load_scenarios(Context& context, const Args& args) {
  std::vector<Loaded> out;
  bool good = true;
  for (const std::string& path : args.positionals) {
    const Result<std::string> text = read_file(path, scenario_bytes_max + 1);
    if (!text) {
      context.err.line("sluice simulate: " + text.error().what);
    }
    std::optional<Loaded> one = text ? load_scenario(context, path, *text, args) : std::nullopt;
    good = good && one;
    if (one) {
      out.push_back(std::move(*one));
    }
  }
  return good ? std::optional(std::move(out)) : std::nullopt;
}

}  // namespace sluice::app
