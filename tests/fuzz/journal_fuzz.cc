// SPDX-License-Identifier: Apache-2.0
// links: control
//
// A journal from outside: each line is parsed, run again and explained. Whatever the bytes are, nothing crashes, a line
// that was read is decided the same twice, and what an explanation prints holds no control character.
#include <boost/json.hpp>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "control/story.h"
#include "pool/pool.h"

namespace {

using namespace sluice;

void run_again(std::string_view bytes) {
  control::Replay first(pool::spec_from_json);
  control::Replay second(pool::spec_from_json);
  while (!bytes.empty()) {
    const std::size_t end = bytes.find('\n');
    const Result<control::JournalLine> line = control::parse_journal_line(bytes.substr(0, end));
    if (line) {
      const auto one = first.feed(*line);
      const auto two = second.feed(*line);
      check(one.has_value() == two.has_value(), "a replay depends on more than the line");
      check(!one || one->has_value() == two->has_value(), "a replay depends on more than the line");
      check(!one || !*one || (*one)->decision == (*two)->decision, "deciding twice gave two decisions");
    } else {
      check(line.error().what.starts_with("$"), "an error without its place");
      first.gap();
      second.gap();
    }
    bytes = end == std::string_view::npos ? std::string_view{} : bytes.substr(end + 1);
  }
}

void explain(std::string_view bytes, const control::Ask& ask) {
  control::Story story(ask);
  while (!bytes.empty()) {
    const std::size_t end = bytes.find('\n');
    story.feed(bytes.substr(0, end));
    bytes = end == std::string_view::npos ? std::string_view{} : bytes.substr(end + 1);
  }
  const Result<std::vector<control::Told>> told = story.tell(pool::spec_from_json);
  if (!told) {
    return;
  }
  for (const control::Told& one : *told) {
    const control::Explanation explanation = control::explain(one);
    for (const char c : control::to_text(explanation, std::nullopt, 100)) {
      check(c == '\n' || static_cast<unsigned char>(c) >= 0x20, "a control character in the text");
    }
    std::string json;
    control::append_json(json, explanation, std::nullopt);
    boost::system::error_code failed;
    static_cast<void>(boost::json::parse(json, failed));
    check(!failed, "an explanation is not JSON");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  run_again(bytes);
  // One way of asking an input, since each decides the same ticks a hundred times.
  if (size % 2 == 0) {
    explain(bytes, {.tick = {}, .at = {}, .last = 2});
  } else {
    explain(bytes, {.tick = "f000c10e-1", .at = {}, .last = 1});
  }
  return 0;
}
