// SPDX-License-Identifier: Apache-2.0
#include "worker/exec_handler.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <exception>
#include <utility>

#include "aio/fd.h"
#include "aio/suspend.h"
#include "aio/task_group.h"
#include "base/check.h"
#include "worker/metadata.h"

namespace sluice::worker {

using namespace std::chrono_literals;

namespace {

constexpr int exit_retry = 75;  // EX_TEMPFAIL of sysexits.h: what mail and batch programs say for "later"
// One string of an environment holds at most 128 KiB on Linux (MAX_ARG_STRLEN); execve refuses more.
constexpr std::size_t headers_max = 120U << 10U;
// A machine out of processes or memory recovers, or the worker says so.
constexpr Duration start_patience = 10s;
// From SIGKILL to the end; longer only where the kernel itself is stuck.
constexpr Duration kill_patience = 5s;

// What of `body` the pipe takes at once, mostly all of it: then no writer has to wait beside the process.
Result<std::size_t> write_ahead(int fd, std::string_view body) {
  const Result<void> made = aio::set_nonblocking(fd);
  if (!made) {
    return made.error();
  }
  std::size_t written = 0;
  while (written < body.size()) {
    const ssize_t n = ::write(fd, body.data() + written, body.size() - written);
    if (n < 0 && errno == EINTR) {
      continue;
    }
    if (n < 0 && errno != EAGAIN) {
      return Error{Code::retry, std::string("cannot write to a pipe: ") + std::strerror(errno)};
    }
    if (n <= 0) {
      break;
    }
    written += static_cast<std::size_t>(n);
  }
  return written;
}

aio::Task<void> feed(aio::Loop& loop, aio::Clock& clock, aio::Fd& input, std::string rest) {
  const Result<void> fed = co_await aio::write_all(loop, clock, input.get(), std::move(rest), true, aio::Deadline{});
  static_cast<void>(fed);  // without a deadline, and with a closed end allowed, what is left is the program's to judge
  input.reset();
}

aio::Task<void> await_end(aio::Process& process, aio::TaskGroup& feeder, aio::ExitStatus& status) {
  const Result<aio::ExitStatus> end = co_await process.wait(aio::Deadline{});
  check(end.has_value(), "a wait without a deadline has passed it");
  status = *end;
  feeder.cancel();
}

void kill_all(aio::Process& process) {
  if (process.ended()) {
    return;
  }
  // Not reaped yet, so its pid, which is also its group's, cannot be somebody else's.
  ::kill(-process.pid(), SIGKILL);
  process.signal(SIGKILL);
}

Outcome judge(aio::ExitStatus status) {
  if (status.ok()) {
    return Outcome::done();
  }
  return status.code == exit_retry ? Outcome::retry(describe(status)) : Outcome::failed(describe(status));
}

std::string look_for(const std::vector<std::string>& environment) {
  for (const std::string& entry : environment) {
    if (entry.starts_with("PATH=")) {
      return entry.substr(5);
    }
  }
  return "/usr/local/bin:/usr/bin:/bin";
}

}  // namespace

struct ExecHandler::Started {
  std::unique_ptr<aio::Process> process;
  aio::Fd input;        // of the program; closed when all of the body is in the pipe
  std::size_t fed = 0;  // bytes of the body in the pipe
};

ExecHandler::ExecHandler(aio::Loop& loop, aio::Clock& clock, ExecOptions options)
    : loop_(loop), clock_(clock), options_(std::move(options)) {}

Result<void> ExecHandler::check() {
  if (options_.argv.empty() || options_.argv.front().empty()) {
    return Error{Code::invalid, "--exec needs a program"};
  }
  const std::string& name = options_.argv.front();
  std::vector<std::string> places;
  if (name.contains('/')) {
    const bool elsewhere = !name.starts_with('/') && !options_.directory.empty();
    places.push_back(elsewhere ? options_.directory + "/" + name : name);
  } else {
    const std::string path = look_for(options_.environment);
    for (std::size_t begin = 0; begin <= path.size();) {
      const std::size_t end = std::min(path.find(':', begin), path.size());
      places.push_back(path.substr(begin, end - begin) + "/" + name);
      begin = end + 1;
    }
  }
  std::string why = "no such file";
  for (const std::string& place : places) {
    struct stat found{};
    if (::stat(place.c_str(), &found) != 0) {
      continue;
    }
    if (S_ISREG(found.st_mode) && ::access(place.c_str(), X_OK) == 0) {
      return {};
    }
    why = S_ISREG(found.st_mode) ? "not executable (chmod +x)" : "not a file";
  }
  return Error{Code::invalid, "cannot start the handler " + name + ": " + why};
}

Result<ExecHandler::Started> ExecHandler::start(const queue::Delivery& delivery, std::uint32_t attempt,
                                                const std::string& headers) {
  aio::SpawnOptions spawn;
  spawn.argv = options_.argv;
  spawn.environment = options_.environment;
  spawn.environment.push_back("SLUICE_MESSAGE_ID=" + delivery.message.id);
  spawn.environment.push_back("SLUICE_MESSAGE_ATTEMPT=" + std::to_string(attempt));
  spawn.environment.push_back("SLUICE_MESSAGE_HEADERS=" + headers);
  spawn.directory = options_.directory;
  spawn.stdout_fd = STDERR_FILENO;
  spawn.own_session = true;
  spawn.dies_with_parent = true;

  Started started;
  aio::Fd output;
  const std::string& body = delivery.message.body;
  if (!body.empty()) {  // else /dev/null, which reads the same
    Result<aio::Pipe> pipe = aio::make_pipe();
    if (!pipe) {
      return pipe.error();
    }
    started.input = std::move(pipe->write_end);
    output = std::move(pipe->read_end);
    spawn.stdin_fd = output.get();
    const Result<std::size_t> written = write_ahead(started.input.get(), body);
    if (!written) {
      return written.error();
    }
    started.fed = *written;
    if (started.fed == body.size()) {
      started.input.reset();
    }
  }
  Result<std::unique_ptr<aio::Process>> process = aio::Process::spawn(loop_, clock_, spawn);
  if (!process) {
    return process.error();
  }
  started.process = std::move(*process);
  return started;
}

aio::Task<Outcome> ExecHandler::handle(const queue::Delivery& delivery, std::uint32_t attempt, aio::Deadline) {
  const std::string headers = headers_json(delivery);
  if (headers.size() > headers_max) {
    co_return Outcome::permanent("its headers have " + std::to_string(headers.size()) +
                                 " bytes as JSON, more than fit a program's environment");
  }
  const aio::Deadline patience = clock_.in(start_patience);
  Result<Started> started = start(delivery, attempt, headers);
  while (!started) {
    if (started.error().code != Code::retry || patience.passed(clock_.now())) {
      co_return Outcome::cannot_start(started.error().what);
    }
    co_await clock_.sleep_for(start_patience / 20);
    started = start(delivery, attempt, headers);
  }

  std::exception_ptr cancelled;
  Outcome outcome;
  try {
    std::string rest = started->input ? delivery.message.body.substr(started->fed) : std::string();
    const aio::ExitStatus status = co_await finish(*started->process, started->input, std::move(rest));
    outcome = judge(status);
  } catch (...) {
    cancelled = std::current_exception();
  }
  if (cancelled) {
    co_await aio::ignore_cancellation();
    kill_all(*started->process);
    const aio::Deadline gone = clock_.in(kill_patience);
    const Result<aio::ExitStatus> end = co_await started->process->wait(gone);
    static_cast<void>(end);
    std::rethrow_exception(cancelled);
  }
  co_return outcome;
}

// Waits for the end while the rest of the body goes in. What is not read by then is not read at all, which is fine.
aio::Task<aio::ExitStatus> ExecHandler::finish(aio::Process& process, aio::Fd& input, std::string rest) {
  aio::TaskGroup feeder(loop_, clock_);
  aio::ExitStatus status;
  if (!rest.empty()) {
    feeder.spawn(feed(loop_, clock_, input, std::move(rest)));
  }
  feeder.spawn(await_end(process, feeder, status));
  co_await feeder.join();
  co_return status;
}

}  // namespace sluice::worker
