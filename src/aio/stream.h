// SPDX-License-Identifier: Apache-2.0
#pragma once
// A connection as a stream of bytes: a socket, TLS over another stream, or memory. HTTP is written against it, so that
// the same exchange runs over all of them, under virtual time, and with a fault at every step.
#include <netinet/in.h>
#include <sys/un.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "aio/clock.h"
#include "aio/fd.h"
#include "aio/task.h"
#include "base/result.h"

namespace sluice::aio {

// One read and one write may be under way at a time. After an error or a deadline the stream is only good for closing.
class Stream {
 public:
  Stream() = default;
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  virtual ~Stream() = default;
  // Between 1 and into.size() bytes; 0 at a proper end of the stream. `into` outlives the call. Code::retry when the
  // connection is cut or the deadline passes, with "in time" in the text for the latter.
  [[nodiscard]] virtual Task<Result<std::size_t>> read_some(std::span<char> into, Deadline deadline) = 0;
  // All of `bytes`, which outlive the call. Errors as above.
  [[nodiscard]] virtual Task<Result<void>> write_all(std::string_view bytes, Deadline deadline) = 0;
  // What goes out at once, without waiting: how many of the first bytes. 0 where that cannot be said, and after an
  // error, which write_all() then says. Not while a write is under way.
  [[nodiscard]] virtual std::size_t write_now(std::string_view /*bytes*/) { return 0; }
  // Says that nothing more will be written; reading goes on.
  [[nodiscard]] virtual Task<Result<void>> end_writing(Deadline deadline) = 0;
  // Whether the peer has neither closed nor sent anything since the last read: a kept connection is good for reuse.
  [[nodiscard]] virtual bool quiet() = 0;
  // Ends pending and later reads and writes, from outside of them.
  virtual void cut() = 0;
};

// An address that a socket takes: IPv4, IPv6 or a path.
struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t length = 0;
  // Keeps the folder of a long path open: such a path is written as /proc/self/fd/N/name.
  std::shared_ptr<Fd> folder;
  [[nodiscard]] int family() const { return storage.ss_family; }
};
// An IP literal, v6 without brackets. Code::invalid for anything else: names are resolved elsewhere.
[[nodiscard]] Result<SocketAddress> ip_address(const std::string& literal, std::uint16_t port);
// Code::invalid when the folder is missing or the name too long; paths beyond 107 bytes work.
[[nodiscard]] Result<SocketAddress> unix_address(const std::string& path);

// Code::retry: refused, unreachable, or the deadline.
[[nodiscard]] Task<Result<std::unique_ptr<Stream>>> connect_stream(Loop& loop, Clock& clock, SocketAddress address,
                                                                   Deadline deadline);
// Takes over a connected socket.
[[nodiscard]] std::unique_ptr<Stream> socket_stream(Loop& loop, Clock& clock, Fd socket);

}  // namespace sluice::aio
