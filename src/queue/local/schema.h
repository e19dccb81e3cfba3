// SPDX-License-Identifier: Apache-2.0
#pragma once
// The tables of a queue file, format 1. Changing anything here is a new format_version (inspect.h).
#include <cstddef>

namespace sluice::queue::local {

// message.state; the SQL of store.cc spells the numbers
inline constexpr int state_ready = 0;
inline constexpr int state_taken = 1;
inline constexpr int state_delayed = 2;

// A row of up to this many bytes of content carries it; larger content has a table of its own, so that taking and
// returning a message never rewrites it. A quarter of a page: four messages a page, and none needs an overflow page.
inline constexpr std::size_t inline_bytes = 1000;

// Every index has one reader: message_id the re-sent id, message_due the end of the next delay. message_place keeps
// what waits in the order of delivery (state 0) and what is taken (state 1); with deliveries and since_ms in it, the
// age of the oldest message that was never delivered is read from it alone.
inline constexpr const char* schema =
    "CREATE TABLE counter(one INTEGER PRIMARY KEY CHECK(one = 1), ready INTEGER NOT NULL, in_flight INTEGER NOT NULL,"
    " delayed INTEGER NOT NULL, dead INTEGER NOT NULL, published_n INTEGER NOT NULL, acked_n INTEGER NOT NULL,"
    " next_line INTEGER NOT NULL, next_owner INTEGER NOT NULL, commits INTEGER NOT NULL, mark INTEGER NOT NULL);"
    "INSERT INTO counter VALUES(1, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0);"
    "CREATE TABLE owner(n INTEGER PRIMARY KEY, who BLOB NOT NULL, since_ms INTEGER NOT NULL, consuming INTEGER NOT "
    "NULL);"
    "CREATE TABLE message(key INTEGER PRIMARY KEY, id BLOB NOT NULL, state INTEGER NOT NULL, priority INTEGER NOT NULL,"
    " line INTEGER NOT NULL, deliveries INTEGER NOT NULL, attempts INTEGER NOT NULL, cause INTEGER NOT NULL,"
    " owner INTEGER NOT NULL, since_ms INTEGER NOT NULL, due_ms INTEGER NOT NULL, delay_ms INTEGER NOT NULL, bytes "
    "BLOB);"
    "CREATE TABLE content(key INTEGER PRIMARY KEY, bytes BLOB NOT NULL);"
    "CREATE TABLE dead(n INTEGER PRIMARY KEY, id BLOB NOT NULL, cause INTEGER NOT NULL, attempts INTEGER NOT NULL,"
    " why BLOB NOT NULL, who BLOB NOT NULL, at_ms INTEGER NOT NULL, priority INTEGER NOT NULL, bytes BLOB);"
    "CREATE UNIQUE INDEX message_id ON message(id);"
    "CREATE INDEX message_place ON message(state, priority DESC, line, deliveries, since_ms);"
    "CREATE INDEX message_due ON message(due_ms) WHERE state = 2;";

}  // namespace sluice::queue::local
