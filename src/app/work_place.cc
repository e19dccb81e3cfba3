// SPDX-License-Identifier: Apache-2.0
#include "app/work_place.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>

namespace sluice::app {
namespace {

using fleet::process::LockFile;
using fleet::process::SlotRecord;
using fleet::process::StateFolder;

Result<int> whole(const std::string& name, const std::string& text) {
  int n = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (error != std::errc{} || end != text.data() + text.size() || n < 0) {
    return Error{Code::invalid, fmt::format("{} is \"{}\"; a scaler sets it to a whole number", name, text)};
  }
  return n;
}

}  // namespace

Result<std::optional<WorkPlace>> WorkPlace::take(Context& context, const LoadedPool* pool) {
  const std::optional<std::string> given = context.env("SLUICE_SLOT_FD");
  if (given) {
    const Result<int> fd = whole("SLUICE_SLOT_FD", *given);
    const Result<int> slot = whole("SLUICE_SLOT", context.env("SLUICE_SLOT").value_or(""));
    if (!fd || !slot) {
      return fd ? slot.error() : fd.error();
    }
    Result<LockFile> lock = LockFile::inherited(*fd);
    if (!lock) {
      return lock.error().in("the slot's lock that a scaler gave");
    }
    Result<StateFolder> folder = StateFolder::open(context.env("SLUICE_STATE").value_or(""), false);
    if (!folder) {
      return folder.error().in("SLUICE_STATE");
    }
    std::string worker = context.env("SLUICE_WORKER").value_or(fmt::format("worker-w{}", *slot));
    return std::optional(WorkPlace(std::move(*folder), *slot, std::move(worker), std::move(*lock)));
  }
  if (pool == nullptr) {
    return std::optional<WorkPlace>();
  }
  Result<StateFolder> folder = StateFolder::open(pool->state, true);
  if (!folder) {
    return folder.error();
  }
  const int slots_max = static_cast<int>(pool->pool.spec.workers.max);
  SlotRecord record{.id = context.random.hex(16),
                    .pid = ::getpid(),
                    .created_at = context.clock.now(),
                    .started_at = context.clock.wall()};
  Result<fleet::process::TakenSlot> taken =
      fleet::process::take_free_slot(*folder, pool->pool.name, slots_max, std::move(record));
  if (!taken) {
    return taken.error();
  }
  return std::optional(WorkPlace(std::move(*folder), taken->slot, std::move(taken->worker), std::move(taken->lock)));
}

Result<void> WorkPlace::last_words(std::string_view json) const {
  const Result<aio::Fd> file = folder_.open_slot_file(slot_, "last", O_WRONLY | O_CREAT | O_TRUNC);
  if (!file) {
    return file.error();
  }
  if (::write(file->get(), json.data(), json.size()) != static_cast<ssize_t>(json.size())) {
    return fleet::process::file_error(folder_.slot_path(slot_, "last"), "write", errno);
  }
  return {};
}

}  // namespace sluice::app
