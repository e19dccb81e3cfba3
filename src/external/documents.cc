// SPDX-License-Identifier: Apache-2.0
#include "external/documents.h"

#include <fmt/core.h>

#include <utility>

#include "external/route.h"
#include "model/json.h"
#include "model/quantity.h"

namespace sluice::external {
namespace {

aio::http::Response json(int status, std::string body) {
  return {.status = status, .headers = {{"Content-Type", "application/json"}}, .body = std::move(body)};
}

std::string version() {
  return fmt::format(R"({{"groupVersion":"{0}/{1}","version":"{1}"}})", api_group, api_version);
}

// The fields of an APIGroup.
std::string group_fields() {
  return fmt::format(R"("name":"{}","versions":[{}],"preferredVersion":{})", api_group, version(), version());
}

// RFC 3339 in whole seconds, the form of a metav1.Time.
std::string seconds_of(WallTime at) {
  return format_wall(WallTime(std::chrono::floor<std::chrono::seconds>(at))).substr(0, 19) + "Z";
}

std::string_view reason(int status) {
  constexpr std::pair<int, std::string_view> all[] = {
      {400, "BadRequest"},       {401, "Unauthorized"},  {403, "Forbidden"},          {404, "NotFound"},
      {405, "MethodNotAllowed"}, {500, "InternalError"}, {503, "ServiceUnavailable"}, {504, "Timeout"}};
  for (const auto& [code, word] : all) {
    if (code == status) {
      return word;
    }
  }
  return "";  // metav1.StatusReasonUnknown
}

void append_item(std::string& out, std::string_view metric, const Item& item) {
  out += R"({"metricName":)";
  model::append_json_string(out, metric);
  out += R"(,"metricLabels":{)";
  const char* between = "";
  for (const auto& [key, value] : item.labels) {
    out += between;
    model::append_json_string(out, key);
    out += ':';
    model::append_json_string(out, value);
    between = ",";
  }
  out += fmt::format(R"(}},"timestamp":"{}")", seconds_of(item.at));
  if (item.window.count() > 0) {
    out += fmt::format(R"(,"window":{})", item.window.count());
  }
  out += fmt::format(R"(,"value":"{}"}})", model::format_milli(item.milli));
}

}  // namespace

aio::http::Response group_list_document() {
  return json(200, fmt::format(R"({{"kind":"APIGroupList","apiVersion":"v1","groups":[{{{}}}]}})", group_fields()));
}

aio::http::Response group_document() {
  return json(200, fmt::format(R"({{"kind":"APIGroup","apiVersion":"v1",{}}})", group_fields()));
}

// One entry for all metrics, as other adapters do: an HPA does not look here, and a list of them all would have to be
// read from every source. "get" alone: other verbs draw the garbage collector in.
aio::http::Response resource_list_document() {
  return json(200, fmt::format(R"({{"kind":"APIResourceList","apiVersion":"v1","groupVersion":"{}/{}","resources":[)"
                               R"({{"name":"externalmetrics","singularName":"","namespaced":true,)"
                               R"("kind":"ExternalMetricValueList","verbs":["get"]}}]}})",
                               api_group, api_version));
}

aio::http::Response value_list(std::string_view metric, const std::vector<Item>& items) {
  std::string body = fmt::format(R"({{"kind":"ExternalMetricValueList","apiVersion":"{}/{}","metadata":{{}},"items":[)",
                                 api_group, api_version);
  for (std::size_t i = 0; i < items.size(); ++i) {
    body += i == 0 ? "" : ",";
    append_item(body, metric, items[i]);
  }
  body += "]}";
  return json(200, std::move(body));
}

aio::http::Response failure(int status, std::string_view message) {
  std::string body = R"({"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":)";
  model::append_json_string(body, message);
  body += fmt::format(R"(,"reason":"{}","code":{}}})", reason(status), status);
  return json(status, std::move(body));
}

}  // namespace sluice::external
