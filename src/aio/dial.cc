// SPDX-License-Identifier: Apache-2.0
#include "aio/dial.h"

#include <vector>

namespace sluice::aio {

Task<Result<std::unique_ptr<Stream>>> dial(Loop& loop, Clock& clock, Resolver& resolver, std::string host,
                                           std::uint16_t port, Deadline deadline) {
  const Result<std::vector<std::string>> found = co_await resolver.resolve(host, deadline);
  if (!found) {
    co_return found.error();
  }
  Result<std::unique_ptr<Stream>> made = Error{Code::retry, "no address"};
  for (std::size_t i = 0; i < found->size() && !made; ++i) {
    const Result<SocketAddress> address = ip_address((*found)[i], port);
    const Deadline share = deadline.share(clock.now(), found->size() - i);
    made = co_await connect_stream(loop, clock, *address, share);
    if (!made && (*found)[i] != host) {
      made = made.error().in((*found)[i]);
    }
  }
  co_return made;
}

}  // namespace sluice::aio
