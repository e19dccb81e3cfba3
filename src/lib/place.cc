// SPDX-License-Identifier: Apache-2.0
#include "lib/place.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <utility>

namespace sluice::lib {

namespace {

Result<int> whole(const std::string& name, const std::string& text) {
  int n = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (error != std::errc{} || end != text.data() + text.size() || n < 0) {
    return Error{Code::invalid, fmt::format("{} is \"{}\"; a scaler sets it to a whole number", name, text)};
  }
  return n;
}

}  // namespace

Result<std::optional<Place>> Place::inherited(const Environment& environment) {
  const std::optional<std::string> given = environment("SLUICE_SLOT_FD");
  if (!given) {
    return std::optional<Place>();
  }
  const Result<int> fd = whole("SLUICE_SLOT_FD", *given);
  if (!fd) {
    return fd.error();
  }
  const Result<int> slot = whole("SLUICE_SLOT", environment("SLUICE_SLOT").value_or(""));
  if (!slot) {
    return slot.error();
  }
  Result<fleet::process::LockFile> lock = fleet::process::LockFile::inherited(*fd);
  if (!lock) {
    return lock.error().in("the slot's lock that a scaler gave");
  }
  Result<fleet::process::StateFolder> folder =
      fleet::process::StateFolder::open(environment("SLUICE_STATE").value_or(""), false);
  if (!folder) {
    return folder.error().in("SLUICE_STATE");
  }
  return std::optional(Place(std::move(*folder), *slot, std::move(*lock)));
}

Result<void> Place::last_words(std::string_view json) const {
  const Result<aio::Fd> file = folder_.open_slot_file(slot_, "last", O_WRONLY | O_CREAT | O_TRUNC);
  if (!file) {
    return file.error();
  }
  if (::write(file->get(), json.data(), json.size()) != static_cast<ssize_t>(json.size())) {
    return fleet::process::file_error(folder_.slot_path(slot_, "last"), "write", errno);
  }
  return {};
}

}  // namespace sluice::lib
