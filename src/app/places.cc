// SPDX-License-Identifier: Apache-2.0
#include "app/places.h"

#include <fmt/core.h>

#include <algorithm>
#include <filesystem>

#include "app/journal_tail.h"
#include "app/wiring.h"
#include "base/nearest.h"

namespace sluice::app {
namespace {

namespace fs = std::filesystem;

constexpr const char* demo_folder = "sluice-demo";

std::string here() {
  std::error_code failed;
  const fs::path path = fs::current_path(failed);
  return failed ? "." : path.string();
}

// What the journal of a state folder says the pool is.
Place by_state(const std::string& state) {
  const std::string name = fs::path(state).filename().string();
  Place place{.id = name, .name = name, .file = "", .state = state, .spec = {}, .why_no_spec = "", .again = ""};
  place.secrets = (fs::path(state).parent_path().parent_path() / "secrets").string();
  JournalTail tail(place.journal());
  if (const Result<void> read = tail.poll(); !read) {
    place.why_no_spec = read.error().what;
    return place;
  }
  const Result<control::JournalLine> line = control::parse_journal_line(tail.story().latest_pool_line());
  const auto* pool = line ? std::get_if<control::PoolLine>(&*line) : nullptr;
  if (pool == nullptr) {
    place.why_no_spec = fmt::format("{}: no pool line yet", place.journal());
    return place;
  }
  place.id = pool->pool;
  if (const std::size_t slash = pool->pool.find('/'); slash != std::string::npos) {
    place.name = pool->pool.substr(slash + 1);
  }
  Result<pool::PoolSpec> spec = pool::spec_from_json(pool->spec_json);
  if (spec) {
    place.spec = std::move(*spec);
  } else {
    place.why_no_spec = fmt::format("{}: {}", place.journal(), spec.error().what);
  }
  return place;
}

bool is_state_folder(const fs::path& path) {
  std::error_code failed;
  return fs::exists(path / "journal.jsonl", failed) || fs::exists(path / "scaler.lock", failed) ||
         fs::exists(path / "slots", failed);
}

// Every pool of a folder of states; the folder may be one pool's own.
std::vector<Place> by_states(const fs::path& folder) {
  std::vector<std::string> found;
  std::error_code failed;
  if (is_state_folder(folder)) {
    found.push_back(folder.lexically_normal().string());
  }
  for (fs::directory_iterator entry(folder, failed), end; !failed && entry != end; entry.increment(failed)) {
    if (entry->is_directory(failed) && is_state_folder(entry->path())) {
      found.push_back(entry->path().lexically_normal().string());
    }
  }
  std::ranges::sort(found);
  std::vector<Place> out;
  std::ranges::transform(found, std::back_inserter(out), by_state);
  return out;
}

std::optional<Place> by_file(Context& context, const std::string& file, const Args& args) {
  std::optional<LoadedPool> loaded = load_pool(context, file, args);
  if (!loaded) {
    return std::nullopt;
  }
  const std::string state = args.has("state") ? " --state " + *args.text("state") : "";
  return Place{.id = loaded->pool.id(),
               .name = loaded->pool.name,
               .file = file,
               .state = loaded->state,
               .secrets = loaded->secrets,
               .spec = std::move(loaded->pool.spec),
               .why_no_spec = "",
               .again = " -f " + file + state};
}

std::string demo_file() {
  return fmt::format("{}/pool.yaml", demo_folder);
}

bool demo_is_here() {
  std::error_code failed;
  return fs::exists(demo_file(), failed);
}

std::optional<std::vector<Place>> all_places(Context& context, const Args& args) {
  std::vector<Place> out;
  if (const std::vector<std::string> files = args.texts("file"); !files.empty()) {
    bool good = true;
    for (const std::string& file : files) {
      std::optional<Place> place = by_file(context, file, args);
      good = good && place;
      if (place) {
        out.push_back(std::move(*place));
      }
    }
    return good ? std::optional(std::move(out)) : std::nullopt;
  }
  if (const std::optional<std::string> state = args.text("state")) {
    out = by_states(absolute(here(), *state));
    for (Place& place : out) {
      place.again = " --state " + *state;
    }
    return out;
  }
  out = by_states(fs::path(here()) / ".sluice");
  if (out.empty() && demo_is_here()) {
    std::optional<Place> place = by_file(context, demo_file(), args);
    if (!place) {
      return std::nullopt;
    }
    out.push_back(std::move(*place));
  }
  return out;
}

bool named(const Place& place, const std::string& word) {
  return place.name == word || place.id == word;
}

}  // namespace

bool any_place_here() {
  return demo_is_here() || !by_states(fs::path(here()) / ".sluice").empty();
}

std::vector<Flag> place_flags() {
  Flag state = state_flag();
  state.help = "the folder of pools' states (default: .sluice beside the pool file, or here)";
  return {file_flag("the pool file; without it the pools that have a state folder here, else the demo's", true), state,
          secrets_flag()};
}

std::vector<Positional> place_words() {
  return {{.name = "POOL", .help = "only these pools, by name or namespace/name", .many = true}};
}

std::optional<std::vector<Place>> find_places(Context& context, const Args& args, const std::string& verb) {
  std::optional<std::vector<Place>> all = all_places(context, args);
  if (!all) {
    return std::nullopt;
  }
  if (all->empty()) {
    context.err.line(fmt::format("sluice {}: no pool here: there is no .sluice/ in this folder", verb));
    context.err.line(fmt::format("  next: {0} {1} -f FILE, or {0} demo to see one at work", context.program, verb));
    return std::nullopt;
  }
  if (const std::optional<std::string> secrets = args.text("secrets")) {
    for (Place& place : *all) {
      place.secrets = absolute(here(), *secrets);
    }
  }
  if (args.positionals.empty()) {
    return all;
  }
  std::vector<Place> out;
  for (const std::string& word : args.positionals) {
    const auto found = std::ranges::find_if(*all, [&](const Place& place) { return named(place, word); });
    if (found == all->end()) {
      std::vector<std::string> names;
      std::string known;
      for (const Place& place : *all) {
        names.push_back(place.name);
        known += (known.empty() ? "" : ", ") + place.name;
      }
      const std::optional<std::string> near = nearest(word, names);
      context.err.line(fmt::format("sluice {}: no pool {}; {}", verb, word,
                                   near ? fmt::format("did you mean {}?", *near) : "there is: " + known));
      return std::nullopt;
    }
    out.push_back(*found);
  }
  return out;
}

}  // namespace sluice::app
