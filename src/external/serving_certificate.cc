// SPDX-License-Identifier: Apache-2.0
#include "external/serving_certificate.h"

#include <fmt/core.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <ctime>
#include <optional>
#include <utility>

#include "aio/openssl.h"
#include "base/check.h"

namespace sluice::external {
namespace {

using aio::Bio;
using aio::no_password;
using aio::OpensslFree;
using aio::PrivateKey;
using Certificate = std::unique_ptr<X509, OpensslFree<X509_free>>;
using Extension = std::unique_ptr<X509_EXTENSION, OpensslFree<X509_EXTENSION_free>>;
using Number = std::unique_ptr<BIGNUM, OpensslFree<BN_free>>;

// A Secret holds at most 1 MiB.
constexpr std::size_t pem_max = std::size_t{1} << 20U;
// Of RSA 2048 and P-224: what peers of today refuse is not used.
constexpr int security_bits_min = 112;
constexpr std::chrono::hours future_max{1};
constexpr std::size_t common_name_max = 64;  // RFC 5280, ub-common-name
constexpr int serial_bits = 128;

struct Read {
  Certificate cert;
  PrivateKey key;
  Validity validity{};
};

Error unusable(std::string_view why) {
  ERR_clear_error();  // OpenSSL's own words may quote the input
  return Error{Code::invalid, std::string(why)};
}

Bio reader_of(std::string_view pem) {
  Bio out(BIO_new_mem_buf(pem.data(), static_cast<int>(std::min(pem.size(), pem_max))));
  check(out != nullptr, "OpenSSL is out of memory");
  return out;
}

Certificate next_certificate(const Bio& bio) {
  return Certificate(PEM_read_bio_X509(bio.get(), nullptr, no_password, nullptr));
}

std::optional<WallTime> wall_of(const ASN1_TIME* time) {
  std::tm tm{};
  if (ASN1_TIME_to_tm(time, &tm) != 1) {
    return std::nullopt;
  }
  const std::chrono::year_month_day day{std::chrono::year{tm.tm_year + 1900},
                                        std::chrono::month{static_cast<unsigned>(tm.tm_mon + 1)},
                                        std::chrono::day{static_cast<unsigned>(tm.tm_mday)}};
  return std::chrono::sys_days{day} + std::chrono::hours{tm.tm_hour} + std::chrono::minutes{tm.tm_min} +
         std::chrono::seconds{tm.tm_sec};
}

Result<Read> read_pair(const KeyedCertificate& pair) {
  Read out{.cert = next_certificate(reader_of(pair.cert_pem)), .key = nullptr};
  if (out.cert == nullptr) {
    return unusable("the certificate cannot be read; accepted: PEM, -----BEGIN CERTIFICATE-----");
  }
  out.key.reset(PEM_read_bio_PrivateKey(reader_of(pair.key_pem).get(), nullptr, no_password, nullptr));
  if (out.key == nullptr) {
    return unusable("the private key cannot be read; accepted: PEM without a password, -----BEGIN PRIVATE KEY-----");
  }
  if (X509_check_private_key(out.cert.get(), out.key.get()) != 1) {
    return unusable("the private key does not belong to the certificate");
  }
  const std::optional<WallTime> from = wall_of(X509_get0_notBefore(out.cert.get()));
  const std::optional<WallTime> until = wall_of(X509_get0_notAfter(out.cert.get()));
  if (!from || !until) {
    return unusable("the certificate does not say for which time it is");
  }
  out.validity = {.from = *from, .until = *until};
  return out;
}

bool can_sign(const Read& pair) {
  const int kind = EVP_PKEY_get_base_id(pair.key.get());
  return (kind == EVP_PKEY_EC || kind == EVP_PKEY_RSA) &&
         EVP_PKEY_get_security_bits(pair.key.get()) >= security_bits_min &&
         X509_check_purpose(pair.cert.get(), X509_PURPOSE_SSL_SERVER, 1) == 1;
}

Result<Read> read_authority(const KeyedCertificate& pair, WallTime at) {
  Result<Read> out = read_pair(pair);
  if (!out) {
    return out.error().in("the authority");
  }
  if (!can_sign(*out)) {
    return unusable("the authority may not sign certificates of servers");
  }
  if (out->validity.ended(at) || out->validity.from > at + future_max) {
    return unusable(fmt::format("the authority is for the time from {} to {}", format_wall(out->validity.from),
                                format_wall(out->validity.until)));
  }
  ERR_clear_error();
  return out;
}

// A certificate in the making; true in `good` as long as OpenSSL did what it was told.
class Draft {
 public:
  Draft(std::string common_name, Validity validity) : key_(EVP_EC_gen("P-256")), cert_(X509_new()) {
    check(key_ != nullptr && cert_ != nullptr, "OpenSSL is out of memory");
    common_name.resize(std::min(common_name.size(), common_name_max));
    const Number serial(BN_new());
    good_ = serial != nullptr && BN_rand(serial.get(), serial_bits, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY) == 1 &&
            BN_to_ASN1_INTEGER(serial.get(), X509_get_serialNumber(cert_.get())) != nullptr &&
            X509_set_version(cert_.get(), X509_VERSION_3) == 1 && X509_set_pubkey(cert_.get(), key_.get()) == 1 &&
            set_time(X509_getm_notBefore(cert_.get()), validity.from) &&
            set_time(X509_getm_notAfter(cert_.get()), validity.until) && say("O", "sluice") && say("CN", common_name);
  }

  // Extensions in OpenSSL's own words.
  void add(X509* issuer, int kind, const std::string& value) {
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer == nullptr ? cert_.get() : issuer, cert_.get(), nullptr, nullptr, 0);
    const Extension extension(X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str()));
    good_ = good_ && extension != nullptr && X509_add_ext(cert_.get(), extension.get(), -1) == 1;
  }

  // By itself without an issuer.
  [[nodiscard]] Result<KeyedCertificate> sign(X509* issuer, EVP_PKEY* key) {
    X509* const by = issuer == nullptr ? cert_.get() : issuer;
    EVP_PKEY* const with = key == nullptr ? key_.get() : key;
    good_ = good_ && X509_set_issuer_name(cert_.get(), X509_get_subject_name(by)) == 1 &&
            X509_sign(cert_.get(), with, EVP_sha256()) > 0 && X509_verify(cert_.get(), X509_get0_pubkey(by)) == 1;
    if (!good_) {
      return unusable("OpenSSL makes no certificate of it");
    }
    return KeyedCertificate{.cert_pem = written([this](BIO* bio) { return PEM_write_bio_X509(bio, cert_.get()); }),
                            .key_pem = written([this](BIO* bio) {
                              return PEM_write_bio_PKCS8PrivateKey(bio, key_.get(), nullptr, nullptr, 0, nullptr,
                                                                   nullptr);
                            })};
  }

 private:
  static bool set_time(ASN1_TIME* out, WallTime at) {
    const auto seconds = std::chrono::floor<std::chrono::seconds>(at);
    return ASN1_TIME_set(out, std::chrono::system_clock::to_time_t(seconds)) != nullptr;
  }
  bool say(const char* field, const std::string& value) {
    return X509_NAME_add_entry_by_txt(X509_get_subject_name(cert_.get()), field, MBSTRING_ASC,
                                      reinterpret_cast<const unsigned char*>(value.c_str()), -1, -1, 0) == 1;
  }
  template <class Write>
  static std::string written(const Write& write) {
    const Bio bio(BIO_new(BIO_s_mem()));
    check(bio != nullptr && write(bio.get()) == 1, "OpenSSL is out of memory");
    char* data = nullptr;
    const long size = BIO_get_mem_data(bio.get(), &data);
    return {data, static_cast<std::size_t>(size)};
  }

  PrivateKey key_;
  Certificate cert_;
  bool good_ = false;
};

// A DNS label, as names of Services and namespaces are.
bool is_label(std::string_view text) {
  constexpr std::string_view accepted = "abcdefghijklmnopqrstuvwxyz0123456789-";
  return !text.empty() && text.size() <= 63 && text.find_first_not_of(accepted) == std::string_view::npos;
}

Result<void> check_service(const ServiceName& service) {
  if (!is_label(service.space) || !is_label(service.name)) {
    return Error{Code::invalid, "no certificate without the name of a Service; accepted: NAMESPACE/NAME"};
  }
  return {};
}

}  // namespace

Result<KeyedCertificate> make_authority(const ServiceName& service, WallTime now) {
  if (const Result<void> named = check_service(service); !named) {
    return named.error();
  }
  Draft draft(fmt::format("authority of {}", service.host()),
              {.from = now - clock_skew, .until = now + authority_life});
  draft.add(nullptr, NID_basic_constraints, "critical,CA:TRUE,pathlen:0");
  draft.add(nullptr, NID_key_usage, "critical,keyCertSign");
  draft.add(nullptr, NID_subject_key_identifier, "hash");
  return draft.sign(nullptr, nullptr);
}

Result<KeyedCertificate> make_serving(const KeyedCertificate& authority, const ServiceName& service, WallTime now) {
  if (const Result<void> named = check_service(service); !named) {
    return named.error();
  }
  const Result<Read> by = read_authority(authority, now);
  if (!by) {
    return by.error();
  }
  X509* const issuer = by->cert.get();
  Draft draft(service.host(),
              {.from = now - clock_skew, .until = std::min<WallTime>(now + serving_life, by->validity.until)});
  draft.add(issuer, NID_basic_constraints, "critical,CA:FALSE");
  draft.add(issuer, NID_key_usage, "critical,digitalSignature");
  draft.add(issuer, NID_ext_key_usage, "serverAuth");
  draft.add(issuer, NID_subject_alt_name, "DNS:" + service.host());
  draft.add(issuer, NID_authority_key_identifier, "keyid");
  return draft.sign(issuer, by->key.get());
}

Result<Validity> check_pair(const KeyedCertificate& pair) {
  const Result<Read> read = read_pair(pair);
  return read ? Result<Validity>(read->validity) : read.error();
}

Result<Validity> check_authority(const KeyedCertificate& pair, WallTime at) {
  const Result<Read> read = read_authority(pair, at);
  return read ? Result<Validity>(read->validity) : read.error();
}

bool bundle_holds(std::string_view bundle, std::string_view cert_pem) {
  const Certificate wanted = next_certificate(reader_of(cert_pem));
  const Bio bio = reader_of(bundle);
  bool found = false;
  while (wanted != nullptr && !found) {
    const Certificate one = next_certificate(bio);
    if (one == nullptr) {
      break;
    }
    found = X509_cmp(one.get(), wanted.get()) == 0;
  }
  ERR_clear_error();  // the loop ends with "no start line"
  return found;
}

}  // namespace sluice::external
