// SPDX-License-Identifier: Apache-2.0
#include "aio/dns.h"

#include <arpa/inet.h>
#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <map>

#include "aio/fd.h"
#include "aio/task_group.h"

namespace sluice::aio {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;

// What the server says about a name. rcode 3 = no such name, 2 = it failed; -1 = it says nothing.
struct Record {
  std::vector<std::string> v4;
  std::vector<std::string> v6;
  int rcode = 0;
};

// A name server on loopback, as much of one as a question needs (RFC 1035).
class NameServer {
 public:
  NameServer(Loop& loop, Clock& clock)
      : socket_(::socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)), loop_(loop), clock_(clock) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::bind(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    socklen_t length = sizeof address;
    ::getsockname(socket_.get(), reinterpret_cast<sockaddr*>(&address), &length);
    place_ = fmt::format("127.0.0.1:{}", ntohs(address.sin_port));
  }

  Task<void> run() {
    Watch watch(loop_, clock_, socket_.get());
    while (true) {
      std::array<char, 512> packet{};
      sockaddr_in from{};
      socklen_t length = sizeof from;
      const ssize_t n =
          ::recvfrom(socket_.get(), packet.data(), packet.size(), 0, reinterpret_cast<sockaddr*>(&from), &length);
      if (n < 0) {
        co_await watch.readable(Deadline{});
        continue;
      }
      const std::string answer = reply(std::string(packet.data(), static_cast<std::size_t>(n)));
      if (!answer.empty()) {
        ::sendto(socket_.get(), answer.data(), answer.size(), 0, reinterpret_cast<sockaddr*>(&from), length);
      }
    }
  }

  std::map<std::string, Record> names;
  std::vector<std::string> asked;
  [[nodiscard]] const std::string& place() const { return place_; }

 private:
  std::string reply(const std::string& question) {
    std::string name;
    std::size_t at = 12;
    while (question[at] != 0) {
      const auto size = static_cast<unsigned char>(question[at]);
      name += question.substr(at + 1, size) + ".";
      at += size + 1;
    }
    name.pop_back();
    const bool v6 = question[at + 2] == 28;
    const std::size_t end = at + 5;
    asked.push_back(name);
    const auto found = names.find(name);
    const Record record = found == names.end() ? Record{.v4 = {}, .v6 = {}, .rcode = 3} : found->second;
    if (record.rcode < 0) {
      return {};
    }
    const std::vector<std::string>& addresses = v6 ? record.v6 : record.v4;
    std::string out = question.substr(0, 2) + "\x81" + static_cast<char>(0x80 | record.rcode);
    out += std::string("\0\1\0", 3) + static_cast<char>(addresses.size()) + std::string("\0\0\0\0", 4);
    out += question.substr(12, end - 12);
    for (const std::string& address : addresses) {
      std::array<char, 16> bytes{};
      const std::size_t size = v6 ? 16 : 4;
      EXPECT_EQ(::inet_pton(v6 ? AF_INET6 : AF_INET, address.c_str(), bytes.data()), 1);
      out += std::string("\xc0\x0c\0", 3) + (v6 ? '\x1c' : '\x01') + std::string("\0\1\0\0\0\x3c\0", 7) +
             static_cast<char>(size);
      out += std::string(bytes.data(), size);
    }
    return out;
  }

  Fd socket_;
  Loop& loop_;
  Clock& clock_;
  std::string place_;
};

class ResolverTest : public testing::Test {
 protected:
  ResolverTest() : server_(loop_, clock_) {
    options_.hosts_file = "/dev/null";
    options_.servers = {server_.place()};
    options_.search = {"ns.svc.example", "example"};
    options_.attempt = 20ms;
    options_.attempts = 2;
  }
  Result<std::vector<std::string>> resolve(const std::string& host, Duration within = 10s) {
    Result<std::vector<std::string>> out = Error{};
    const auto main = [&]() -> Task<void> {
      TaskGroup group(loop_, clock_);
      group.spawn(server_.run());
      Resolver resolver(loop_, clock_, options_);
      out = co_await resolver.resolve(host, clock_.in(within));
      group.cancel();
      co_await group.join();
    };
    loop_.run(main());
    return out;
  }
  std::string error(const std::string& host, Duration within = 10s) {
    const Result<std::vector<std::string>> found = resolve(host, within);
    return found ? "found" : fmt::format("{}: {}", code_word(found.error().code), found.error().what);
  }

  Loop loop_;
  RealClock clock_{loop_};
  NameServer server_;
  ResolverOptions options_;
};

TEST_F(ResolverTest, FindsBothKindsOfAddress) {
  server_.names["both.test"] = {.v4 = {"192.0.2.1", "192.0.2.2"}, .v6 = {"2001:db8::1"}};
  const Result<std::vector<std::string>> found = resolve("both.test");
  ASSERT_TRUE(found.has_value()) << found.error().what;
  EXPECT_THAT(*found, testing::UnorderedElementsAre("192.0.2.1", "192.0.2.2", "2001:db8::1"));
  server_.names["four.test"] = {.v4 = {"192.0.2.4"}, .v6 = {}};
  EXPECT_THAT(*resolve("four.test."), ElementsAre("192.0.2.4")) << "a complete name";
}

TEST_F(ResolverTest, ALiteralAsksNobody) {
  EXPECT_THAT(*resolve("192.0.2.9"), ElementsAre("192.0.2.9"));
  EXPECT_THAT(*resolve("::1"), ElementsAre("::1"));
  EXPECT_TRUE(server_.asked.empty());
}

TEST_F(ResolverTest, TheHostsFileComesFirst) {
  const std::string path = testing::TempDir() + fmt::format("sluice-hosts-{}", ::getpid());
  std::ofstream(path)
      << "# comment\n127.0.0.7 Broker other # broker2\n::7 broker\nnot-an-address broker\n127.0.0.7 broker\n";
  options_.hosts_file = path;
  EXPECT_THAT(*resolve("brokeR."), ElementsAre("127.0.0.7", "::7"));
  EXPECT_THAT(*resolve("other"), ElementsAre("127.0.0.7"));
  EXPECT_TRUE(server_.asked.empty());
  EXPECT_EQ(error("broker2"), "retry: broker2: no such name");
  std::filesystem::remove(path);
}

TEST_F(ResolverTest, TriesTheSearchDomainsForAShortName) {
  server_.names["rabbit.example"] = {.v4 = {"192.0.2.5"}, .v6 = {}};
  EXPECT_THAT(*resolve("rabbit"), ElementsAre("192.0.2.5"));
  EXPECT_THAT(server_.asked, testing::Contains("rabbit.ns.svc.example"));
}

TEST_F(ResolverTest, TellsApartWhyThereIsNoAddress) {
  EXPECT_EQ(error("gone.test"), "retry: gone.test: no such name");
  server_.names["empty.test"] = {};
  EXPECT_EQ(error("empty.test"), "retry: empty.test: the name has no address");
  server_.names["silent.test"] = {.v4 = {}, .v6 = {}, .rcode = -1};
  EXPECT_EQ(error("silent.test"), "retry: silent.test: the name server did not answer in time");
  options_.attempt = 10s;
  EXPECT_EQ(error("silent.test", 5ms), "retry: silent.test: the name server did not answer in time");
  EXPECT_EQ(error(""), "invalid: \"\": not a name; accepted: 1 to 253 characters");
  EXPECT_EQ(error(std::string(64, 'a')), "invalid: " + std::string(64, 'a') + ": not a name");
  EXPECT_EQ(error(std::string(300, 'a')).substr(0, 9), "invalid: ");
}

TEST_F(ResolverTest, SaysThatNoServerAnswers) {
  Fd taken(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));  // a port where nobody reads: refused once closed
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(::bind(taken.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  socklen_t length = sizeof address;
  ::getsockname(taken.get(), reinterpret_cast<sockaddr*>(&address), &length);
  taken.reset();
  options_.servers = {fmt::format("127.0.0.1:{}", ntohs(address.sin_port))};
  EXPECT_EQ(error("x.test"), "retry: x.test: no name server answers");
}

TEST_F(ResolverTest, KeepsAtMost32Addresses) {
  Record many;
  for (int i = 1; i <= 20; ++i) {
    many.v4.push_back(fmt::format("192.0.2.{}", i));
    many.v6.push_back(fmt::format("2001:db8::{}", i));
  }
  server_.names["many.test"] = many;
  EXPECT_LE(resolve("many.test")->size(), 32U);
}

TEST_F(ResolverTest, CanBeCancelledAtAnyTime) {
  server_.names["silent.test"] = {.v4 = {}, .v6 = {}, .rcode = -1};
  options_.attempt = 10s;
  const auto ask = [](Resolver& resolver) -> Task<void> {
    const Result<std::vector<std::string>> found = co_await resolver.resolve("silent.test", Deadline{});
    ADD_FAILURE() << "not cancelled";
  };
  const auto main = [&]() -> Task<void> {
    Resolver resolver(loop_, clock_, options_);
    TaskGroup group(loop_, clock_);
    group.spawn(ask(resolver));
    co_await group.join_or_cancel(clock_.in(5ms));
  };
  loop_.run(main());
}

}  // namespace
}  // namespace sluice::aio
