// SPDX-License-Identifier: Apache-2.0
#pragma once
// A table of arguments that is built on the spot.
#include <cstdint>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "queue/rabbit/codec.h"

namespace sluice::queue::rabbit {

class Arguments {
 public:
  Arguments() = default;
  Arguments(const Arguments&) = delete;
  Arguments& operator=(const Arguments&) = delete;

  // `key` is a literal.
  void text(const char* key, std::string value) {
    amqp_table_entry_t& entry = add(key, AMQP_FIELD_KIND_UTF8);
    entry.value.value.bytes = to_bytes(kept_.emplace_back(std::move(value)));
  }
  void number(const char* key, std::int64_t value) { add(key, AMQP_FIELD_KIND_I64).value.value.i64 = value; }
  // Valid until the next change.
  [[nodiscard]] amqp_table_t table() { return {static_cast<int>(entries_.size()), entries_.data()}; }

 private:
  amqp_table_entry_t& add(const char* key, std::uint8_t kind) {
    entries_.push_back({.key = ::amqp_cstring_bytes(key), .value = {}});
    entries_.back().value.kind = kind;
    return entries_.back();
  }
  std::vector<amqp_table_entry_t> entries_;
  std::deque<std::string> kept_;  // what the entries point at
};

}  // namespace sluice::queue::rabbit
