// SPDX-License-Identifier: Apache-2.0
// Texts of the pool file as CEL: what the checks of field.cc, url.cc and scalar.cc say in C++.
#include <fmt/core.h>

#include "pool/crd_schema.h"
#include "pool/field.h"

namespace sluice::pool {
namespace {

// CEL's raw strings end at the first quote, so the usual kind with escapes.
std::string cel_text(std::string_view text) {
  std::string out = "'";
  for (const char c : text) {
    out += c == '\\' || c == '\'' ? "\\" : "";
    out += c;
  }
  return out + "'";
}

std::string matches(std::string_view pattern) {
  return fmt::format("self.matches({})", cel_text(pattern));
}

constexpr std::string_view octet = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])";
constexpr std::string_view label = "[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?";
constexpr std::string_view port =
    "(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?";

// `before`, a host with or without a port, `behind`. A name whose last part is a number is no name (url.cc), unless it
// is an address.
std::string host_rule(std::string_view before, std::string_view behind) {
  const std::string host = fmt::format(R"(({0}([.]{0})*[.]?|\[[0-9A-Fa-f:.]+\]))", label);
  const std::string address = fmt::format("{0}([.]{0}){{3}}", octet);
  constexpr std::string_view numeric = "([^:/]*[.])?(0[xX][^.:/]*|[0-9]+)[.]?";
  return fmt::format("{} && ({} || !{})", matches(fmt::format("^{}{}{}{}$", before, host, port, behind)),
                     matches(fmt::format("^{}{}(:|/|$)", before, address)),
                     matches(fmt::format("^{}{}(:|/|$)", before, numeric)));
}

// The URL library for what a pattern cannot say: whether brackets hold an address, and how long a name is.
std::string url_rule(std::string_view schemes, std::string_view path) {
  return host_rule(fmt::format("{}://", schemes), path) + " && isURL(self) && url(self).getHostname().size() <= 253";
}

// A pattern of the whole numbers from 0 to `most`.
std::string number_up_to(std::int64_t most) {
  const std::string digits = fmt::format("{}", most);
  std::string out = "(" + digits;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    const std::size_t behind = digits.size() - i - 1;
    if (digits[i] > '0') {
      out += fmt::format("|{}[0-{}][0-9]{{{}}}", digits.substr(0, i), static_cast<char>(digits[i] - 1), behind);
    }
  }
  return out + (digits.size() > 1 ? fmt::format("|[0-9]{{1,{}}})", digits.size() - 1) : ")");
}

}  // namespace

std::string form_rule(Form form) {
  std::string pattern = form_row(form).pattern.empty() ? "" : matches(form_row(form).pattern);
  switch (form) {
    case Form::text:
      return "self.size() > 0";
    case Form::argument:
    case Form::quantity:  // a number too: said without CEL
      return "";
    case Form::pool_name:
    case Form::label:
    case Form::name:
    case Form::project:
    case Form::metadata_key:
      return pattern;
    case Form::broker_name:
      return fmt::format("{} && !{}", pattern, matches(credentials_pattern));
    case Form::path:
      return fmt::format("{} && !{} && !self.contains('://') && !self.startsWith('file:')",
                         matches(R"(^[^~$\x00-\x1f][^$\x00-\x1f]*$)"), matches("(^|/)[.]{0,2}$"));
    case Form::image:
      return pattern + " && !self.contains('://')";
    case Form::amqp_url:
      return url_rule("amqps?", "/?");
    case Form::http_url:
      return url_rule("https?", R"((/[A-Za-z0-9._~!$&'()*+,;=:/-]*)?)") +
             " && !self.contains('/..') && !self.contains('/./')";
    case Form::host:
      return host_rule("", "");
    case Form::resource:
      return pattern + " && !self.startsWith('goog')";
    case Form::variable:
      return pattern + " && !self.startsWith('SLUICE_')";
  }
  return "";
}

std::string duration_rule(Kind kind, const Field& field) {
  // So few digits that no sum is beyond what CEL's duration can hold: that would be an error, not an answer.
  const std::string good =
      fmt::format("self.size() > 0 && {} && duration(self) >= duration('{}') && duration(self) <= duration('{}')",
                  matches("^([0-9]{1,5}h)?([0-9]{1,7}m)?([0-9]{1,9}s)?([0-9]{1,12}ms)?$"),
                  format_duration(field.shortest), format_duration(field.longest));
  return kind == Kind::every ? fmt::format("self == 'adaptive' || ({})", good) : good;
}

std::string duration_pattern(Duration longest) {
  std::string out;
  for (const auto& [unit, length] : {std::pair("h", Duration{std::chrono::hours{1}}),
                                     {"m", std::chrono::minutes{1}},
                                     {"s", std::chrono::seconds{1}},
                                     {"ms", std::chrono::milliseconds{1}}}) {
    out += fmt::format("({}{})?", number_up_to(longest / length), unit);
  }
  return fmt::format("^{}$", out);
}

std::string bytes_rule(const Field& field) {
  // 16MiB without its B is a quantity.
  const std::string_view number = "quantity(self.replace('B', ''))";
  return fmt::format("{0} && {1}.compareTo(quantity('{2}')) >= 0 && {1}.compareTo(quantity('{3}')) <= 0",
                     matches("^(0|[1-9][0-9]{0,11})(B|KiB|MiB|GiB)$"), number, field.min, field.max);
}

std::string decimal_rule() {
  // Not more than six digits behind the point, which is what the file takes: what is rounded to them is the same.
  return "double(int(self * 1000000.0 + 0.5)) / 1000000.0 == self";
}

}  // namespace sluice::pool
