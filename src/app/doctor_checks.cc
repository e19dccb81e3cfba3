// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <fmt/core.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>

#include "app/doctor.h"
#include "control/decide.h"
#include "queue/local/inspect.h"
#include "queue/local/integrity.h"
#include "worker/exec_handler.h"

namespace sluice::app {
namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;

// Chosen: a day of a busy queue fits in the first, one rollback journal in the second.
constexpr std::uint64_t space_warning = std::uint64_t{256} << 20U;
constexpr std::uint64_t space_failed = std::uint64_t{16} << 20U;
// Chosen: with fewer syncs a second a publisher without batches waits noticeably for each message.
constexpr double syncs_warning = 50;
constexpr Duration read_at_most = 10s;

void add(std::vector<Finding>& out, std::string group, Health health, std::string code, std::string text,
         std::string fix = "") {
  out.push_back({std::move(group), health, std::move(code), std::move(text), std::move(fix)});
}

std::string megabytes(std::uint64_t bytes) {
  return bytes >= std::uint64_t{10} << 30U ? fmt::format("{} GiB", bytes >> 30U) : fmt::format("{} MiB", bytes >> 20U);
}

std::string folder_of(const std::string& path) {
  const std::string parent = fs::path(path).parent_path().string();
  return parent.empty() ? "." : parent;
}

// The nearest folder above that exists.
std::string existing_folder(std::string path) {
  std::error_code failed;
  while (!fs::exists(path, failed) && path != "/" && !path.empty()) {
    path = folder_of(path);
  }
  return path;
}

void check_space(std::vector<Finding>& out, const std::string& group, const std::string& folder) {
  struct statvfs info{};
  if (::statvfs(folder.c_str(), &info) != 0) {
    add(out, group, Health::warning, "D013",
        fmt::format("free space of {} is unknown: {}", folder, std::strerror(errno)), "ls -ld " + folder);
    return;
  }
  const std::uint64_t space = static_cast<std::uint64_t>(info.f_bavail) * info.f_frsize;
  const Health health = space < space_failed ? Health::failed : space < space_warning ? Health::warning : Health::ok;
  add(out, group, health, health == Health::ok ? "" : "D013", fmt::format("{} free in {}", megabytes(space), folder),
      health == Health::ok ? "" : "free some space there; nothing that was confirmed is lost meanwhile");
}

// Of a file without a name, so that nothing is left behind whatever happens. Empty when the filesystem has no such
// files.
std::optional<double> syncs_a_second(const std::string& folder) {
  const aio::Fd file(::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (!file) {
    return std::nullopt;
  }
  constexpr int rounds_max = 20;
  const std::string page(4096, 'x');
  const auto begin = std::chrono::steady_clock::now();
  int rounds = 0;
  double seconds = 0;
  while (rounds < rounds_max && seconds < 0.5) {
    if (::pwrite(file.get(), page.data(), page.size(), 0) != static_cast<ssize_t>(page.size()) ||
        ::fdatasync(file.get()) != 0) {
      return std::nullopt;
    }
    ++rounds;
    seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  }
  return seconds > 0 ? std::optional(rounds / seconds) : std::nullopt;
}

void check_disk(std::vector<Finding>& out, const std::string& folder) {
  check_space(out, "queue", folder);
  if (const std::optional<double> syncs = syncs_a_second(folder)) {
    const bool slow = *syncs < syncs_warning;
    add(out, "queue", slow ? Health::warning : Health::ok, slow ? "D016" : "",
        fmt::format("the disk syncs {:.0f} times a second; SQLite {} syncs each commit", *syncs,
                    queue::local::sqlite_version()),
        slow ? "publish in batches (sluice publish --lines FILE), or put the queue on a faster disk" : "");
  }
}

void check_contents(std::vector<Finding>& out, const PoolLook& look, const std::string& path) {
  const Result<queue::local::Checked> checked = queue::local::check_whole_file(path, read_at_most);
  if (!checked) {
    add(out, "queue", Health::failed, "D011", checked.error().what,
        "restore " + path + " from a copy, or move it away");
    return;
  }
  const std::string how = *checked == queue::local::Checked::whole ? "whole and sound" : "sound as far as it was read";
  add(out, "queue", Health::ok, "", fmt::format("{} opens, {}", path, how));
  if (!look.sample) {
    return;
  }
  if (look.sample->dead && look.sample->dead->n > 0) {
    const std::int64_t n = look.sample->dead->n;
    add(out, "queue", Health::warning, "D014",
        fmt::format("{} in the dead letters: given up after {} failed attempts",
                    n == 1 ? "1 message is" : fmt::format("{} messages are", n), look.place.spec->dead_letter.after),
        "mend the handler for them, then publish them again; each worker's log says why: " + look.place.state +
            "/slots/");
  }
  if (look.sample->ready && look.sample->ready->n > 0 && !look.scaler) {
    add(out, "queue", Health::warning, "D015", fmt::format("{} waiting and no scaler runs", look.sample->ready->n),
        "sluice scale" + (look.place.file.empty() ? std::string(" -f FILE") : look.place.again));
  }
}

// What stands after --exec in a worker's command; empty when there is no such flag.
std::vector<std::string> handler_of(const std::vector<std::string>& command) {
  std::vector<std::string> out;
  for (std::size_t i = 0; i < command.size(); ++i) {
    if (command[i] == "--") {
      break;
    }
    if (command[i] == "--exec" && i + 1 < command.size()) {
      out = {command[i + 1]};
    } else if (command[i].starts_with("--exec=")) {
      out = {command[i].substr(7)};
    }
  }
  return out;
}

void check_program(std::vector<Finding>& out, Context& context, const std::string& code, const std::string& what,
                   const std::vector<std::string>& argv, const std::string& folder) {
  worker::ExecHandler program(context.loop, context.clock,
                              {.argv = argv, .environment = context.environment, .directory = folder});
  const Result<void> found = program.check();
  if (found) {
    add(out, "workers", Health::ok, "", fmt::format("{} {} can be started", what, argv.front()));
    return;
  }
  const bool has_slash = argv.front().find('/') != std::string::npos;
  const std::string path = fs::path(argv.front()).is_absolute()
                               ? argv.front()
                               : (fs::path(folder) / argv.front()).lexically_normal().string();
  std::error_code failed;
  const bool there = has_slash && fs::exists(path, failed);
  add(out, "workers", Health::failed, code, fmt::format("{}: {}", what, found.error().what),
      there ? "chmod +x " + path : fmt::format("put the program there, or name another in workers.run.command"));
}

bool writable(const std::string& folder) {
  return ::access(folder.c_str(), W_OK | X_OK) == 0;
}

}  // namespace

void check_pool(std::vector<Finding>& out, const PoolLook& look) {
  const Place& place = look.place;
  const std::string where = place.file.empty() ? place.state : place.file;
  if (!place.spec) {
    add(out, "pool", Health::failed, "D001",
        fmt::format("{}: what the pool is, is not known: {}", place.id, place.why_no_spec), "sluice doctor -f FILE");
    return;
  }
  const pool::PoolSpec& spec = *place.spec;
  if (const Result<void> known = control::decidable(spec); !known) {
    add(out, "pool", Health::failed, "D002", where + ": " + known.error().what, "use what the line above accepts");
    return;
  }
  add(out, "pool", Health::ok, "",
      fmt::format("{} is valid: {}, {} to {} workers{}", where, pool::policy_word(spec.policy), spec.workers.min,
                  spec.workers.max, spec.paused ? ", paused" : ""));
  if (spec.paused) {
    add(out, "pool", Health::warning, "D004", "paused: true, so nothing is started",
        "remove `paused: true` from " + where);
  }
}

void check_queue(std::vector<Finding>& out, const PoolLook& look) {
  const auto* local = look.place.spec ? std::get_if<pool::LocalQueue>(&look.place.spec->queue) : nullptr;
  if (local == nullptr) {
    return;
  }
  const Result<queue::local::Inspected> inspected = queue::local::inspect(local->path);
  if (!inspected) {
    add(out, "queue", Health::failed, "D012", inspected.error().what,
        "ls -ld " + local->path + " " + folder_of(local->path));
    return;
  }
  if (inspected->found == queue::local::Found::nothing) {
    add(out, "queue", Health::warning, "D010", local->path + " is not there yet: nothing was published",
        "sluice publish" + (look.place.file.empty() ? std::string(" -f FILE") : look.place.again) + " --count 1");
  } else if (!look.sample) {
    add(out, "queue", Health::failed, "D011",
        look.errors.empty() ? local->path + " cannot be read" : look.errors.front(), "ls -l " + local->path);
  } else {
    check_contents(out, look, inspected->path);
  }
  check_disk(out, folder_of(inspected->path));
}

void check_workers(std::vector<Finding>& out, Context& context, const PoolLook& look, const std::string& folder) {
  if (!look.place.spec) {
    return;
  }
  const pool::Workers& workers = look.place.spec->workers;
  const std::vector<std::string> command = workers.run ? workers.run->command : std::vector<std::string>{};
  if (command.empty()) {
    add(out, "workers", Health::failed, "D020", "workers.run.command is missing: nothing says what a worker is",
        "add run: {command: [sluice, work, --exec, ./handle]} under workers");
  } else if (folder.empty()) {
    add(out, "workers", Health::ok, "",
        fmt::format("command {}; found by its state, so paths were not followed", command.front()));
  } else {
    if (command.front() != "sluice") {
      check_program(out, context, "D020", "the worker's command", {command.front()}, folder);
    }
    if (const std::vector<std::string> handler = handler_of(command); !handler.empty()) {
      check_program(out, context, "D021", "the handler", handler, folder);
    }
  }
  const pool::Nodes nodes = workers.process ? workers.process->nodes : pool::Nodes{};
  const std::int64_t places = nodes.max * pool::slots_per_node(workers);
  if (places < workers.max) {
    add(out, "workers", Health::warning, "D022",
        fmt::format("{} nodes of {} slots hold {} workers, fewer than workers.max {}", nodes.max,
                    pool::slots_per_node(workers), places, workers.max),
        fmt::format("workers.max: {}, or more nodes or slots under workers.process.nodes", places));
  }
  if (look.state() == "broken") {
    add(out, "workers", Health::failed, "D023", look.why(),
        "run the handler by hand on one message; the workers' logs are in " + look.place.state + "/slots/");
  } else if (look.fleet) {
    add(out, "workers", Health::ok, "", fmt::format("{} live, at most {}", look.fleet->workers.size(), workers.max));
  } else {
    add(out, "workers", Health::failed, "D024", look.errors.empty() ? "workers unknown" : look.errors.front(),
        "ls -l " + look.place.state + "/slots");
  }
}

void check_state(std::vector<Finding>& out, const PoolLook& look) {
  const std::string& state = look.place.state;
  const std::string folder = existing_folder(state);
  if (!writable(folder)) {
    add(out, "state", Health::failed, "D030", fmt::format("{} cannot be written: {}", folder, std::strerror(errno)),
        "chmod u+rwx " + folder);
  } else {
    add(out, "state", Health::ok, "", folder == state ? state + " can be written" : state + " can be made");
  }
  if (look.scaler) {
    add(out, "state", Health::ok, "",
        fmt::format("scaled by pid {} since {}", look.scaler->pid, format_wall(look.scaler->since)));
  } else {
    add(out, "state", Health::ok, "", "no scaler runs");
  }
  if (look.state() == "blind") {
    add(out, "state", Health::failed, "D032", "the scaler sees nothing: " + look.why(),
        "sluice explain" + look.place.again);
  } else if (look.state() == "full") {
    add(out, "state", Health::warning, "D033", "there is no place for another worker: " + look.why(),
        "more nodes or slots under workers.process.nodes, or wait");
  }
  std::error_code failed;
  if (fs::exists(look.place.journal(), failed) && !look.last) {
    add(out, "state", Health::warning, "D031", look.place.journal() + " holds no decision that can be read",
        "sluice decide --journal " + look.place.journal());
  }
}

}  // namespace sluice::app
