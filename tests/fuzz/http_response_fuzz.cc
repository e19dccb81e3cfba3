// SPDX-License-Identifier: Apache-2.0
// links: aio
//
// Any bytes as an HTTP response, to a GET and to a HEAD: the same verdict however they are cut, limits held, and a
// response that was taken means the same after it was written and read again.
#include "aio/http_parse.h"
#include "base/check.h"

using namespace sluice;
using aio::http::Parser;

namespace {

constexpr aio::http::ParseLimits limits{.head_max = 1024, .fields_max = 16, .target_max = 256, .body_max = 512};

// Nothing when the bytes are refused or cut off.
std::optional<aio::http::Response> judge(std::string_view bytes, std::string_view method, std::size_t piece) {
  Parser parser = Parser::of_response(limits, method);
  for (std::size_t used = 0; used < bytes.size() && !parser.done();) {
    const auto n = parser.feed(bytes.substr(used, piece));
    if (!n) {
      check(!n.error().what.empty(), "a refusal says why");
      return std::nullopt;
    }
    used += *n;
  }
  if (parser.finish()) {
    return std::nullopt;
  }
  return parser.take_response();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  for (const char* method : {"GET", "HEAD"}) {
    const auto whole = judge(bytes, method, size + 1);
    const auto pieces = judge(bytes, method, size % 7 + 1);
    check(whole.has_value() == pieces.has_value(), "cuts change nothing");
    if (!whole) {
      continue;
    }
    check(whole->status == pieces->status && whole->body == pieces->body, "cuts change nothing");
    check(whole->status >= 200 && whole->status <= 599, "interim answers are skipped");
    check(whole->body.size() <= limits.body_max && whole->headers.size() <= limits.fields_max, "limits hold");
    const aio::http::Response plain{.status = whole->status, .body = whole->body};
    const std::string again = aio::http::format_response(plain, true, false);
    const auto second = judge(again, "GET", again.size());
    check(second && second->status == plain.status && second->body == plain.body,
          "a response survives being written and read");
  }
  return 0;
}
