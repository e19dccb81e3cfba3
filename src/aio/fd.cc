// SPDX-License-Identifier: Apache-2.0
#include "aio/fd.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <cerrno>
#include <cstring>
#include <optional>

#include "base/check.h"

namespace sluice::aio {

namespace asio = boost::asio;

void Fd::reset() {
  if (fd_ >= 0) {
    ::close(std::exchange(fd_, -1));
  }
}

Result<std::string> read_all(int fd, std::size_t bytes_max) {
  constexpr std::size_t step_bytes = 65536;
  std::string text;
  while (text.size() <= bytes_max) {
    const std::size_t had = text.size();
    text.resize(std::min(had + step_bytes, bytes_max + 1));
    const ssize_t n = ::read(fd, text.data() + had, text.size() - had);
    const int number = errno;
    text.resize(had + static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
    if (n == 0) {
      break;
    }
    if (n < 0 && number != EINTR) {
      return Error{Code::denied, fmt::format("cannot read: {}", std::strerror(number))};
    }
  }
  return text;
}

Result<Pipe> make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    return Error{Code::retry, fmt::format("cannot make a pipe: {}", std::strerror(errno))};
  }
  return Pipe{.read_end = Fd(ends[0]), .write_end = Fd(ends[1])};
}

Result<void> set_nonblocking(int fd) {
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0 || ((flags & O_NONBLOCK) == 0 && ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0)) {
    return Error{Code::invalid, fmt::format("descriptor {}: {}", fd, std::strerror(errno))};
  }
  return {};
}

// Shared with the reactor's pending waits, which may complete after the Watch is gone.
struct Watch::Impl {
  enum Way : std::size_t { in, out };
  struct Direction {
    std::optional<Resumer> waiter;
    bool armed = false;  // a wait is pending in the reactor; it serves whoever is the waiter when it completes
  };

  Impl(Loop& loop, Clock& c, int fd) : clock(c), descriptor(loop.context()) {
    boost::system::error_code ec;
    // A descriptor that epoll does not take (a regular file) is assigned without an error and fails each wait at once.
    descriptor.assign(fd, ec);
    check(!ec, "a descriptor is watched twice, or is not open");
  }

  Clock& clock;
  asio::posix::stream_descriptor descriptor;
  std::array<Direction, 2> directions;

  // Arms the reactor for one direction unless it already is: a wait that timed out leaves its arming to the next one.
  static void arm(const std::shared_ptr<Impl>& impl, Way way) {
    if (std::exchange(impl->directions[way].armed, true)) {
      return;
    }
    using Descriptor = asio::posix::descriptor_base;
    impl->descriptor.async_wait(way == in ? Descriptor::wait_read : Descriptor::wait_write,
                                [impl, way](const boost::system::error_code& ec) {
                                  Direction& direction = impl->directions[way];
                                  direction.armed = false;
                                  // Any other error means "cannot be polled": ready, the system call says what is
                                  // wrong.
                                  if (ec != asio::error::operation_aborted && direction.waiter) {
                                    direction.waiter->wake_here(Wake::ready);
                                  }
                                });
  }

  // Takes the Impl by value: the Watch may be gone while a cancelled wait still unwinds.
  static Task<Wake> wait(std::shared_ptr<Impl> impl, Way way, Deadline deadline) {
    const auto arrange = [impl, way, deadline](const Resumer& resumer) {
      Direction& direction = impl->directions[way];
      check(!direction.waiter || !direction.waiter->waiting(), "two wait for one direction of a descriptor");
      direction.waiter = resumer;
      if (deadline.at != Time::max()) {
        impl->clock.wake_at(deadline.at, resumer);
      }
      arm(impl, way);
    };
    const Wake why = co_await suspend(arrange);
    co_return why;
  }
};

Watch::Watch(Loop& loop, Clock& clock, int fd) : impl_(std::make_shared<Impl>(loop, clock, fd)) {}

// Deregisters without closing; pending waits complete as aborted and let go of the Impl.
Watch::~Watch() {
  impl_->descriptor.release();
  for (Impl::Direction& direction : impl_->directions) {
    direction.waiter.reset();
  }
}

Task<Wake> Watch::readable(Deadline deadline) {
  return Impl::wait(impl_, Impl::in, deadline);
}
Task<Wake> Watch::writable(Deadline deadline) {
  return Impl::wait(impl_, Impl::out, deadline);
}

Task<Result<void>> write_all(Loop& loop, Clock& clock, int fd, std::string bytes, bool closed_is_fine,
                             Deadline deadline) {
  const Result<void> set = set_nonblocking(fd);
  if (!set) {
    co_return set;
  }
  std::optional<Watch> watch;  // most bodies fit the pipe: then the reactor is never asked
  std::size_t at = 0;
  while (at < bytes.size()) {
    const ssize_t n = ::write(fd, bytes.data() + at, bytes.size() - at);
    if (n >= 0) {
      at += static_cast<std::size_t>(n);
      continue;
    }
    if (errno == EINTR) {
      continue;
    }
    if (errno == EPIPE || errno == ECONNRESET) {
      if (closed_is_fine) {
        co_return Result<void>();
      }
      co_return Error{Code::gone, "the reader closed its end"};
    }
    if (errno != EAGAIN) {
      co_return Error{Code::retry, fmt::format("write: {}", std::strerror(errno))};
    }
    if (!watch) {
      watch.emplace(loop, clock, fd);
    }
    const Wake why = co_await watch->writable(deadline);
    if (why == Wake::timeout) {
      co_return Error{Code::retry, fmt::format("not written in time: {} of {} bytes taken", at, bytes.size())};
    }
  }
  co_return Result<void>();
}

Task<Result<std::string>> read_some(Loop& loop, Clock& clock, int fd, std::size_t most, Deadline deadline) {
  const Result<void> set = set_nonblocking(fd);
  if (!set) {
    co_return set.error();
  }
  std::optional<Watch> watch;
  std::string bytes(most, '\0');
  while (true) {
    const ssize_t n = ::read(fd, bytes.data(), bytes.size());
    if (n >= 0) {
      bytes.resize(static_cast<std::size_t>(n));
      co_return std::move(bytes);
    }
    if (errno == EINTR) {
      continue;
    }
    if (errno != EAGAIN) {
      co_return Error{Code::retry, fmt::format("read: {}", std::strerror(errno))};
    }
    if (!watch) {
      watch.emplace(loop, clock, fd);
    }
    const Wake why = co_await watch->readable(deadline);
    if (why == Wake::timeout) {
      co_return Error{Code::retry, "nothing to read in time"};
    }
  }
}

}  // namespace sluice::aio
