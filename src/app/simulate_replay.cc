// SPDX-License-Identifier: Apache-2.0
#include "app/simulate_replay.h"

#include <fmt/core.h>

#include <algorithm>
#include <filesystem>

#include "app/line_reader.h"
#include "app/text.h"
#include "app/wiring.h"
#include "control/explain.h"
#include "model/json.h"

namespace sluice::app {
namespace {

constexpr std::size_t line_max = std::size_t{1} << 20U;  // as `decide --journal`

Result<void> read_journal(const std::string& path, lab::PastReader& reader) {
  Result<LineReader> lines = LineReader::open(path, line_max);
  const std::string name = std::filesystem::path(path).filename().string();
  if (!lines) {
    return lines.error();
  }
  while (true) {
    const Result<std::optional<ReadLine>> line = lines->next();
    if (!line) {
      return line.error();
    }
    if (!*line) {
      reader.end_of_file();
      return {};
    }
    reader.take((*line)->too_long ? "a line of more than 1 MiB" : (*line)->text,
                fmt::format("{}:{}", name, (*line)->number));
  }
}

std::string decided_text(const lab::Past& past) {
  const std::size_t all = past.same + past.different;
  std::string out = fmt::format("{} of {} decisions in the journal come out the same today", past.same, all);
  if (past.undecided > 0) {
    out += fmt::format("; {} before its first state line are not run again", past.undecided);
  }
  return out;
}

std::string assumed_text(const ReplayedPool& pool) {
  std::string out;
  for (const std::string& line : pool.assumed) {
    out += "  assumed   " + line + "\n";
  }
  return out;
}

std::string list_json(const std::vector<std::string>& lines) {
  std::string out = "[";
  for (const std::string& line : lines) {
    out += out.back() == '[' ? "" : ",";
    model::append_json_string(out, line);
  }
  return out + "]";
}

}  // namespace

int ReplayedJournals::exit() const {
  const bool different = std::ranges::any_of(pools, [](const ReplayedPool& one) { return one.past.different > 0; });
  return different ? exit_failed : unread > 0 ? exit_partly : exit_done;
}

std::vector<Flag> replay_flags() {
  return {{.name = "service",
           .kind = Kind::duration,
           .value = "TIME",
           .help = "how long a worker has a message, instead of what is told by the record"},
          {.name = "start",
           .kind = Kind::duration,
           .value = "TIME",
           .help = "how long a worker takes to start, instead of what is told by the record"},
          {.name = "slots", .kind = Kind::count, .value = "N", .help = "workers on a node"},
          {.name = "late", .kind = Kind::duration, .value = "TIME", .help = "a message that waits longer is late"}};
}

lab::ReplayWishes replay_wishes(const Args& args) {
  return {.service = args.duration("service"),
          .start = args.duration("start"),
          .late = args.duration("late"),
          .slots = args.count("slots")};
}

std::optional<ReplayedJournals> replay_journals(Context& context, const Args& args,
                                                const std::vector<std::string>& paths, const std::string& verb) {
  if (paths.empty()) {
    return ReplayedJournals{};
  }
  lab::PastReader reader;
  for (const std::string& path : paths) {
    if (const Result<void> read = read_journal(path, reader); !read) {
      context.err.line(fmt::format("sluice {}: {}", verb, read.error().what));
      return std::nullopt;
    }
  }
  ReplayedJournals out{.pools = {}, .unread = reader.unread(), .first_unread = reader.first_unread()};
  std::vector<lab::Past> pasts = reader.finish();
  if (out.unread > 0) {
    context.err.line(fmt::format("sluice {}: {} line{} could not be used, the first: {}", verb, out.unread,
                                 out.unread == 1 ? "" : "s", control::printable(out.first_unread)));
  }
  if (pasts.empty()) {
    context.err.line(
        fmt::format("sluice {}: no tick of a pool in {}; accepted: a journal of `sluice scale`, "
                    "`controller` or `demo`",
                    verb, paths.front()));
    return std::nullopt;
  }
  const std::optional<std::string> file = args.text("file");
  std::optional<LoadedPool> own;
  if (file) {
    own = load_pool(context, *file, args);
    const std::string id = own ? own->pool.id() : "";
    if (own && std::ranges::none_of(pasts, [&id](const lab::Past& past) { return past.pool == id; })) {
      context.err.line(fmt::format("sluice {}: pool {} of {} is not in the journal; there is {}", verb, id, *file,
                                   control::printable(pasts.front().pool)));
      own.reset();
    }
    if (!own) {
      return std::nullopt;
    }
    std::erase_if(pasts, [&id](const lab::Past& past) { return past.pool != id; });
    if (pasts.front().spec.policy != own->pool.spec.policy) {
      pasts.front().notes.push_back("the policy of " + *file +
                                    " is another than the journal's last, and instead of it");
    }
    pasts.front().spec = own->pool.spec;
  }
  for (lab::Past& past : pasts) {
    std::optional<ReplayedPool> one = replayed_pool(context, args, std::move(past), verb);
    if (!one) {
      return std::nullopt;
    }
    out.pools.push_back(std::move(*one));
  }
  return out;
}

std::optional<ReplayedPool> replayed_pool(Context& context, const Args& args, lab::Past past, const std::string& verb) {
  const lab::ReplayWishes wishes = replay_wishes(args);
  const bool no_service = wishes.service && *wishes.service < std::chrono::milliseconds{1};
  if (no_service || (wishes.slots && (*wishes.slots < 1 || *wishes.slots > 10'000))) {
    context.err.line(fmt::format("sluice {}: {}", verb,
                                 no_service ? "--service 0s; accepted: 1ms and more"
                                            : fmt::format("--slots {}; accepted: 1 to 10000", *wishes.slots)));
    return std::nullopt;
  }
  Result<lab::Replayable> made = lab::replayable(past, wishes);
  if (!made) {
    context.err.line(fmt::format("sluice {}: {}{}: {}", verb, past.journal ? "pool " : "",
                                 control::printable(past.pool), made.error().what));
    return std::nullopt;
  }
  std::optional<Loaded> loaded = fitted(context, past.pool, std::move(made->scenario), std::move(made->files), args);
  if (!loaded) {
    return std::nullopt;
  }
  return ReplayedPool{std::move(past), std::move(*loaded), std::move(made->assumed)};
}

std::string replay_text(const ReplayedPool& pool, bool colour) {
  const lab::Past& past = pool.past;
  if (!past.journal) {
    return coloured(past.pool, Colour::bold, colour) + ": what was recorded elsewhere\n" + assumed_text(pool);
  }
  std::string out = coloured(past.pool, Colour::bold, colour) + ": " + decided_text(past) + "\n";
  if (!past.first_difference.empty()) {
    out += coloured("  differs", Colour::red, colour) + "  " + control::printable(past.first_difference) + "\n";
  }
  const lab::PastTotals totals = lab::past_totals(past);
  out += fmt::format("  recorded  {} workers asked for, at most {} at once, {:.2f} worker-hours, oldest message {}\n",
                     past.asked, totals.workers_peak, totals.worker_s / 3600,
                     humane_duration(std::chrono::milliseconds{past.oldest_ms}));
  return out + assumed_text(pool);
}

std::string replay_json(const ReplayedPool& pool) {
  const lab::Past& past = pool.past;
  const lab::PastTotals totals = lab::past_totals(past);
  std::string out = fmt::format(R"({{"event":"{}","pool":)", past.journal ? "journal" : "record");
  model::append_json_string(out, past.pool);
  if (!past.journal) {
    return out + ",\"assumed\":" + list_json(pool.assumed) + "}\n";
  }
  out += fmt::format(",\"decisions\":{},\"same\":{},\"undecided\":{},\"first_difference\":", past.same + past.different,
                     past.same, past.undecided);
  if (past.first_difference.empty()) {
    out += "null";
  } else {
    model::append_json_string(out, past.first_difference);
  }
  out += fmt::format(",\"recorded\":{{\"starts\":{},\"workers_peak\":{},\"worker_s\":{:.3f},\"oldest_s\":{:.3f}}}",
                     past.asked, totals.workers_peak, totals.worker_s, static_cast<double>(past.oldest_ms) / 1e3);
  return out + ",\"assumed\":" + list_json(pool.assumed) + "}\n";
}

}  // namespace sluice::app
