// SPDX-License-Identifier: Apache-2.0
#pragma once
// Sockets that wait for connections.
#include <cstdint>
#include <string>

#include "aio/fd.h"
#include "base/result.h"

namespace sluice::aio {

// Both: non-blocking, close-on-exec. Code::conflict when somebody else listens there, invalid when the place cannot be.
struct TcpListener {
  Fd socket;
  std::uint16_t port = 0;  // the one taken, when 0 was asked for
};
[[nodiscard]] Result<TcpListener> listen_tcp(const std::string& address, std::uint16_t port);

// A socket file that goes with the object, unless another one took its place. For its owner alone (mode 0600). A socket
// file that nobody listens on is replaced, any other file is refused.
class UnixListener {
 public:
  [[nodiscard]] static Result<UnixListener> listen(const std::string& path);
  UnixListener(UnixListener&&) noexcept = default;
  UnixListener& operator=(UnixListener&&) = delete;
  ~UnixListener();
  [[nodiscard]] int get() const { return socket_.get(); }

 private:
  UnixListener(Fd socket, std::string path, std::uint64_t inode)
      : socket_(std::move(socket)), path_(std::move(path)), inode_(inode) {}
  Fd socket_;
  std::string path_;
  std::uint64_t inode_;
};

struct Accepted {
  Fd socket;
  std::string peer;  // IP address; empty on a unix socket
};
// The next connection that waits. Code::gone when there is none, retry when it failed on the way or we are out of
// descriptors.
[[nodiscard]] Result<Accepted> accept_one(int listener);

}  // namespace sluice::aio
