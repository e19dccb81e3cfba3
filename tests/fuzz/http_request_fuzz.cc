// SPDX-License-Identifier: Apache-2.0
// links: aio
//
// Any bytes as an HTTP request: the same verdict however they are cut, limits held, and a request that was taken means
// the same after it was written and read again.
#include "aio/http_parse.h"
#include "base/check.h"

using namespace sluice;
using aio::http::Parser;

namespace {

constexpr aio::http::ParseLimits limits{.head_max = 1024, .fields_max = 16, .target_max = 256, .body_max = 512};

struct Verdict {
  int refused = 0;  // status, or 0
  std::size_t used = 0;
  std::optional<aio::http::Request> request;
};

Verdict judge(std::string_view bytes, std::size_t piece) {
  Parser parser = Parser::of_request(limits);
  Verdict out;
  while (out.used < bytes.size() && !parser.done()) {
    const auto n = parser.feed(bytes.substr(out.used, piece));
    if (!n) {
      out.refused = n.error().status;
      check(out.refused >= 400 && !n.error().what.empty(), "a refusal says why");
      return out;
    }
    out.used += *n;
  }
  check(parser.done() || out.used == bytes.size(), "bytes are left only after the end of a message");
  if (parser.done()) {
    out.request = parser.take_request();
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const Verdict whole = judge(bytes, size + 1);
  const Verdict pieces = judge(bytes, size % 7 + 1);
  check(whole.refused == pieces.refused && whole.request.has_value() == pieces.request.has_value(),
        "cuts change nothing");
  if (!whole.request) {
    return 0;
  }
  check(whole.used == pieces.used && whole.request->body == pieces.request->body, "cuts change nothing");
  check(whole.request->body.size() <= limits.body_max && whole.request->headers.size() <= limits.fields_max,
        "limits hold");
  aio::http::Request plain{
      .method = whole.request->method, .target = whole.request->target, .body = whole.request->body};
  if (plain.target != "*") {
    const Result<std::string> again = aio::http::format_request(plain, "h");
    check(again.has_value(), "what was taken can be sent");
    const Verdict second = judge(*again, again->size());
    check(second.request && second.used == again->size() && second.request->method == plain.method &&
              second.request->target == plain.target && second.request->body == plain.body,
          "a request survives being written and read");
  }
  return 0;
}
