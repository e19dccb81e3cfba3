// SPDX-License-Identifier: Apache-2.0
#pragma once
// HTTP/1.1 from bytes, apart from sockets, and strict (RFC 9112 without its leniencies): where two parsers could
// disagree about where a message ends, it is refused.
//
// Not Beast's parser: it takes a bare LF, folded lines and repeated equal lengths, and a check in front of it would
// have to parse everything a second time.
#include <cstddef>
#include <expected>
#include <optional>
#include <string>
#include <string_view>

#include "aio/http.h"

namespace sluice::aio::http {

struct ParseLimits {
  std::size_t head_max = 64U << 10U;   // bytes of first line, header fields and trailers together
  std::size_t fields_max = 256;        // header fields and trailers
  std::size_t target_max = 8U << 10U;  // bytes of a request's target
  std::size_t body_max = 16U << 20U;   // bytes of the decoded body
};

// Why a message was refused. `what` quotes no more than a name of the message, never a value.
struct Refusal {
  int status = 400;  // what a server answers
  std::string what;
};

// Takes one message. A request becomes a Request; of a response, 1xx answers are skipped.
class Parser {
 public:
  [[nodiscard]] static Parser of_request(ParseLimits limits);
  // `method` of the request that it answers: a HEAD has no body whatever the head says.
  [[nodiscard]] static Parser of_response(ParseLimits limits, std::string_view method);

  // Takes bytes from the front and says how many; fewer than given only when the message ended. After a refusal the
  // parser is of no use any more.
  [[nodiscard]] std::expected<std::size_t, Refusal> feed(std::string_view bytes);
  // The stream ended. A refusal unless the message is complete, or is a response that only the end of the stream
  // delimits.
  [[nodiscard]] std::optional<Refusal> finish();

  [[nodiscard]] bool started() const { return started_; }
  [[nodiscard]] bool head_done() const { return state_ > State::fields; }
  [[nodiscard]] bool done() const { return state_ == State::done; }
  // Whether the connection may carry another message. Only meaningful once done.
  [[nodiscard]] bool keep_alive() const { return keep_alive_ && !until_close_; }
  // The client waits for "100 Continue" before it sends the body. Only meaningful once the head is done.
  [[nodiscard]] bool expects_continue() const { return expects_continue_; }

  // What has come of the body, once: `body_max` is then about what lies here, not about all of it.
  [[nodiscard]] std::string take_body() { return std::exchange(body_, {}); }
  // Requires: head_done().
  [[nodiscard]] int status() const { return status_; }
  [[nodiscard]] const HeaderList& headers() const { return headers_; }

  // Requires: done().
  [[nodiscard]] Request take_request();
  [[nodiscard]] Response take_response();

 private:
  enum class State { first_line, fields, body, chunk_size, chunk_data, chunk_end, trailers, until_close, done };
  using Refused = std::optional<Refusal>;

  Parser(ParseLimits limits, bool is_request, bool is_head);
  Refused collect_line(std::string_view& bytes);
  Refused take_line(std::string_view line);
  Refused take_request_line(std::string_view line);
  Refused take_status_line(std::string_view line);
  Refused take_field(std::string_view line);
  Refused take_chunk_size(std::string_view line);
  Refused take_data(std::string_view& bytes);
  Refused end_head();
  Refused end_request_head();
  Refused end_response_head();
  Refused find_framing();
  Refused check_host();
  void read_connection();
  void start_over();

  ParseLimits limits_;
  bool is_request_;
  bool is_head_;
  State state_ = State::first_line;
  std::string line_;
  std::size_t head_bytes_ = 0;
  std::size_t fields_ = 0;
  int interim_ = 0;  // 1xx answers skipped

  bool started_ = false;
  bool http_1_0_ = false;
  bool keep_alive_ = true;
  bool expects_continue_ = false;
  bool chunked_ = false;
  bool until_close_ = false;
  std::optional<std::size_t> length_;
  std::size_t left_ = 0;  // of the body or the chunk

  std::string method_;
  std::string target_;
  int status_ = 0;
  HeaderList headers_;
  std::string body_;
};

// A field name or method: one or more of RFC 9110's token characters.
[[nodiscard]] bool is_token(std::string_view text);
// A field value: no control character but the tab, so no line end.
[[nodiscard]] bool is_field_value(std::string_view text);
// The items of a comma-separated field, trimmed, each lower case.
[[nodiscard]] std::vector<std::string> field_items(std::string_view value);

// The bytes of a request. Code::invalid for a method, target or field that cannot be sent as it is, and for fields that
// are the wire's own (Host, Content-Length, Transfer-Encoding, Connection).
[[nodiscard]] Result<std::string> format_request(const Request& request, std::string_view host);
// The bytes of a response; what a handler says of the wire's own fields is dropped. An invalid field becomes a 500.
[[nodiscard]] std::string format_response(const Response& response, bool keep_alive, bool head_request);
// "Not Found"; "Unknown" for a status without a name.
[[nodiscard]] std::string_view reason_phrase(int status);

}  // namespace sluice::aio::http
