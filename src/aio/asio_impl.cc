// SPDX-License-Identifier: Apache-2.0
// Asio's non-template code, compiled once for the whole program. HTTP and TLS are our own, over OpenSSL: neither Beast
// nor Asio's ssl is used.
#include <boost/asio/impl/src.hpp>
