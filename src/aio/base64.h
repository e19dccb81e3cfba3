// SPDX-License-Identifier: Apache-2.0
#pragma once
// RFC 4648, section 4, through OpenSSL.
#include <string>
#include <string_view>

#include "base/result.h"

namespace sluice::aio {

[[nodiscard]] std::string to_base64(std::string_view bytes);
// Line ends and blanks between the digits are passed over, as in PEM and YAML. Code::invalid for anything else that is
// no digit, and for a length that no bytes have; the text is not repeated.
[[nodiscard]] Result<std::string> from_base64(std::string_view text);

}  // namespace sluice::aio
