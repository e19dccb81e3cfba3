// SPDX-License-Identifier: Apache-2.0
#include "aio/base64.h"

#include <openssl/evp.h>

#include <algorithm>

#include "base/check.h"

namespace sluice::aio {
namespace {

constexpr std::string_view space = " \t\r\n";

const unsigned char* bytes_of(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

}  // namespace

std::string to_base64(std::string_view bytes) {
  std::string out((bytes.size() + 2) / 3 * 4 + 1, '\0');  // and the zero that OpenSSL writes behind it
  const int n =
      ::EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()), bytes_of(bytes), static_cast<int>(bytes.size()));
  out.resize(static_cast<std::size_t>(n));
  return out;
}

Result<std::string> from_base64(std::string_view text) {
  std::string digits;
  std::ranges::copy_if(text, std::back_inserter(digits), [](char c) { return !space.contains(c); });
  const std::size_t end = std::min(digits.find('='), digits.size());
  const std::size_t padding = digits.size() - end;
  // OpenSSL decodes padding as zeros wherever it stands, and knows no more about it.
  const bool padded = padding <= 2 && digits.find_first_not_of('=', end) == std::string::npos;
  std::string out(digits.size() / 4 * 3, '\0');
  if (digits.size() % 4 != 0 || !padded ||
      ::EVP_DecodeBlock(reinterpret_cast<unsigned char*>(out.data()), bytes_of(digits),
                        static_cast<int>(digits.size())) != static_cast<int>(out.size())) {
    return Error{Code::invalid, "not base64"};
  }
  out.resize(out.size() - padding);
  return out;
}

}  // namespace sluice::aio
