// SPDX-License-Identifier: Apache-2.0
#include "aio/stream.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/core.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

namespace sluice::aio {
namespace {

Error cut_off(std::string_view doing, int error) {
  return Error{Code::retry, fmt::format("{}: {}", doing, std::strerror(error))};
}

class SocketStream final : public Stream {
 public:
  SocketStream(Loop& loop, Clock& clock, Fd socket) : socket_(std::move(socket)), watch_(loop, clock, socket_.get()) {}

  Task<Result<std::size_t>> read_some(std::span<char> into, Deadline deadline) override {
    while (true) {
      if (!std::exchange(drained_, false)) {
        const ssize_t n = ::recv(socket_.get(), into.data(), into.size(), 0);
        if (n >= 0) {
          drained_ = n > 0 && static_cast<std::size_t>(n) < into.size();
          co_return static_cast<std::size_t>(n);
        }
        if (errno != EAGAIN && errno != EINTR) {
          co_return cut_off("connection cut", errno);
        }
      }
      const Wake why = co_await watch_.readable(deadline);
      if (why == Wake::timeout) {
        co_return Error{Code::retry, "nothing came in time"};
      }
    }
  }

  Task<Result<void>> write_all(std::string_view bytes, Deadline deadline) override {
    while (!bytes.empty()) {
      const ssize_t n = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n >= 0) {
        bytes.remove_prefix(static_cast<std::size_t>(n));
        continue;
      }
      if (errno != EAGAIN && errno != EINTR) {
        co_return cut_off("connection cut", errno);
      }
      const Wake why = co_await watch_.writable(deadline);
      if (why == Wake::timeout) {
        co_return Error{Code::retry, "the peer did not take everything in time"};
      }
    }
    co_return Result<void>();
  }

  std::size_t write_now(std::string_view bytes) override {
    const ssize_t n = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    return n > 0 ? static_cast<std::size_t>(n) : 0;
  }

  Task<Result<void>> end_writing(Deadline) override {
    ::shutdown(socket_.get(), SHUT_WR);
    co_return Result<void>();
  }

  bool quiet() override {
    char byte = 0;
    return ::recv(socket_.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
  }

  void cut() override { ::shutdown(socket_.get(), SHUT_RDWR); }

 private:
  Fd socket_;
  bool drained_ = false;  // the last read took less than it could: the next one begins by waiting
  Watch watch_;           // after socket_: leaves the reactor before the descriptor is closed
};

}  // namespace

Result<SocketAddress> ip_address(const std::string& literal, std::uint16_t port) {
  SocketAddress out;
  auto* const v4 = reinterpret_cast<sockaddr_in*>(&out.storage);
  auto* const v6 = reinterpret_cast<sockaddr_in6*>(&out.storage);
  if (::inet_pton(AF_INET, literal.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    out.length = sizeof *v4;
  } else if (::inet_pton(AF_INET6, literal.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    out.length = sizeof *v6;
  } else {
    return Error{Code::invalid, fmt::format("\"{}\" is not an IP address", literal.substr(0, 80))};
  }
  return out;
}

Result<SocketAddress> unix_address(const std::string& path) {
  SocketAddress out;
  auto* const address = reinterpret_cast<sockaddr_un*>(&out.storage);
  std::string name = path;
  if (name.size() >= sizeof address->sun_path) {
    const std::size_t slash = path.rfind('/');
    const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
    out.folder = std::make_shared<Fd>(::open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!*out.folder) {
      return Error{Code::invalid, fmt::format("socket {}: {}", path, std::strerror(errno))};
    }
    name = fmt::format("/proc/self/fd/{}/{}", out.folder->get(),
                       slash == std::string::npos ? path : path.substr(slash + 1));
  }
  if (name.empty() || name.size() >= sizeof address->sun_path) {
    return Error{Code::invalid, fmt::format("socket \"{}\": accepted: a file name of at most 80 characters", path)};
  }
  address->sun_family = AF_UNIX;
  std::memcpy(address->sun_path, name.c_str(), name.size() + 1);
  out.length = sizeof *address;
  return out;
}

Task<Result<std::unique_ptr<Stream>>> connect_stream(Loop& loop, Clock& clock, SocketAddress address,
                                                     Deadline deadline) {
  Fd socket(::socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) {
    co_return cut_off("cannot make a socket", errno);
  }
  if (address.family() != AF_UNIX) {
    const int on = 1;  // a request is one write: waiting for more to send only delays it
    ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }
  int error = 0;
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address.storage), address.length) != 0) {
    error = errno;
    if (error == EINPROGRESS) {
      Watch watch(loop, clock, socket.get());
      const Wake why = co_await watch.writable(deadline);
      if (why == Wake::timeout) {
        co_return Error{Code::retry, "not connected in time"};
      }
      socklen_t length = sizeof error;
      ::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error, &length);
    }
  }
  if (error != 0) {
    // EAGAIN of a unix socket: its queue of connections is full.
    co_return cut_off("cannot connect", error == EAGAIN ? ECONNREFUSED : error);
  }
  co_return socket_stream(loop, clock, std::move(socket));
}

std::unique_ptr<Stream> socket_stream(Loop& loop, Clock& clock, Fd socket) {
  return std::make_unique<SocketStream>(loop, clock, std::move(socket));
}

}  // namespace sluice::aio
