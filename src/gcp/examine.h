// SPDX-License-Identifier: Apache-2.0
#pragma once
// Tries what a pool or an adapter will do with Google, one line for each thing that was tried, also where all is well.
#include <string>
#include <vector>

#include "gcp/credentials.h"
#include "gcp/monitoring_api.h"

namespace sluice::gcp {

struct Finding {
  enum class Topic {
    credentials,  // where they were found, and whether they give a token
    project,      // which one is asked
    monitoring,   // whether it answers
    permission,   // what the account may not do
    metric,       // whether there is such a metric, and data
  };
  enum class Level { ok, warning, failed };
  Topic topic = Topic::credentials;
  Level level = Level::ok;
  std::string text;
  std::string fix = {};  // what to do; empty where all is well, or where the text says it
};

struct ExamineOptions {
  std::string project;  // empty: the credentials' own
  std::string metric = "pubsub.googleapis.com/subscription/num_undelivered_messages";
  std::string subscription;  // empty: any
};

// Never moves or changes anything. `credentials` is null for an emulator, which has no Cloud Monitoring.
[[nodiscard]] aio::Task<std::vector<Finding>> examine(aio::Clock& clock, std::shared_ptr<Credentials> credentials,
                                                      MonitoringApi& api, ExamineOptions options,
                                                      aio::Deadline deadline);

}  // namespace sluice::gcp
