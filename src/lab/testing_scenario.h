// SPDX-License-Identifier: Apache-2.0
#pragma once
// Scenarios of a few lines for tests.
#include <gtest/gtest.h>

#include <string>

#include "lab/run.h"

namespace sluice::lab {

inline Result<std::string> no_files(const std::string& name) {
  return Error{Code::invalid, name + " is not there"};
}

// One pool under one policy. `pool`, `environment` and `policy` are the insides of YAML flow maps.
inline Read tiny(const std::string& pool, const std::string& environment = "",
                 const std::string& policy = "backlogPerWorker: {messages: 1, every: 5s}",
                 const std::string& lasts = "20m", const std::string& workers = "max: 50") {
  const std::string text = "scenario: tiny\nduration: " + lasts + "\nlate: 30s\npools: [{" + pool + "}]\nworkers: {" +
                           workers + "}\nenvironment: {" + environment + "}\npolicies: [{policy: {" + policy + "}}]\n";
  Read out = read_scenario(text, no_files);
  for (const pool::Problem& problem : out.problems) {
    ADD_FAILURE() << pool::render(problem, "tiny");
  }
  return out;
}

inline Run run_of(const Read& read, std::int64_t seed = 1) {
  return run({.scenario = *read.scenario, .files = read.files, .policy = 0, .seed = seed});
}

}  // namespace sluice::lab
