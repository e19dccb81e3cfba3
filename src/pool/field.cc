// SPDX-License-Identifier: Apache-2.0
#include "pool/field.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "base/check.h"
#include "pool/problem.h"
#include "pool/url.h"
#include "pool/utf8.h"

namespace sluice::pool {
namespace {

using Found = std::optional<std::string>;

bool in(std::string_view set, char c) {
  return set.find(c) != std::string_view::npos;
}
constexpr std::string_view lower = "abcdefghijklmnopqrstuvwxyz";
constexpr std::string_view upper = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
constexpr std::string_view digits = "0123456789";

// The first character that is not printable ASCII, named: a letter of another script that looks like an ASCII one would
// make two names that no eye can tell apart.
Found outside_ascii(std::string_view text) {
  for (std::size_t at = 0; at < text.size(); ++at) {
    const Utf8 next = decode_utf8(text, at);
    if (next.length != 1 || next.code < 0x20 || next.code == 0x7f) {
      return fmt::format("\"{}\" with the character U+{:04X}", shown(text), static_cast<std::uint32_t>(next.code));
    }
  }
  return std::nullopt;
}

Found only(std::string_view text, auto good) {
  if (Found found = outside_ascii(text)) {
    return found;
  }
  return good(text) ? std::nullopt : Found(fmt::format("\"{}\"", shown(text)));
}

bool dns_label(std::string_view text) {
  const auto alnum = [](char c) { return in(lower, c) || in(digits, c); };
  return !text.empty() && text.size() <= 63 && alnum(text.front()) && alnum(text.back()) &&
         std::all_of(text.begin(), text.end(), [&](char c) { return alnum(c) || c == '-'; });
}
bool dns_subdomain(std::string_view text) {
  while (true) {
    const std::size_t dot = text.find('.');
    if (!dns_label(text.substr(0, dot)) || dot == std::string_view::npos) {
      return dns_label(text.substr(0, dot));
    }
    text.remove_prefix(dot + 1);
  }
}

Found check_text_form(std::string_view text) {
  return text.empty() ? Found("an empty text") : std::nullopt;
}
Found check_argument(std::string_view text) {  // an argv or an environment cannot hold NUL
  return in(text, '\0') ? Found(fmt::format("\"{}\" with a zero byte", shown(text))) : std::nullopt;
}
Found check_label(std::string_view text) {
  return only(text, dns_label);
}
Found check_name(std::string_view text) {
  return only(text, dns_subdomain);
}
Found check_broker_name(std::string_view text) {
  return only(text, [](std::string_view t) { return !t.empty() && t.front() != ' ' && t.back() != ' '; });
}
Found check_image(std::string_view text) {
  return only(text, [](std::string_view t) {
    const auto alnum = [](char c) { return in(lower, c) || in(upper, c) || in(digits, c); };
    return !t.empty() && alnum(t.front()) && t.find("://") == std::string_view::npos &&
           std::all_of(t.begin(), t.end(), [&](char c) { return alnum(c) || in("._/:@-", c); });
  });
}
// Nothing is expanded, so what looks like a variable or a home folder would silently become a folder of that name.
Found check_path(std::string_view text) {
  const bool folder =
      text.ends_with('/') || text == "." || text == ".." || text.ends_with("/.") || text.ends_with("/..");
  if (text.empty() || folder) {
    return fmt::format("\"{}\", which names no file", shown(text));
  }
  if (in(text, '$') || text.front() == '~') {
    return fmt::format("\"{}\", where nothing is expanded", shown(text));
  }
  if (text.find("://") != std::string_view::npos || text.starts_with("file:")) {
    return fmt::format("the URL \"{}\"", shown(text));
  }
  if (std::any_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; })) {
    return fmt::format("\"{}\" with a control character", shown(text));
  }
  return std::nullopt;
}
Found check_project(std::string_view text) {
  return only(text, [](std::string_view t) {
    return !t.empty() && in(lower, t.front()) && t.back() != '-' &&
           std::all_of(t.begin(), t.end(), [](char c) { return in(lower, c) || in(digits, c) || in("-.:", c); });
  });
}
Found check_resource(std::string_view text) {
  return only(text, [](std::string_view t) {
    const auto letter = [](char c) { return in(lower, c) || in(upper, c); };
    return t.size() >= 3 && letter(t.front()) && !t.starts_with("goog") &&
           std::all_of(t.begin(), t.end(), [&](char c) { return letter(c) || in(digits, c) || in("-_.~+%", c); });
  });
}
Found check_quantity(std::string_view text) {
  return only(text, [](std::string_view t) {
    constexpr std::array<std::string_view, 16> suffixes = {"",  "n", "u",  "m",  "k",  "M",  "G",  "T",
                                                           "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"};
    const std::size_t end = std::min(t.find_first_not_of("0123456789."), t.size());
    const std::string_view number = t.substr(0, end);
    const bool form = !number.empty() && in(digits, number.front()) && in(digits, number.back()) &&
                      std::count(number.begin(), number.end(), '.') <= 1;
    return form && number.find_first_not_of("0.") != std::string_view::npos &&
           std::find(suffixes.begin(), suffixes.end(), t.substr(end)) != suffixes.end();
  });
}
Found check_variable(std::string_view text) {
  if (text.starts_with("SLUICE_")) {
    return fmt::format("\"{}\", a name that sluice sets itself", shown(text));
  }
  return only(text, [](std::string_view t) {
    const auto good = [](char c) { return in(lower, c) || in(upper, c) || in(digits, c) || c == '_'; };
    return !t.empty() && !in(digits, t.front()) && std::all_of(t.begin(), t.end(), good);
  });
}
Found check_metadata_key(std::string_view text) {
  return only(text, [](std::string_view t) {
    const std::size_t slash = t.find('/');
    const std::string_view key = slash == std::string_view::npos ? t : t.substr(slash + 1);
    const auto alnum = [](char c) { return in(lower, c) || in(upper, c) || in(digits, c); };
    return (slash == std::string_view::npos || dns_subdomain(t.substr(0, slash))) && !key.empty() && key.size() <= 63 &&
           alnum(key.front()) && alnum(key.back()) &&
           std::all_of(key.begin(), key.end(), [&](char c) { return alnum(c) || in("-_.", c); });
  });
}

// Lengths: Kubernetes' own for its names, AMQP's short string (255 bytes) for broker names, PATH_MAX for paths, and for
// free text more than anybody types.
const FormRow rows[] = {
    {Form::text, "text", "text of at least one character", "", 4096, check_text_form},
    {Form::argument, "text", "any text", "", 65536, check_argument},
    {Form::pool_name, "name",
     "at most 52 lower-case letters, digits and -, beginning and ending with a letter or digit",
     "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", 52, check_label},
    {Form::label, "name", "at most 63 lower-case letters, digits and -, beginning and ending with a letter or digit",
     "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", 63, check_label},
    {Form::name, "name", "a name of lower-case letters, digits, - and ., such as rabbitmq-user",
     "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?([.][a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$", 253, check_name},
    {Form::broker_name, "name", "1 to 255 printable ASCII characters without a blank at either end",
     "^[!-~]([ -~]*[!-~])?$", 255, check_broker_name},
    {Form::path, "path", "the path of a file, as it is: no $, no ~ in front, no URL", "^[^~$][^$]*$", 4095, check_path},
    {Form::image, "image", "a container image such as registry.example/worker:1", "^[A-Za-z0-9][A-Za-z0-9._/:@-]*$",
     512, check_image},
    {Form::amqp_url, "URL",
     "amqp://host:port or amqps://host:port (user and password in a secret, the virtual host in vhost)",
     "^amqps?://[^/?#@]+/?$", 2048, check_amqp_url},
    {Form::http_url, "URL",
     "http://host:port or https://host:port, with a path if need be (user and password in a secret)",
     "^https?://[^?#@]+$", 2048, check_http_url},
    {Form::host, "host", "a host or host:port", "^[^/?#@]+$", 300, check_host},
    {Form::project, "name", "a project id such as my-project", "^[a-z]([a-z0-9.:-]*[a-z0-9.:])?$", 100, check_project},
    {Form::resource, "name", "3 to 255 of letters, digits and -_.~+%, beginning with a letter, not with goog",
     "^[A-Za-z][A-Za-z0-9_.~+%-]{2,}$", 255, check_resource},
    {Form::quantity, "quantity", "a Kubernetes quantity greater than zero, such as \"100\" or \"500m\"",
     "^([0-9]*[1-9][0-9]*([.][0-9]+)?|0+[.][0-9]*[1-9][0-9]*)(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$", 40,
     check_quantity},
    {Form::variable, "name", "letters, digits and _, not beginning with a digit or with SLUICE_",
     "^[A-Za-z_][A-Za-z0-9_]*$", 255, check_variable},
    {Form::metadata_key, "name",
     "a Kubernetes label key: letters, digits, - _ and ., with an optional prefix before a /",
     "^([a-z0-9.-]+/)?[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?$", 317, check_metadata_key},
};

std::string one_of(std::span<const std::string_view> words) {
  std::string out;
  for (std::size_t i = 0; i < words.size(); ++i) {
    out += fmt::format("{}{}", i == 0 ? "" : i + 1 == words.size() ? " or " : ", ", words[i]);
  }
  return out;
}

struct ByteUnit {
  std::string_view name;
  std::int64_t bytes;
};
constexpr std::array<ByteUnit, 4> byte_units = {ByteUnit{"GiB", 1LL << 30}, ByteUnit{"MiB", 1 << 20},
                                                ByteUnit{"KiB", 1 << 10}, ByteUnit{"B", 1}};

}  // namespace

const FormRow& form_row(Form form) {
  const FormRow& row = rows[static_cast<std::size_t>(form)];
  check(row.form == form, "the table of forms follows the enum");
  return row;
}

Field of_pools(Field field) {
  field.words = field.words.first(std::min(field.words.size(), field.rivals_from));
  return field;
}

std::string accepted(Kind kind, const Field& field) {
  const auto durations = [&] {
    return fmt::format("a duration from {} to {}, such as 250ms, 90s or 1h30m", format_duration(field.shortest),
                       format_duration(field.longest));
  };
  switch (kind) {
    case Kind::boolean:
      return "true or false";
    case Kind::whole:
      return fmt::format("a whole number from {} to {}, digits only", field.min, field.max);
    case Kind::duration:
      return durations();
    case Kind::every:
      return "adaptive, or " + durations();
    case Kind::bytes:
      return fmt::format("a size from {} to {}, such as 512KiB or 16MiB", format_bytes(field.min),
                         format_bytes(field.max));
    case Kind::decimal:
      return fmt::format("a number from {} to {}, such as {}", format_decimal(field.min), format_decimal(field.max),
                         field.max <= 1'000'000 ? "0.1" : "99.9");
    case Kind::text:
      return std::string(form_row(field.form).accepted);
    case Kind::word:
      return one_of(field.words);
    case Kind::claim:
      return one_of(field.words) + ", or a map {after: DURATION}";
    case Kind::job_template:
      return "a Kubernetes JobTemplateSpec: a map with metadata and spec";
    case Kind::list:
      return fmt::format("a list of {} to {}", field.items_min, field.items_max);
    case Kind::map:
      return "a map of texts";
    case Kind::choice:
      return "a map with exactly one of " + one_of(of_pools(field).words);
    case Kind::object:
      return "a map";
  }
  return "";
}

std::string format_bytes(std::int64_t n) {
  const auto unit = std::find_if(byte_units.begin(), byte_units.end(),
                                 [&](const ByteUnit& u) { return n >= u.bytes && n % u.bytes == 0; });
  return unit == byte_units.end() ? "0B" : fmt::format("{}{}", n / unit->bytes, unit->name);
}

std::optional<std::int64_t> parse_bytes(std::string_view text) {
  const std::size_t end = std::min(text.find_first_not_of(digits), text.size());
  const std::optional<std::int64_t> n = parse_whole(text.substr(0, end));
  const auto unit =
      std::find_if(byte_units.begin(), byte_units.end(), [&](const ByteUnit& u) { return u.name == text.substr(end); });
  if (!n || unit == byte_units.end() || *n > std::numeric_limits<std::int64_t>::max() / unit->bytes) {
    return std::nullopt;
  }
  return *n * unit->bytes;
}

std::string format_decimal(std::int64_t millionths) {
  const std::string fraction = fmt::format("{:06}", millionths % 1'000'000);
  const std::size_t length = fraction.find_last_not_of('0') + 1;
  return length == 0 ? fmt::format("{}", millionths / 1'000'000)
                     : fmt::format("{}.{}", millionths / 1'000'000, fraction.substr(0, length));
}

std::optional<std::int64_t> parse_decimal(std::string_view text) {
  const std::size_t point = text.find('.');
  const std::optional<std::int64_t> whole = parse_whole(text.substr(0, point));
  if (!whole || *whole > 1'000'000'000) {
    return std::nullopt;
  }
  if (point == std::string_view::npos) {
    return *whole * 1'000'000;
  }
  std::string fraction(text.substr(point + 1));
  if (fraction.empty() || fraction.size() > 6 || fraction.find_first_not_of(digits) != std::string::npos) {
    return std::nullopt;
  }
  fraction.resize(6, '0');
  std::int64_t n = 0;
  std::from_chars(fraction.data(), fraction.data() + fraction.size(), n);
  return *whole * 1'000'000 + n;
}

std::optional<std::int64_t> parse_whole(std::string_view text) {
  std::int64_t n = 0;
  const bool plain = !text.empty() && text.find_first_not_of(digits) == std::string_view::npos &&
                     (text.size() == 1 || text.front() != '0');
  if (!plain || std::from_chars(text.data(), text.data() + text.size(), n).ec != std::errc()) {
    return std::nullopt;
  }
  return n;
}

}  // namespace sluice::pool
