// SPDX-License-Identifier: Apache-2.0
#include "aio/http_parse.h"

#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice::aio::http {
namespace {

using testing::HasSubstr;

constexpr ParseLimits small{.head_max = 512, .fields_max = 8, .target_max = 64, .body_max = 64};

// "done 12: METHOD target body" with the bytes used, "more", or "400 why".
std::string outcome(Parser parser, std::string_view bytes, bool request, std::size_t piece) {
  std::size_t used = 0;
  while (used < bytes.size() && !parser.done()) {
    const std::string_view some = bytes.substr(used, piece);
    const std::expected<std::size_t, Refusal> n = parser.feed(some);
    if (!n) {
      return fmt::format("{} {}", n.error().status, n.error().what);
    }
    used += *n;
  }
  if (!parser.done()) {
    return parser.head_done() ? "more body" : "more";
  }
  const char* const close = parser.keep_alive() ? "" : " close";
  if (request) {
    const Request r = parser.take_request();
    return fmt::format("{}{}: {} {} [{}]", used, close, r.method, r.target, r.body);
  }
  const Response r = parser.take_response();
  return fmt::format("{}{}: {} [{}]", used, close, r.status, r.body);
}

// The same outcome however the bytes are cut.
std::string request(std::string_view bytes) {
  const std::string whole = outcome(Parser::of_request(small), bytes, true, bytes.size());
  for (const std::size_t piece : {1U, 2U, 3U, 7U}) {
    EXPECT_EQ(outcome(Parser::of_request(small), bytes, true, piece), whole) << bytes;
  }
  return whole;
}
std::string response(std::string_view bytes, std::string_view method = "GET") {
  const std::string whole = outcome(Parser::of_response(small, method), bytes, false, bytes.size());
  for (const std::size_t piece : {1U, 2U, 3U, 7U}) {
    EXPECT_EQ(outcome(Parser::of_response(small, method), bytes, false, piece), whole) << bytes;
  }
  return whole;
}
std::string with_fields(const std::string& fields, const std::string& body = "") {
  return request("POST / HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n" + body);
}

struct Case {
  std::string bytes;
  std::string want;
};

TEST(RequestParser, TakesRequestsAndLeavesWhatFollows) {
  EXPECT_EQ(request("GET /a?b=c HTTP/1.1\r\nHost: a:80\r\n\r\nGET"), "35: GET /a?b=c []");
  EXPECT_EQ(with_fields("Content-Length: 3\r\n", "abcdef"), "50: POST / [abc]");
  EXPECT_EQ(with_fields("Content-Length: 0\r\n"), "47: POST / []");
  EXPECT_EQ(with_fields("Content-Length: 3\r\n", "ab"), "more body");
  EXPECT_EQ(
      with_fields("Transfer-Encoding: Chunked\r\n", "3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\nrest"),
      "100: POST / [abc0123456789]");
  EXPECT_EQ(with_fields("Connection: x, Close\r\n"), "50 close: POST / []");
  EXPECT_EQ(request("GET / HTTP/1.0\r\n\r\n"), "18 close: GET / []");
  EXPECT_EQ(request("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"), "31: OPTIONS * []");
  EXPECT_EQ(request("GET http://A/x HTTP/1.1\r\nHost: a\r\n\r\n"), "36: GET /x []");
  EXPECT_EQ(request("GET http://a?x HTTP/1.1\r\nHost: a\r\n\r\n"), "36: GET /?x []");
  EXPECT_EQ(request("GET / HTTP/1.1\r\nHost: [::1]:80\r\nA:\r\nB: \t b \t\r\n\r\n"), "48: GET / []");
}

TEST(RequestParser, RefusesWhatTwoParsersCouldReadInTwoWays) {
  const std::string both = "more than one field says how long the body is";
  EXPECT_EQ(with_fields("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n"), "400 " + both);
  EXPECT_EQ(with_fields("Content-Length: 3\r\nContent-Length: 3\r\n"), "400 " + both);
  EXPECT_EQ(with_fields("Content-Length: 3\r\ncontent-length: 4\r\n"), "400 " + both);
  EXPECT_EQ(with_fields("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), "400 " + both);
  for (const char* length : {"+5", "-5", "5, 5", "0x5", "5 5", "", "5;", "\xd9\xa5", "five"}) {
    EXPECT_EQ(with_fields(fmt::format("Content-Length: {}\r\n", length)), "400 Content-Length is not a number")
        << length;
  }
  for (const char* coding : {"gzip", "chunked, chunked", "gzip, chunked", "xchunked", "", "chunked;q=1", "identity"}) {
    EXPECT_EQ(with_fields(fmt::format("Transfer-Encoding: {}\r\n", coding)),
              "501 the only Transfer-Encoding known here is chunked")
        << coding;
  }
  EXPECT_EQ(request("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"),
            "400 Transfer-Encoding in an HTTP/1.0 message");
  EXPECT_EQ(with_fields("A: b\r\n c\r\n"), "400 a header field is folded over two lines");
  EXPECT_EQ(with_fields(" A: b\r\n"), "400 a header field is folded over two lines");
  EXPECT_EQ(with_fields("A: b\n"), "400 a line ends with LF alone");
  EXPECT_EQ(request("GET / HTTP/1.1\nHost: a\n\n"), "400 a line ends with LF alone");
  EXPECT_EQ(with_fields("A: b\rC: d\r\n"), "400 a CR stands alone");
  EXPECT_EQ(with_fields("A: b\r\r\n"), "400 a CR stands alone");
  for (const char* field : {"A : b", "A\t: b", ": b", "A", "A B: c", "(A): b", "\xc3\xa4: b"}) {
    EXPECT_EQ(with_fields(field + std::string("\r\n")), "400 a header field is not \"Name: value\"") << field;
  }
  EXPECT_EQ(with_fields(std::string("A: b\0c\r\n", 8)), "400 a control character in the head");
  EXPECT_EQ(with_fields("A: b\x7f\r\n"), "400 a control character in the head");
}

TEST(RequestParser, RefusesBadChunks) {
  const auto chunk = [](const std::string& body) { return with_fields("Transfer-Encoding: chunked\r\n", body); };
  const std::string number = "400 the size of a chunk is not a hexadecimal number";
  for (const char* size : {"", "g", "+1", "-1", "0x1", " 1", "1 ", "1\t;x", ";x", "1,1"}) {
    EXPECT_EQ(chunk(fmt::format("{}\r\na\r\n0\r\n\r\n", size)), number) << size;
  }
  EXPECT_EQ(chunk("FFFFFFFFFFFFFFFF\r\n"), "413 the body is longer than 64 bytes");
  EXPECT_EQ(chunk("10000000000000000\r\n"), "413 the body is longer than 64 bytes");
  EXPECT_EQ(chunk("20\r\n" + std::string(32, 'x') + "\r\n21\r\n"), "413 the body is longer than 64 bytes");
  EXPECT_EQ(chunk("1\r\nab\r\n0\r\n\r\n"), "400 a chunk is longer than its size");
  EXPECT_EQ(chunk("1\na\n0\n\n"), "400 a line ends with LF alone");
  EXPECT_EQ(chunk("1;" + std::string(300, 'x')), "400 the size line of a chunk is too long");
  EXPECT_EQ(chunk("0\r\nA : b\r\n\r\n"), "400 a header field is not \"Name: value\"");
  EXPECT_THAT(chunk("0\r\n" + std::string(600, 'x')), HasSubstr("431"));
  EXPECT_EQ(chunk("0\r\n"), "more body");
}

TEST(RequestParser, RefusesBadFirstLinesAndHosts) {
  const std::string form = "400 the first line is not \"METHOD /target HTTP/1.1\"";
  const std::vector<Case> cases = {
      {"GET /\r\n\r\n", form},
      {"GET\r\n\r\n", form},
      {"\r\n\r\n", form},
      {"GET / http/1.1\r\n", form},
      {"GET / FTP/1.1\r\n", form},
      {"GET / HTTP/2.0\r\n", "505 only HTTP/1.1 and HTTP/1.0 are spoken here"},
      {"GET / HTTP/1.1 \r\n", "400 the target has a character that belongs percent-encoded"},
      {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505 only HTTP/1.1 and HTTP/1.0 are spoken here"},
      {"G(T / HTTP/1.1\r\n", "400 the method is not a word"},
      {" / HTTP/1.1\r\n", "400 the method is not a word"},
      {"GET /a b HTTP/1.1\r\n", "400 the target has a character that belongs percent-encoded"},
      {"GET  / HTTP/1.1\r\n", "400 the target has a character that belongs percent-encoded"},
      {"GET /# HTTP/1.1\r\n", "400 the target has a character that belongs percent-encoded"},
      {"GET /\xc3\xa4 HTTP/1.1\r\n", "400 the target has a character that belongs percent-encoded"},
      {"\x16\x03\x01\x02", "400 a control character in the head"},
      {"GET / HTTP/1.1\r\n\r\n", "400 a request has exactly one Host field"},
      {"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", "400 a request has exactly one Host field"},
      {"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "400 Host is not a host"},
      {"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", "400 Host is not a host"},
      {"GET a HTTP/1.1\r\nHost: a\r\n\r\n", "400 the target does not begin with /"},
      {"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", "400 the target does not begin with /"},
      {"GET * HTTP/1.1\r\nHost: a\r\n\r\n", "400 the target does not begin with /"},
      {"GET http://evil/ HTTP/1.1\r\nHost: a\r\n\r\n", "400 the target names another host than the Host field"},
      {"GET http://evil/ HTTP/1.0\r\n\r\n", "400 the target names another host than the Host field"},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(request(c.bytes), c.want) << c.bytes;
  }
  EXPECT_EQ(with_fields("Content-Encoding: gzip\r\n"), "415 a body is taken as it is, without Content-Encoding");
  EXPECT_EQ(with_fields("Expect: tea\r\n"), "417 the only Expect known here is 100-continue");
}

TEST(RequestParser, HoldsItsLimitsAsTheBytesCome) {
  EXPECT_THAT(request("GET /" + std::string(200, 'a')), HasSubstr("414"));
  EXPECT_THAT(request("GET /" + std::string(70, 'a') + " HTTP/1.1\r\n"), HasSubstr("414"));
  EXPECT_THAT(with_fields("A: " + std::string(600, 'a')), HasSubstr("431 the head is longer than 512 bytes"));
  std::string many;
  for (int i = 0; i < 9; ++i) {
    many += "A: b\r\n";
  }
  EXPECT_EQ(with_fields(many), "431 more than 8 header fields");
  EXPECT_EQ(with_fields("Content-Length: 65\r\n"), "413 the body is longer than 64 bytes");
  EXPECT_EQ(with_fields("Content-Length: 99999999999999999999\r\n"), "413 the body is longer than 64 bytes");
}

TEST(RequestParser, KnowsWhetherAContinueIsWaitedFor) {
  const auto waits = [](const std::string& bytes) {
    Parser parser = Parser::of_request(small);
    EXPECT_TRUE(parser.feed(bytes).has_value());
    EXPECT_TRUE(parser.head_done());
    return parser.expects_continue();
  };
  EXPECT_TRUE(waits("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 1\r\n\r\n"));
  EXPECT_FALSE(waits("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n"));
  EXPECT_FALSE(waits("POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n"));
}

TEST(ResponseParser, TakesResponsesAndKnowsWhereTheyEnd) {
  EXPECT_EQ(response("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabc"), "40: 200 [ab]");
  EXPECT_EQ(response("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n"), "35: 200 []");
  EXPECT_EQ(response("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"), "38 close: 200 []");
  EXPECT_EQ(response("HTTP/1.1 204 No Content\r\n\r\nx"), "27: 204 []");
  EXPECT_EQ(response("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n"), "48: 304 []");
  EXPECT_EQ(response("HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n", "HEAD"), "42: 200 []");
  EXPECT_EQ(response("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nA: b\r\n\r\nHTTP/1.1 500 "
                     "Oops\r\nContent-Length: 1\r\n\r\nx"),
            "94: 500 [x]");
  EXPECT_EQ(response("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"), "59: 200 [ab]");
}

TEST(ResponseParser, ABodyWithoutALengthEndsWithTheStream) {
  Parser parser = Parser::of_response(small, "GET");
  EXPECT_EQ(parser.feed("HTTP/1.1 200 OK\r\n\r\nabc"), 22U);
  EXPECT_FALSE(parser.done());
  EXPECT_FALSE(parser.finish());
  EXPECT_TRUE(parser.done());
  EXPECT_FALSE(parser.keep_alive());
  EXPECT_EQ(parser.take_response().body, "abc");
}

TEST(ResponseParser, ACutOffAnswerIsNoAnswer) {
  const std::string whole = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n";
  for (std::size_t n = 0; n < whole.size(); ++n) {
    Parser parser = Parser::of_response(small, "GET");
    EXPECT_TRUE(parser.feed(whole.substr(0, n)).has_value());
    EXPECT_TRUE(parser.finish().has_value()) << n;
  }
}

TEST(ResponseParser, RefusesWhatIsNotAnAnswer) {
  const std::string form = "400 the first line is not \"HTTP/1.1 200 OK\"";
  const std::vector<Case> cases = {
      {"<html>\r\n", form},
      {"HTTP/2 200\r\n", form},
      {"HTTP/1.1 20\r\n", form},
      {"HTTP/1.1 2000\r\n", form},
      {"HTTP/1.1  200\r\n", form},
      {"HTTP/1.1 +20 OK\r\n", form},
      {"HTTP/1.1 099 OK\r\n", "400 the status is not between 100 and 599"},
      {"HTTP/1.1 600 OK\r\n", "400 the status is not between 100 and 599"},
      {"HTTP/1.1 101 Switching\r\n\r\n", "400 the server changes the protocol unasked"},
      {"HTTP/1.1 200 OK\n\n", "400 a line ends with LF alone"},
      {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
       "400 more than one field says how long the body is"},
      {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
       "400 more than one field says how long the body is"},
      {"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\n\r\n",
       "400 the server compressed the body unasked"},
      {"HTTP/1.1 200 OK\r\nContent-Length: 65\r\n\r\n", "413 the body is longer than 64 bytes"},
      {"HTTP/1.1 200 OK\r\n\r\n" + std::string(65, 'x'), "413 the body is longer than 64 bytes"},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(response(c.bytes), c.want) << c.bytes;
  }
  std::string interim;
  for (int i = 0; i < 17; ++i) {
    interim += "HTTP/1.1 100 C\r\n\r\n";
  }
  EXPECT_EQ(response(interim), "400 the server sends 1xx without end");
}

TEST(Format, WritesRequestsThatParseBack) {
  Request sent{.method = "POST", .target = "/x?y", .headers = {{"A", "b"}}, .body = "hello"};
  const Result<std::string> bytes = format_request(sent, "host:1");
  EXPECT_EQ(*bytes, "POST /x?y HTTP/1.1\r\nHost: host:1\r\nA: b\r\nContent-Length: 5\r\n\r\nhello");
  EXPECT_EQ(request(*bytes), "66: POST /x?y [hello]");
  EXPECT_EQ(*format_request(Request{}, "a"), "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
}

TEST(Format, NeverLetsAValueEndItsLine) {
  const auto refused = [](Request request) { return format_request(request, "a").error().code == Code::invalid; };
  EXPECT_TRUE(refused({.target = "/ HTTP/1.1\r\nX: y"}));
  EXPECT_TRUE(refused({.target = "http://a/"}));
  EXPECT_TRUE(refused({.method = "GET /"}));
  EXPECT_TRUE(refused({.headers = {{"A", "b\r\nC: d"}}}));
  EXPECT_TRUE(refused({.headers = {{"A: b\r\nC", "d"}}}));
  EXPECT_TRUE(refused({.headers = {{"content-length", "5"}}}));
  EXPECT_TRUE(refused({.headers = {{"Transfer-Encoding", "chunked"}}}));
  EXPECT_THAT(format_response({.headers = {{"A", "b\nC: d"}}, .body = "x"}, true, false),
              testing::StartsWith("HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n"));
}

TEST(Format, WritesResponsesThatParseBack) {
  const Response sent{.status = 202, .headers = {{"A", "b"}, {"Content-Length", "9"}}, .body = "hello"};
  EXPECT_EQ(format_response(sent, true, false), "HTTP/1.1 202 Accepted\r\nA: b\r\nContent-Length: 5\r\n\r\nhello");
  EXPECT_EQ(format_response(sent, false, true),
            "HTTP/1.1 202 Accepted\r\nA: b\r\nContent-Length: 5\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(format_response({.status = 204, .headers = {}, .body = "x"}, true, false),
            "HTTP/1.1 204 No Content\r\n\r\n");
}

}  // namespace
}  // namespace sluice::aio::http
