// SPDX-License-Identifier: Apache-2.0
#pragma once
// What the API server makes of a serving certificate, at any time. Only *_test.cc includes this.
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <memory>
#include <string>

#include "aio/openssl.h"
#include "base/time.h"

namespace sluice::external {

// "trusted", or why it is not: by `bundle` alone, for a server called `host`.
inline std::string trust_in(const std::string& bundle, const std::string& cert_pem, const std::string& host,
                            WallTime at) {
  using Certificate = std::unique_ptr<X509, aio::OpensslFree<X509_free>>;
  const std::unique_ptr<X509_STORE, aio::OpensslFree<X509_STORE_free>> roots(X509_STORE_new());
  const aio::Bio bio(BIO_new_mem_buf(bundle.data(), static_cast<int>(bundle.size())));
  while (const Certificate root{PEM_read_bio_X509(bio.get(), nullptr, aio::no_password, nullptr)}) {
    X509_STORE_add_cert(roots.get(), root.get());
  }
  const aio::Bio own_bio(BIO_new_mem_buf(cert_pem.data(), static_cast<int>(cert_pem.size())));
  const Certificate own{PEM_read_bio_X509(own_bio.get(), nullptr, aio::no_password, nullptr)};
  const std::unique_ptr<X509_STORE_CTX, aio::OpensslFree<X509_STORE_CTX_free>> context(X509_STORE_CTX_new());
  X509_STORE_CTX_init(context.get(), roots.get(), own.get(), nullptr);
  X509_VERIFY_PARAM* const how = X509_STORE_CTX_get0_param(context.get());
  X509_VERIFY_PARAM_set_purpose(how, X509_PURPOSE_SSL_SERVER);
  X509_VERIFY_PARAM_set_time(how, std::chrono::system_clock::to_time_t(std::chrono::floor<std::chrono::seconds>(at)));
  X509_VERIFY_PARAM_set_auth_level(how, 2);
  X509_VERIFY_PARAM_set_flags(how, X509_V_FLAG_X509_STRICT);
  X509_VERIFY_PARAM_set1_host(how, host.data(), host.size());
  const bool good = own != nullptr && X509_verify_cert(context.get()) == 1;
  const int why = X509_STORE_CTX_get_error(context.get());
  ERR_clear_error();
  return good ? "trusted" : own == nullptr ? "no certificate" : X509_verify_cert_error_string(why);
}

}  // namespace sluice::external
