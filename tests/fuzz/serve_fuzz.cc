// SPDX-License-Identifier: Apache-2.0
// links: serve
//
// Any bytes as the target of a request, and as what another process says of its pools: taken or refused with a
// sentence, and what was taken says the same after it was written and read again.
#include "base/check.h"
#include "serve/pool_status.h"
#include "serve/query.h"

using namespace sluice;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (const Result<serve::Query> query = serve::parse_target(bytes)) {
    check(query->path == bytes.substr(0, bytes.find('?')), "the path is as it was sent");
    for (const auto& [name, value] : query->parameters) {
      for (const char c : name + value) {
        check(static_cast<unsigned char>(c) >= ' ' && c != '\x7f', "no control characters");
      }
    }
  } else {
    check(!query.error().what.empty(), "a refusal says why");
  }
  const Result<serve::Answer> answer = serve::parse_answer(bytes);
  if (!answer) {
    check(!answer.error().what.empty(), "a refusal says why");
    return 0;
  }
  const std::string written = serve::to_json(*answer, WallTime{});
  const Result<serve::Answer> again = serve::parse_answer(written);
  check(again.has_value(), "what was taken can be written and read");
  check(serve::to_json(*again, WallTime{}) == written, "and says the same");
  return 0;
}
