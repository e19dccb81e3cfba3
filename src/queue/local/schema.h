// SPDX-License-Identifier: Apache-2.0
#pragma once
// The tables of a queue file, format 1. Changing anything here is a new format_version (inspect.h).

namespace sluice::queue::local {

// message.state
inline constexpr int state_ready = 0;
inline constexpr int state_taken = 1;
inline constexpr int state_delayed = 2;

// Every index has one reader: message_id the re-sent id, message_line the next to deliver, message_fresh the age of the
// oldest, message_due the end of the next delay, message_owner what a dead worker had.
inline constexpr const char* schema =
    "CREATE TABLE counter(one INTEGER PRIMARY KEY CHECK(one = 1), ready INTEGER NOT NULL, in_flight INTEGER NOT NULL,"
    " delayed INTEGER NOT NULL, dead INTEGER NOT NULL, published_n INTEGER NOT NULL, acked_n INTEGER NOT NULL,"
    " next_line INTEGER NOT NULL, next_owner INTEGER NOT NULL, commits INTEGER NOT NULL, mark INTEGER NOT NULL);"
    "INSERT INTO counter VALUES(1, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0);"
    "CREATE TABLE owner(n INTEGER PRIMARY KEY, who BLOB NOT NULL, since_ms INTEGER NOT NULL, consuming INTEGER NOT "
    "NULL);"
    "CREATE TABLE message(key INTEGER PRIMARY KEY, id BLOB NOT NULL, state INTEGER NOT NULL, priority INTEGER NOT NULL,"
    " line INTEGER NOT NULL, deliveries INTEGER NOT NULL, attempts INTEGER NOT NULL, cause INTEGER NOT NULL,"
    " owner INTEGER NOT NULL, since_ms INTEGER NOT NULL, due_ms INTEGER NOT NULL, delay_ms INTEGER NOT NULL);"
    "CREATE TABLE content(key INTEGER PRIMARY KEY, bytes BLOB NOT NULL);"
    "CREATE TABLE dead(n INTEGER PRIMARY KEY, id BLOB NOT NULL, cause INTEGER NOT NULL, attempts INTEGER NOT NULL,"
    " why BLOB NOT NULL, who BLOB NOT NULL, at_ms INTEGER NOT NULL, priority INTEGER NOT NULL, bytes BLOB);"
    "CREATE UNIQUE INDEX message_id ON message(id);"
    "CREATE INDEX message_line ON message(priority DESC, line) WHERE state = 0;"
    "CREATE INDEX message_fresh ON message(since_ms) WHERE state = 0 AND deliveries = 0;"
    "CREATE INDEX message_due ON message(due_ms) WHERE state = 2;"
    "CREATE INDEX message_owner ON message(owner) WHERE state = 1;";

}  // namespace sluice::queue::local
