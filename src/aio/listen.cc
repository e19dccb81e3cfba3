// SPDX-License-Identifier: Apache-2.0
#include "aio/listen.h"

#include <arpa/inet.h>
#include <fmt/core.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "aio/stream.h"

namespace sluice::aio {
namespace {

// Chosen: as long as the kernel lets it be; a burst of connections between two turns of the loop must not be refused.
constexpr int backlog = SOMAXCONN;

Error cannot(std::string_view where, int error) {
  const Code code = error == EADDRINUSE                                     ? Code::conflict
                    : error == EACCES || error == EPERM || error == EROFS   ? Code::denied
                    : error == EMFILE || error == ENFILE || error == ENOMEM ? Code::retry
                                                                            : Code::invalid;
  return Error{code, fmt::format("cannot listen on {}: {}", where, std::strerror(error))};
}

const sockaddr* raw(const SocketAddress& address) {
  return reinterpret_cast<const sockaddr*>(&address.storage);
}

// Whether nobody listens on the socket file. Anything but a clear refusal counts as somebody.
bool is_dead(const SocketAddress& address) {
  const Fd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  return ::connect(probe.get(), raw(address), address.length) != 0 && errno == ECONNREFUSED;
}

}  // namespace

Result<TcpListener> listen_tcp(const std::string& address, std::uint16_t port) {
  const Result<SocketAddress> place = ip_address(address, port);
  if (!place) {
    return place.error();
  }
  const std::string name =
      address.contains(':') ? fmt::format("[{}]:{}", address, port) : fmt::format("{}:{}", address, port);
  TcpListener out{.socket = Fd(::socket(place->family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0))};
  const int on = 1;  // connections of our predecessor may linger in TIME_WAIT
  if (!out.socket || ::setsockopt(out.socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
      ::bind(out.socket.get(), raw(*place), place->length) != 0 || ::listen(out.socket.get(), backlog) != 0) {
    return cannot(name, errno);
  }
  SocketAddress bound;
  bound.length = sizeof bound.storage;
  ::getsockname(out.socket.get(), reinterpret_cast<sockaddr*>(&bound.storage), &bound.length);
  out.port = ntohs(bound.family() == AF_INET6 ? reinterpret_cast<const sockaddr_in6*>(&bound.storage)->sin6_port
                                              : reinterpret_cast<const sockaddr_in*>(&bound.storage)->sin_port);
  return out;
}

Result<UnixListener> UnixListener::listen(const std::string& path) {
  const Result<SocketAddress> place = unix_address(path);
  if (!place) {
    return place.error();
  }
  Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  // On the socket before bind: the file is never there with wider rights.
  if (!socket || ::fchmod(socket.get(), 0600) != 0) {
    return cannot(path, errno);
  }
  if (::bind(socket.get(), raw(*place), place->length) != 0) {
    struct stat found{};
    const int error = errno;
    if (error != EADDRINUSE || ::lstat(path.c_str(), &found) != 0) {
      return cannot(path, error);
    }
    if (!S_ISSOCK(found.st_mode)) {
      return Error{Code::invalid, fmt::format("cannot listen on {}: there is a file that is not a socket", path)};
    }
    if (!is_dead(*place)) {
      return Error{Code::conflict, fmt::format("cannot listen on {}: another process does", path)};
    }
    ::unlink(path.c_str());
    if (::bind(socket.get(), raw(*place), place->length) != 0) {
      return cannot(path, errno);
    }
  }
  struct stat made{};
  if (::listen(socket.get(), backlog) != 0 || ::lstat(path.c_str(), &made) != 0) {
    return cannot(path, errno);
  }
  return UnixListener(std::move(socket), path, made.st_ino);
}

UnixListener::~UnixListener() {
  struct stat found{};
  if (socket_ && ::lstat(path_.c_str(), &found) == 0 && found.st_ino == inode_) {
    ::unlink(path_.c_str());
  }
}

Result<Accepted> accept_one(int listener) {
  SocketAddress from;
  from.length = sizeof from.storage;
  Accepted out{.socket = Fd(::accept4(listener, reinterpret_cast<sockaddr*>(&from.storage), &from.length,
                                      SOCK_CLOEXEC | SOCK_NONBLOCK)),
               .peer = {}};
  if (!out.socket) {
    const bool none = errno == EAGAIN;
    return Error{none ? Code::gone : Code::retry, fmt::format("accept: {}", std::strerror(errno))};
  }
  std::array<char, INET6_ADDRSTRLEN> text{};
  const void* bytes =
      from.family() == AF_INET6  ? static_cast<const void*>(&reinterpret_cast<sockaddr_in6*>(&from.storage)->sin6_addr)
      : from.family() == AF_INET ? static_cast<const void*>(&reinterpret_cast<sockaddr_in*>(&from.storage)->sin_addr)
                                 : nullptr;
  if (bytes != nullptr && ::inet_ntop(from.family(), bytes, text.data(), text.size()) != nullptr) {
    out.peer = text.data();
    const int on = 1;
    ::setsockopt(out.socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }
  return out;
}

}  // namespace sluice::aio
