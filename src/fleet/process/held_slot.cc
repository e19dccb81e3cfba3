// SPDX-License-Identifier: Apache-2.0
#include "fleet/process/held_slot.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <cerrno>

#include "base/number.h"

namespace sluice::fleet::process {
namespace {

Result<int> whole(const std::string& name, const std::string& text) {
  const std::optional<int> n = parse_number<int>(text);
  if (!n || *n < 0) {
    return Error{Code::invalid, fmt::format("{} is \"{}\"; a scaler sets it to a whole number", name, text)};
  }
  return *n;
}

}  // namespace

Result<std::optional<HeldSlot>> HeldSlot::inherited(const Environment& environment) {
  const std::optional<std::string> given = environment("SLUICE_SLOT_FD");
  if (!given) {
    return std::optional<HeldSlot>();
  }
  const Result<int> fd = whole("SLUICE_SLOT_FD", *given);
  const Result<int> slot = whole("SLUICE_SLOT", environment("SLUICE_SLOT").value_or(""));
  if (!fd || !slot) {
    return fd ? slot.error() : fd.error();
  }
  Result<LockFile> lock = LockFile::inherited(*fd);
  if (!lock) {
    return lock.error().in("the slot's lock that a scaler gave");
  }
  Result<StateFolder> folder = StateFolder::open(environment("SLUICE_STATE").value_or(""), false);
  if (!folder) {
    return folder.error().in("SLUICE_STATE");
  }
  std::string worker = environment("SLUICE_WORKER").value_or(fmt::format("worker-w{}", *slot));
  return std::optional<HeldSlot>(std::in_place, std::move(*folder),
                                 TakenSlot{.slot = *slot, .worker = std::move(worker), .lock = std::move(*lock)});
}

Result<void> HeldSlot::last_words(std::string_view json) const {
  const Result<aio::Fd> file = folder_.open_slot_file(slot_, "last", O_WRONLY | O_CREAT | O_TRUNC);
  if (!file) {
    return file.error();
  }
  if (::write(file->get(), json.data(), json.size()) != static_cast<ssize_t>(json.size())) {
    return file_error(folder_.slot_path(slot_, "last"), "write", errno);
  }
  return {};
}

}  // namespace sluice::fleet::process
