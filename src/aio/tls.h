// SPDX-License-Identifier: Apache-2.0
#pragma once
// TLS 1.2 and 1.3 over any Stream. OpenSSL is given memory instead of a socket, so that the same code runs over a
// faulty stream in a test, and every wait is ours, with our deadline.
#include <memory>
#include <string>

#include "aio/peer.h"
#include "aio/stream.h"

// OpenSSL's, which only tls.cc includes.
struct ssl_ctx_st;

namespace sluice::aio {

struct TlsOptions {
  std::string ca_pem = {};       // trusted roots; empty: the system's bundle
  std::string cert_pem = {};     // client certificate and its chain, with key_pem
  std::string key_pem = {};      // unencrypted
  std::string server_name = {};  // checked against the certificate, and sent as SNI; empty: the host of the URL
};

struct TlsServerOptions {
  std::string cert_pem;
  std::string key_pem;
  std::string client_ca_pem = {};  // clients must show a certificate signed by these; empty: none is asked for
  // Asks for a certificate and takes any, or none: what it proves is judged later, by verify_peer().
  // Not with client_ca_pem.
  bool ask_client = false;
};

// What all connections of one client or server share. Cheap to copy.
class TlsContext {
 public:
  // Code::invalid for PEM that cannot be used, naming which part and never its text; Code::denied when no bundle of
  // trusted roots is found where systems keep it, or at SSL_CERT_FILE.
  [[nodiscard]] static Result<TlsContext> client(const TlsOptions& options);
  [[nodiscard]] static Result<TlsContext> server(const TlsServerOptions& options);
  [[nodiscard]] ssl_ctx_st* get() const { return context_.get(); }

 private:
  explicit TlsContext(std::shared_ptr<ssl_ctx_st> context) : context_(std::move(context)) {}
  std::shared_ptr<ssl_ctx_st> context_;
};

// The handshake over a connected stream. The server's certificate must be valid now, lead to a trusted root and carry
// `name` (a DNS name or an IP address) as a subject alternative name. Code::denied when it does not, or when the server
// refuses ours; invalid when the peer does not speak TLS; retry when the connection is cut or late.
[[nodiscard]] Task<Result<std::unique_ptr<Stream>>> tls_connect(Clock& clock, std::unique_ptr<Stream> below,
                                                                TlsContext context, std::string name,
                                                                Deadline deadline);
[[nodiscard]] Task<Result<std::unique_ptr<Stream>>> tls_accept(Clock& clock, std::unique_ptr<Stream> below,
                                                               TlsContext context, Deadline deadline);

// An accepted connection and what its client showed.
struct TlsAccepted {
  std::unique_ptr<Stream> stream;
  PeerChain peer;
};
// The same for a context that asks the client.
[[nodiscard]] Task<Result<TlsAccepted>> tls_accept_peer(Clock& clock, std::unique_ptr<Stream> below, TlsContext context,
                                                        Deadline deadline);

}  // namespace sluice::aio
