// SPDX-License-Identifier: Apache-2.0
// links: pool
//
// Any bytes as a pool file: a pool or problems, never both or neither; a pool survives being written and read; our JSON
// reader takes exactly what Boost.JSON takes, but for keys given twice, depth and size.
#include <boost/json.hpp>

#include "base/check.h"
#include "pool/node.h"
#include "pool/pool.h"
#include "pool/text.h"

using namespace sluice;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const pool::Parsed parsed = pool::parse_pool(text);
  check(parsed.pool.has_value() == parsed.problems.empty(), "a pool or problems");
  if (parsed.pool) {
    const std::string json = pool::to_json(*parsed.pool);
    const pool::Parsed again = pool::parse_pool(json);
    check(again.pool == parsed.pool, "a pool survives being written and read");
  }
  for (const pool::Problem& problem : parsed.problems) {
    check(problem.line > 0 && problem.column > 0 && !problem.found.empty() && !problem.accepted.empty(),
          "a whole problem");
    check(pool::render(problem, "pool.yaml").find('\n') == std::string::npos, "a problem is one line");
  }
  pool::Report report;
  if (pool::check_text(text, true, report)) {
    boost::system::error_code error;
    boost::json::parse({text.data(), text.size()}, error);
    const bool taken = pool::read_json_tree(text, report).has_value();
    const bool too_large = error == boost::json::error::exponent_overflow;  // we keep numbers as their text
    check(too_large || (error ? !taken : taken || !report.empty()), "ours and Boost.JSON take the same");
  }
  return 0;
}
