// SPDX-License-Identifier: Apache-2.0
#include "app/resume.h"

#include <fmt/core.h>

#include <filesystem>

#include "app/line_reader.h"
#include "control/explain.h"
#include "control/resume.h"

namespace sluice::app {
namespace {

constexpr std::size_t line_max = std::size_t{1} << 20U;  // as `decide --journal`

// A last line without an end is torn, of a scaler that was killed: nothing was done by it yet.
Result<void> read_lines(const std::string& path, control::ResumeReader& reader) {
  Result<LineReader> lines = LineReader::open(path, line_max);
  if (!lines) {
    return lines.error();
  }
  const std::string name = std::filesystem::path(path).filename().string();
  while (true) {
    const Result<std::optional<ReadLine>> line = lines->next();
    if (!line) {
      return line.error();
    }
    if (!*line || !(*line)->ended) {
      return {};
    }
    reader.take((*line)->too_long ? "too long" : (*line)->text, fmt::format("{}:{}", name, (*line)->number));
  }
}

Result<control::ControlState> read_state(Context& context, const LoadedPool& loaded, const std::string& path) {
  control::ResumeReader reader;
  if (const Result<void> read = read_lines(path, reader); !read) {
    return read.error();
  }
  return reader.finish(loaded.pool.id(), loaded.pool.spec,
                       {.at_ms = to_ms(context.clock.now()), .wall = context.clock.wall()});
}

}  // namespace

control::ControlState resumed(Context& context, const LoadedPool& loaded) {
  control::ControlState out{.fresh = true};
  const std::string path = loaded.state + "/journal.jsonl";
  std::error_code error;
  if (!control::resumes(loaded.pool.spec) || !std::filesystem::exists(path, error)) {
    return out;
  }
  const char* const policy = pool::policy_word(loaded.pool.spec.policy);
  Result<control::ControlState> state = read_state(context, loaded, path);
  if (!state) {
    context.err.line(fmt::format("{}: policy {} begins anew, its journal does not help: {}", loaded.pool.name, policy,
                                 control::printable(state.error().what)));
    return out;
  }
  if (!state->lag.empty()) {
    context.err.line(fmt::format("{}: policy {} goes on with what is in its journal", loaded.pool.name, policy));
  }
  out = std::move(*state);
  return out;
}

}  // namespace sluice::app
