// SPDX-License-Identifier: Apache-2.0
#include "aio/process.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <linux/close_range.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <string_view>

#include "aio/fd.h"
#include "base/check.h"

// glibc's clone under the name that sanitizers do not intercept: they would run the child on their own bookkeeping,
// which it shares with us.
extern "C" int __clone(int (*fn)(void*), void* stack, int flags, void* arg, ...) noexcept;  // NOLINT

namespace sluice::aio {
namespace {

// What the child was doing when it failed.
enum class Step { directory, descriptors, exec };

// Everything the child needs, prepared by the parent: between clone and exec the child shares our memory, so it calls
// the kernel and nothing else.
struct Plan {
  const char* directory = nullptr;
  std::array<int, 3> stdio{};      // source of descriptors 0, 1, 2; -1: /dev/null
  std::vector<int> keep;           // sorted, each above 2
  std::vector<std::string> paths;  // candidates for exec, in order
  std::vector<const char*> candidates;
  std::vector<char*> argv;
  std::vector<char*> environment;
  int descriptors_end = 0;  // one above the highest possible descriptor, for kernels without close_range
  bool own_session = false;
  bool dies_with_parent = false;
  pid_t parent = 0;

  // Written by the child.
  Step step = Step::exec;
  int error = 0;
};

#define SLUICE_NO_SANITIZE \
  __attribute__((no_sanitize("address", "thread", "undefined")))  // runs on a stack they don't know

SLUICE_NO_SANITIZE int fail(Plan& plan, Step step, int error) {
  plan.step = step;
  plan.error = error;
  ::syscall(SYS_exit_group, 127);
  return 127;
}

// Handlers must go before signals are unblocked, or one would run in the child on our memory; ignored ones too, because
// a program expects SIGPIPE at its default.
SLUICE_NO_SANITIZE void reset_signals() {
  long none[8];  // struct kernel_sigaction of any architecture, all zero: SIG_DFL
  for (long& word : none) {
    word = 0;
  }
  for (int number = 1; number <= 64; ++number) {
    ::syscall(SYS_rt_sigaction, number, none, nullptr, 8);
  }
}

// Puts the three standard descriptors in place. Sources that are themselves 0..2 move away first, so that none is
// overwritten before it is used. Returns an errno.
SLUICE_NO_SANITIZE int place_stdio(Plan& plan) {
  int source[3];
  for (int fd = 0; fd < 3; ++fd) {
    source[fd] = plan.stdio[static_cast<std::size_t>(fd)];
    if (source[fd] < 0) {
      source[fd] = static_cast<int>(::syscall(SYS_openat, AT_FDCWD, "/dev/null", O_RDWR | O_CLOEXEC));
      if (source[fd] < 0) {
        return errno;
      }
    }
    if (source[fd] < 3) {
      source[fd] = static_cast<int>(::syscall(SYS_fcntl, source[fd], F_DUPFD_CLOEXEC, 3));
      if (source[fd] < 0) {
        return errno;
      }
    }
  }
  for (int fd = 0; fd < 3; ++fd) {
    if (::syscall(SYS_dup3, source[fd], fd, 0) < 0) {
      return errno;
    }
  }
  return 0;
}

SLUICE_NO_SANITIZE void close_between(const Plan& plan, int first, int last) {
  if (first > last || ::syscall(SYS_close_range, first, last, 0) == 0) {
    return;
  }
  for (int fd = first; fd <= last && fd < plan.descriptors_end; ++fd) {
    ::syscall(SYS_close, fd);
  }
}

SLUICE_NO_SANITIZE int close_others(const Plan& plan) {
  int first = 3;
  const int* keep = plan.keep.data();
  for (std::size_t i = 0; i < plan.keep.size(); ++i) {
    close_between(plan, first, keep[i] - 1);
    if (::syscall(SYS_fcntl, keep[i], F_SETFD, 0) < 0) {
      return errno;
    }
    first = keep[i] + 1;
  }
  close_between(plan, first, 0x7fffffff);
  return 0;
}

// As execvp: goes on to the next folder of PATH when a program is not there or not ours to run, and remembers the
// latter.
SLUICE_NO_SANITIZE int exec(const Plan& plan) {
  bool denied = false;
  int error = ENOENT;
  const char* const* candidates = plan.candidates.data();
  for (std::size_t i = 0; i < plan.candidates.size(); ++i) {
    ::syscall(SYS_execve, candidates[i], plan.argv.data(), plan.environment.data());
    error = errno;
    denied = denied || error == EACCES;
    if (error != ENOENT && error != ENOTDIR && error != EACCES) {
      return error;
    }
  }
  return denied ? EACCES : error;
}

SLUICE_NO_SANITIZE int run_child(void* arg) {
  Plan& plan = *static_cast<Plan*>(arg);
  reset_signals();
  if (plan.dies_with_parent) {
    ::syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    // A parent that died before the line above sends nothing any more.
    if (::syscall(SYS_getppid) != plan.parent) {
      ::syscall(SYS_exit_group, 127);
    }
  }
  if (plan.own_session) {
    ::syscall(SYS_setsid);
  }
  if (plan.directory != nullptr && ::syscall(SYS_chdir, plan.directory) != 0) {
    return fail(plan, Step::directory, errno);
  }
  if (const int error = place_stdio(plan); error != 0) {
    return fail(plan, Step::descriptors, error);
  }
  if (const int error = close_others(plan); error != 0) {
    return fail(plan, Step::descriptors, error);
  }
  unsigned long no_signals = 0;
  ::syscall(SYS_rt_sigprocmask, SIG_SETMASK, &no_signals, nullptr, 8);
  return fail(plan, Step::exec, exec(plan));
}

// Every file that argv[0] may mean, in order, as execvp has it.
std::vector<std::string> candidates_of(const SpawnOptions& options) {
  const std::string& name = options.argv.front();
  if (name.contains('/')) {
    return {name};
  }
  std::string_view path = "/usr/local/bin:/usr/bin:/bin";  // when the environment has none
  for (const std::string& variable : options.environment) {
    if (variable.starts_with("PATH=")) {
      path = std::string_view(variable).substr(5);
      break;
    }
  }
  std::vector<std::string> out;
  for (std::size_t at = 0; at <= path.size();) {
    const std::size_t colon = std::min(path.find(':', at), path.size());
    const std::string_view folder = path.substr(at, colon - at);
    out.push_back(folder.empty() ? "./" + name : fmt::format("{}/{}", folder, name));
    at = colon + 1;
  }
  return out;
}

std::vector<char*> pointers(const std::vector<std::string>& strings) {
  std::vector<char*> out;
  out.reserve(strings.size() + 1);
  for (const std::string& text : strings) {
    out.push_back(const_cast<char*>(text.c_str()));
  }
  out.push_back(nullptr);
  return out;
}

void prepare(Plan& plan, const SpawnOptions& options) {
  plan.directory = options.directory.empty() ? nullptr : options.directory.c_str();
  const std::array<int, 3> given = {options.stdin_fd, options.stdout_fd, options.stderr_fd};
  for (int fd = 0; fd < 3; ++fd) {
    const bool ours = fd != 0 && given[static_cast<std::size_t>(fd)] < 0;
    plan.stdio[static_cast<std::size_t>(fd)] =
        !ours ? given[static_cast<std::size_t>(fd)] : (::fcntl(fd, F_GETFD) >= 0 ? fd : -1);
  }
  plan.keep = options.keep_fds;
  std::erase_if(plan.keep, [](int fd) { return fd < 3; });
  std::ranges::sort(plan.keep);
  plan.keep.erase(std::ranges::unique(plan.keep).begin(), plan.keep.end());
  plan.paths = candidates_of(options);
  for (const std::string& path : plan.paths) {
    plan.candidates.push_back(path.c_str());
  }
  plan.argv = pointers(options.argv);
  plan.environment = pointers(options.environment);
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  plan.descriptors_end = static_cast<int>(std::min<rlim_t>(limit.rlim_cur, 1U << 20U));
  plan.own_session = options.own_session;
  plan.dies_with_parent = options.dies_with_parent;
  plan.parent = ::getpid();
}

Error explain(const Plan& plan, const SpawnOptions& options) {
  const std::string& name = options.argv.front();
  const std::string reason = std::strerror(plan.error);
  if (plan.error == EAGAIN || plan.error == ENOMEM || plan.error == EMFILE || plan.error == ENFILE ||
      plan.error == ETXTBSY) {
    return Error{Code::retry, fmt::format("cannot start {}: {}", name, reason)};
  }
  if (plan.step == Step::directory) {
    return Error{Code::invalid, fmt::format("cannot start {}: folder {}: {}", name, options.directory, reason)};
  }
  if (plan.step == Step::descriptors) {
    return Error{Code::invalid, fmt::format("cannot start {}: a descriptor to inherit: {}", name, reason)};
  }
  switch (plan.error) {
    case ENOENT:
      return Error{
          Code::invalid,
          name.contains('/')
              ? fmt::format("cannot start {}: no such file, or the interpreter of its first line is missing", name)
              : fmt::format("cannot start {}: no such program in PATH (write ./{} for a file here)", name, name)};
    case EACCES:
      return Error{Code::invalid,
                   fmt::format("cannot start {}: not executable (chmod +x), or its folder is closed to us", name)};
    case ENOEXEC:
      return Error{
          Code::invalid,
          fmt::format("cannot start {}: not a program of this machine, and no \"#!\" line says what runs it", name)};
    case E2BIG:
      return Error{Code::invalid, fmt::format("cannot start {}: arguments and environment are too long", name)};
    default:
      return Error{Code::invalid, fmt::format("cannot start {}: {}", name, reason)};
  }
}

// Runs the plan; the child's pid, or -1 with plan.error set. Returns when the child has become another program or
// failed.
pid_t start(Plan& plan, int& pidfd) {
  // Chosen: the child calls nothing deeper than execve; 32 KiB is what glibc gives posix_spawn.
  constexpr std::size_t stack_bytes = 32U << 10U;
  const auto stack = std::make_unique_for_overwrite<std::byte[]>(stack_bytes);
  const auto top = reinterpret_cast<std::uintptr_t>(stack.get() + stack_bytes) & ~std::uintptr_t{15};

  // All signals wait until the child has dropped our handlers.
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  check(::pthread_sigmask(SIG_SETMASK, &all, &before) == 0, "signals cannot be blocked");
  pid_t pid =
      __clone(run_child, reinterpret_cast<void*>(top), CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, &plan, &pidfd);
  const int error = errno;
  check(::pthread_sigmask(SIG_SETMASK, &before, nullptr) == 0, "signals cannot be restored");
  if (pid < 0) {
    plan.step = Step::exec;
    plan.error = error;
  } else if (plan.error != 0) {
    const Fd owned(pidfd);
    siginfo_t ignored{};
    while (::waitid(P_PIDFD, static_cast<id_t>(pidfd), &ignored, WEXITED) != 0 && errno == EINTR) {
    }
    pid = -1;
  }
  return pid;
}

}  // namespace

std::string describe(ExitStatus status) {
  if (status.signal == 0) {
    return fmt::format("exit status {}", status.code);
  }
  const char* name = ::sigabbrev_np(status.signal);
  return name != nullptr ? fmt::format("killed by SIG{}", name) : fmt::format("killed by signal {}", status.signal);
}

struct Process::Impl {
  Impl(Loop& l, Clock& c, pid_t p, int fd) : loop(l), clock(c), pid(p), pidfd(fd) {}

  Loop& loop;
  Clock& clock;
  pid_t pid;
  Fd pidfd;
  std::optional<Watch> watch;
  std::optional<ExitStatus> status;

  std::optional<ExitStatus> ended() {
    siginfo_t info{};
    if (!status && ::waitid(P_PIDFD, static_cast<id_t>(pidfd.get()), &info, WEXITED | WNOHANG) == 0 &&
        info.si_pid != 0) {
      status = info.si_code == CLD_EXITED ? ExitStatus{.code = info.si_status, .signal = 0}
                                          : ExitStatus{.code = -1, .signal = info.si_status};
    }
    return status;
  }
};

Process::Process(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

// A child that still runs is left to a wait of its own, which owns the pidfd, so that no zombie stays.
Process::~Process() {
  impl_->watch.reset();
  if (impl_->ended()) {
    return;
  }
  const auto fd =
      std::make_shared<boost::asio::posix::stream_descriptor>(impl_->loop.context(), impl_->pidfd.release());
  fd->async_wait(boost::asio::posix::descriptor_base::wait_read, [fd](const boost::system::error_code& ec) {
    siginfo_t ignored{};
    if (!ec) {
      ::waitid(P_PIDFD, static_cast<id_t>(fd->native_handle()), &ignored, WEXITED | WNOHANG);
    }
  });
}

Result<std::unique_ptr<Process>> Process::spawn(Loop& loop, Clock& clock, const SpawnOptions& options) {
  if (options.argv.empty() || options.argv.front().empty()) {
    return Error{Code::invalid, "cannot start a program without a name"};
  }
  Plan plan;
  prepare(plan, options);
  int pidfd = -1;
  const pid_t pid = start(plan, pidfd);
  if (pid < 0) {
    return explain(plan, options);
  }
  return std::unique_ptr<Process>(new Process(std::make_unique<Impl>(loop, clock, pid, pidfd)));
}

pid_t Process::pid() const {
  return impl_->pid;
}

std::optional<ExitStatus> Process::ended() {
  return impl_->ended();
}

Task<Result<ExitStatus>> Process::wait(Deadline deadline) {
  while (!impl_->ended()) {
    if (!impl_->watch) {
      impl_->watch.emplace(impl_->loop, impl_->clock, impl_->pidfd.get());
    }
    const Wake why = co_await impl_->watch->readable(deadline);
    if (why == Wake::timeout && !impl_->ended()) {
      co_return Error{Code::retry, fmt::format("process {} still runs", impl_->pid)};
    }
  }
  co_return *impl_->status;
}

bool Process::signal(int number) {
  return !impl_->ended() && ::syscall(SYS_pidfd_send_signal, impl_->pidfd.get(), number, nullptr, 0) == 0;
}

}  // namespace sluice::aio
