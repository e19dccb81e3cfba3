// SPDX-License-Identifier: Apache-2.0
// links: gcp
//
// Any bytes as a key file: JSON, then PEM, then what is signed with it; and as the answer of whoever gives tokens.
// Whatever is accepted can be put into a header or a form without ending it, and no refusal repeats a line of the
// input.
#include <algorithm>
#include <cstdint>

#include "base/check.h"
#include "gcp/token_wire.h"

using namespace sluice;
using namespace sluice::gcp;

namespace {

bool printable(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c > ' ' && c < '\x7f'; });
}

void use(const Key& key) {
  const auto request = token_request(key, "/token", "scope", WallTime{});
  check(request || request.error().code == Code::invalid, "a key signs, or is invalid");
  if (request) {
    check(printable(request->body), "a form is one line");
  }
  check(!account_of(key).contains('\n') && printable(project_of(key)), "names are one line");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const bool loopback : {false, true}) {
    const auto key = parse_key(text, {.loopback_token_uri = loopback});
    if (key) {
      use(*key);
    } else {
      check(key.error().code == Code::invalid && !key.error().what.empty() && !key.error().what.contains('\n'),
            "a refusal is one line");
    }
  }
  if (const auto token = parse_token(text)) {
    check(!token->text.empty() && printable(token->text.reveal()) && token->life > Duration{0}, "a token is a word");
  }
  const Key user = UserKey{};
  check(!token_refusal(400, text, user).what.contains('\n'), "a refusal is one line");
  if (const auto line = metadata_line({.headers = {{"Metadata-Flavor", "Google"}}, .body = std::string(text)})) {
    check(printable(*line), "a line is one line");
  }
  return 0;
}
