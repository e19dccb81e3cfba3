// SPDX-License-Identifier: Apache-2.0
#include "model/decision.h"

namespace sluice::model {

std::string_view word(Word w) {
  switch (w) {
    case Word::grow:
      return "grow";
    case Word::hold:
      return "hold";
    case Word::shrink:
      return "shrink";
    case Word::steady:
      return "steady";
    case Word::paused:
      return "paused";
    case Word::blind:
      return "blind";
    case Word::full:
      return "full";
    case Word::broken:
      return "broken";
  }
  return "hold";
}

}  // namespace sluice::model
