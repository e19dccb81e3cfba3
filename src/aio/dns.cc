// SPDX-License-Identifier: Apache-2.0
#include "aio/dns.h"

#include <ares.h>
#include <arpa/inet.h>
#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <fstream>
#include <map>
#include <optional>
#include <sstream>

#include "aio/event.h"
#include "base/check.h"

namespace sluice::aio {
namespace {

namespace asio = boost::asio;

// Chosen: a client tries addresses one after the other, and no service has more that matter.
constexpr std::size_t addresses_max = 32;

bool is_literal(const std::string& text) {
  std::array<unsigned char, 16> ignored{};
  return ::inet_pton(AF_INET, text.c_str(), ignored.data()) == 1 ||
         ::inet_pton(AF_INET6, text.c_str(), ignored.data()) == 1;
}

bool same_name(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; };
  return std::ranges::equal(a, b, [&](char x, char y) { return lower(x) == lower(y); });
}

// One question. c-ares says which of its sockets it waits for; we tell it when they are ready.
class Query {
 public:
  Query(Loop& loop, Clock& clock) : loop_(loop), changed_(clock) {}
  Query(const Query&) = delete;
  Query& operator=(const Query&) = delete;
  // Ends an unanswered question: c-ares answers it as destroyed and closes its sockets, while everything here still
  // lives.
  ~Query() {
    if (channel_ != nullptr) {
      ares_destroy(channel_);
    }
  }

  Result<void> open(const ResolverOptions& options);
  Task<Result<std::vector<std::string>>> ask(std::string host, Clock& clock, Deadline deadline);

 private:
  struct Socket {
    Socket(Loop& loop, Query* query) : descriptor(loop.context()), owner(query) {}
    asio::posix::stream_descriptor descriptor;
    Query* owner;  // null once c-ares has closed the socket
    std::array<bool, 2> wanted{};
    std::array<bool, 2> armed{};
  };

  static void on_socket(void* self, ares_socket_t fd, int readable, int writable);
  static void on_answer(void* self, int status, int timeouts, ares_addrinfo* answer);
  static void arm(const std::shared_ptr<Socket>& socket, std::size_t way);
  Error explain(const std::string& host) const;

  Loop& loop_;
  Event changed_;
  ares_channel channel_ = nullptr;
  std::map<ares_socket_t, std::shared_ptr<Socket>> sockets_;
  std::optional<int> status_;
  std::vector<std::string> addresses_;
};

Result<void> Query::open(const ResolverOptions& options) {
  ares_options raw{};
  std::string lookups = "b";  // the servers alone: the hosts file is ours
  raw.timeout = static_cast<int>(to_ms(options.attempt));
  raw.tries = options.attempts;
  raw.lookups = lookups.data();
  raw.sock_state_cb = on_socket;
  raw.sock_state_cb_data = this;
  int mask = ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB;
  std::vector<std::string> search = options.search;
  std::vector<char*> domains;
  if (!options.servers.empty()) {
    for (std::string& domain : search) {
      domains.push_back(domain.data());
    }
    raw.domains = domains.data();
    raw.ndomains = static_cast<int>(domains.size());
    mask |= ARES_OPT_DOMAINS;
  }
  if (const int status = ares_init_options(&channel_, &raw, mask); status != ARES_SUCCESS) {
    channel_ = nullptr;
    return Error{Code::retry, fmt::format("cannot read /etc/resolv.conf: {}", ares_strerror(status))};
  }
  if (!options.servers.empty()) {
    std::string servers;
    for (const std::string& server : options.servers) {
      servers += (servers.empty() ? "" : ",") + server;
    }
    if (ares_set_servers_ports_csv(channel_, servers.c_str()) != ARES_SUCCESS) {
      return Error{Code::invalid, fmt::format("\"{}\" is not a list of name servers; accepted: 10.0.0.1:53", servers)};
    }
  }
  return {};
}

void Query::on_socket(void* self, ares_socket_t fd, int readable, int writable) {
  Query& query = *static_cast<Query*>(self);
  std::shared_ptr<Socket>& socket = query.sockets_[fd];
  if (readable == 0 && writable == 0) {  // about to be closed
    if (socket) {
      socket->owner = nullptr;
      socket->descriptor.release();
    }
    query.sockets_.erase(fd);
    return;
  }
  if (!socket) {
    socket = std::make_shared<Socket>(query.loop_, &query);
    boost::system::error_code ec;
    socket->descriptor.assign(fd, ec);
    check(!ec, "a socket of c-ares cannot be watched");
  }
  socket->wanted = {readable != 0, writable != 0};
  for (const std::size_t way : {0U, 1U}) {
    arm(socket, way);
  }
}

void Query::arm(const std::shared_ptr<Socket>& socket, std::size_t way) {
  if (!socket->wanted[way] || std::exchange(socket->armed[way], true)) {
    return;
  }
  using Descriptor = asio::posix::descriptor_base;
  socket->descriptor.async_wait(
      way == 0 ? Descriptor::wait_read : Descriptor::wait_write, [socket, way](const boost::system::error_code&) {
        socket->armed[way] = false;
        Query* const query = socket->owner;
        if (query == nullptr) {
          return;
        }
        const ares_socket_t fd = socket->descriptor.native_handle();
        ares_process_fd(query->channel_, way == 0 ? fd : ARES_SOCKET_BAD, way == 1 ? fd : ARES_SOCKET_BAD);
        // The question may be answered by now, and the socket closed with it.
        if (socket->owner != nullptr) {
          arm(socket, way);
        }
      });
}

void Query::on_answer(void* self, int status, int, ares_addrinfo* answer) {
  Query& query = *static_cast<Query*>(self);
  query.status_ = status;
  for (const ares_addrinfo_node* node = answer == nullptr ? nullptr : answer->nodes; node != nullptr;
       node = node->ai_next) {
    std::array<char, INET6_ADDRSTRLEN> text{};
    const void* const bytes =
        node->ai_family == AF_INET6
            ? static_cast<const void*>(&reinterpret_cast<const sockaddr_in6*>(node->ai_addr)->sin6_addr)
            : static_cast<const void*>(&reinterpret_cast<const sockaddr_in*>(node->ai_addr)->sin_addr);
    if (query.addresses_.size() < addresses_max &&
        ::inet_ntop(node->ai_family, bytes, text.data(), text.size()) != nullptr) {
      query.addresses_.emplace_back(text.data());
    }
  }
  if (answer != nullptr) {
    ares_freeaddrinfo(answer);
  }
  query.changed_.notify();
}

Task<Result<std::vector<std::string>>> Query::ask(std::string host, Clock& clock, Deadline deadline) {
  ares_addrinfo_hints hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  ares_getaddrinfo(channel_, host.c_str(), nullptr, &hints, on_answer, this);
  while (!status_) {
    if (deadline.passed(clock.now())) {
      co_return Error{Code::retry, fmt::format("{}: the name server did not answer in time", host)};
    }
    timeval next{};
    const bool has_next = ares_timeout(channel_, nullptr, &next) != nullptr;
    const Duration left = std::chrono::seconds{next.tv_sec} + std::chrono::microseconds{next.tv_usec};
    // Rounded up, or the last fraction of a millisecond would be spent asking again and again.
    const Deadline turn = has_next ? clock.in(left + std::chrono::milliseconds{1}) : deadline;
    const Wake why = co_await changed_.wait(turn.earlier(deadline));
    if (why == Wake::timeout) {
      ares_process_fd(channel_, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    }
  }
  if (*status_ != ARES_SUCCESS || addresses_.empty()) {
    co_return explain(host);
  }
  co_return std::move(addresses_);
}

Error Query::explain(const std::string& host) const {
  switch (*status_) {
    case ARES_ENOTFOUND:
      return Error{Code::retry, fmt::format("{}: no such name", host)};
    case ARES_SUCCESS:
    case ARES_ENODATA:
      return Error{Code::retry, fmt::format("{}: the name has no address", host)};
    case ARES_ETIMEOUT:
      return Error{Code::retry, fmt::format("{}: the name server did not answer in time", host)};
    case ARES_ECONNREFUSED:
      return Error{Code::retry, fmt::format("{}: no name server answers", host)};
    case ARES_EBADNAME:
      return Error{Code::invalid, fmt::format("{}: not a name", host.substr(0, 80))};
    default:
      return Error{Code::retry, fmt::format("{}: {}", host, ares_strerror(*status_))};
  }
}

}  // namespace

std::vector<std::string> find_in_hosts(std::string_view text, std::string_view host) {
  std::vector<std::string> out;
  if (host.ends_with('.')) {
    host.remove_suffix(1);
  }
  std::istringstream lines{std::string(text)};
  for (std::string line; std::getline(lines, line) && out.size() < addresses_max;) {
    std::istringstream words(line.substr(0, line.find('#')));
    std::string address;
    words >> address;
    for (std::string name; words >> name;) {
      if (same_name(name, host) && is_literal(address) && std::ranges::find(out, address) == out.end()) {
        out.push_back(address);
      }
    }
  }
  return out;
}

Task<Result<std::vector<std::string>>> Resolver::resolve(std::string host, Deadline deadline) {
  if (is_literal(host)) {
    co_return std::vector<std::string>{host};
  }
  if (host.empty() || host.size() > 253) {
    co_return Error{Code::invalid,
                    fmt::format("\"{}\": not a name; accepted: 1 to 253 characters", host.substr(0, 80))};
  }
  std::ifstream file(options_.hosts_file);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  std::vector<std::string> known = find_in_hosts(text, host);
  if (!known.empty()) {
    co_return std::move(known);
  }
  Query query(loop_, clock_);
  const Result<void> opened = query.open(options_);
  if (!opened) {
    co_return opened.error();
  }
  Result<std::vector<std::string>> found = co_await query.ask(host, clock_, deadline);
  co_return found;
}

}  // namespace sluice::aio
