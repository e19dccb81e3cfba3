// SPDX-License-Identifier: Apache-2.0
#include "kube/event.h"

#include <fmt/core.h>

#include <boost/json.hpp>

namespace sluice::kube {
namespace {

namespace json = boost::json;

constexpr std::size_t message_max = 1024;  // core/v1: what is longer is refused

// metav1.Time has whole seconds.
std::string seconds_of(WallTime at) {
  return format_wall(at).substr(0, std::string_view("2006-01-02T15:04:05").size()) + "Z";
}

// Not in the middle of a character of UTF-8.
std::string cut(const std::string& text) {
  if (text.size() <= message_max) {
    return text;
  }
  std::size_t end = message_max - 3;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) {
    --end;
  }
  return text.substr(0, end) + " ..";
}

}  // namespace

std::string event_json(const Telling& telling, const std::string& name, WallTime at) {
  const std::string when = seconds_of(at);
  return json::serialize(json::object{{"apiVersion", "v1"},
                                      {"kind", "Event"},
                                      {"metadata", {{"name", name}, {"namespace", telling.about.space}}},
                                      {"involvedObject",
                                       {{"apiVersion", "sluice.dev/v1alpha1"},
                                        {"kind", "WorkerPool"},
                                        {"name", telling.about.name},
                                        {"namespace", telling.about.space},
                                        {"uid", telling.about.uid}}},
                                      {"type", telling.warning ? "Warning" : "Normal"},
                                      {"reason", telling.reason},
                                      {"message", cut(telling.message)},
                                      {"firstTimestamp", when},
                                      {"lastTimestamp", when},
                                      {"count", 1},
                                      {"source", {{"component", "sluice"}}}});
}

aio::Task<Result<void>> tell_event(Api& api, Telling telling, std::string name, WallTime at, aio::Deadline deadline) {
  Call call{.method = "POST",
            .path = fmt::format("/api/v1/namespaces/{}/events", telling.about.space),
            .body = event_json(telling, name, at)};
  const Result<std::string> answer = co_await api.ask(std::move(call), deadline);
  co_return answer ? Result<void>{} : answer.error();
}

}  // namespace sluice::kube
