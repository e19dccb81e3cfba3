// SPDX-License-Identifier: Apache-2.0
// A TLS stream in both directions at once, and what its protocol says in between.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include <array>

#include "aio/faults.h"
#include "aio/task_group.h"
#include "aio/testing_certificates.h"
#include "aio/tls.h"

namespace sluice::aio {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

// Bytes of which none is like its neighbours for long.
std::string pattern(std::size_t size) {
  std::string out(size, ' ');
  for (std::size_t i = 0; i < size; ++i) {
    out[i] = static_cast<char>((i * 31 + i / 251) & 0xffU);
  }
  return out;
}

// A server of bare OpenSSL, which says only what a test makes it say. SSL_* fill and empty its memory; the test moves
// that to and from the stream.
class RawServer {
 public:
  RawServer(const TlsServerOptions& options, Stream& wire)
      : context_(TlsContext::server(options).value()), ssl_(SSL_new(context_.get())), wire_(wire) {
    SSL_set_bio(ssl_, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_accept_state(ssl_);
    SSL_set_msg_callback(ssl_, [](int sent, int, int type, const void* bytes, std::size_t, SSL*, void* me) {
      const bool update = type == SSL3_RT_HANDSHAKE && *static_cast<const unsigned char*>(bytes) == SSL3_MT_KEY_UPDATE;
      static_cast<RawServer*>(me)->key_updates_ += sent == 0 && update ? 1 : 0;
    });
    SSL_set_msg_callback_arg(ssl_, this);
  }
  RawServer(const RawServer&) = delete;
  RawServer& operator=(const RawServer&) = delete;
  ~RawServer() { SSL_free(ssl_); }

  SSL* ssl() { return ssl_; }
  // Those of the client.
  [[nodiscard]] int key_updates() const { return key_updates_; }

  // What OpenSSL wants to send.
  std::string out() {
    char* data = nullptr;
    const long size = BIO_get_mem_data(SSL_get_wbio(ssl_), &data);
    std::string bytes(data, static_cast<std::size_t>(size));
    BIO_reset(SSL_get_wbio(ssl_));
    return bytes;
  }
  Task<void> push(Deadline deadline) {
    const std::string bytes = out();
    const Result<void> sent = co_await wire_.write_all(bytes, deadline);
    EXPECT_TRUE(sent);
  }
  Task<void> pull(Deadline deadline) {
    std::array<char, 16384> bytes;
    const Result<std::size_t> n = co_await wire_.read_some(bytes, deadline);
    EXPECT_TRUE(n && *n > 0);
    BIO_write(SSL_get_rbio(ssl_), bytes.data(), static_cast<int>(n.value_or(0)));
  }
  Task<void> handshake(Deadline deadline) {
    while (SSL_do_handshake(ssl_) != 1) {
      co_await push(deadline);
      co_await pull(deadline);
    }
  }
  Task<std::string> take(std::size_t size, Deadline deadline) {
    std::string all;
    std::array<char, 16384> some;
    while (all.size() < size) {
      std::size_t n = 0;
      if (SSL_read_ex(ssl_, some.data(), some.size(), &n) != 1) {
        co_await pull(deadline);
      }
      all.append(some.data(), n);
    }
    co_return all;
  }
  // Asks the client to change its keys, and says `words` behind that.
  void update_keys(std::string_view words) {
    EXPECT_EQ(SSL_key_update(ssl_, SSL_KEY_UPDATE_REQUESTED), 1);
    EXPECT_EQ(SSL_do_handshake(ssl_), 1);
    EXPECT_EQ(SSL_write(ssl_, words.data(), static_cast<int>(words.size())), static_cast<int>(words.size()));
  }

 private:
  TlsContext context_;
  SSL* ssl_;
  Stream& wire_;
  int key_updates_ = 0;
};

Task<void> write_it(Stream& to, std::string bytes, Result<void>& result, Deadline deadline) {
  result = co_await to.write_all(bytes, deadline);
}
Task<void> read_it(Stream& from, std::size_t size, Result<std::string>& result, Deadline deadline) {
  std::string all;
  std::array<char, 5000> some;
  while (all.size() < size) {
    const Result<std::size_t> n = co_await from.read_some(some, deadline);
    if (!n || *n == 0) {
      result = n ? Error{Code::retry, "ended"} : n.error();
      co_return;
    }
    all.append(some.data(), *n);
  }
  result = all;
}
Task<void> accept_it(Clock& clock, std::unique_ptr<Stream> raw, TlsContext context,
                     Result<std::unique_ptr<Stream>>& made) {
  made = co_await tls_accept(clock, std::move(raw), context, clock.in(10s));
}

class TlsDuplexTest : public testing::Test {
 protected:
  // Runs `main` with a client's stream whose other end, of `capacity` bytes each way, is the raw server's.
  using Main = std::function<Task<void>(Stream& client, RawServer& server, Stream& wire)>;
  void with_raw_server(std::size_t capacity, const Main& main, const TlsOptions& as = {}, bool asks = false) {
    TlsServerOptions options = serving_;
    options.client_ca_pem = asks ? ca_.cert_pem() : "";
    TlsOptions client_options = as;
    client_options.ca_pem = ca_.cert_pem();
    StreamPair pair = stream_pair(clock_, capacity);
    RawServer server(options, *pair.second);
    if (asks) {  // a ticket holds the client's certificate, and so takes several records
      SSL_set_num_tickets(server.ssl(), 1);
      SSL_set_max_send_fragment(server.ssl(), 512);
    }
    const auto run = [&]() -> Task<void> {
      TaskGroup group(loop_, clock_);
      group.spawn(server.handshake(clock_.in(10s)));
      const Result<TlsContext> context = TlsContext::client(client_options);
      Result<std::unique_ptr<Stream>> client =
          co_await tls_connect(clock_, std::move(pair.first), *context, "broker.test", clock_.in(10s));
      EXPECT_TRUE(client) << client.error().what;
      co_await group.join();
      co_await main(**client, server, *pair.second);
    };
    clock_.run(run());
  }

  Loop loop_;
  VirtualClock clock_{loop_};
  const TestCertificate ca_ = test_certificate("our CA", nullptr, "");
  const TestCertificate good_ = test_certificate("good", &ca_, "DNS:broker.test");
  const TlsServerOptions serving_{.cert_pem = good_.cert_pem(), .key_pem = good_.key_pem()};
};

TEST_F(TlsDuplexTest, CarriesMuchInBothDirectionsAtOnce) {
  const std::string there = pattern(1'000'000);
  const std::string back = pattern(700'001);
  const TlsContext server_context = TlsContext::server(serving_).value();
  const TlsContext client_context = TlsContext::client({.ca_pem = ca_.cert_pem()}).value();
  StreamPair pair = stream_pair(clock_, 3000);  // neither side could write it all before the other reads
  const auto main = [&]() -> Task<void> {
    TaskGroup group(loop_, clock_);
    Result<std::unique_ptr<Stream>> server = Error{};
    group.spawn(accept_it(clock_, std::move(pair.second), server_context, server));
    Result<std::unique_ptr<Stream>> client =
        co_await tls_connect(clock_, std::move(pair.first), client_context, "broker.test", clock_.in(10s));
    co_await group.join();
    Result<void> wrote_there = Error{};
    Result<void> wrote_back = Error{};
    Result<std::string> got_there = Error{};
    Result<std::string> got_back = Error{};
    const Deadline deadline = clock_.in(10s);
    group.spawn(write_it(**client, there, wrote_there, deadline));
    group.spawn(write_it(**server, back, wrote_back, deadline));
    group.spawn(read_it(**client, back.size(), got_back, deadline));
    group.spawn(read_it(**server, there.size(), got_there, deadline));
    co_await group.join();
    EXPECT_TRUE(wrote_there && wrote_back);
    EXPECT_TRUE(got_there.value() == there);
    EXPECT_TRUE(got_back.value() == back);
  };
  clock_.run(main());
}

TEST_F(TlsDuplexTest, AStuckWriteDoesNotHoldUpReads) {
  with_raw_server(4096, [&](Stream& client, RawServer& server, Stream&) -> Task<void> {
    TaskGroup group(loop_, clock_);
    Result<void> wrote;
    group.spawn(write_it(client, pattern(100'000), wrote, clock_.in(5s)));
    for (const std::string word : {"one", "two", "three"}) {
      Result<std::string> got = Error{};
      EXPECT_GT(SSL_write(server.ssl(), word.data(), static_cast<int>(word.size())), 0);
      co_await server.push(clock_.in(1s));
      const Time before = clock_.now();
      co_await read_it(client, word.size(), got, clock_.in(1s));
      EXPECT_EQ(got.value(), word);
      EXPECT_EQ(clock_.now(), before);
    }
    co_await group.join();
    EXPECT_THAT(wrote.error().what, HasSubstr("in time"));
    // Half a record was sent: nothing that follows could be read.
    const Result<void> more = co_await client.write_all("more", clock_.in(5s));
    EXPECT_FALSE(more);
  });
}

TEST_F(TlsDuplexTest, AKeyUpdateIsAnsweredBehindTheWriteThatIsUnderWay) {
  const std::string bytes = pattern(300'000);
  with_raw_server(4096, [&](Stream& client, RawServer& server, Stream&) -> Task<void> {
    TaskGroup group(loop_, clock_);
    Result<void> wrote = Error{};
    Result<std::string> got = Error{};
    group.spawn(write_it(client, bytes, wrote, clock_.in(10s)));
    co_await clock_.sleep_for(1s);  // it is stuck
    for (int i = 0; i < 3; ++i) {
      server.update_keys("changed");
      co_await server.push(clock_.in(1s));
      co_await read_it(client, 7, got, clock_.in(1s));
      EXPECT_EQ(got.value(), "changed");
    }
    EXPECT_EQ(server.key_updates(), 0);
    const std::string taken = co_await server.take(bytes.size(), clock_.in(5s));
    EXPECT_TRUE(taken == bytes);
    co_await group.join();
    EXPECT_TRUE(wrote);
    EXPECT_GE(server.key_updates(), 1);
    const Result<void> more = co_await client.write_all("more", clock_.in(1s));
    EXPECT_TRUE(more);
    const std::string last = co_await server.take(4, clock_.in(1s));
    EXPECT_EQ(last, "more");
  });
}

TEST_F(TlsDuplexTest, AReaderThatIsFloodedWithKeyUpdatesAnswersThemInBoundedMemory) {
  with_raw_server(1U << 20U, [&](Stream& client, RawServer& server, Stream&) -> Task<void> {
    constexpr int flood = 2000;
    Result<std::string> got = Error{};
    for (int i = 0; i < flood; ++i) {
      server.update_keys("u");
      co_await server.push(clock_.in(1s));
      co_await read_it(client, 1, got, clock_.in(1s));
      EXPECT_TRUE(got);
    }
    // Nothing was written, and yet what is not answered fits into a small buffer.
    while (server.key_updates() < flood - 200 && !testing::Test::HasFailure()) {
      co_await server.pull(clock_.in(1s));
      char byte = 0;
      std::size_t n = 0;
      EXPECT_EQ(SSL_read_ex(server.ssl(), &byte, 1, &n), 0);
    }
    EXPECT_GE(server.key_updates(), flood - 200);
  });
}

TEST_F(TlsDuplexTest, AWriteInTheMiddleOfAMessageOfTheProtocolWaitsForItsRest) {
  const TestCertificate me = test_certificate("me", &ca_, "");
  const TlsOptions known{.ca_pem = "", .cert_pem = me.cert_pem(), .key_pem = me.key_pem()};
  for (const bool reading : {false, true}) {
    const auto main = [&](Stream& client, RawServer& server, Stream& wire) -> Task<void> {
      EXPECT_GT(SSL_write(server.ssl(), "hello", 5), 0);
      const std::string ticket = server.out();  // made at the end of the handshake
      // One whole record, in which the ticket begins (RFC 8446, 5.1: type, version, length).
      const std::size_t cut = 5 + 256 * static_cast<unsigned char>(ticket[3]) + static_cast<unsigned char>(ticket[4]);
      EXPECT_LT(cut, ticket.size() - 40) << "the ticket fits into one record";
      const Result<void> first = co_await wire.write_all(ticket.substr(0, cut), clock_.in(1s));
      EXPECT_TRUE(first);
      TaskGroup group(loop_, clock_);
      Result<std::string> got = Error{};
      if (reading) {
        group.spawn(read_it(client, 5, got, clock_.in(10s)));
      } else {
        std::array<char, 10> nothing;
        const Result<std::size_t> late = co_await client.read_some(nothing, clock_.in(1s));
        EXPECT_FALSE(late);
      }
      co_await clock_.sleep_for(1s);
      Result<void> wrote = Error{Code::retry, "under way"};
      group.spawn(write_it(client, "work", wrote, clock_.in(10s)));
      co_await clock_.sleep_for(1s);
      EXPECT_EQ(wrote.error().what, "under way");
      const Result<void> rest = co_await wire.write_all(ticket.substr(cut), clock_.in(1s));
      EXPECT_TRUE(rest);
      if (!reading) {
        group.spawn(read_it(client, 5, got, clock_.in(10s)));
      }
      co_await group.join();
      EXPECT_TRUE(wrote) << wrote.error().what;
      EXPECT_EQ(got.value(), "hello");
      const std::string taken = co_await server.take(4, clock_.in(1s));
      EXPECT_EQ(taken, "work");
    };
    with_raw_server(64U << 10U, main, known, true);
  }
}

TEST_F(TlsDuplexTest, ACancelledReadLosesNothingAndACancelledWriteIsNeverContinued) {
  with_raw_server(4096, [&](Stream& client, RawServer& server, Stream&) -> Task<void> {
    Result<std::string> got = Error{Code::retry, "cancelled"};
    Result<void> wrote = Error{Code::retry, "cancelled"};
    TaskGroup reading(loop_, clock_);
    reading.spawn(read_it(client, 5, got, clock_.in(10s)));
    co_await clock_.sleep_for(1s);
    reading.cancel();
    co_await reading.join();
    EXPECT_GT(SSL_write(server.ssl(), "hello", 5), 0);
    co_await server.push(clock_.in(1s));
    co_await read_it(client, 5, got, clock_.in(1s));
    EXPECT_EQ(got.value(), "hello");
    TaskGroup writing(loop_, clock_);
    writing.spawn(write_it(client, pattern(100'000), wrote, clock_.in(10s)));
    co_await clock_.sleep_for(1s);
    writing.cancel();
    co_await writing.join();
    EXPECT_EQ(wrote.error().what, "cancelled");
    const Result<void> more = co_await client.write_all("more", clock_.in(1s));
    EXPECT_THAT(more.error().what, HasSubstr("an earlier write was given up"));
  });
}

TEST_F(TlsDuplexTest, ACutEndsBothDirections) {
  with_raw_server(4096, [&](Stream& client, RawServer&, Stream&) -> Task<void> {
    TaskGroup group(loop_, clock_);
    Result<std::string> got = Error{};
    Result<void> wrote;
    group.spawn(read_it(client, 5, got, clock_.in(10s)));
    group.spawn(write_it(client, pattern(100'000), wrote, clock_.in(10s)));
    co_await clock_.sleep_for(1s);
    client.cut();
    const Time cut_at = clock_.now();
    co_await group.join();
    EXPECT_EQ(clock_.now(), cut_at);
    EXPECT_FALSE(got);
    EXPECT_FALSE(wrote);
  });
}

TEST_F(TlsDuplexTest, BothDirectionsAreRightOrAnErrorWhateverStepFails) {
  const std::string bytes = pattern(40'000);
  const TlsContext server_context = TlsContext::server(serving_).value();
  const TlsContext client_context = TlsContext::client({.ca_pem = ca_.cert_pem()}).value();
  const std::size_t steps = for_each_failure([&](Faults& faults) {
    Loop loop;
    VirtualClock clock(loop);
    const auto main = [&]() -> Task<void> {
      StreamPair pair = stream_pair(clock, 16384);
      TaskGroup group(loop, clock);
      Result<std::unique_ptr<Stream>> server = Error{};
      group.spawn(accept_it(clock, std::move(pair.second), server_context, server));
      Result<std::unique_ptr<Stream>> client = co_await tls_connect(
          clock, with_faults(std::move(pair.first), faults, clock), client_context, "broker.test", clock.in(10s));
      co_await group.join();
      if (!client || !server) {
        EXPECT_NE(faults.fault(), Fault::none);
        co_return;
      }
      Result<void> wrote_there = Error{};
      Result<void> wrote_back = Error{};
      Result<std::string> got_there = Error{};
      Result<std::string> got_back = Error{};
      const Deadline deadline = clock.in(10s);
      group.spawn(write_it(**client, bytes, wrote_there, deadline));
      group.spawn(write_it(**server, bytes, wrote_back, deadline));
      group.spawn(read_it(**client, bytes.size(), got_back, deadline));
      group.spawn(read_it(**server, bytes.size(), got_there, deadline));
      co_await group.join();
      EXPECT_LE(clock.now(), deadline.at);
      EXPECT_TRUE(!got_there || *got_there == bytes);
      EXPECT_TRUE(!got_back || *got_back == bytes);
      if (faults.fault() == Fault::none || faults.fault() == Fault::one_byte) {
        EXPECT_TRUE(got_there && got_back && wrote_there && wrote_back);
      }
    };
    clock.run(main());
  });
  EXPECT_GE(steps, 8U);
}

}  // namespace
}  // namespace sluice::aio
