// SPDX-License-Identifier: Apache-2.0
#include "app/demo_folder.h"

#include <fmt/core.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string_view>
#include <vector>

#include "app/wiring.h"
#include "fleet/process/scaler_lock.h"
#include "fleet/process/slot_lock.h"

namespace sluice::app {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view marker = ".sluice-demo";

// {0}: the queue
constexpr std::string_view pool_text =
    R"(# Written by "sluice demo". Change it, then: sluice publish -f pool.yaml --count 50; sluice scale -f pool.yaml
apiVersion: sluice.dev/v1alpha1
kind: WorkerPool
metadata: {{name: orders}}
spec:
{0}
  policy: {{threshold: {{messages: 20, every: 10s}}}}           # one more worker while more than 20 messages wait
  workers:
    max: 8
    idleExit: 4s                                            # a worker leaves when the queue was empty for this long
    run: {{command: [sluice, work, --exec, ./handle]}}
    process: {{nodes: {{min: 1, max: 3, slots: 2, boot: 5s}}}}  # an imagined node group: three nodes, two workers each
)";

constexpr std::string_view handler_text = R"(#!/bin/sh
# One message: a second of work, then its id into the ledger. "exit 75" would mean again later, "exit 1" failed.
started=$(date +%s.%N)
sleep 1
echo "$SLUICE_MESSAGE_ID $started" >> ledger.txt
)";

std::string queue_text(const std::optional<DemoRabbit>& rabbit) {
  if (!rabbit) {
    return "  queue: {local: {path: orders.db}}";
  }
  return fmt::format(
      "  queue:\n"
      "    rabbitmq:\n"
      "      url: \"{}\"\n"
      "      vhost: \"{}\"\n"
      "{}"
      "      queue: {}                              # the broker removes it an hour after its last use\n"
      "      declare: {{type: {}}}",
      rabbit->url, rabbit->vhost, rabbit->secrets.empty() ? "" : "      credentials: {secret: rabbitmq}\n",
      rabbit->queue, rabbit->quorum ? "quorum" : "classic");
}

// Ours by name: a file that somebody put beside them stays.
bool made_by_demo(const std::string& name) {
  return name == "pool.yaml" || name == "handle" || name == "ledger.txt" || name == ".sluice" ||
         name.starts_with("orders.db");
}

// Who still runs in the folder; empty: nobody.
std::string still_running(const std::string& path) {
  const std::string state = path + "/.sluice/orders";
  const Result<std::optional<fleet::process::ScalerHolder>> scaler = fleet::process::scaler_of(state + "/scaler.lock");
  if (scaler && *scaler) {
    return fmt::format("its scaler, pid {}, still runs", (*scaler)->pid);
  }
  const Result<fleet::process::StateFolder> folder = fleet::process::StateFolder::open(state, false);
  for (int slot = 0; folder && slot < folder->slots_seen(); ++slot) {
    const Result<fleet::process::SlotLook> seen = fleet::process::look_at_slot(*folder, slot);
    if (seen && seen->held) {
      const pid_t pid = seen->record ? seen->record->pid : 0;
      return fmt::format("a worker of it, pid {}, still runs", pid);
    }
  }
  return "";
}

Result<void> clear(const std::string& path) {
  std::error_code failed;
  std::vector<fs::path> ours;
  for (const fs::directory_entry& entry : fs::directory_iterator(path, failed)) {
    if (made_by_demo(entry.path().filename().string())) {
      ours.push_back(entry.path());
    }
  }
  for (const fs::path& old : ours) {
    fs::remove_all(old, failed);
    if (failed) {
      return Error{Code::denied, fmt::format("{}: cannot remove: {}", old.string(), failed.message())};
    }
  }
  return {};
}

}  // namespace

Result<DemoFolder> make_demo_folder(const std::string& path, const std::optional<DemoRabbit>& rabbit) {
  struct stat info{};
  const DemoFolder folder{.path = path};
  if (::lstat(path.c_str(), &info) == 0) {
    struct stat mark{};
    if (!S_ISDIR(info.st_mode) || ::lstat(fmt::format("{}/{}", path, marker).c_str(), &mark) != 0) {
      return Error{Code::invalid,
                   fmt::format("{} is there already and no demo made it; --dir takes another folder", path)};
    }
    const std::string running = still_running(path);
    if (!running.empty()) {
      return Error{Code::conflict,
                   fmt::format("{}: {}; wait for its end, or give another folder with --dir", path, running)};
    }
    const Result<void> cleared = clear(path);
    if (!cleared) {
      return cleared.error();
    }
  } else if (::mkdir(path.c_str(), 0755) != 0) {
    return Error{Code::denied, fmt::format("{}: cannot make: {}", path, std::strerror(errno))};
  }
  const std::string pool = fmt::format(fmt::runtime(pool_text), queue_text(rabbit));
  for (const auto& [name, text] :
       {std::pair{marker, std::string_view("made by sluice demo; it may be replaced by the next\n")},
        std::pair{std::string_view("pool.yaml"), std::string_view(pool)},
        std::pair{std::string_view("handle"), handler_text},
        std::pair{std::string_view("ledger.txt"), std::string_view()}}) {
    const Result<void> written = write_file(fmt::format("{}/{}", path, name), text);
    if (!written) {
      return written.error();
    }
  }
  if (::chmod((path + "/handle").c_str(), 0755) != 0) {
    return Error{Code::denied, fmt::format("{}/handle: cannot make it a program: {}", path, std::strerror(errno))};
  }
  return folder;
}

}  // namespace sluice::app
