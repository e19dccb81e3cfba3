// SPDX-License-Identifier: Apache-2.0
#pragma once
// From files, flags and the environment to pools and queues.
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "app/cli.h"
#include "app/context.h"
#include "base/result.h"
#include "pool/pool.h"
#include "wiring/queues.h"

namespace sluice::app {

// A pool file that was read and is valid. All paths absolute; the path of a local queue too.
struct LoadedPool {
  std::string file;     // as given
  std::string folder;   // where the pool's relative paths begin
  std::string state;    // the pool's own state folder
  std::string secrets;  // its folder of credentials; may not exist
  pool::Pool pool;
};
// Prints every problem of the file on stderr when there is one, and returns empty: exit_usage.
[[nodiscard]] std::optional<LoadedPool> load_pool(Context& context, const std::string& file, const Args& args);

// The queues of a file for `adapter --queues`, valid, with absolute paths.
struct LoadedQueues {
  std::string secrets;  // the folder of credentials; may not exist
  std::vector<pool::WatchedQueue> queues;
};
// Prints every problem of the file on stderr when there is one, and returns empty: exit_usage.
[[nodiscard]] std::optional<LoadedQueues> load_queues(Context& context, const std::string& file, const Args& args);

using wiring::absolute;
// A whole file or stream, at most `bytes_max` + 1 bytes of it. Code::denied with path and reason.
[[nodiscard]] Result<std::string> read_file(const std::string& path, std::size_t bytes_max);
// Replaces a file by way of a new one beside it, so that no reader sees half of it.
[[nodiscard]] Result<void> write_file(const std::string& path, std::string_view text);

// The queue that `publish` and `work` are about.
struct QueueTarget {
  wiring::QueueSpec spec;
  std::string secrets;             // the folder of credentials; may not exist
  std::optional<LoadedPool> pool;  // with -f
  std::string name;                // for people: the pool's, or the queue's
};
// From -f, --queue (a file, or JSON as in SLUICE_QUEUE) or SLUICE_QUEUE. Says what is wrong on stderr and returns
// empty: exit_usage.
[[nodiscard]] std::optional<QueueTarget> find_queue(Context& context, const Args& args);
[[nodiscard]] Flag queue_flag();

// Says on stderr that the pool needs what this version does not have; true when it has all.
[[nodiscard]] bool supported(Context& context, const LoadedPool& loaded);

// Held by whoever scales the queue, for whatever pool; let go when destroyed. Code::conflict names the holder.
using QueueLock = std::shared_ptr<void>;
[[nodiscard]] Result<QueueLock> lock_queue(const pool::Queue& queue, const std::string& pool_id, WallTime now);

}  // namespace sluice::app
