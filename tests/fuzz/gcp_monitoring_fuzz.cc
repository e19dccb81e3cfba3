// SPDX-License-Identifier: Apache-2.0
// links: gcp
//
// Any bytes as what Cloud Monitoring may answer. Whatever it is, a point has a value that was there, a time and bounded
// labels; and what a feed makes of it is points that are fresh, or an error that is not empty.
#include <cstdint>

#include "base/check.h"
#include "gcp/feed.h"
#include "gcp/series.h"

using namespace sluice;
using namespace sluice::gcp;

namespace {

using namespace std::chrono_literals;

void serve(const std::vector<Point>& points) {
  const auto query = make_query("a.googleapis.com/b",
                                {{"resource.labels.subscription_id", model::SelectorOperator::equals, {"orders"}}});
  Feed feed(*query, {.stale_after = 300s, .each = 60s, .kept = 300s, .subscriptions_max = 100});
  const Time now{1h};
  check(feed.want(*query, now).has_value(), "one may be wanted");
  feed.take(points, feed.plan(true), now, WallTime{std::chrono::seconds{1'769'868'140}});
  const auto answer = feed.answer(*query, now);
  check(answer ? !answer->empty() : !answer.error().what.empty(), "an answer is points or says why not");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  const auto page = parse_series(body);
  if (page) {
    check(page->points.size() <= page->points_n, "each series has a point");
    for (const Point& one : page->points) {
      check(one.labels.size() <= 201, "labels are bounded");
    }
    serve(page->points);
  } else {
    check(!page.error().what.empty() && !page.error().what.contains('\n'), "a refusal is one line");
  }
  if (const auto descriptor = parse_descriptor(body); !descriptor) {
    check(descriptor.error().code == Code::invalid, "what is no descriptor is invalid");
  }
  check(!parse_refusal(403, body).reason.contains('\n'), "a reason is one of those that are known");
  return 0;
}
