// SPDX-License-Identifier: Apache-2.0
#pragma once
// From files, flags and the environment to the objects that do the work. The only place that knows which queue and
// which fleet this version has.
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "app/cli.h"
#include "app/context.h"
#include "base/result.h"
#include "pool/pool.h"
#include "queue/backlog_source.h"
#include "queue/publisher.h"
#include "queue/receiver.h"

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

// `path` as seen from `folder`, absolute and without "." and "..".
[[nodiscard]] std::string absolute(const std::string& folder, const std::string& path);
// A whole file or stream, at most `bytes_max` + 1 bytes of it. Code::denied with path and reason.
[[nodiscard]] Result<std::string> read_file(const std::string& path, std::size_t bytes_max);
// Replaces a file by way of a new one beside it, so that no reader sees half of it.
[[nodiscard]] Result<void> write_file(const std::string& path, std::string_view text);

// The queue that `publish` and `work` are about.
struct QueueTarget {
  pool::Queue queue;
  pool::DeadLetter dead_letter;
  pool::Retry retry;
  std::optional<LoadedPool> pool;  // with -f
  std::string name;                // for people: the pool's, or the file
};
// From -f, --queue (a file, or JSON as in SLUICE_QUEUE) or SLUICE_QUEUE. Says what is wrong on stderr and returns
// empty: exit_usage.
[[nodiscard]] std::optional<QueueTarget> find_queue(Context& context, const Args& args);
[[nodiscard]] Flag queue_flag();

// Says on stderr that the pool needs what this version does not have; true when it has all.
[[nodiscard]] bool supported(Context& context, const LoadedPool& loaded);
[[nodiscard]] bool supported(Context& context, const pool::Queue& queue, const std::string& where);

// One client of a queue. What it makes may outlive it.
class QueueClient {
 public:
  virtual ~QueueClient() = default;
  virtual std::unique_ptr<queue::Publisher> publisher() = 0;
  // `who` names the worker in dead letters.
  virtual std::unique_ptr<queue::Receiver> receiver(std::string who) = 0;
  virtual std::unique_ptr<queue::BacklogSource> source() = 0;
};
struct QueueAccess {
  bool create = true;  // false: a queue that is not there is an error
};
// Requires: supported(). An Error names the file and the way out.
[[nodiscard]] aio::Task<Result<std::unique_ptr<QueueClient>>> open_queue(Context& context, pool::Queue queue,
                                                                         QueueAccess access, aio::Deadline deadline);
// Held by whoever scales the queue, for whatever pool; let go when destroyed. Code::conflict names the holder.
using QueueLock = std::shared_ptr<void>;
[[nodiscard]] Result<QueueLock> lock_queue(const pool::Queue& queue, const std::string& pool_id, WallTime now);

}  // namespace sluice::app
