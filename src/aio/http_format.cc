// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include <algorithm>
#include <array>

#include "aio/http_parse.h"

namespace sluice::aio::http {
namespace {

// Said by the wire itself; anything else could disagree with the bytes that follow.
bool is_of_the_wire(const std::string& name) {
  constexpr std::array<std::string_view, 4> names = {"host", "content-length", "transfer-encoding", "connection"};
  const std::vector<std::string> lower = field_items(name);
  return lower.size() == 1 && std::ranges::find(names, lower.front()) != names.end();
}

bool is_target(std::string_view target) {
  return target.starts_with('/') &&
         std::ranges::all_of(target, [](char c) { return c > ' ' && c < '\x7f' && c != '#'; });
}

}  // namespace

Result<std::string> format_request(const Request& request, std::string_view host) {
  if (!is_token(request.method)) {
    return Error{Code::invalid, "the method of a request is not a word"};
  }
  if (!is_target(request.target)) {
    return Error{Code::invalid,
                 "the target of a request must begin with / and have no blanks, # or unprintable characters"};
  }
  std::string out = fmt::format("{} {} HTTP/1.1\r\nHost: {}\r\n", request.method, request.target, host);
  for (const auto& [name, value] : request.headers) {
    if (!is_token(name) || !is_field_value(value)) {
      return Error{Code::invalid, "a header field has a character that would end it"};
    }
    if (is_of_the_wire(name)) {
      return Error{Code::invalid, fmt::format("header field {} is set by the client itself", name)};
    }
    out += fmt::format("{}: {}\r\n", name, value);
  }
  const bool has_body = request.method == "POST" || request.method == "PUT" || request.method == "PATCH";
  if (has_body || !request.body.empty()) {
    out += fmt::format("Content-Length: {}\r\n", request.body.size());
  }
  out += "\r\n";
  out += request.body;
  return out;
}

std::string format_response(const Response& response, bool keep_alive, bool head_request) {
  const bool valid =
      response.status >= 200 && response.status <= 599 && std::ranges::all_of(response.headers, [](const auto& field) {
        return is_token(field.first) && is_field_value(field.second);
      });
  if (!valid) {
    return format_response(Response{.status = 500, .headers = {}, .body = {}}, keep_alive, head_request);
  }
  std::string out = fmt::format("HTTP/1.1 {} {}\r\n", response.status, reason_phrase(response.status));
  for (const auto& [name, value] : response.headers) {
    if (!is_of_the_wire(name)) {
      out += fmt::format("{}: {}\r\n", name, value);
    }
  }
  const bool bodiless = response.status == 204 || response.status == 304;
  if (!bodiless) {
    out += fmt::format("Content-Length: {}\r\n", response.body.size());
  }
  out += keep_alive ? "\r\n" : "Connection: close\r\n\r\n";
  if (!bodiless && !head_request) {
    out += response.body;
  }
  return out;
}

std::string_view reason_phrase(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 202:
      return "Accepted";
    case 204:
      return "No Content";
    case 304:
      return "Not Modified";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 413:
      return "Content Too Large";
    case 414:
      return "URI Too Long";
    case 415:
      return "Unsupported Media Type";
    case 417:
      return "Expectation Failed";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 503:
      return "Service Unavailable";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "Unknown";
  }
}

}  // namespace sluice::aio::http
