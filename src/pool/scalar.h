// SPDX-License-Identifier: Apache-2.0
#pragma once
// One value of the tree into one member: no octal, no yes and no, no guessing. Each function fills `out` or adds
// exactly one problem.
#include <map>
#include <string>
#include <vector>

#include "pool/field.h"
#include "pool/node.h"
#include "pool/types.h"

namespace sluice::pool {

struct Spot {
  const Node& node;
  const std::string& path;
  const Field& field;
  Report& report;
};

void read(const Spot& spot, bool& out);
void read(const Spot& spot, std::int64_t& out);
void read(const Spot& spot, Duration& out);
void read(const Spot& spot, Every& out);
void read(const Spot& spot, Bytes& out);
void read(const Spot& spot, Decimal& out);
void read(const Spot& spot, std::string& out);
void read(const Spot& spot, Claim& out);
void read(const Spot& spot, JobTemplate& out);
void read(const Spot& spot, std::map<std::string, std::string>& out);
// The index of the word, or nothing after a problem.
std::optional<std::size_t> read_word(const Spot& spot, Kind kind = Kind::word);
// The value of the one key of a choice and the index of its word, or nothing after a problem.
std::optional<std::size_t> read_choice(const Spot& spot, const Node*& chosen);
// True for a list whose length fits.
bool is_list(const Spot& spot);
// True for a map; a problem otherwise.
bool is_map(const Spot& spot);

// What stands at a node, for people: `5`, "text", a list, a map, nothing.
[[nodiscard]] std::string found_at(const Spot& spot);
// Adds the problem of a value of the wrong kind.
void refuse(const Spot& spot, Kind kind);
void refuse(const Spot& spot, std::string found, std::string accepted);

// How unquoted text reads in YAML. `odd` is what YAML 1.1 and 1.2 take for different things, or for a number that JSON
// does not know: yes, 0o17, 1_000, .inf.
enum class Plain { text, whole, decimal, boolean, odd };
[[nodiscard]] Plain classify_plain(std::string_view text);

// `, did you mean "max"?`, or nothing.
[[nodiscard]] std::string suggestion(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace sluice::pool
