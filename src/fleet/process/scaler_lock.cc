// SPDX-License-Identifier: Apache-2.0
#include "fleet/process/scaler_lock.h"

#include <fcntl.h>
#include <fmt/core.h>

#include <boost/json.hpp>
#include <cerrno>
#include <utility>

#include "fleet/process/state_folder.h"

namespace sluice::fleet::process {
namespace {

namespace json = boost::json;

ScalerHolder parse_holder(const std::string& line) {
  ScalerHolder holder;
  json::error_code error;
  const json::value value = json::parse(line, error);
  if (const json::object* object = error ? nullptr : value.if_object()) {
    if (const json::value* pool = object->if_contains("pool"); pool != nullptr && pool->is_string()) {
      holder.pool = std::string(pool->get_string());
    }
    if (const json::value* pid = object->if_contains("pid"); pid != nullptr && pid->is_int64()) {
      holder.pid = static_cast<pid_t>(pid->get_int64());
    }
    if (const json::value* since = object->if_contains("since"); since != nullptr && since->is_string()) {
      holder.since = parse_wall(since->get_string()).value_or(WallTime{});
    }
  }
  return holder;
}

Error refused(const std::string& path, const ScalerHolder& self, const ScalerHolder& holder) {
  if (holder.pid == 0) {  // it took the lock and has not written its name yet
    return Error{Code::conflict, fmt::format("pool {} is scaled by another process ({} is locked)", self.pool, path)};
  }
  const std::string who = fmt::format("pid {} since {}", holder.pid, format_clock(holder.since));
  if (holder.pool == self.pool) {
    return Error{Code::conflict, fmt::format("pool {} is scaled by {}", self.pool, who)};
  }
  return Error{Code::conflict, fmt::format("{}: pool {} is scaled by {}; one scaler a queue", path, holder.pool, who)};
}

}  // namespace

Result<ScalerLock> ScalerLock::take(const std::string& path, const ScalerHolder& self) {
  aio::Fd file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644));
  if (!file) {
    return file_error(path, "open", errno);
  }
  const aio::Fd reader(::fcntl(file.get(), F_DUPFD_CLOEXEC, 3));
  if (!reader) {
    return file_error(path, "open", errno);
  }
  Result<std::optional<LockFile>> lock = LockFile::try_take(std::move(file), path);
  if (!lock) {
    return lock.error();
  }
  if (!*lock) {
    const Result<LockLook> seen = look(reader, path);
    return refused(path, self, seen ? parse_holder(seen->line) : ScalerHolder{});
  }
  const Result<void> written = (*lock)->write(json::serialize(
      json::object{{"v", 1}, {"pool", self.pool}, {"pid", self.pid}, {"since", format_wall(self.since)}}));
  if (!written) {
    return written.error();
  }
  return ScalerLock(std::move(**lock));
}

Result<std::optional<ScalerHolder>> scaler_of(const std::string& path) {
  const aio::Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) {
    if (errno == ENOENT) {
      return std::optional<ScalerHolder>();
    }
    return file_error(path, "open", errno);
  }
  const Result<LockLook> seen = look(file, path);
  if (!seen) {
    return seen.error();
  }
  return seen->held ? std::optional(parse_holder(seen->line)) : std::nullopt;
}

}  // namespace sluice::fleet::process
