// SPDX-License-Identifier: Apache-2.0
// The worker of the process fleet's tests: the test program itself, run again with SLUICE_TEST_WORKER set. Nothing but
// system calls, because it runs before main(): GET /worker and POST /drain on the slot's socket, last words at the end.
//
//   SIGUSR1: settle a message and leave    SIGUSR2: be busy    SIGTERM: drain
//   a file "fail" in the state folder: be the one who takes it away, and end in error
#include <fcntl.h>
#include <fmt/core.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <string>

namespace {

std::string variable(const char* name) {
  const char* value = std::getenv(name);  // NOLINT: one thread
  return value == nullptr ? "" : value;
}

class TestWorker {
 public:
  TestWorker() : slot_(variable("SLUICE_SLOT")) {
    const std::string slots = variable("SLUICE_STATE") + "/slots";
    folder_ = ::open(slots.c_str(), O_RDONLY | O_DIRECTORY);
  }

  [[noreturn]] void run() {
    if (::unlinkat(folder_, "../fail", 0) == 0) {
      fmt::print(stderr, "connecting\nno such queue: orders\n");
      ::_exit(1);
    }
    const int signals = block_signals();
    const int socket = listen();
    for (;;) {
      std::array<pollfd, 2> fds{pollfd{signals, POLLIN, 0}, pollfd{socket, POLLIN, 0}};
      ::poll(fds.data(), fds.size(), -1);
      if (fds[0].revents != 0) {
        on_signal(signals);
      }
      if (fds[1].revents != 0) {
        answer(::accept4(socket, nullptr, nullptr, 0));
      }
    }
  }

 private:
  static int block_signals() {
    sigset_t set;
    ::sigemptyset(&set);
    for (const int number : {SIGTERM, SIGUSR1, SIGUSR2}) {
      ::sigaddset(&set, number);
    }
    ::sigprocmask(SIG_BLOCK, &set, nullptr);
    return ::signalfd(-1, &set, 0);
  }

  int listen() {
    const int socket = ::socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string path = fmt::format("/proc/self/fd/{}/{}.sock", folder_, slot_);
    std::memcpy(address.sun_path, path.data(), path.size());
    if (::bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 || ::listen(socket, 16) != 0) {
      fmt::print(stderr, "no socket at {}: {}\n", path, std::strerror(errno));
      ::_exit(1);
    }
    return socket;
  }

  void on_signal(int signals) {
    signalfd_siginfo info{};
    if (::read(signals, &info, sizeof info) != sizeof info) {
      return;
    }
    if (info.ssi_signo == SIGUSR2) {
      state_ = "busy";
      return;
    }
    done_ = info.ssi_signo == SIGUSR1 ? 1 : 0;
    leave(info.ssi_signo == SIGUSR1 ? "idle" : "drained by signal");
  }

  void answer(int connection) {
    std::string request;
    std::array<char, 4096> part{};
    while (!request.contains("\r\n\r\n")) {
      const ssize_t n = ::read(connection, part.data(), part.size());
      if (n <= 0) {
        ::close(connection);
        return;
      }
      request.append(part.data(), static_cast<std::size_t>(n));
    }
    const bool drain = request.starts_with("POST /drain ");
    const std::string body = drain ? "" : words("");
    const std::string reply = fmt::format("HTTP/1.1 {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{}",
                                          drain ? "202 Accepted" : "200 OK", body.size(), body);
    [[maybe_unused]] const ssize_t sent = ::send(connection, reply.data(), reply.size(), MSG_NOSIGNAL);
    ::close(connection);
    if (drain) {
      leave("drained");
    }
  }

  [[nodiscard]] std::string words(const std::string& reason) const {
    const bool busy = state_ == "busy";
    return fmt::format(
        R"({{"v":1,"worker":"{}","state":"{}","handling":{},"first_claim_at":{},"done":{},"reason":"{}"}})",
        variable("SLUICE_WORKER"), state_, busy ? 1 : 0, busy ? R"("2000-01-01T00:00:00.000Z")" : "null", done_,
        reason);
  }

  [[noreturn]] void leave(const std::string& reason) {
    state_ = "gone";
    const std::string name = slot_ + ".last";
    const int file = ::openat(folder_, name.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    const std::string text = words(reason);
    [[maybe_unused]] const ssize_t written = ::write(file, text.data(), text.size());
    ::_exit(0);
  }

  std::string slot_;
  int folder_ = -1;
  std::string state_ = "ready";
  int done_ = 0;
};

[[gnu::constructor]] void work_instead_of_testing() {
  if (std::getenv("SLUICE_TEST_WORKER") != nullptr) {  // NOLINT: one thread
    TestWorker().run();
  }
}

}  // namespace
