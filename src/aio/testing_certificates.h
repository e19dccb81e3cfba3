// SPDX-License-Identifier: Apache-2.0
#pragma once
// Certificates for tests of TLS, good and bad, made in memory. Only *_test.cc includes this.
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace sluice::aio {

inline std::string pem_text(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  std::string out(data, static_cast<std::size_t>(size));
  BIO_free(bio);
  return out;
}

// A certificate with its key.
struct TestCertificate {
  EVP_PKEY* key = nullptr;
  X509* cert = nullptr;
  [[nodiscard]] std::string cert_pem() const {
    BIO* const bio = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(bio, cert);
    return pem_text(bio);
  }
  [[nodiscard]] std::string key_pem(const char* password = nullptr) const {
    BIO* const bio = BIO_new(BIO_s_mem());
    PEM_write_bio_PrivateKey(bio, key, password == nullptr ? nullptr : EVP_aes_128_cbc(), nullptr, 0, nullptr,
                             const_cast<char*>(password));
    return pem_text(bio);
  }
  TestCertificate() = default;
  TestCertificate(const TestCertificate&) = delete;
  TestCertificate(TestCertificate&& other) noexcept
      : key(std::exchange(other.key, nullptr)), cert(std::exchange(other.cert, nullptr)) {}
  ~TestCertificate() {
    X509_free(cert);
    EVP_PKEY_free(key);
  }
};

// `names` as OpenSSL writes alternative names, "DNS:a,IP:127.0.0.1"; `from` and `to` in seconds from now; `usage` of
// the key as OpenSSL writes it, "clientAuth".
inline TestCertificate test_certificate(const std::string& common, const TestCertificate* issuer,
                                        const std::string& names, long from = -60, long to = 3600,
                                        const std::string& usage = "",
                                        const std::vector<std::string>& organizations = {}) {
  TestCertificate out;
  out.key = EVP_EC_gen("P-256");
  out.cert = X509_new();
  X509_set_version(out.cert, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(out.cert), static_cast<long>(std::hash<std::string>{}(common) % 1'000'000));
  X509_gmtime_adj(X509_getm_notBefore(out.cert), from);
  X509_gmtime_adj(X509_getm_notAfter(out.cert), to);
  X509_set_pubkey(out.cert, out.key);
  const auto say = [&](const char* field, const std::string& value) {
    X509_NAME_add_entry_by_txt(X509_get_subject_name(out.cert), field, MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>(value.c_str()), -1, -1, 0);
  };
  for (const std::string& organization : organizations) {
    say("O", organization);
  }
  say("CN", common);
  X509_set_issuer_name(out.cert, X509_get_subject_name(issuer == nullptr ? out.cert : issuer->cert));
  const auto add = [&](int kind, const std::string& value) {
    X509_EXTENSION* const extension = X509V3_EXT_conf_nid(nullptr, nullptr, kind, value.c_str());
    X509_add_ext(out.cert, extension, -1);
    X509_EXTENSION_free(extension);
  };
  add(NID_basic_constraints, issuer == nullptr ? "critical,CA:TRUE" : "CA:FALSE");
  if (!names.empty()) {
    add(NID_subject_alt_name, names);
  }
  if (!usage.empty()) {
    add(NID_ext_key_usage, usage);
  }
  X509_sign(out.cert, issuer == nullptr ? out.key : issuer->key, EVP_sha256());
  return out;
}

}  // namespace sluice::aio
