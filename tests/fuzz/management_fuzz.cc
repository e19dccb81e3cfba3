// SPDX-License-Identifier: Apache-2.0
// links: queue_rabbit
//
// Any bytes as what a management API may answer. Whatever it is, a count is a whole number from 0 to 2^53 or unknown,
// and an unknown one that should be there has a reason.
#include <initializer_list>

#include "base/check.h"
#include "queue/rabbit/statistics.h"

using namespace sluice;
using namespace sluice::queue::rabbit;

namespace {

void judge(const QueueStatistics& one) {
  for (const std::optional<std::int64_t>& n :
       {one.ready, one.in_flight, one.consumers, one.published_n, one.acked_n, one.head_timestamp_s}) {
    check(!n || (*n >= 0 && *n <= std::int64_t{1} << 53U), "a count is in range");
  }
  check((one.ready && one.in_flight && one.consumers) || !one.missing.empty(), "what is missing has a reason");
}

template <class T>
bool good(const Result<T>& read) {
  check(read || (read.error().code == Code::invalid && !read.error().what.empty()), "a refusal says why");
  return read.has_value();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  if (const auto one = parse_queue_statistics(body, "orders"); good(one)) {
    judge(*one);
  }
  if (const auto page = parse_statistics_page(body, 1); good(page)) {
    for (const auto& [name, one] : page->queues) {
      judge(one);
    }
  }
  if (const auto all = parse_detailed_metrics(body, "/"); good(all)) {
    for (const auto& [name, one] : *all) {
      judge(one);
    }
  }
  if (const auto list = parse_consumers(body, "orders"); good(list)) {
    for (const Consumer& one : *list) {
      check(!one.tag.empty() && !one.peer_host.empty() && one.peer_port > 0, "a consumer has an address");
    }
  }
  return 0;
}
