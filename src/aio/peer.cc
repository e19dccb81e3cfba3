// SPDX-License-Identifier: Apache-2.0
#include "aio/peer.h"

#include <fmt/core.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <optional>

#include "aio/openssl.h"
#include "base/check.h"

namespace sluice::aio {
namespace {

using Certificate = std::unique_ptr<X509, OpensslFree<X509_free>>;
using Store = std::unique_ptr<X509_STORE, OpensslFree<X509_STORE_free>>;
using Context = std::unique_ptr<X509_STORE_CTX, OpensslFree<X509_STORE_CTX_free>>;

void free_list(STACK_OF(X509) * list) {
  sk_X509_pop_free(list, X509_free);
}
using List = std::unique_ptr<STACK_OF(X509), OpensslFree<free_list>>;

// No SHA-1 and no RSA key below 2048 bits (OpenSSL's level 2, 112 bits), as Go's verification has it.
constexpr int security_level = 2;

Certificate certificate_of(const std::string& der) {
  const auto* at = reinterpret_cast<const unsigned char*>(der.data());
  return Certificate(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
}

Result<Store> roots_of(const std::string& ca_pem) {
  const Bio bio(BIO_new_mem_buf(ca_pem.data(), static_cast<int>(ca_pem.size())));
  Store store(X509_STORE_new());
  check(bio != nullptr && store != nullptr, "OpenSSL is out of memory");
  int count = 0;
  while (const Certificate root{PEM_read_bio_X509(bio.get(), nullptr, no_password, nullptr)}) {
    X509_STORE_add_cert(store.get(), root.get());
    ++count;
  }
  ERR_clear_error();  // the loop ends with "no start line"
  if (count == 0) {
    return Error{Code::invalid, "TLS: clients' CA: no certificate in it; accepted: PEM, -----BEGIN CERTIFICATE-----"};
  }
  return store;
}

std::string text_of(const X509_NAME* name, int index) {
  unsigned char* bytes = nullptr;
  const int size = ASN1_STRING_to_UTF8(&bytes, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, index)));
  std::string out = size > 0 ? std::string(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(size)) : "";
  OPENSSL_free(bytes);
  return out;
}

std::vector<std::string> texts_of(const X509_NAME* name, int kind) {
  std::vector<std::string> out;
  for (int i = X509_NAME_get_index_by_NID(name, kind, -1); i >= 0; i = X509_NAME_get_index_by_NID(name, kind, i)) {
    out.push_back(text_of(name, i));
  }
  return out;
}

// Why the chain leads nowhere; empty when it does.
std::optional<std::string> refusal(X509* own, STACK_OF(X509) * others, X509_STORE* roots, WallTime at) {
  const Context context(X509_STORE_CTX_new());
  check(context != nullptr && X509_STORE_CTX_init(context.get(), roots, own, others) == 1, "OpenSSL is out of memory");
  X509_VERIFY_PARAM* const how = X509_STORE_CTX_get0_param(context.get());
  X509_VERIFY_PARAM_set_purpose(how, X509_PURPOSE_SSL_CLIENT);
  X509_VERIFY_PARAM_set_time(how, std::chrono::system_clock::to_time_t(at));
  X509_VERIFY_PARAM_set_auth_level(how, security_level);
  X509_VERIFY_PARAM_set_flags(how, X509_V_FLAG_PARTIAL_CHAIN);  // the bundle may hold an authority that is no root
  const bool good = X509_verify_cert(context.get()) == 1;
  const int why = X509_STORE_CTX_get_error(context.get());
  ERR_clear_error();
  return good ? std::nullopt : std::optional(std::string(X509_verify_cert_error_string(why)));
}

}  // namespace

Result<PeerName> verify_peer(const PeerChain& chain, const std::string& ca_pem, WallTime at) {
  const Result<Store> roots = roots_of(ca_pem);
  if (!roots) {
    return roots.error();
  }
  if (chain.der.empty()) {
    return Error{Code::denied, "the client showed no certificate"};
  }
  const Certificate own = certificate_of(chain.der.front());
  const List others(sk_X509_new_null());
  for (const std::string& der : chain.der) {
    Certificate link = certificate_of(der);
    if (link == nullptr) {
      ERR_clear_error();
      return Error{Code::denied, "the client's certificate cannot be read"};
    }
    check(sk_X509_push(others.get(), link.release()) > 0, "OpenSSL is out of memory");
  }
  if (const std::optional<std::string> why = refusal(own.get(), others.get(), roots->get(), at)) {
    return Error{Code::denied, fmt::format("the client's certificate: {}", *why)};
  }
  const X509_NAME* const subject = X509_get_subject_name(own.get());
  const std::vector<std::string> names = texts_of(subject, NID_commonName);
  return PeerName{.common_name = names.empty() ? "" : names.back(),
                  .organizations = texts_of(subject, NID_organizationName)};
}

}  // namespace sluice::aio
