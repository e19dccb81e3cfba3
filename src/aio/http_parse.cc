// SPDX-License-Identifier: Apache-2.0
#include "aio/http_parse.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>

#include "base/check.h"
#include "base/number.h"

namespace sluice::aio::http {
namespace {

// A chunk's size line. Chosen: real extensions are a signature at most; without a limit a body of empty words is free.
constexpr std::size_t chunk_line_max = 256;
// Answers of 1xx before the one that counts. Chosen: a server sends one or two.
constexpr int interim_max = 16;

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

bool equals(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, [](char x, char y) { return lower(x) == lower(y); });
}

std::string_view trim(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) {
    return {};
  }
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

Refusal refuse(std::string what, int status = 400) {
  return Refusal{.status = status, .what = std::move(what)};
}

bool is_control(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return (byte < 0x20 && c != '\t') || byte == 0x7f;
}

std::optional<std::string_view> only_field(const HeaderList& headers, std::string_view name, bool& repeated) {
  std::optional<std::string_view> found;
  for (const auto& [key, value] : headers) {
    if (equals(key, name)) {
      repeated = repeated || found.has_value();
      found = value;
    }
  }
  return found;
}

}  // namespace

std::optional<std::string_view> header(const HeaderList& headers, std::string_view name) {
  for (const auto& [key, value] : headers) {
    if (equals(key, name)) {
      return value;
    }
  }
  return std::nullopt;
}

std::optional<std::chrono::seconds> retry_after(const HeaderList& headers) {
  // Chosen: a year; more is no time, and would not fit into nanoseconds in the end.
  constexpr std::int64_t most_s = std::int64_t{365} * 24 * 3600;
  const std::optional<std::int64_t> seconds = parse_number<std::int64_t>(header(headers, "Retry-After").value_or(""));
  return seconds && *seconds >= 0 ? std::optional(std::chrono::seconds{std::min(*seconds, most_s)}) : std::nullopt;
}

bool is_token(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) {
    return (c >= '0' && c <= '9') || (lower(c) >= 'a' && lower(c) <= 'z') ||
           std::string_view("!#$%&'*+-.^_`|~").contains(c);
  });
}

bool is_field_value(std::string_view text) {
  return std::ranges::none_of(text, is_control);
}

std::vector<std::string> field_items(std::string_view value) {
  std::vector<std::string> out;
  while (!value.empty()) {
    const std::size_t comma = std::min(value.find(','), value.size());
    std::string item(trim(value.substr(0, comma)));
    std::ranges::transform(item, item.begin(), lower);
    if (!item.empty()) {
      out.push_back(std::move(item));
    }
    value.remove_prefix(std::min(comma + 1, value.size()));
  }
  return out;
}

Parser::Parser(ParseLimits limits, bool is_request, bool is_head)
    : limits_(limits), is_request_(is_request), is_head_(is_head) {}

Parser Parser::of_request(ParseLimits limits) {
  return {limits, true, false};
}

Parser Parser::of_response(ParseLimits limits, std::string_view method) {
  return {limits, false, method == "HEAD"};
}

std::expected<std::size_t, Refusal> Parser::feed(std::string_view bytes) {
  const std::size_t given = bytes.size();
  started_ = started_ || given > 0;
  while (!bytes.empty() && state_ != State::done) {
    const bool data = state_ == State::body || state_ == State::chunk_data || state_ == State::until_close;
    if (Refused no = data ? take_data(bytes) : collect_line(bytes)) {
      return std::unexpected(std::move(*no));
    }
  }
  return given - bytes.size();
}

std::optional<Refusal> Parser::finish() {
  if (state_ == State::until_close) {
    state_ = State::done;
  }
  return state_ == State::done ? std::nullopt : std::optional(refuse("the message was cut off"));
}

Request Parser::take_request() {
  check(done() && is_request_, "a request was taken before it was complete");
  return Request{std::move(method_), std::move(target_), std::move(headers_), std::move(body_)};
}

Response Parser::take_response() {
  check(done() && !is_request_, "a response was taken before it was complete");
  return Response{status_, std::move(headers_), std::move(body_)};
}

// Moves bytes to the current line and handles it when complete. Checked byte by byte as they come, so that garbage (a
// TLS hello on a plain port) is refused at once and not after the timeout for a head.
Parser::Refused Parser::collect_line(std::string_view& bytes) {
  const bool of_chunk = state_ == State::chunk_size || state_ == State::chunk_end;
  while (!bytes.empty()) {
    const char c = bytes.front();
    bytes.remove_prefix(1);
    if (of_chunk ? line_.size() >= chunk_line_max : ++head_bytes_ > limits_.head_max) {
      return of_chunk ? refuse("the size line of a chunk is too long")
                      : refuse(fmt::format("the head is longer than {} bytes", limits_.head_max), 431);
    }
    const bool after_cr = !line_.empty() && line_.back() == '\r';
    if (c == '\n') {
      if (!after_cr) {
        return refuse("a line ends with LF alone");
      }
      line_.pop_back();
      const std::string line = std::exchange(line_, {});
      return take_line(line);
    }
    if (after_cr) {
      return refuse("a CR stands alone");
    }
    if (is_control(c) && c != '\r') {
      return refuse("a control character in the head");
    }
    line_.push_back(c);
    if (state_ == State::first_line && is_request_ && line_.size() > limits_.target_max + 64) {
      return refuse(fmt::format("the request line is longer than {} bytes", limits_.target_max + 64), 414);
    }
  }
  return std::nullopt;
}

Parser::Refused Parser::take_line(std::string_view line) {
  switch (state_) {
    case State::first_line:
      return is_request_ ? take_request_line(line) : take_status_line(line);
    case State::fields:
      return line.empty() ? end_head() : take_field(line);
    case State::chunk_size:
      return take_chunk_size(line);
    case State::chunk_end:
      state_ = State::chunk_size;
      return line.empty() ? std::nullopt : std::optional(refuse("a chunk is longer than its size"));
    case State::trailers:
      if (line.empty()) {
        state_ = State::done;
        return std::nullopt;
      }
      return take_field(line);
    case State::body:
    case State::chunk_data:
    case State::until_close:
    case State::done:
      break;
  }
  check(false, "a line in a state that has none");
  return std::nullopt;
}

Parser::Refused Parser::take_request_line(std::string_view line) {
  const std::size_t first = line.find(' ');
  const std::size_t last = line.rfind(' ');
  if (first == std::string_view::npos || first == last) {
    return refuse("the first line is not \"METHOD /target HTTP/1.1\"");
  }
  const std::string_view method = line.substr(0, first);
  const std::string_view target = line.substr(first + 1, last - first - 1);
  const std::string_view version = line.substr(last + 1);
  if (!is_token(method) || method.size() > 32) {
    return refuse("the method is not a word");
  }
  if (target.empty() || !std::ranges::all_of(target, [](char c) { return c > ' ' && c < '\x7f' && c != '#'; })) {
    return refuse("the target has a character that belongs percent-encoded");
  }
  if (target.size() > limits_.target_max) {
    return refuse(fmt::format("the target is longer than {} bytes", limits_.target_max), 414);
  }
  if (version != "HTTP/1.1" && version != "HTTP/1.0") {
    return version.starts_with("HTTP/") ? refuse("only HTTP/1.1 and HTTP/1.0 are spoken here", 505)
                                        : refuse("the first line is not \"METHOD /target HTTP/1.1\"");
  }
  http_1_0_ = version == "HTTP/1.0";
  method_ = method;
  target_ = target;
  state_ = State::fields;
  return std::nullopt;
}

Parser::Refused Parser::take_status_line(std::string_view line) {
  // A server may leave out the reason, and some leave out the space before it too.
  const bool version = line.starts_with("HTTP/1.1 ") || line.starts_with("HTTP/1.0 ");
  const std::string_view code = version ? line.substr(9, 3) : std::string_view();
  if (code.size() != 3 || !std::ranges::all_of(code, [](char c) { return c >= '0' && c <= '9'; }) ||
      (line.size() > 12 && line[12] != ' ')) {
    return refuse("the first line is not \"HTTP/1.1 200 OK\"");
  }
  std::from_chars(code.data(), code.data() + code.size(), status_);
  if (status_ < 100 || status_ > 599) {
    return refuse("the status is not between 100 and 599");
  }
  http_1_0_ = line[7] == '0';
  state_ = State::fields;
  return std::nullopt;
}

Parser::Refused Parser::take_field(std::string_view line) {
  if (line.front() == ' ' || line.front() == '\t') {
    return refuse("a header field is folded over two lines");
  }
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos || !is_token(line.substr(0, colon))) {
    return refuse("a header field is not \"Name: value\"");
  }
  if (++fields_ > limits_.fields_max) {
    return refuse(fmt::format("more than {} header fields", limits_.fields_max), 431);
  }
  if (state_ == State::fields) {  // trailers are checked and dropped: nothing here reads them
    headers_.emplace_back(line.substr(0, colon), trim(line.substr(colon + 1)));
  }
  return std::nullopt;
}

Parser::Refused Parser::take_chunk_size(std::string_view line) {
  const std::size_t digits = std::min(line.find_first_not_of("0123456789abcdefABCDEF"), line.size());
  std::size_t size = 0;
  const auto [end, ec] = std::from_chars(line.data(), line.data() + digits, size, 16);
  if (digits == 0 || (digits < line.size() && line[digits] != ';')) {
    return refuse("the size of a chunk is not a hexadecimal number");
  }
  if (ec != std::errc() || size > limits_.body_max - body_.size()) {
    return refuse(fmt::format("the body is longer than {} bytes", limits_.body_max), 413);
  }
  left_ = size;
  state_ = size == 0 ? State::trailers : State::chunk_data;
  return std::nullopt;
}

Parser::Refused Parser::take_data(std::string_view& bytes) {
  const bool counted = state_ != State::until_close;
  const std::size_t n = counted ? std::min(left_, bytes.size()) : bytes.size();
  if (n > limits_.body_max - body_.size()) {
    return refuse(fmt::format("the body is longer than {} bytes", limits_.body_max), 413);
  }
  body_.append(bytes.substr(0, n));
  bytes.remove_prefix(n);
  if (counted && (left_ -= n) == 0) {
    state_ = state_ == State::body ? State::done : State::chunk_end;
  }
  return std::nullopt;
}

Parser::Refused Parser::end_head() {
  if (Refused no = find_framing()) {
    return no;
  }
  if (Refused no = is_request_ ? end_request_head() : end_response_head()) {
    return no;
  }
  if (state_ != State::fields) {
    return std::nullopt;  // the head said it is over, or to be skipped
  }
  if (chunked_) {
    state_ = State::chunk_size;
  } else if (until_close_) {
    state_ = State::until_close;
  } else {
    left_ = length_.value_or(0);
    state_ = left_ > 0 ? State::body : State::done;
  }
  return std::nullopt;
}

// Where the body ends must have one answer only; everything that could have two is refused (RFC 9112 section 6.3 and
// the request smuggling it warns of).
Parser::Refused Parser::find_framing() {
  bool repeated = false;
  const auto length = only_field(headers_, "Content-Length", repeated);
  const auto coding = only_field(headers_, "Transfer-Encoding", repeated);
  if (repeated || (length && coding)) {
    return refuse("more than one field says how long the body is");
  }
  if (coding) {
    if (http_1_0_) {
      return refuse("Transfer-Encoding in an HTTP/1.0 message");
    }
    if (!equals(*coding, "chunked")) {
      return refuse("the only Transfer-Encoding known here is chunked", 501);
    }
    chunked_ = true;
  }
  if (length) {
    std::size_t n = 0;
    const auto [end, ec] = std::from_chars(length->data(), length->data() + length->size(), n);
    // from_chars takes neither a sign nor a blank into an unsigned number.
    if (ec == std::errc::invalid_argument || end != length->data() + length->size()) {
      return refuse("Content-Length is not a number");
    }
    if (ec != std::errc() || (n > limits_.body_max && !is_head_)) {
      return refuse(fmt::format("the body is longer than {} bytes", limits_.body_max), 413);
    }
    length_ = n;
  }
  read_connection();
  return std::nullopt;
}

// HTTP/1.0 connections are not kept: the few clients left that speak it ask for one thing.
void Parser::read_connection() {
  keep_alive_ = !http_1_0_;
  for (const auto& [key, value] : headers_) {
    if (equals(key, "Connection")) {
      const std::vector<std::string> items = field_items(value);
      keep_alive_ = keep_alive_ && std::ranges::find(items, "close") == items.end();
    }
  }
}

Parser::Refused Parser::end_request_head() {
  if (Refused no = check_host()) {
    return no;
  }
  bool repeated = false;
  if (const auto coding = only_field(headers_, "Content-Encoding", repeated);
      repeated || (coding && !equals(*coding, "identity"))) {
    return refuse("a body is taken as it is, without Content-Encoding", 415);
  }
  if (const auto expect = only_field(headers_, "Expect", repeated)) {
    if (repeated || !equals(*expect, "100-continue")) {
      return refuse("the only Expect known here is 100-continue", 417);
    }
    expects_continue_ = !http_1_0_ && (chunked_ || length_.value_or(0) > 0);
  }
  return std::nullopt;
}

// One Host, and a target that does not contradict it.
Parser::Refused Parser::check_host() {
  bool repeated = false;
  const auto host = only_field(headers_, "Host", repeated);
  if (repeated || (!host && !http_1_0_)) {
    return refuse("a request has exactly one Host field");
  }
  if (host && !std::ranges::all_of(*host, [](char c) {
        return (c >= '0' && c <= '9') || (lower(c) >= 'a' && lower(c) <= 'z') ||
               std::string_view("-._~:[]%").contains(c);
      })) {
    return refuse("Host is not a host");
  }
  if (target_.front() == '/' || (target_ == "*" && method_ == "OPTIONS")) {
    return std::nullopt;
  }
  const std::size_t slashes = target_.find("://");
  if (slashes == std::string::npos) {
    return refuse("the target does not begin with /");
  }
  const std::size_t path = std::min(target_.find_first_of("/?", slashes + 3), target_.size());
  if (!host || !equals(target_.substr(slashes + 3, path - slashes - 3), *host)) {
    return refuse("the target names another host than the Host field");
  }
  target_ = target_.substr(path);
  if (target_.empty() || target_.front() != '/') {
    target_.insert(target_.begin(), '/');
  }
  return std::nullopt;
}

Parser::Refused Parser::end_response_head() {
  if (status_ == 101) {
    return refuse("the server changes the protocol unasked");
  }
  if (status_ < 200) {
    if (++interim_ > interim_max) {
      return refuse("the server sends 1xx without end");
    }
    start_over();
    return std::nullopt;
  }
  bool repeated = false;
  if (const auto coding = only_field(headers_, "Content-Encoding", repeated);
      repeated || (coding && !equals(*coding, "identity"))) {
    return refuse("the server compressed the body unasked");
  }
  if (is_head_ || status_ == 204 || status_ == 304) {
    state_ = State::done;
  } else {
    until_close_ = !chunked_ && !length_;
  }
  return std::nullopt;
}

// After a 1xx: the next head. Bytes and fields count on, so that the limits hold for all of them together.
void Parser::start_over() {
  state_ = State::first_line;
  headers_.clear();
  chunked_ = false;
  length_.reset();
}

}  // namespace sluice::aio::http
