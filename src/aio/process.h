// SPDX-License-Identifier: Apache-2.0
#pragma once
// Child processes: started as vfork does and awaited through a pidfd.
//
// Not posix_spawn, which cannot set a parent-death signal nor close what it was not told about. Not fork, whose cost
// grows with our memory. The parent's thread stands still until the child's exec, about 0.5 ms.
#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "aio/clock.h"
#include "aio/task.h"
#include "base/result.h"

namespace sluice::aio {

struct SpawnOptions {
  std::vector<std::string> argv;         // argv[0] without a slash is looked up in the PATH of `environment`
  std::vector<std::string> environment;  // "KEY=value", the whole environment of the child
  std::string directory;                 // empty: ours
  int stdin_fd = -1;                     // -1: /dev/null
  int stdout_fd = -1;                    // -1: ours, or /dev/null where ours is closed
  int stderr_fd = -1;                    // the same
  std::vector<int> keep_fds;             // inherited under the same number; every other descriptor above 2 is closed
  bool own_session = false;              // setsid: a terminal's Ctrl-C does not reach it
  bool dies_with_parent = false;         // SIGKILL when the *thread* that spawned it ends, so also on our kill -9
};

struct ExitStatus {
  int code = -1;   // exit code, or -1
  int signal = 0;  // the signal that ended it, or 0
  [[nodiscard]] bool ok() const { return code == 0 && signal == 0; }
};
// "exit status 3", "killed by SIGSEGV".
[[nodiscard]] std::string describe(ExitStatus status);

class Process {
 public:
  // Starts a child with all signals at their defaults and none blocked. ENOENT, EACCES, ENOEXEC and the like come back
  // here as Code::invalid naming argv[0] and the reason, not as an exit code of the child; EAGAIN and ENOMEM as
  // Code::retry.
  static Result<std::unique_ptr<Process>> spawn(Loop& loop, Clock& clock, const SpawnOptions& options);
  ~Process();  // does not kill; an unawaited child is reaped when the Loop next sees it, or becomes init's
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  [[nodiscard]] pid_t pid() const;
  // Its end; Code::retry at the deadline. May be called again after a deadline. Cancel-safe.
  [[nodiscard]] Task<Result<ExitStatus>> wait(Deadline deadline);
  // Its end if it already came, without waiting.
  [[nodiscard]] std::optional<ExitStatus> ended();
  // Sends a signal through the pidfd, so never to a recycled pid. False when it is gone.
  bool signal(int number);

 private:
  struct Impl;
  explicit Process(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice::aio
