// SPDX-License-Identifier: Apache-2.0
#include "gcp/key.h"

#include <fmt/core.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include <algorithm>
#include <memory>

#include "aio/base64.h"
#include "aio/openssl.h"
#include "aio/url.h"
#include "model/json.h"
#include "model/strict_json.h"

namespace sluice::gcp {
namespace {

namespace json = boost::json;

constexpr std::size_t field_max = 1024;               // of a name or an address; Google's have up to 100 characters
constexpr std::size_t private_key_max = 16384;        // an RSA key of 4096 bits has 3.3 KB, of 8192 bits 6.4 KB
constexpr int bits_min = 2048;                        // what Google takes
constexpr int bits_max = 8192;                        // larger ones take seconds to sign with
constexpr std::chrono::seconds assertion_life{3600};  // the longest that Google takes
constexpr std::chrono::seconds clock_slack{10};       // a clock that is ahead of Google's would be refused

using aio::Bio;
using aio::PrivateKey;
using Digest = std::unique_ptr<EVP_MD_CTX, aio::OpensslFree<EVP_MD_CTX_free>>;

Error invalid(std::string what) {
  return Error{Code::invalid, std::move(what)};
}

Result<PrivateKey> load(const Secret& pem) {
  const std::string_view text = pem.reveal();
  const Bio bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
  PrivateKey key(PEM_read_bio_PrivateKey(bio.get(), nullptr, aio::no_password, nullptr));
  ERR_clear_error();  // OpenSSL's own words may quote the input
  if (key == nullptr) {
    return invalid("private_key: not a PEM key that can be read; accepted: -----BEGIN PRIVATE KEY-----, unencrypted");
  }
  if (EVP_PKEY_get_base_id(key.get()) != EVP_PKEY_RSA) {
    return invalid("private_key: not an RSA key");
  }
  if (const int bits = EVP_PKEY_get_bits(key.get()); bits < bits_min || bits > bits_max) {
    return invalid(fmt::format("private_key: {} bits; accepted: {} to {}", bits, bits_min, bits_max));
  }
  return key;
}

bool printable(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c > ' ' && c < '\x7f'; });
}

// The fields of a key file; the first problem is kept. What is secret is overwritten in the tree when it was taken.
class Fields {
 public:
  explicit Fields(json::object& object) : object_(object) {}
  std::string text(std::string_view key) {
    const json::string* found = find(key, field_max);
    return found != nullptr ? std::string(std::string_view(*found)) : std::string();
  }
  std::string maybe_text(std::string_view key) {
    return object_.if_contains({key.data(), key.size()}) != nullptr ? text(key) : std::string();
  }
  Secret secret(std::string_view key, std::size_t most, bool one_line) {
    json::string* found = find(key, most, one_line);
    if (found == nullptr) {
      return {};
    }
    Secret out{std::string_view(*found)};
    wipe(found->data(), found->size());
    return out;
  }
  [[nodiscard]] const std::string& problem() const { return problem_; }

 private:
  json::string* find(std::string_view key, std::size_t most, bool one_line = true) {
    json::value* value = object_.if_contains({key.data(), key.size()});
    const std::string_view why = value == nullptr                    ? "is missing"
                                 : !value->is_string()               ? "is not a text"
                                 : value->get_string().empty()       ? "is empty"
                                 : value->get_string().size() > most ? "is too long"
                                 : one_line && !printable(std::string_view(value->get_string()))
                                     ? "has characters that do not belong there"
                                     : "";
    if (!why.empty()) {
      problem_ = problem_.empty() ? fmt::format("{} {}", key, why) : problem_;
      return nullptr;
    }
    return &value->get_string();
  }

  json::object& object_;
  std::string problem_;
};

Result<void> check_token_uri(const std::string& text, KeyLimits limits) {
  const Result<aio::Url> url = aio::parse_url(text);
  if (!url || url->scheme == aio::Url::Scheme::unix_socket) {
    return invalid("token_uri is not a URL; Google's is https://oauth2.googleapis.com/token");
  }
  if (url->scheme == aio::Url::Scheme::http && !(limits.loopback_token_uri && is_loopback(url->host))) {
    return invalid("token_uri is not https: what proves who we are would go over the network in the clear");
  }
  return {};
}

Result<Key> read_service_account(Fields& fields, KeyLimits limits) {
  ServiceAccountKey out;
  out.email = fields.text("client_email");
  out.key_id = fields.maybe_text("private_key_id");
  out.project = fields.maybe_text("project_id");
  out.token_uri = fields.text("token_uri");
  out.private_key = fields.secret("private_key", private_key_max, false);
  if (!fields.problem().empty()) {
    return invalid(fields.problem());
  }
  if (const Result<void> good = check_token_uri(out.token_uri, limits); !good) {
    return good.error();
  }
  if (const Result<PrivateKey> loaded = load(out.private_key); !loaded) {
    return loaded.error();
  }
  return Key(std::move(out));
}

Result<Key> read_user(Fields& fields) {
  UserKey out;
  out.client_id = fields.text("client_id");
  out.project = fields.maybe_text("quota_project_id");
  out.client_secret = fields.secret("client_secret", field_max, true);
  out.refresh_token = fields.secret("refresh_token", field_max, true);
  if (!fields.problem().empty()) {
    return invalid(fields.problem());
  }
  return Key(std::move(out));
}

// RFC 4648, section 5, without padding.
std::string to_base64url(std::string_view bytes) {
  std::string out = aio::to_base64(bytes);
  out.resize(std::min(out.find('='), out.size()));
  std::ranges::replace(out, '+', '-');
  std::ranges::replace(out, '/', '_');
  return out;
}

Result<std::string> sign(EVP_PKEY* key, std::string_view text) {
  const Digest digest(EVP_MD_CTX_new());
  const auto* bytes = reinterpret_cast<const unsigned char*>(text.data());
  std::size_t size = 0;
  std::string out;
  bool good = EVP_DigestSignInit(digest.get(), nullptr, EVP_sha256(), nullptr, key) == 1 &&
              EVP_DigestSign(digest.get(), nullptr, &size, bytes, text.size()) == 1;
  if (good) {
    out.resize(size);
    good = EVP_DigestSign(digest.get(), reinterpret_cast<unsigned char*>(out.data()), &size, bytes, text.size()) == 1;
    out.resize(size);
  }
  ERR_clear_error();
  return good ? Result<std::string>(std::move(out)) : invalid("private_key: cannot sign");
}

}  // namespace

bool is_loopback(const std::string& host) {
  return host == "localhost" || host == "::1" ||
         (host.starts_with("127.") && host.find_first_not_of("0123456789.") == std::string::npos);
}

Result<Key> parse_key(std::string_view text, KeyLimits limits) {
  if (text.size() > key_bytes_max) {
    return invalid(fmt::format("longer than {} bytes", key_bytes_max));
  }
  Result<json::value> value = model::parse_strict_json(text);
  if (!value) {
    return value.error();
  }
  if (!value->is_object()) {
    return invalid("not a JSON object");
  }
  Fields fields(value->get_object());
  const std::string type = fields.text("type");
  if (type == "service_account") {
    return read_service_account(fields, limits);
  }
  if (type == "authorized_user") {
    return read_user(fields);
  }
  return invalid(
      !fields.problem().empty()
          ? fields.problem()
          : "type: neither service_account nor authorized_user; on GKE use workload identity, which needs no file");
}

Result<Secret> make_assertion(const ServiceAccountKey& key, std::string_view scope, WallTime now) {
  Result<PrivateKey> loaded = load(key.private_key);
  if (!loaded) {
    return loaded.error();
  }
  const auto issued = std::chrono::floor<std::chrono::seconds>(now).time_since_epoch() - clock_slack;
  std::string header = R"({"alg":"RS256","typ":"JWT")";
  if (!key.key_id.empty()) {
    header += R"(,"kid":)";
    model::append_json_string(header, key.key_id);
  }
  header += "}";
  std::string claims = R"({"iss":)";
  model::append_json_string(claims, key.email);
  claims += R"(,"scope":)";
  model::append_json_string(claims, scope);
  claims += R"(,"aud":)";
  model::append_json_string(claims, key.token_uri);
  claims += fmt::format(R"(,"iat":{},"exp":{}}})", issued.count(), (issued + assertion_life).count());
  std::string text = to_base64url(header) + "." + to_base64url(claims);
  const Result<std::string> signature = sign(loaded->get(), text);
  if (!signature) {
    return signature.error();
  }
  text += "." + to_base64url(*signature);
  Secret out(text);
  wipe(text);
  return out;
}

}  // namespace sluice::gcp
