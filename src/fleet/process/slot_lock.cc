// SPDX-License-Identifier: Apache-2.0
#include "fleet/process/slot_lock.h"

#include <fcntl.h>
#include <fmt/core.h>

#include <algorithm>
#include <boost/json.hpp>
#include <utility>

namespace sluice::fleet::process {
namespace {

namespace json = boost::json;

constexpr std::int64_t nodes_max = 10'000;  // as many as workers.max allows; a damaged number must not size anything

std::int64_t to_ns(Time t) {
  return t.time_since_epoch().count();
}

std::optional<model::EndKind> parse_kind(std::string_view text) {
  for (const model::EndKind kind : {model::EndKind::succeeded, model::EndKind::failed, model::EndKind::lost}) {
    if (model::word(kind) == text) {
      return kind;
    }
  }
  return std::nullopt;
}

const json::string* text_at(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  return value == nullptr ? nullptr : value->if_string();
}

std::int64_t number_at(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  const std::int64_t* number = value == nullptr ? nullptr : value->if_int64();
  return number == nullptr ? 0 : *number;
}

bool flag_at(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  const bool* flag = value == nullptr ? nullptr : value->if_bool();
  return flag != nullptr && *flag;
}

std::optional<SlotEnd> parse_end(const json::object& object) {
  const json::value* value = object.if_contains("ended");
  const json::object* end = value == nullptr ? nullptr : value->if_object();
  const json::string* word = end == nullptr ? nullptr : text_at(*end, "kind");
  const std::optional<model::EndKind> kind = word == nullptr ? std::nullopt : parse_kind(*word);
  if (!kind) {
    return std::nullopt;
  }
  const json::string* why = text_at(*end, "why");
  return SlotEnd{.kind = *kind,
                 .started = flag_at(*end, "started"),
                 .why = why == nullptr ? "" : std::string(*why),
                 .at = Time{Duration{number_at(*end, "at_ns")}}};
}

}  // namespace

std::string to_json(const SlotRecord& record) {
  json::object object{{"v", 1},
                      {"worker", record.worker},
                      {"id", record.id},
                      {"pid", record.pid},
                      {"node", record.node},
                      {"started_at", format_wall(record.started_at)},
                      {"created_ns", to_ns(record.created_at)},
                      {"stays_when_idle", record.stays_when_idle}};
  if (record.end) {
    object["ended"] = {{"kind", model::word(record.end->kind)},
                       {"started", record.end->started},
                       {"why", record.end->why},
                       {"at_ns", to_ns(record.end->at)}};
  }
  return json::serialize(object);
}

std::optional<SlotRecord> parse_record(std::string_view line) {
  json::error_code error;
  const json::value value = json::parse(line, error);
  const json::object* object = error ? nullptr : value.if_object();
  const json::string* id = object == nullptr ? nullptr : text_at(*object, "id");
  const json::string* worker = object == nullptr ? nullptr : text_at(*object, "worker");
  if (id == nullptr || worker == nullptr) {
    return std::nullopt;
  }
  const json::string* started = text_at(*object, "started_at");
  return SlotRecord{.worker = std::string(*worker),
                    .id = std::string(*id),
                    .pid = static_cast<pid_t>(number_at(*object, "pid")),
                    .node = static_cast<int>(std::clamp<std::int64_t>(number_at(*object, "node"), 0, nodes_max)),
                    .stays_when_idle = flag_at(*object, "stays_when_idle"),
                    .created_at = Time{Duration{number_at(*object, "created_ns")}},
                    .started_at = started == nullptr ? WallTime{} : parse_wall(*started).value_or(WallTime{}),
                    .end = parse_end(*object)};
}

Result<std::optional<LockFile>> take_slot(const StateFolder& folder, int slot) {
  Result<aio::Fd> file = folder.open_slot_file(slot, "lock", O_RDWR | O_CREAT);
  if (!file) {
    return file.error();
  }
  if (!*file) {
    return Error{Code::gone, fmt::format("{}: the state folder was removed", folder.path())};
  }
  return LockFile::try_take(std::move(*file), folder.slot_path(slot, "lock"));
}

Result<SlotLook> look_at_slot(const StateFolder& folder, int slot) {
  const Result<aio::Fd> file = folder.open_slot_file(slot, "lock", O_RDONLY);
  if (!file) {
    return file.error();
  }
  if (!*file) {
    return SlotLook{};
  }
  const Result<LockLook> seen = look(*file, folder.slot_path(slot, "lock"));
  if (!seen) {
    return seen.error();
  }
  return SlotLook{.held = seen->held, .record = parse_record(seen->line)};
}

Result<TakenSlot> take_free_slot(const StateFolder& folder, const std::string& pool, int max, SlotRecord record) {
  for (int slot = 0; slot < max; ++slot) {
    Result<std::optional<LockFile>> lock = take_slot(folder, slot);
    if (!lock) {
      return lock.error();
    }
    if (!*lock) {
      continue;
    }
    record.worker = fmt::format("{}-w{}", pool, slot);
    folder.remove_slot_file(slot, "sock");
    folder.remove_slot_file(slot, "last");
    const Result<void> written = (*lock)->write(to_json(record));
    if (!written) {
      return written.error();
    }
    return TakenSlot{.slot = slot, .worker = record.worker, .lock = std::move(**lock)};
  }
  return Error{
      Code::conflict,
      fmt::format("pool {}: all {} slots have a live worker; wait for one to leave, or raise workers.max", pool, max)};
}

}  // namespace sluice::fleet::process
