// SPDX-License-Identifier: Apache-2.0
#pragma once
// OpenSSL's objects with an owner, for the .cc files that call it; never included by another header.
#include <openssl/bio.h>
#include <openssl/evp.h>

#include <memory>

namespace sluice::aio {

// Deletes by one of OpenSSL's own functions: std::unique_ptr<X509, OpensslFree<X509_free>>.
template <auto free>
struct OpensslFree {
  template <class T>
  void operator()(T* object) const {
    free(object);
  }
};
using Bio = std::unique_ptr<BIO, OpensslFree<BIO_free_all>>;
using PrivateKey = std::unique_ptr<EVP_PKEY, OpensslFree<EVP_PKEY_free>>;

// The password callback for reading PEM: an encrypted key would make OpenSSL ask for its password on the terminal.
inline int no_password(char*, int, int, void*) {
  return -1;
}

}  // namespace sluice::aio
