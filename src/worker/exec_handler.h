// SPDX-License-Identifier: Apache-2.0
#pragma once
// `--exec`: one process a message. Started by argv, never by a shell: a message cannot become a command.
#include <string>
#include <vector>

#include "aio/fd.h"
#include "aio/process.h"
#include "worker/handler.h"

namespace sluice::worker {

struct ExecOptions {
  std::vector<std::string> argv;         // argv[0] without a slash is looked up in the PATH of `environment`
  std::vector<std::string> environment;  // "KEY=value"; SLUICE_MESSAGE_ID, _ATTEMPT and _HEADERS are added
  std::string directory;                 // empty: ours
};

// The body is the program's standard input, which it need not read; its standard output goes to our standard error.
// Exit 0 is done, 75 (EX_TEMPFAIL) retry later, all else failed. It runs in a session of its own, so that a Ctrl-C at
// the worker drains instead of killing what it waits for, and dies with the worker. Cancelled, it is killed with all of
// its session that stayed in its process group, and has ended before the cancellation goes on.
class ExecHandler final : public Handler {
 public:
  ExecHandler(aio::Loop& loop, aio::Clock& clock, ExecOptions options);
  // Finds the program, without starting it.
  [[nodiscard]] Result<void> check() override;
  aio::Task<Outcome> handle(const queue::Delivery& delivery, std::uint32_t attempt, aio::Deadline max_runtime) override;

 private:
  struct Started;
  [[nodiscard]] Result<Started> start(const queue::Delivery& delivery, std::uint32_t attempt,
                                      const std::string& headers);
  aio::Task<aio::ExitStatus> finish(aio::Process& process, aio::Fd& input, std::string rest);

  aio::Loop& loop_;
  aio::Clock& clock_;
  const ExecOptions options_;
};

}  // namespace sluice::worker
