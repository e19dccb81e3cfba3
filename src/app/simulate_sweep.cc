// SPDX-License-Identifier: Apache-2.0
#include "app/simulate_sweep.h"

#include <fmt/core.h>

#include <algorithm>
#include <fstream>
#include <map>

#include "aio/crew.h"

namespace sluice::app {
namespace {

// A policy's name in a file's.
std::string slug(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.';
    out += plain ? c : '-';
  }
  return out;
}

}  // namespace

// DIR/SCENARIO.POLICY.SEED[.POOL].jsonl, one for each pool of a run.
class Sweep::Journals {
 public:
  Journals(std::string folder, const Loaded& loaded, const Piece& piece)
      : folder_(std::move(folder)),
        name_(fmt::format("{}.{}.{}", loaded.scenario.name, slug(lab::name_of(loaded.scenario.policies[piece.policy])),
                          piece.seed)),
        several_(loaded.scenario.pools.size() > 1) {}
  void write(const std::string& pool, std::string_view line) {
    auto file = files_.find(pool);
    if (file == files_.end()) {
      const std::string path = fmt::format("{}/{}{}.jsonl", folder_, name_, several_ ? "." + pool : "");
      file = files_.try_emplace(pool, path, std::ios::binary | std::ios::trunc).first;
    }
    file->second << line << '\n';
  }
  // Whether all of it is on disk.
  [[nodiscard]] bool close() {
    bool good = true;
    for (auto& [pool, file] : files_) {
      file.close();
      good = good && !file.fail();
    }
    return good;
  }

 private:
  std::string folder_;
  std::string name_;
  bool several_;
  std::map<std::string, std::ofstream> files_;
};

Sweep::Sweep(Context& context, const std::vector<Loaded>& loaded, std::optional<std::string> journals)
    : context_(context), loaded_(loaded), journals_(std::move(journals)), progress_(context) {
  for (std::size_t i = 0; i < loaded.size(); ++i) {
    for (std::size_t policy = 0; policy < loaded[i].scenario.policies.size(); ++policy) {
      for (const std::int64_t seed : loaded[i].seeds) {
        pieces_.push_back({i, policy, seed});
      }
    }
  }
  runs_.resize(pieces_.size());
  written_.resize(pieces_.size(), 1);
}

aio::Task<void> Sweep::run(std::size_t threads) {
  started_ = context_.clock.now();
  aio::CrewWork what{.pieces = pieces_.size(),
                     .threads = threads,
                     .work = [this](std::size_t piece) { work(piece); },
                     .done = [this](std::size_t) { tell(); }};
  co_await aio::work_together(context_.loop, context_.clock, std::move(what));
  progress_.clear();
}

bool Sweep::all_written() const {
  return std::ranges::all_of(written_, [](char one) { return one != 0; });
}

std::string Sweep::pace() const {
  std::uint64_t events = 0;
  for (const lab::Run& run : runs_) {
    events += run.events;
  }
  return fmt::format("{} run{}, {:.1f} million events in {:.1f} s", runs_.size(), runs_.size() == 1 ? "" : "s",
                     static_cast<double>(events) / 1e6, to_s(context_.clock.now() - started_));
}

std::vector<lab::Outcome> Sweep::outcomes() {
  std::vector<lab::Outcome> out;
  auto at = runs_.begin();
  for (const Loaded& one : loaded_) {
    const auto n = static_cast<std::ptrdiff_t>(one.scenario.policies.size() * one.seeds.size());
    std::vector<lab::Run> runs(std::make_move_iterator(at), std::make_move_iterator(at + n));
    out.push_back(lab::outcome_of(one.scenario, one.seeds, std::move(runs)));
    at += n;
  }
  return out;
}

void Sweep::work(std::size_t index) {
  const Piece& piece = pieces_[index];
  const Loaded& loaded = loaded_[piece.loaded];
  const lab::Bench bench{
      .scenario = loaded.scenario, .files = loaded.files, .policy = piece.policy, .seed = piece.seed, .bound = true};
  if (!journals_) {
    runs_[index] = lab::run(bench);
    return;
  }
  Journals journals(*journals_, loaded, piece);
  runs_[index] =
      lab::run(bench, [&journals](const std::string& pool, std::string_view line) { journals.write(pool, line); });
  written_[index] = journals.close() ? 1 : 0;
}

void Sweep::tell() {
  ++done_;
  const auto all = static_cast<std::int64_t>(pieces_.size());
  progress_.show(fmt::format("{} {}/{} runs", bar(done_, all, 24), done_, all));
}

}  // namespace sluice::app
