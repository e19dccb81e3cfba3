// SPDX-License-Identifier: Apache-2.0
#include "model/strict_json.h"

#include <fmt/core.h>

#include <boost/json/basic_parser_impl.hpp>
#include <set>
#include <string>
#include <vector>

namespace sluice::model {
namespace {

namespace json = boost::json;

constexpr std::size_t depth_max = 32;
constexpr std::size_t keys_max = 4096;  // of one object; those of RabbitMQ have about 60

json::parse_options strict() {
  json::parse_options options;
  options.max_depth = depth_max;
  return options;
}

// Listens to the parser, keeps only the keys of the objects that are open. Boost.JSON's own tree keeps the last of two
// equal keys and says nothing.
struct KeyWatch {
  static constexpr std::size_t max_array_size = std::size_t(-1);
  static constexpr std::size_t max_object_size = std::size_t(-1);
  static constexpr std::size_t max_string_size = std::size_t(-1);
  static constexpr std::size_t max_key_size = std::size_t(-1);
  using Ec = json::error_code&;

  bool on_document_begin(Ec) { return true; }
  bool on_document_end(Ec) { return true; }
  bool on_object_begin(Ec) {
    open.emplace_back();
    return true;
  }
  bool on_object_end(std::size_t, Ec) {
    open.pop_back();
    return true;
  }
  bool on_array_begin(Ec) { return true; }
  bool on_array_end(std::size_t, Ec) { return true; }
  bool on_key_part(json::string_view part, std::size_t, Ec) {
    key.append(part.data(), part.size());
    return true;
  }
  bool on_key(json::string_view part, std::size_t, Ec ec) {
    key.append(part.data(), part.size());
    const bool fresh = open.back().insert(std::move(key)).second;
    key.clear();
    if (!fresh || open.back().size() > keys_max) {
      why = fresh ? "an object of too many keys" : "a key that is there twice";
      ec = json::error::syntax;
      return false;
    }
    return true;
  }
  bool on_string_part(json::string_view, std::size_t, Ec) { return true; }
  bool on_string(json::string_view, std::size_t, Ec) { return true; }
  bool on_number_part(json::string_view, Ec) { return true; }
  bool on_int64(std::int64_t, json::string_view, Ec) { return true; }
  bool on_uint64(std::uint64_t, json::string_view, Ec) { return true; }
  bool on_double(double, json::string_view, Ec) { return true; }
  bool on_bool(bool, Ec) { return true; }
  bool on_null(Ec) { return true; }
  bool on_comment_part(json::string_view, Ec) { return true; }
  bool on_comment(json::string_view, Ec) { return true; }

  std::vector<std::set<std::string>> open;
  std::string key;
  std::string why;
};

}  // namespace

Result<json::value> parse_strict_json(std::string_view text) {
  json::basic_parser<KeyWatch> watch(strict());
  json::error_code failed;
  const std::size_t used = watch.write_some(false, text.data(), text.size(), failed);
  if (!failed && used < text.size()) {
    failed = json::error::extra_data;
  }
  if (failed) {
    const std::string why = watch.handler().why.empty() ? failed.message() : watch.handler().why;
    return Error{Code::invalid, fmt::format("no JSON that can be read: {} (at byte {} of {})", why, used, text.size())};
  }
  json::value out = json::parse({text.data(), text.size()}, failed, {}, strict());
  if (failed) {
    return Error{Code::invalid, "no JSON that can be read: " + failed.message()};
  }
  return out;
}

}  // namespace sluice::model
