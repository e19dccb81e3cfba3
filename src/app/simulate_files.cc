// SPDX-License-Identifier: Apache-2.0
#include "app/simulate_files.h"

#include <fmt/core.h>

#include <algorithm>
#include <filesystem>

#include "app/wiring.h"
#include "lab/past_file.h"

namespace sluice::app {
namespace {

constexpr std::size_t file_bytes_max = std::size_t{64} << 20U;  // chosen: a year of minutes is 20 MiB
constexpr std::int64_t workers_most = 1'000'000;

// "published=FILE", or "FILE".
struct Named {
  std::optional<lab::SeriesRole> role;
  std::string path;
};
Named named(const std::string& text) {
  const std::size_t equals = text.find('=');
  const std::optional<lab::SeriesRole> role =
      equals == std::string::npos ? std::nullopt : lab::series_role(text.substr(0, equals));
  return {.role = role, .path = role ? text.substr(equals + 1) : text};
}

Result<std::string> read_record(const std::string& path) {
  Result<std::string> text = read_file(path, file_bytes_max);
  if (text && text->size() > file_bytes_max) {
    return Error{Code::invalid, fmt::format("{}: more than 64 MiB; accepted: a part of it", path)};
  }
  return text;
}

std::string name_of(const std::string& path) {
  return std::filesystem::path(path).filename().string();
}

Result<std::vector<lab::Past>> pasts_of(const Args& args) {
  const lab::FileWishes wishes{.workers = args.count("workers")};
  std::vector<lab::Past> out;
  for (const std::string& path : args.texts("from-csv")) {
    const Result<std::string> text = read_record(path);
    if (!text) {
      return text.error();
    }
    Result<lab::Past> past = lab::parse_past_csv(*text, name_of(path), wishes);
    if (!past) {
      return past.error();
    }
    out.push_back(std::move(*past));
  }
  lab::PrometheusReader reader;
  for (const std::string& one : args.texts("from-prometheus")) {
    const Named file = named(one);
    const Result<std::string> text = read_record(file.path);
    if (!text) {
      return text.error();
    }
    if (const Result<void> taken = reader.take(*text, name_of(file.path), file.role); !taken) {
      return taken.error();
    }
  }
  if (args.has("from-prometheus")) {
    Result<std::vector<lab::Past>> pasts = reader.finish(wishes);
    if (!pasts) {
      return pasts.error();
    }
    std::ranges::move(*pasts, std::back_inserter(out));
  }
  return out;
}

}  // namespace

std::vector<Flag> record_flags() {
  std::vector<Flag> out = {
      {.name = "from-csv",
       .kind = Kind::file,
       .value = "FILE",
       .help = "what a table recorded: lines of time with backlog or arrivals, or one for each message",
       .many = true},
      {.name = "from-prometheus",
       .kind = Kind::file,
       .value = "FILE",
       .help = "what Prometheus recorded: an answer of /api/v1/query_range, or ROLE=FILE where names do not say it",
       .many = true},
      {.name = "workers",
       .kind = Kind::count,
       .value = "N",
       .help = "workers that were there all the time, where a table or Prometheus does not tell"}};
  out.push_back(file_flag("the pool that this is of: its policy and workers, instead of what is recorded of them"));
  return out;
}

std::string wrong_record_flags(const Args& args) {
  if (!args.has("from-csv") && !args.has("from-prometheus")) {
    return args.has("workers")
               ? "--workers is for what others recorded; accepted: --from-csv or --from-prometheus beside it"
               : "";
  }
  if (const auto workers = args.count("workers"); workers && (*workers < 1 || *workers > workers_most)) {
    return fmt::format("--workers {}; accepted: 1 to {}", *workers, workers_most);
  }
  return "";
}

std::optional<std::vector<ReplayedPool>> replay_records(Context& context, const Args& args, const std::string& verb) {
  Result<std::vector<lab::Past>> pasts = pasts_of(args);
  if (!pasts) {
    context.err.line(fmt::format("sluice {}: {}", verb, pasts.error().what));
    return std::nullopt;
  }
  std::vector<ReplayedPool> out;
  const std::optional<std::string> file = args.text("file");
  std::optional<LoadedPool> own;
  if (file && !pasts->empty()) {
    own = load_pool(context, *file, args);
    if (!own) {
      return std::nullopt;
    }
  }
  for (lab::Past& past : *pasts) {
    if (own) {
      past.spec = own->pool.spec;
      past.pool = own->pool.id();
      past.pool_known = true;
    }
    std::optional<ReplayedPool> one = replayed_pool(context, args, std::move(past), verb);
    if (!one) {
      return std::nullopt;
    }
    out.push_back(std::move(*one));
  }
  return out;
}

}  // namespace sluice::app
