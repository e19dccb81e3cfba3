// SPDX-License-Identifier: Apache-2.0
#include "app/context.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <exception>
#include <filesystem>

#include "aio/signals.h"
#include "app/cli.h"
#include "app/verbs.h"

namespace sluice::app {
namespace {

std::uint64_t seed(const aio::Clock& clock) {
  std::uint64_t bits = 0;
  if (::getrandom(&bits, sizeof bits, 0) != static_cast<ssize_t>(sizeof bits)) {
    // A kernel without it: ids must only differ between processes of one machine.
    bits = static_cast<std::uint64_t>(clock.now().time_since_epoch().count()) ^
           (static_cast<std::uint64_t>(::getpid()) << 40U);
  }
  return bits;
}

// This program, as a child can exec it even when it is called by a relative name.
std::string own_binary() {
  std::error_code failed;
  const std::filesystem::path path = std::filesystem::read_symlink("/proc/self/exe", failed);
  return failed ? "sluice" : path.string();
}

// As short as it can be typed: by name when that is how it was found, by a path from here when it is below.
std::string typed_program(const std::string& called) {
  if (called.find('/') == std::string::npos) {
    return called.empty() ? "sluice" : called;
  }
  std::error_code failed;
  const std::filesystem::path here = std::filesystem::current_path(failed);
  const std::string near = std::filesystem::path(called).lexically_proximate(here).string();
  if (failed || !std::filesystem::path(called).is_absolute() || near.starts_with("..")) {
    return called;
  }
  return near.find('/') == std::string::npos ? "./" + near : near;
}

std::optional<std::string> variable(char** environment, const std::string& name) {
  for (char** entry = environment; *entry != nullptr; ++entry) {
    const std::string_view one(*entry);
    if (one.starts_with(name) && one.substr(name.size()).starts_with('=')) {
      return std::string(one.substr(name.size() + 1));
    }
  }
  return std::nullopt;
}

bool wants_colour(const Out& out, const Context& context, const Args& args) {
  return out.terminal() && !args.has("no-color") && !context.env("NO_COLOR") && context.env("TERM") != "dumb";
}

aio::Task<void> run_verb(Context& context, const Verb& verb, Args args, int& code) {
  code = co_await verb.run(context, std::move(args));
  co_await context.queues.close();
}

int run(const Verb& verb, Args args, Out& out, Out& err, const char* called, char** environment) {
  aio::Loop loop;
  aio::RealClock clock(loop);
  Random random(seed(clock));
  Log log;
  wiring::Queues queues(
      loop, clock, random, [&log](std::string_view what) { log.warn("queue", what, {}); },
      [environment](const std::string& name) { return variable(environment, name); });
  Context context{.loop = loop, .clock = clock, .random = random, .out = out, .err = err, .log = log, .queues = queues};
  for (char** entry = environment; *entry != nullptr; ++entry) {
    context.environment.emplace_back(*entry);
  }
  context.json = args.text("output") == "json";
  context.colour = wants_colour(out, context, args);
  context.err_colour = wants_colour(err, context, args);
  context.binary = own_binary();
  context.program = typed_program(called);
  const LogOptions options{.json = context.json, .colour = context.err_colour};
  log = Log(options, [&err](std::string_view line) { err.line(line); }, [&clock] { return clock.wall(); });
  int code = exit_failed;
  loop.run(run_verb(context, verb, std::move(args), code));
  return code;
}

}  // namespace

Out::Out(int fd) : fd_(fd), terminal_(::isatty(fd) == 1) {}

void Out::write(std::string_view text) {
  while (!text.empty() && !closed_) {
    const ssize_t n = ::write(fd_, text.data(), text.size());
    if (n >= 0) {
      text.remove_prefix(static_cast<std::size_t>(n));
    } else if (errno == EPIPE || errno == EBADF) {
      closed_ = true;
    } else if (errno == EAGAIN) {
      pollfd ready{.fd = fd_, .events = POLLOUT, .revents = 0};
      ::poll(&ready, 1, -1);  // somebody made it non-blocking; whole data still matters more than going on
    } else if (errno != EINTR) {
      closed_ = true;
      failure_ = Error{Code::denied,
                       fmt::format("cannot write to {}: {}", fd_ == 1 ? "stdout" : "stderr", std::strerror(errno))};
    }
  }
}

void Out::line(std::string_view text) {
  std::string whole(text);
  whole += '\n';
  write(whole);
}

int Out::columns() const {
  winsize size{};
  return ::ioctl(fd_, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 100;
}

int Out::rows() const {
  winsize size{};
  return ::ioctl(fd_, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 ? size.ws_row : 30;
}

std::optional<std::string> Context::env(std::string_view name) const {
  for (const std::string& entry : environment) {
    if (entry.size() > name.size() + 1 && entry.starts_with(name) && entry[name.size()] == '=') {
      return entry.substr(name.size() + 1);
    }
  }
  return std::nullopt;
}

StopSignals::~StopSignals() {
  // Caught signals fall back to ending the process when nobody catches them any more, so they are held back before.
  sigset_t set;
  ::sigemptyset(&set);
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
    ::sigaddset(&set, number);
  }
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

aio::Task<void> StopSignals::next() {
  co_await signals_.next(for_ever);
}

void open_standard_descriptors() {
  for (int fd = 0; fd <= 2; ++fd) {
    if (::fcntl(fd, F_GETFD) < 0 && errno == EBADF) {
      const int opened = ::open("/dev/null", fd == 0 ? O_RDONLY : O_WRONLY);
      if (opened >= 0 && opened != fd) {
        ::close(opened);  // without /dev/null there is nothing to be done
      }
    }
  }
}

int run_program(int argc, char** argv, char** environment) {
  open_standard_descriptors();
  aio::ignore_sigpipe();
  Out out(STDOUT_FILENO);
  Out err(STDERR_FILENO);
  const std::vector<Verb>& all = verbs();
  int code = exit_failed;
  try {
    Invocation call = parse(all, std::vector<std::string>(argv + (argc > 0 ? 1 : 0), argv + argc));
    out.write(call.out);
    err.write(call.err);
    code = call.verb == nullptr ? call.exit : run(*call.verb, std::move(call.args), out, err, argv[0], environment);
  } catch (const std::exception& error) {
    err.line(fmt::format("sluice: {}", error.what()));
  }
  if (out.failure()) {
    err.line(fmt::format("sluice: {}", out.failure()->what));
    code = code == exit_done ? exit_failed : code;
  }
  return code;
}

}  // namespace sluice::app
