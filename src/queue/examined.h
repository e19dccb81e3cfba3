// SPDX-License-Identifier: Apache-2.0
#pragma once
// What an examination of a queue found: one line for each thing that was tried, also where all is well.
#include <string>

namespace sluice::queue {

struct Examined {
  enum class Topic {
    connection,    // reaching the broker, login, virtual host
    missing,       // a queue that is not there
    permission,    // what the user may not do
    management,    // the statistics' own address, login and tag
    kind,          // a queue that cannot be scaled, or only so far
    loss,          // messages that the broker drops by itself
    dead_letters,  // where messages go that were given up
    timeout,       // a handler that takes longer than the broker waits
    alarm,         // the broker takes no messages
  };
  enum class Level { ok, warning, failed };
  Topic topic = Topic::connection;
  Level level = Level::ok;
  std::string text;
  std::string fix;  // a command, or what to do; empty when all is well
};

}  // namespace sluice::queue
