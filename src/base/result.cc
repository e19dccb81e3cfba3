// SPDX-License-Identifier: Apache-2.0
#include "base/result.h"

namespace sluice {

std::string_view code_word(Code code) {
  switch (code) {
    case Code::retry:
      return "retry";
    case Code::throttled:
      return "throttled";
    case Code::gone:
      return "gone";
    case Code::conflict:
      return "conflict";
    case Code::denied:
      return "denied";
    case Code::invalid:
      return "invalid";
  }
  return "retry";
}

}  // namespace sluice
