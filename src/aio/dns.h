// SPDX-License-Identifier: Apache-2.0
#pragma once
// Names to addresses by c-ares. Never getaddrinfo: it blocks, and in a static binary it loads the host's NSS modules.
#include <string>
#include <vector>

#include "aio/clock.h"
#include "aio/task.h"
#include "base/result.h"

namespace sluice::aio {

struct ResolverOptions {
  std::string hosts_file = "/etc/hosts";
  Duration attempt = std::chrono::seconds{2};  // wait for one server's answer, growing from try to try
  int attempts = 3;
  // Instead of what /etc/resolv.conf says; for tests. Servers as "127.0.0.1:5353".
  std::vector<std::string> servers = {};
  std::vector<std::string> search = {};
};

class Resolver {
 public:
  // The configuration is read anew for every name: a machine changes its network, a scaler is not restarted for it.
  Resolver(Loop& loop, Clock& clock, ResolverOptions options = {})
      : loop_(loop), clock_(clock), options_(std::move(options)) {}

  // IP literals, best first (RFC 6724), at least one and at most 32. A literal is its own answer; then /etc/hosts; then
  // the servers with the search domains. Code::retry always, but the text says whether the name does not exist, has no
  // address, was not answered in time or nobody answers at all; Code::invalid for what cannot be a name.
  [[nodiscard]] Task<Result<std::vector<std::string>>> resolve(std::string host, Deadline deadline);

 private:
  Loop& loop_;
  Clock& clock_;
  ResolverOptions options_;
};

// The addresses of `host` in a hosts file's text.
[[nodiscard]] std::vector<std::string> find_in_hosts(std::string_view text, std::string_view host);

}  // namespace sluice::aio
