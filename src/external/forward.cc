// SPDX-License-Identifier: Apache-2.0
#include "external/forward.h"

#include <fmt/core.h>

#include <algorithm>
#include <boost/json.hpp>

#include "aio/url.h"
#include "external/route.h"
#include "kube/fields.h"
#include "kube/objects.h"
#include "model/quantity.h"

namespace sluice::external {
namespace {

constexpr Duration ask_max = std::chrono::seconds{5};  // an HPA's worker waits meanwhile, of which there are five
constexpr std::size_t answer_max = 1U << 20U;
constexpr std::size_t words_max = 300;

Labels labels_of(const kube::Fields& item) {
  Labels out;
  const boost::json::value* const labels = item.get("metricLabels");
  if (labels == nullptr) {
    return out;
  }
  if (!labels->is_object()) {
    item.fail("metricLabels", "an object");
    return out;
  }
  for (const auto& [key, value] : labels->get_object()) {
    if (!value.is_string()) {
      item.fail("metricLabels", "an object of strings");
      return out;
    }
    out.emplace(std::string(key), std::string(value.get_string()));
  }
  return out;
}

Item item_of(const kube::Fields& item) {
  Item out{.labels = labels_of(item),
           .at = item.time("timestamp").value_or(WallTime{}),
           .window = std::chrono::seconds(std::max<std::int64_t>(0, item.number("window")))};
  const Result<model::Quantity> value = model::parse_quantity(item.text("value"));
  if (!value) {
    item.fail("value", "a quantity");
  }
  out.milli = value ? model::milli_value(*value) : 0;
  return out;
}

std::string words_of(const aio::http::Response& response) {
  const Result<kube::Status> status = kube::read_status(response.body);
  std::string out = status && !status->message.empty() ? status->message : fmt::format("answers {}", response.status);
  std::ranges::replace_if(out, [](char c) { return static_cast<unsigned char>(c) < ' '; }, ' ');
  return out.size() > words_max ? out.substr(0, words_max) + " .." : out;
}

Code code_of(int status) {
  switch (status) {
    case 400:
      return Code::invalid;
    case 404:
      return Code::gone;
    default:
      return Code::retry;
  }
}

std::string target_of(const Question& question) {
  std::string out = fmt::format("/apis/{}/{}/namespaces/{}/{}", api_group, api_version, question.space,
                                aio::percent_encoded(question.metric));
  if (!question.selector_text.empty()) {
    out += "?labelSelector=" + aio::percent_encoded(question.selector_text);
  }
  return out;
}

}  // namespace

Forward::Forward(aio::Loop& loop, aio::Clock& clock, ForwardOptions options)
    : options_(std::move(options)),
      clock_(clock),
      client_(loop, clock, {.tls = {.ca_pem = options_.ca_pem}, .body_max = answer_max, .dial = options_.dial}) {}

aio::Task<Result<std::vector<Item>>> Forward::read(Question question, aio::Deadline deadline) {
  const Result<std::string> token = options_.token();
  if (!token) {
    co_return token.error();
  }
  aio::http::Request request{.target = target_of(question), .headers = {{"Accept", "application/json"}}};
  if (!token->empty()) {
    request.headers.emplace_back("Authorization", "Bearer " + *token);
  }
  const aio::Deadline soon = clock_.in(ask_max).earlier(deadline);
  const Result<aio::http::Response> response = co_await client_.send(options_.url, std::move(request), soon);
  if (!response) {
    co_return response.error().in("the server that unknown metrics are passed on to");
  }
  if (response->status != 200) {
    co_return Error{code_of(response->status), fmt::format("{} (from {})", words_of(*response), options_.url)};
  }
  Result<std::vector<Item>> items = parse_value_list(response->body);
  if (!items) {
    co_return items.error().in(options_.url);
  }
  if (items->empty()) {
    co_return Error{Code::gone, fmt::format("{} has no value of {}", options_.url, question.metric)};
  }
  co_return items;
}

Result<std::vector<Item>> parse_value_list(std::string_view json) {
  return kube::read_object<std::vector<Item>>(json, "ExternalMetricValueList", [](const kube::Fields& list) {
    std::vector<Item> out;
    if (list.text("kind") != "ExternalMetricValueList") {
      list.fail("kind", "ExternalMetricValueList");
      return out;
    }
    list.each("items", [&](const kube::Fields& item) { out.push_back(item_of(item)); });
    return out;
  });
}

}  // namespace sluice::external
