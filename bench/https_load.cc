// SPDX-License-Identifier: Apache-2.0
// Asks one HTTPS server the same over and over, on so many kept connections, each a thread that blocks, and says how
// fast the answers came: as little as a client can do beside a server that is to be measured.
//
//   https_load PORT CONNECTIONS SECONDS CA CERT KEY TARGET [FIELD ..]    ->  {"requests":..,"p50_us":..}
#include <arpa/inet.h>
#include <fmt/core.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

[[noreturn]] void die(std::string_view what) {
  fmt::print(stderr, "https_load: {}\n", what);
  std::exit(1);
}

long number(std::string_view text) {
  long out = 0;
  std::from_chars(text.data(), text.data() + text.size(), out);
  return out;
}

SSL* connect_to(SSL_CTX* context, int port) {
  const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
  const int on = 1;
  ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    die("cannot connect");
  }
  SSL* const ssl = SSL_new(context);
  SSL_set_fd(ssl, socket);
  if (SSL_connect(ssl) != 1) {
    die("no handshake");
  }
  return ssl;
}

// The status of one answer, read whole.
long read_answer(SSL* ssl, std::string& buffer) {
  buffer.clear();
  char part[8192];
  std::size_t end = std::string::npos;
  std::size_t whole = 0;
  while (end == std::string::npos || buffer.size() < whole) {
    const int n = SSL_read(ssl, part, sizeof part);
    if (n <= 0) {
      die("the connection ended");
    }
    buffer.append(part, static_cast<std::size_t>(n));
    if (end == std::string::npos && (end = buffer.find("\r\n\r\n")) != std::string::npos) {
      constexpr std::string_view length = "Content-Length: ";
      const std::size_t at = buffer.find(length);
      if (at == std::string::npos) {
        die("an answer without a length");
      }
      whole = end + 4 + static_cast<std::size_t>(number(std::string_view(buffer).substr(at + length.size(), 10)));
    }
  }
  return number(std::string_view(buffer).substr(9, 3));
}

struct Lap {
  std::vector<std::uint32_t> us;
  long bad = 0;
};

void ask(SSL* ssl, const std::string& request, const std::atomic<bool>& end, Lap& lap) {
  std::string buffer;
  while (!end.load(std::memory_order_relaxed)) {
    const Clock::time_point begin = Clock::now();
    if (SSL_write(ssl, request.data(), static_cast<int>(request.size())) <= 0) {
      die("cannot write");
    }
    lap.bad += read_answer(ssl, buffer) == 200 ? 0 : 1;
    lap.us.push_back(static_cast<std::uint32_t>((Clock::now() - begin) / std::chrono::microseconds{1}));
  }
}

SSL_CTX* context_of(const char* ca, const char* cert, const char* key) {
  SSL_CTX* const context = SSL_CTX_new(TLS_client_method());
  if (SSL_CTX_load_verify_locations(context, ca, nullptr) != 1 ||
      SSL_CTX_use_certificate_file(context, cert, SSL_FILETYPE_PEM) != 1 ||
      SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1) {
    die("a certificate cannot be read");
  }
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
  return context;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 8) {
    die("PORT CONNECTIONS SECONDS CA CERT KEY TARGET [FIELD ..]");
  }
  std::string request = fmt::format("GET {} HTTP/1.1\r\nHost: localhost\r\n", argv[7]);
  for (int i = 8; i < argc; ++i) {
    request += fmt::format("{}\r\n", argv[i]);
  }
  request += "\r\n";
  SSL_CTX* const context = context_of(argv[4], argv[5], argv[6]);
  const auto connections = static_cast<std::size_t>(number(argv[2]));
  std::vector<SSL*> opened;
  for (std::size_t i = 0; i < connections; ++i) {
    opened.push_back(connect_to(context, static_cast<int>(number(argv[1]))));
  }
  std::atomic<bool> end{false};
  std::vector<Lap> laps(connections);
  std::vector<std::thread> threads;
  const Clock::time_point begin = Clock::now();
  for (std::size_t i = 0; i < connections; ++i) {
    threads.emplace_back([&, i] { ask(opened[i], request, end, laps[i]); });
  }
  const long seconds = number(argv[3]);
  while (Clock::now() - begin < std::chrono::seconds{seconds}) {
    ::poll(nullptr, 0, 10);
  }
  end = true;
  for (std::thread& thread : threads) {
    thread.join();
  }
  const double took = std::chrono::duration<double>(Clock::now() - begin).count();
  std::vector<std::uint32_t> all;
  long bad = 0;
  for (const Lap& lap : laps) {
    all.insert(all.end(), lap.us.begin(), lap.us.end());
    bad += lap.bad;
  }
  std::ranges::sort(all);
  const auto at = [&](double share) {
    return all.empty() ? 0U : all[static_cast<std::size_t>(share * static_cast<double>(all.size() - 1))];
  };
  fmt::print(R"({{"requests":{},"bad":{},"per_s":{:.0f},"p50_us":{},"p99_us":{},"max_us":{}}})"
             "\n",
             all.size(), bad, static_cast<double>(all.size()) / took, at(0.5), at(0.99), at(1.0));
  return bad == 0 ? 0 : 1;
}
