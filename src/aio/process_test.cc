// SPDX-License-Identifier: Apache-2.0
#include "aio/process.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>

#include "aio/fd.h"
#include "aio/signals.h"
#include "aio/task_group.h"
#include "base/testing_folder.h"

namespace sluice::aio {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

// A folder that goes with the test.
struct Folder : TestFolder {
  std::string file(const std::string& name, const std::string& text, mode_t mode) const {
    std::ofstream(path() + "/" + name) << text;
    ::chmod((path() + "/" + name).c_str(), mode);
    return path() + "/" + name;
  }
};

class ProcessTest : public testing::Test {
 protected:
  ProcessTest() { ignore_sigpipe(); }

  static SpawnOptions shell(const std::string& script) {
    SpawnOptions options;
    options.argv = {"/bin/sh", "-c", script};
    options.environment = {"PATH=/usr/bin:/bin"};
    return options;
  }
  Result<ExitStatus> run(const SpawnOptions& options) {
    Result<ExitStatus> out = Error{Code::retry, "not run"};
    const auto main = [&]() -> Task<void> {
      Result<std::unique_ptr<Process>> child = Process::spawn(loop_, clock_, options);
      if (!child) {
        out = child.error();
        co_return;
      }
      out = co_await (*child)->wait(clock_.in(20s));
    };
    loop_.run(main());
    return out;
  }
  // What the child writes to its stdout.
  std::string output(SpawnOptions options) {
    Result<Pipe> pipe = make_pipe();
    options.stdout_fd = pipe->write_end.get();
    std::string out;
    const auto main = [&]() -> Task<void> {
      const Result<std::unique_ptr<Process>> child = Process::spawn(loop_, clock_, options);
      pipe->write_end.reset();
      EXPECT_TRUE(child.has_value());
      while (child) {
        const Result<std::string> some = co_await read_some(loop_, clock_, pipe->read_end.get(), 4096, clock_.in(20s));
        if (!some || some->empty()) {
          break;
        }
        out += *some;
      }
      const Result<ExitStatus> end = co_await (*child)->wait(clock_.in(20s));
      EXPECT_TRUE(end && end->ok());
    };
    loop_.run(main());
    return out;
  }

  Loop loop_;
  RealClock clock_{loop_};
};

TEST_F(ProcessTest, TellsExitCodesAndSignalsApart) {
  EXPECT_EQ(run(shell("exit 0"))->code, 0);
  EXPECT_EQ(run(shell("exit 75"))->code, 75);
  const ExitStatus killed = *run(shell("kill -SEGV $$"));
  EXPECT_EQ(killed.signal, SIGSEGV);
  EXPECT_EQ(describe(killed), "killed by SIGSEGV");
  EXPECT_EQ(describe(ExitStatus{.code = 3, .signal = 0}), "exit status 3");
}

TEST_F(ProcessTest, AProgramThatCannotBeStartedIsAnErrorAndNotAnExitCode) {
  const Folder folder;
  SpawnOptions options = shell("");
  const auto refused = [&](const std::string& argv0) {
    options.argv = {argv0};
    const Result<ExitStatus> end = run(options);
    EXPECT_FALSE(end.has_value());
    EXPECT_EQ(end.error().code, Code::invalid);
    return end.error().what;
  };
  EXPECT_THAT(refused("/nowhere/handle"), HasSubstr("cannot start /nowhere/handle: no such file"));
  EXPECT_THAT(refused("no-such-program-anywhere"),
              HasSubstr("no such program in PATH (write ./no-such-program-anywhere"));
  EXPECT_THAT(refused(folder.file("plain", "#!/bin/sh\n", 0644)), HasSubstr("not executable (chmod +x)"));
  EXPECT_THAT(refused(folder.file("text", "echo hello\n", 0755)), HasSubstr("no \"#!\" line"));
  EXPECT_THAT(refused(folder.file("lost", "#!/nowhere/python\n", 0755)),
              HasSubstr("interpreter of its first line is missing"));
  EXPECT_THAT(refused(folder.path()), HasSubstr("not executable"));
  EXPECT_THAT(refused(""), HasSubstr("without a name"));
  options.directory = "/nowhere";
  EXPECT_THAT(refused("/bin/sh"), HasSubstr("folder /nowhere: No such file"));
  options.directory.clear();
  options.stdin_fd = 999;
  EXPECT_THAT(refused("/bin/sh"), HasSubstr("a descriptor to inherit: Bad file descriptor"));
}

TEST_F(ProcessTest, LooksTheProgramUpInTheChildsPathAndGoesOnPastWhatItMayNotRun) {
  const Folder first;
  const Folder second;
  first.file("handle", "#!/bin/sh\nexit 1\n", 0644);
  second.file("handle", "#!/bin/sh\nexit 7\n", 0755);
  SpawnOptions options;
  options.argv = {"handle"};
  options.environment = {fmt::format("PATH={}:{}:/bin", first.path(), second.path())};
  EXPECT_EQ(run(options)->code, 7);
  options.environment = {fmt::format("PATH={}:/bin", first.path())};
  EXPECT_THAT(run(options).error().what, HasSubstr("not executable"));
  options.environment = {};
  options.argv = {"true"};
  EXPECT_EQ(run(options)->code, 0) << "without PATH the usual folders are searched";
}

TEST_F(ProcessTest, GivesTheEnvironmentAndFolderAskedForAndNothingElse) {
  const Folder folder;
  SpawnOptions options = shell("echo $A-$HOME; pwd -P");
  options.environment = {"A=1"};
  options.directory = folder.path();
  EXPECT_EQ(output(options), fmt::format("1-\n{}\n", std::filesystem::canonical(folder.path()).string()));
}

TEST_F(ProcessTest, InheritsKeptDescriptorsAndClosesTheOthers) {
  const int stray = ::fcntl(2, F_DUPFD, 50);  // inheritable, as a careless library leaves it
  Result<Pipe> kept = make_pipe();
  ASSERT_EQ(::write(kept->write_end.get(), "x", 1), 1);
  SpawnOptions options =
      shell(fmt::format("[ -e /proc/self/fd/{} ] && exit 1; [ -e /proc/self/fd/{} ] && exit 2; read a <&{}; [ $a = x ]",
                        stray, kept->write_end.get(), kept->read_end.get()));
  options.argv[0] = "/bin/bash";
  ASSERT_EQ(::write(kept->write_end.get(), "\n", 1), 1);
  options.keep_fds = {kept->read_end.get()};
  EXPECT_EQ(run(options)->code, 0);
  ::close(stray);
}

TEST_F(ProcessTest, SwapsStandardDescriptorsWithoutLosingOne) {
  Result<Pipe> pipe = make_pipe();
  SpawnOptions options = shell("echo to-err >&2; echo to-out");
  options.stderr_fd = 1;  // crossed: stderr to our stdout, stdout to the pipe
  EXPECT_EQ(output(options), "to-out\n");
  options = shell("read a; [ -z \"$a\" ]");
  EXPECT_EQ(run(options)->code, 0) << "without stdin_fd stdin is empty";
}

TEST_F(ProcessTest, WorksWithItsOwnStandardDescriptorsClosed) {
  const Fd kept_in(::fcntl(0, F_DUPFD_CLOEXEC, 10));
  const Fd kept_out(::fcntl(1, F_DUPFD_CLOEXEC, 10));
  ::close(0);
  ::close(1);
  const Result<ExitStatus> end = run(shell("echo lost && [ -e /proc/self/fd/0 ] && [ -e /proc/self/fd/1 ]"));
  ::dup2(kept_in.get(), 0);
  ::dup2(kept_out.get(), 1);
  EXPECT_TRUE(end && end->ok());
}

TEST_F(ProcessTest, StartsWithDefaultSignalsAndNoneBlocked) {
  sigset_t term;
  ::sigemptyset(&term);
  ::sigaddset(&term, SIGTERM);
  ::sigprocmask(SIG_BLOCK, &term, nullptr);
  EXPECT_EQ(run(shell("kill -TERM $$"))->signal, SIGTERM);
  ::sigprocmask(SIG_UNBLOCK, &term, nullptr);
  EXPECT_EQ(run(shell("kill -PIPE $$"))->signal, SIGPIPE) << "SIGPIPE is ignored here, not there";
}

TEST_F(ProcessTest, OwnSessionIsItsOwn) {
  SpawnOptions options = shell("read a");
  Result<Pipe> pipe = make_pipe();
  options.stdin_fd = pipe->read_end.get();
  for (const bool own : {false, true}) {
    options.own_session = own;
    const auto main = [&]() -> Task<void> {
      Result<std::unique_ptr<Process>> child = Process::spawn(loop_, clock_, options);
      EXPECT_EQ(::getsid((*child)->pid()), own ? (*child)->pid() : ::getsid(0));
      EXPECT_TRUE((*child)->signal(SIGKILL));
      const Result<ExitStatus> end = co_await (*child)->wait(clock_.in(20s));
      EXPECT_EQ(end->signal, SIGKILL);
      EXPECT_FALSE((*child)->signal(SIGKILL));
    };
    loop_.run(main());
  }
}

TEST_F(ProcessTest, WaitGivesUpAtTheDeadlineAndMayBeAskedAgain) {
  Result<Pipe> pipe = make_pipe();
  SpawnOptions options = shell("read a; exit 4");
  options.stdin_fd = pipe->read_end.get();
  const auto main = [&]() -> Task<void> {
    Result<std::unique_ptr<Process>> child = Process::spawn(loop_, clock_, options);
    EXPECT_FALSE((*child)->ended());
    const Result<ExitStatus> early = co_await (*child)->wait(clock_.in(5ms));
    EXPECT_EQ(early.error().code, Code::retry);
    pipe->write_end.reset();
    pipe->read_end.reset();
    const Result<ExitStatus> end = co_await (*child)->wait(clock_.in(20s));
    EXPECT_EQ(end->code, 4);
    EXPECT_EQ((*child)->ended()->code, 4);
  };
  loop_.run(main());
}

TEST_F(ProcessTest, ACancelledWaitLeavesTheChildWaitable) {
  Result<Pipe> pipe = make_pipe();
  SpawnOptions options = shell("read a; exit 4");
  options.stdin_fd = pipe->read_end.get();
  const auto wait = [](Process& child) -> Task<void> {
    const Result<ExitStatus> end = co_await child.wait(Deadline{});
    ADD_FAILURE() << "not cancelled";
  };
  const auto main = [&]() -> Task<void> {
    Result<std::unique_ptr<Process>> child = Process::spawn(loop_, clock_, options);
    TaskGroup group(loop_, clock_);
    group.spawn(wait(**child));
    co_await group.join_or_cancel(clock_.in(5ms));
    pipe->write_end.reset();
    pipe->read_end.reset();
    const Result<ExitStatus> end = co_await (*child)->wait(clock_.in(20s));
    EXPECT_EQ(end->code, 4);
  };
  loop_.run(main());
}

TEST_F(ProcessTest, AChildNobodyWaitedForLeavesNoZombie) {
  Result<Pipe> pipe = make_pipe();
  SpawnOptions options = shell("read a");
  options.stdin_fd = pipe->read_end.get();
  const auto main = [&]() -> Task<void> {
    pid_t pid = 0;
    {
      const Result<std::unique_ptr<Process>> child = Process::spawn(loop_, clock_, options);
      pid = (*child)->pid();
    }
    pipe->write_end.reset();
    const Time end = clock_.now() + 20s;
    while (::kill(pid, 0) == 0 && clock_.now() < end) {
      co_await clock_.sleep_for(1ms);
    }
    EXPECT_EQ(::kill(pid, 0), -1);
  };
  loop_.run(main());
}

TEST_F(ProcessTest, ABodyThatTheChildNeverReadsIsNoError) {
  const std::string body(1U << 20U, 'x');  // larger than any pipe
  const auto main = [&]() -> Task<void> {
    for (const char* script : {"exit 0", "exec <&-; exit 0", "head -c 100000 >/dev/null"}) {
      Result<Pipe> pipe = make_pipe();
      SpawnOptions options = shell(script);
      options.stdin_fd = pipe->read_end.get();
      Result<std::unique_ptr<Process>> child = Process::spawn(loop_, clock_, options);
      pipe->read_end.reset();
      const Result<void> wrote = co_await write_all(loop_, clock_, pipe->write_end.get(), body, true, clock_.in(20s));
      EXPECT_TRUE(wrote.has_value()) << script;
      pipe->write_end.reset();
      const Result<ExitStatus> end = co_await (*child)->wait(clock_.in(20s));
      EXPECT_TRUE(end && end->ok()) << script;
    }
    Result<Pipe> pipe = make_pipe();
    pipe->read_end.reset();
    const Result<void> wrote = co_await write_all(loop_, clock_, pipe->write_end.get(), body, false, clock_.in(20s));
    EXPECT_EQ(wrote.error().code, Code::gone);
  };
  loop_.run(main());
}

TEST_F(ProcessTest, ABodyLargerThanThePipeArrivesWhole) {
  const std::string body(1U << 20U, 'x');
  Result<Pipe> pipe = make_pipe();
  SpawnOptions options = shell("[ $(wc -c) = 1048576 ]");
  options.stdin_fd = pipe->read_end.get();
  const auto main = [&]() -> Task<void> {
    Result<std::unique_ptr<Process>> child = Process::spawn(loop_, clock_, options);
    pipe->read_end.reset();
    const Result<void> wrote = co_await write_all(loop_, clock_, pipe->write_end.get(), body, false, clock_.in(20s));
    EXPECT_TRUE(wrote.has_value());
    pipe->write_end.reset();
    const Result<ExitStatus> end = co_await (*child)->wait(clock_.in(20s));
    EXPECT_TRUE(end && end->ok());
  };
  loop_.run(main());
}

// The pid of a grandchild whose parent, a process of its own, spawned it and then hangs.
pid_t start_under_helper(bool dies_with_parent, pid_t& helper) {
  std::array<int, 2> pipe{};
  EXPECT_EQ(::pipe2(pipe.data(), O_CLOEXEC), 0);
  helper = ::fork();
  if (helper == 0) {
    Loop loop;
    RealClock clock(loop);
    SpawnOptions options;
    options.argv = {"/bin/sleep", "60"};
    options.dies_with_parent = dies_with_parent;
    const Result<std::unique_ptr<Process>> child = Process::spawn(loop, clock, options);
    const pid_t pid = child ? (*child)->pid() : -1;
    if (::write(pipe[1], &pid, sizeof pid) != sizeof pid) {
      ::_exit(1);
    }
    while (true) {
      ::pause();
    }
  }
  pid_t grandchild = 0;
  EXPECT_EQ(::read(pipe[0], &grandchild, sizeof grandchild), static_cast<ssize_t>(sizeof grandchild));
  ::close(pipe[0]);
  ::close(pipe[1]);
  return grandchild;
}

TEST_F(ProcessTest, DiesWithAParentThatIsKilledWhereAskedAndNotOtherwise) {
  for (const bool asked : {true, false}) {
    pid_t helper = 0;
    const pid_t grandchild = start_under_helper(asked, helper);
    ASSERT_GT(grandchild, 0);
    const Fd watched(static_cast<int>(::syscall(SYS_pidfd_open, grandchild, 0)));
    ASSERT_TRUE(watched);
    ::kill(helper, SIGKILL);
    ::waitpid(helper, nullptr, 0);
    pollfd poll{.fd = watched.get(), .events = POLLIN, .revents = 0};
    EXPECT_EQ(::poll(&poll, 1, asked ? 20'000 : 20), asked ? 1 : 0);
    ::syscall(SYS_pidfd_send_signal, watched.get(), SIGKILL, nullptr, 0);
  }
}

}  // namespace
}  // namespace sluice::aio
