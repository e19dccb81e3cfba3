// SPDX-License-Identifier: Apache-2.0
#include "lab/scenario_read.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "base/number.h"
#include "control/decide.h"
#include "control/rivals.h"
#include "lab/definition.h"
#include "lab/parts.h"

namespace sluice::lab {
namespace {

constexpr pool::Field root_field{.doc = "", .required = true};

// The lines of a CSV of two columns under a header, without their ends.
std::vector<std::string_view> rows_of(std::string_view csv) {
  std::vector<std::string_view> out;
  while (!csv.empty()) {
    const std::size_t end = std::min(csv.find('\n'), csv.size());
    std::string_view row = csv.substr(0, end);
    if (row.ends_with('\r')) {
      row.remove_suffix(1);
    }
    out.push_back(row);
    csv.remove_prefix(std::min(end + 1, csv.size()));
  }
  return out;
}

struct Row {
  double first = 0;
  double second = 0;
};

Result<std::vector<Row>> two_columns(std::string_view csv, std::string_view header) {
  const std::vector<std::string_view> rows = rows_of(csv);
  if (rows.empty() || rows.front() != header) {
    return Error{Code::invalid, fmt::format("line 1: another header; accepted: {}", header)};
  }
  std::vector<Row> out;
  for (std::size_t i = 1; i < rows.size(); ++i) {
    const std::size_t comma = std::min(rows[i].find(','), rows[i].size());
    const auto first = parse_number<double>(rows[i].substr(0, comma));
    const auto second = parse_number<double>(rows[i].substr(std::min(comma + 1, rows[i].size())));
    const bool numbers = first && second && std::isfinite(*first) && std::isfinite(*second);
    if (!numbers || *first < 0 || *second < 0 || (!out.empty() && *first <= out.back().first)) {
      return Error{Code::invalid,
                   fmt::format("line {}: not two numbers from 0 on, the first rising; accepted: {}", i + 1, header)};
    }
    out.push_back({*first, *second});
  }
  if (out.size() < 2) {
    return Error{Code::invalid, fmt::format("fewer than 2 lines; accepted: {}", header)};
  }
  return out;
}

// Where something stands in the file, by its path of keys and positions.
class Places {
 public:
  explicit Places(const pool::Node& root) : root_(root) {}
  [[nodiscard]] const pool::Node& at(std::initializer_list<std::variant<std::string_view, std::size_t>> path) const {
    const pool::Node* node = &root_;
    for (const auto& step : path) {
      const pool::Node* next = nullptr;
      if (const auto* key = std::get_if<std::string_view>(&step)) {
        const pool::Entry* entry = node->find(*key);
        next = entry == nullptr ? nullptr : &entry->value;
      } else if (const std::size_t index = std::get<std::size_t>(step); index < node->items.size()) {
        next = &node->items[index];
      }
      if (next == nullptr) {
        break;
      }
      node = next;
    }
    return *node;
  }

 private:
  const pool::Node& root_;
};

void add(pool::Report& report, const pool::Node& node, std::string path, std::string found, std::string accepted) {
  report.add({.line = node.line,
              .column = node.column,
              .path = std::move(path),
              .found = std::move(found),
              .accepted = std::move(accepted)});
}

// Reads the files that a scenario names, each once.
class Loader {
 public:
  Loader(const std::function<Result<std::string>(const std::string&)>& open, Files& files, pool::Report& report)
      : open_(open), files_(files), report_(report) {}

  void trace(const std::string& name, const pool::Node& node, const std::string& path) {
    load(name, node, path, files_.traces, parse_trace);
  }
  void quantiles(const Times& times, const pool::Node& node, const std::string& path) {
    if (times.quantiles) {
      load(*times.quantiles, node, path, files_.quantiles, parse_quantiles);
    }
  }

 private:
  template <class T>
  void load(const std::string& name, const pool::Node& node, const std::string& path,
            std::map<std::string, T, std::less<>>& into, Result<T> (*parse)(std::string_view)) {
    if (into.contains(name)) {
      return;
    }
    const Result<std::string> text = open_(name);
    if (!text) {
      add(report_, node, path, text.error().what, "a CSV file beside the scenario, or in --traces DIR");
      return;
    }
    Result<T> values = parse(*text);
    if (!values) {
      add(report_, node, path, fmt::format("{}: {}", name, values.error().what), "a CSV file as that");
      return;
    }
    into.emplace(name, std::move(*values));
  }

  const std::function<Result<std::string>(const std::string&)>& open_;
  Files& files_;
  pool::Report& report_;
};

void load_files(const Scenario& scenario, const Places& places, Loader& loader) {
  for (std::size_t i = 0; i < scenario.pools.size(); ++i) {
    const Load& load = scenario.pools[i];
    for (std::size_t j = 0; j < load.arrivals.size(); ++j) {
      if (const auto* trace = std::get_if<Trace>(&load.arrivals[j])) {
        loader.trace(trace->file, places.at({"pools", i, "arrivals", j, "trace", "file"}),
                     fmt::format("$.pools[{}].arrivals[{}].trace.file", i, j));
      }
    }
    loader.quantiles(load.service, places.at({"pools", i, "service", "quantiles"}),
                     fmt::format("$.pools[{}].service.quantiles", i));
  }
  loader.quantiles(scenario.environment.nodes.boot, places.at({"environment", "nodes", "boot", "quantiles"}),
                   "$.environment.nodes.boot.quantiles");
  loader.quantiles(scenario.environment.pods.start, places.at({"environment", "pods", "start", "quantiles"}),
                   "$.environment.pods.start.quantiles");
}

// "what is wrong; accepted: what would be right" in its two parts.
std::pair<std::string, std::string> parted(const std::string& what) {
  constexpr std::string_view between = "; accepted: ";
  const std::size_t at = what.find(between);
  return at == std::string::npos ? std::pair(what, std::string("a policy of this version"))
                                 : std::pair(what.substr(0, at), what.substr(at + between.size()));
}

// What only the whole can tell: policies that cannot be decided, names that are there twice.
void judge(const Scenario& scenario, const Places& places, pool::Report& report) {
  std::set<std::string> names;
  for (std::size_t i = 0; i < scenario.policies.size(); ++i) {
    const Contender& one = scenario.policies[i];
    const pool::Pool pool = pool_of(scenario, scenario.pools.front(), one);
    if (const Result<void> can = control::decidable(pool.spec); !can) {
      const auto [found, accepted] = parted(can.error().what);
      add(report, places.at({"policies", i, "policy"}), fmt::format("$.policies[{}].policy", i), found, accepted);
    }
    if (const Result<policy::LagParts> parts = parts_of(one); !parts) {
      const auto [found, accepted] = parted(parts.error().what);
      add(report, places.at({"policies", i, "without"}), fmt::format("$.policies[{}].without", i), found, accepted);
    }
    if (!names.insert(name_of(one)).second) {
      add(report, places.at({"policies", i}), fmt::format("$.policies[{}]", i),
          fmt::format("a second policy called \"{}\"", name_of(one)), "a `name` that no other has");
    }
  }
  std::set<std::string> pools;
  for (std::size_t i = 0; i < scenario.pools.size(); ++i) {
    if (!pools.insert(scenario.pools[i].name).second) {
      add(report, places.at({"pools", i, "name"}), fmt::format("$.pools[{}].name", i),
          fmt::format("a second pool called \"{}\"", scenario.pools[i].name), "a name that no other has");
    }
  }
  const Pods& pods = scenario.environment.pods;
  if (pods.prefetch && *pods.prefetch < pods.batch) {
    add(report, places.at({"environment", "pods", "prefetch"}), "$.environment.pods.prefetch",
        fmt::format("{} is less than batch {}", *pods.prefetch, pods.batch), "at least batch");
  }
}

}  // namespace

Result<std::vector<Bin>> parse_trace(std::string_view csv) {
  const Result<std::vector<Row>> rows = two_columns(csv, "time_s,arrivals");
  if (!rows) {
    return rows.error();
  }
  std::vector<Bin> out;
  for (const Row& row : *rows) {
    if (row.first > 1e9 || row.second > 1e9 || row.second != std::floor(row.second)) {
      return Error{Code::invalid, "a number that is too large, or a part of a message; accepted: time_s,arrivals"};
    }
    const auto ms = static_cast<std::int64_t>(std::floor(row.first * 1000 + 0.5));
    out.push_back({std::chrono::milliseconds{ms}, static_cast<std::int64_t>(row.second)});
  }
  return out;
}

Result<std::vector<double>> parse_quantiles(std::string_view csv) {
  const Result<std::vector<Row>> rows = two_columns(csv, "quantile,size");
  if (!rows) {
    return rows.error();
  }
  std::vector<double> out;
  for (const Row& row : *rows) {
    if (row.second > 1e12 || (!out.empty() && row.second < out.back())) {
      return Error{Code::invalid, "sizes that fall, or are too large; accepted: quantile,size"};
    }
    out.push_back(row.second);
  }
  return out;
}

namespace {

std::string rival_numbers(const pool::Policy& policy) {
  if (const auto* object = std::get_if<pool::KedaScaledObjectPolicy>(&policy)) {
    return " " + object->target.value;
  }
  if (const auto* job = std::get_if<pool::KedaScaledJobPolicy>(&policy)) {
    return fmt::format(" {} {}", pool::format_decimal(job->target.millionths),
                       pool::keda_strategy_words[static_cast<std::size_t>(job->strategy)]);
  }
  if (const auto* sqs = std::get_if<pool::SqsTargetTrackingPolicy>(&policy)) {
    return fmt::format(" {}", sqs->target);
  }
  const auto* kpa = std::get_if<pool::KnativeKpaPolicy>(&policy);
  return kpa != nullptr && kpa->target ? " " + pool::format_decimal(kpa->target->millionths) : "";
}

}  // namespace

std::string name_of(const Contender& contender) {
  if (contender.name) {
    return *contender.name;
  }
  std::string out = pool::policy_word(contender.policy);
  if (const auto* threshold = std::get_if<pool::ThresholdPolicy>(&contender.policy)) {
    out += threshold->messages ? fmt::format(" {}", *threshold->messages) : "";
    out += threshold->age ? " " + format_duration(*threshold->age) : "";
    out += threshold->step > 1 ? fmt::format(" step {}", threshold->step) : "";
  } else if (const auto* per_worker = std::get_if<pool::BacklogPerWorkerPolicy>(&contender.policy)) {
    out += fmt::format(" {}", per_worker->messages);
  } else if (const auto* lag = std::get_if<pool::LagPolicy>(&contender.policy)) {
    out += " " + format_duration(lag->max);
  } else if (const auto* hpa = std::get_if<pool::HpaPolicy>(&contender.policy)) {
    out += " " + hpa->target.value;
  } else {
    out += rival_numbers(contender.policy);
  }
  for (std::size_t i = 0; i < contender.without.size(); ++i) {
    out += (i == 0 ? " without " : ", ") + contender.without[i];
  }
  return out;
}

pool::Pool pool_of(const Scenario& scenario, const Load& load, const Contender& contender) {
  pool::Pool out;
  out.name = load.name;
  if (scenario.environment.metrics.together) {
    out.spec.queue = pool::PubsubQueue{.project = "simulated", .subscription = load.name};
  } else {
    out.spec.queue = pool::LocalQueue{load.name + ".db"};
  }
  out.spec.policy = contender.policy;
  out.spec.workers = contender.workers ? *contender.workers : load.workers ? *load.workers : scenario.workers;
  // The HPA and the rivals but one are for Deployments alone; what they then scale is called as the pool.
  const bool jobs = std::holds_alternative<pool::KedaScaledJobPolicy>(contender.policy);
  const bool replicas =
      std::holds_alternative<pool::HpaPolicy>(contender.policy) || (control::is_rival(contender.policy) && !jobs);
  if (replicas && !out.spec.workers.deployment) {
    out.spec.workers.deployment = pool::DeploymentFleet{load.name};
  }
  return out;
}

Read read_scenario(std::string_view text, const std::function<Result<std::string>(const std::string&)>& open) {
  Read out;
  pool::Report report;
  report.rivals = true;
  const std::optional<pool::Node> tree = pool::read_tree(text, report);
  if (tree) {
    Scenario scenario;
    const std::string path = "$";
    pool::read_object(pool::Spot{*tree, path, root_field, report}, scenario);
    if (report.empty()) {
      const Places places(*tree);
      judge(scenario, places, report);
      Loader loader(open, out.files, report);
      load_files(scenario, places, loader);
      out.scenario = std::move(scenario);
    }
  }
  if (!report.empty()) {
    out.scenario.reset();
  }
  out.problems = report.take();
  return out;
}

}  // namespace sluice::lab
