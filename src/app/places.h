// SPDX-License-Identifier: Apache-2.0
#pragma once
// Which pools a person means who asks what is: those of the files given, else those that have a state folder here, else
// the demo's.
#include <optional>
#include <string>
#include <vector>

#include "app/cli.h"
#include "app/context.h"
#include "pool/types.h"

namespace sluice::app {

struct Place {
  std::string id;  // namespace/name
  std::string name;
  std::string file;                    // the pool file; empty when it was found by its state folder
  std::string state;                   // its state folder; may not exist
  std::string secrets;                 // its folder of credentials; may not exist
  std::optional<pool::PoolSpec> spec;  // of the file, else of the journal; empty when neither says
  std::string why_no_spec;
  [[nodiscard]] std::string journal() const { return state + "/journal.jsonl"; }
  // " -f FILE", or what else a command needs to mean this pool again, by the way it was found.
  std::string again;
};

// The flags -f and --state, and the words that name pools. Says what is wrong on stderr and returns empty: exit_usage.
[[nodiscard]] std::optional<std::vector<Place>> find_places(Context& context, const Args& args,
                                                            const std::string& verb);
// Whether it would find one without a flag or a word.
[[nodiscard]] bool any_place_here();
[[nodiscard]] std::vector<Flag> place_flags();
[[nodiscard]] std::vector<Positional> place_words();

}  // namespace sluice::app
