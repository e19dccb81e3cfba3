// SPDX-License-Identifier: Apache-2.0
#include "aio/tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <array>
#include <optional>

#include "aio/event.h"
#include "aio/mutex.h"
#include "aio/tls_words.h"
#include "base/check.h"

namespace sluice::aio {
namespace {

struct FreeSession {
  void operator()(SSL* session) const { SSL_free(session); }
};
using Session = std::unique_ptr<SSL, FreeSession>;

// Answers of the protocol that a read may leave to the next write. A key update is answered by 27 bytes, before the
// next data that we send and not earlier (RFC 8446, 4.6.3); only a peer that floods us with them gets here.
constexpr std::size_t answers_max = 4096;

void add_der(X509* certificate, std::vector<std::string>& out) {
  unsigned char* bytes = nullptr;
  const int size = i2d_X509(certificate, &bytes);
  check(size > 0, "a certificate that was read can be written");
  out.emplace_back(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(size));
  OPENSSL_free(bytes);
}

// What the client of an accepted session showed. OpenSSL keeps its own certificate apart from the others.
PeerChain shown_by(SSL* session) {
  PeerChain out;
  X509* const own = SSL_get0_peer_certificate(session);
  if (own == nullptr) {
    return out;
  }
  add_der(own, out.der);
  const STACK_OF(X509)* const others = SSL_get_peer_cert_chain(session);
  for (int i = 0; others != nullptr && i < sk_X509_num(others); ++i) {
    add_der(sk_X509_value(others, i), out.der);
  }
  return out;
}

// One read and one write at a time, and OpenSSL, which knows only one state for both:
//
//   read_some:  SSL_read  <-- bytes -- feed() <-- one reader of the stream below
//   write_all:  SSL_write -- bytes --> flush() --> one writer of the stream below, in the order of encryption
//
// Each call of OpenSSL is between two waits, so they never overlap. Both may want bytes (a write in the middle of a
// message of the protocol): one of them reads, the other waits for it. Both may have bytes to send (a read's answer to
// a key update, an alert): a read leaves them to the write that is under way or comes next, so that a peer that takes
// nothing does not hold up what it sends.
class TlsStream final : public Stream {
 public:
  TlsStream(Clock& clock, std::unique_ptr<Stream> below, TlsContext context)
      : below_(std::move(below)),
        context_(std::move(context)),
        ssl_(SSL_new(context_.get())),
        arrived_(clock),
        sending_(clock) {
    check(ssl_ != nullptr, "OpenSSL is out of memory");
    remember_refused(ssl_.get(), refused_);
    SSL_set_bio(ssl_.get(), BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
  }

  SSL* ssl() { return ssl_.get(); }

  Task<Result<void>> handshake(Deadline deadline) {
    while (true) {
      ERR_clear_error();
      const int done = SSL_do_handshake(ssl_.get());
      const Turn turn = take(done, 0);
      const Result<void> sent = co_await flush(deadline);  // an alert too: it tells the peer why
      if (turn.outcome == Outcome::failed) {
        co_return turn.failure;
      }
      if (!sent || turn.outcome == Outcome::done) {
        co_return sent;
      }
      const Result<void> fed = co_await feed(deadline);
      if (!fed) {
        co_return fed;
      }
    }
  }

  Task<Result<std::size_t>> read_some(std::span<char> into, Deadline deadline) override {
    while (true) {
      std::size_t n = 0;
      ERR_clear_error();
      const int done = SSL_read_ex(ssl_.get(), into.data(), into.size(), &n);
      const Turn turn = take(done, n);
      const bool over = turn.outcome == Outcome::failed;
      if ((over && !sending_.held()) || to_send() > answers_max) {
        const Result<void> sent = co_await flush(deadline);
        (void)sent;  // what came is worth more than that our answer did not get through
      }
      if (over) {
        co_return turn.failure;
      }
      if (turn.outcome != Outcome::wants_bytes) {
        co_return turn.n;
      }
      const Result<void> fed = co_await feed(deadline);
      if (!fed) {
        co_return fed.error();
      }
    }
  }

  Task<Result<void>> write_all(std::string_view bytes, Deadline deadline) override {
    while (!bytes.empty()) {
      std::size_t n = 0;
      ERR_clear_error();
      const int done = SSL_write_ex(ssl_.get(), bytes.data(), bytes.size(), &n);  // one record of it
      const Turn turn = take(done, n);
      bytes.remove_prefix(turn.n);
      const Result<void> sent = co_await flush(deadline);
      if (turn.outcome == Outcome::failed) {
        co_return turn.failure;
      }
      if (!sent) {
        co_return sent;
      }
      if (turn.outcome == Outcome::wants_bytes) {
        const Result<void> fed = co_await feed(deadline);
        if (!fed) {
          co_return fed;
        }
      }
    }
    co_return Result<void>();
  }

  Task<Result<void>> end_writing(Deadline deadline) override {
    SSL_shutdown(ssl_.get());  // only queues the goodbye
    ERR_clear_error();
    Result<void> sent = co_await flush(deadline);
    if (!sent) {
      co_return sent;
    }
    sent = co_await below_->end_writing(deadline);
    co_return sent;
  }

  bool quiet() override {
    return SSL_pending(ssl_.get()) == 0 && BIO_pending(SSL_get_rbio(ssl_.get())) == 0 && below_->quiet();
  }
  void cut() override { below_->cut(); }

 private:
  enum class Outcome {
    done,         // n bytes, of a read 0 when nothing more will come
    wants_bytes,  // of the peer
    failed,
  };
  struct Turn {
    Outcome outcome = Outcome::done;
    std::size_t n = 0;
    Error failure = {};
  };

  // What became of a call. Judged before anything is awaited: OpenSSL's queue of errors belongs to the thread, not to
  // this stream.
  Turn take(int done, std::size_t n) {
    const int why = SSL_get_error(ssl_.get(), done);
    if (done == 1) {
      return {.outcome = Outcome::done, .n = n};
    }
    if (why == SSL_ERROR_ZERO_RETURN) {
      return {.outcome = Outcome::done, .n = 0};
    }
    if (why == SSL_ERROR_SSL) {
      return {.outcome = Outcome::failed, .n = 0, .failure = tls_failure(ssl_.get(), refused_)};
    }
    check(why == SSL_ERROR_WANT_READ, "OpenSSL wants what memory never makes it wait for");
    return {.outcome = Outcome::wants_bytes, .n = 0};
  }

  // Brings OpenSSL more bytes, read here or by the other direction meanwhile.
  Task<Result<void>> feed(Deadline deadline) {
    if (reading_) {
      const Wake why = co_await arrived_.wait(deadline);
      if (why == Wake::timeout) {
        co_return Error{Code::retry, "nothing came in time"};
      }
      co_return Result<void>();
    }
    const Reading alone(*this);
    const Result<std::size_t> got = co_await below_->read_some(incoming_, deadline);
    if (!got) {
      co_return got.error();
    }
    if (*got == 0) {
      // An end without a goodbye may be an attacker's: never taken for the end of a message.
      co_return Error{Code::retry, "connection cut"};
    }
    BIO_write(SSL_get_rbio(ssl_.get()), incoming_.data(), static_cast<int>(*got));
    co_return Result<void>();
  }

  [[nodiscard]] std::size_t to_send() { return BIO_pending(SSL_get_wbio(ssl_.get())); }

  // Returns when everything that was encrypted before is handed to the stream below.
  Task<Result<void>> flush(Deadline deadline) {
    if (to_send() == 0 && !sending_.held()) {
      co_return Result<void>();
    }
    const std::optional<Mutex::Hold> alone = co_await sending_.lock(deadline);
    if (!alone) {
      co_return Error{Code::retry, "the peer did not take everything in time"};
    }
    if (unsent_) {
      co_return *unsent_;
    }
    if (to_send() == 0) {  // whoever held it sent ours too
      co_return Result<void>();
    }
    BIO* const bio = SSL_get_wbio(ssl_.get());
    char* data = nullptr;
    const long size = BIO_get_mem_data(bio, &data);
    outgoing_.assign(data, static_cast<std::size_t>(size));
    BIO_reset(bio);
    // Stands when this is cancelled: how much was sent is not known then, and nothing may follow it.
    unsent_ = Error{Code::retry, "connection cut: an earlier write was given up"};
    const Result<void> sent = co_await below_->write_all(outgoing_, deadline);
    unsent_.reset();
    if (!sent) {
      unsent_ = sent.error();
    }
    co_return sent;
  }

  struct Reading {
    explicit Reading(TlsStream& s) : stream(s) { stream.reading_ = true; }
    ~Reading() {
      stream.reading_ = false;
      stream.arrived_.notify();
    }
    Reading(const Reading&) = delete;
    Reading& operator=(const Reading&) = delete;
    TlsStream& stream;
  };

  std::unique_ptr<Stream> below_;
  TlsContext context_;   // outlives the session
  std::string refused_;  // what a certificate that was refused says of itself
  Session ssl_;
  bool reading_ = false;  // a task is in below_->read_some()
  Event arrived_;         // it is not any more
  std::array<char, 16384> incoming_;
  Mutex sending_;                // held in below_->write_all()
  std::string outgoing_;         // of whoever holds it
  std::optional<Error> unsent_;  // why nothing more can be sent
};

// The certificate is checked for `name`, an IP address as such.
void expect_name(SSL* ssl, std::string name) {
  X509_VERIFY_PARAM* const wanted = SSL_get0_param(ssl);
  // Names are subject alternative names: the common name is for people (RFC 9110, 4.3.4).
  X509_VERIFY_PARAM_set_hostflags(wanted, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
  if (X509_VERIFY_PARAM_set1_ip_asc(wanted, name.c_str()) == 1) {
    return;
  }
  ERR_clear_error();
  if (name.ends_with('.')) {
    name.pop_back();  // complete, but certificates and SNI are written without it
  }
  check(X509_VERIFY_PARAM_set1_host(wanted, name.c_str(), name.size()) == 1, "OpenSSL is out of memory");
  SSL_set_tlsext_host_name(ssl, name.c_str());
}

}  // namespace

Task<Result<std::unique_ptr<Stream>>> tls_connect(Clock& clock, std::unique_ptr<Stream> below, TlsContext context,
                                                  std::string name, Deadline deadline) {
  auto stream = std::make_unique<TlsStream>(clock, std::move(below), std::move(context));
  SSL_set_connect_state(stream->ssl());
  expect_name(stream->ssl(), std::move(name));
  const Result<void> agreed = co_await stream->handshake(deadline);
  if (!agreed) {
    co_return agreed.error();
  }
  co_return std::unique_ptr<Stream>(std::move(stream));
}

Task<Result<std::unique_ptr<Stream>>> tls_accept(Clock& clock, std::unique_ptr<Stream> below, TlsContext context,
                                                 Deadline deadline) {
  auto stream = std::make_unique<TlsStream>(clock, std::move(below), std::move(context));
  SSL_set_accept_state(stream->ssl());
  const Result<void> agreed = co_await stream->handshake(deadline);
  if (!agreed) {
    co_return agreed.error();
  }
  co_return std::unique_ptr<Stream>(std::move(stream));
}

Task<Result<TlsAccepted>> tls_accept_peer(Clock& clock, std::unique_ptr<Stream> below, TlsContext context,
                                          Deadline deadline) {
  auto stream = std::make_unique<TlsStream>(clock, std::move(below), std::move(context));
  SSL_set_accept_state(stream->ssl());
  const Result<void> agreed = co_await stream->handshake(deadline);
  if (!agreed) {
    co_return agreed.error();
  }
  PeerChain peer = shown_by(stream->ssl());
  co_return TlsAccepted{.stream = std::move(stream), .peer = std::move(peer)};
}

}  // namespace sluice::aio
