// SPDX-License-Identifier: Apache-2.0
#include "gcp/secret.h"

#include <openssl/crypto.h>

namespace sluice::gcp {

void wipe(char* data, std::size_t size) {
  ::OPENSSL_cleanse(data, size);
}

void wipe(std::string& text) {
  text.resize(text.capacity());  // a shorter text may stand where a longer one stood
  wipe(text.data(), text.size());
  text.clear();
}

}  // namespace sluice::gcp
