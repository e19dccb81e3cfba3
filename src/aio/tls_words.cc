// SPDX-License-Identifier: Apache-2.0
#include "aio/tls_words.h"

#include <arpa/inet.h>
#include <fmt/core.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <array>
#include <ctime>
#include <memory>
#include <string_view>

namespace sluice::aio {
namespace {

constexpr int names_max = 5;           // enough to see what it is for
constexpr std::size_t name_max = 100;  // a stranger may write anything into a certificate

// RFC 8446, section 6.2. OpenSSL numbers its reasons 1000 + the alert.
constexpr int alert_handshake_failure = 40;
constexpr int alert_access_denied = 49;
constexpr int alert_insufficient_security = 71;
constexpr int alert_certificate_required = 116;

std::string readable(std::string_view text) {
  std::string out;
  for (const char c : text.substr(0, name_max)) {
    out += c > ' ' && c < '\x7f' ? c : '?';
  }
  return out;
}

std::string text_of(const GENERAL_NAME& name) {
  if (name.type == GEN_DNS) {
    const ASN1_IA5STRING* const dns = name.d.dNSName;
    return readable(
        {reinterpret_cast<const char*>(ASN1_STRING_get0_data(dns)), static_cast<std::size_t>(ASN1_STRING_length(dns))});
  }
  if (name.type == GEN_IPADD) {
    const ASN1_OCTET_STRING* const ip = name.d.iPAddress;
    std::array<char, INET6_ADDRSTRLEN> text{};
    const int family = ASN1_STRING_length(ip) == 4 ? AF_INET : AF_INET6;
    const bool whole = family == AF_INET || ASN1_STRING_length(ip) == 16;
    if (whole && ::inet_ntop(family, ASN1_STRING_get0_data(ip), text.data(), text.size()) != nullptr) {
      return text.data();
    }
  }
  return "";
}

std::string names_of(X509* certificate) {
  const auto free = [](GENERAL_NAMES* names) { GENERAL_NAMES_free(names); };
  const std::unique_ptr<GENERAL_NAMES, decltype(free)> names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  std::string out;
  const int count = names ? sk_GENERAL_NAME_num(names.get()) : 0;
  for (int i = 0; i < count && i < names_max; ++i) {
    const std::string one = text_of(*sk_GENERAL_NAME_value(names.get(), i));
    out += one.empty() ? "" : out.empty() ? one : ", " + one;
  }
  return out.empty() ? "no name" : count > names_max ? out + " and more" : out;
}

std::string date_of(const ASN1_TIME* time) {
  std::tm at{};
  if (ASN1_TIME_to_tm(time, &at) != 1) {
    return "an unreadable date";
  }
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}Z", at.tm_year + 1900, at.tm_mon + 1, at.tm_mday, at.tm_hour,
                     at.tm_min);
}

// Called for each certificate of a chain; what it thinks of it stays as it is.
int look(int good, X509_STORE_CTX* chain) {
  X509* const certificate = X509_STORE_CTX_get_current_cert(chain);
  auto* const ssl = static_cast<SSL*>(X509_STORE_CTX_get_ex_data(chain, SSL_get_ex_data_X509_STORE_CTX_idx()));
  if (good == 1 || certificate == nullptr || ssl == nullptr) {
    return good;
  }
  std::string& about = *static_cast<std::string*>(SSL_get_app_data(ssl));
  switch (X509_STORE_CTX_get_error(chain)) {
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
      about = fmt::format("it is for {}; connect by such a name, or give it as the server's name (serverName)",
                          names_of(certificate));
      break;
    case X509_V_ERR_CERT_HAS_EXPIRED:
      about =
          fmt::format("it was valid until {}; the server needs a new one", date_of(X509_get0_notAfter(certificate)));
      break;
    case X509_V_ERR_CERT_NOT_YET_VALID:
      about = fmt::format("it is valid from {}; is the clock of this machine right?",
                          date_of(X509_get0_notBefore(certificate)));
      break;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
      about = "nobody who is trusted here signed it; give the certificate of who did (tls.ca)";
      break;
    default:
      break;
  }
  return good;
}

Error refused_by_peer(SSL* ssl, int alert, std::string_view words) {
  const bool shown = SSL_get_certificate(ssl) != nullptr;
  const bool wanted = alert == alert_certificate_required || (alert == alert_handshake_failure && !shown);
  return Error{Code::denied, fmt::format("refused by the peer: {}{}", words,
                                         wanted  ? "; it wants a client's certificate: give one (tls.cert and tls.key)"
                                         : shown ? "; it does not take our certificate"
                                                 : "")};
}

}  // namespace

void remember_refused(SSL* ssl, std::string& about) {
  SSL_set_app_data(ssl, &about);
  SSL_set_verify(ssl, SSL_get_verify_mode(ssl), look);
}

Error tls_failure(SSL* ssl, const std::string& about) {
  const long verdict = SSL_get_verify_result(ssl);
  const unsigned long error = ERR_peek_error();
  const int reason = ERR_GET_REASON(error);
  const char* const text = ERR_reason_error_string(error);
  const std::string words = text == nullptr ? "unknown error" : text;
  ERR_clear_error();
  if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED && verdict != X509_V_OK) {
    return Error{Code::denied, fmt::format("certificate refused: {}{}{}", X509_verify_cert_error_string(verdict),
                                           about.empty() ? "" : ": ", about)};
  }
  // What the peer says of certificates, and of what else was offered.
  const int alert = reason - SSL_AD_REASON_OFFSET;
  if ((alert >= alert_handshake_failure && alert <= alert_access_denied) || alert == alert_insufficient_security ||
      alert == alert_certificate_required) {
    return refused_by_peer(ssl, alert, words);
  }
  if (reason == SSL_R_WRONG_VERSION_NUMBER || reason == SSL_R_HTTP_REQUEST || reason == SSL_R_PACKET_LENGTH_TOO_LONG) {
    return Error{Code::invalid, "the peer does not speak TLS"};
  }
  return Error{Code::retry, fmt::format("TLS: {}", words)};
}

}  // namespace sluice::aio
