// SPDX-License-Identifier: Apache-2.0
#pragma once
// The two calls of the Cloud Monitoring API that it takes, v3 over REST; each within a budget of its project.
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "aio/http.h"
#include "gcp/call_budget.h"
#include "gcp/series.h"
#include "gcp/token.h"

namespace sluice::gcp {

struct MonitoringApiOptions {
  std::string endpoint = "https://monitoring.googleapis.com";
  // Of the token: for the error that names a missing role.
  std::function<std::string()> account = [] { return std::string("the account of these credentials"); };
  // Google allows 6,000 a minute and project, for all who ask together.
  double calls_per_minute = 300;
  aio::TlsOptions tls = {};
  aio::http::Dial dial = {};
  std::function<void(int)> answered = [](int) {};  // of each answer its status; 0: there was none
};

struct ListRequest {
  std::string project;
  std::string filter;
  std::string reducer;  // empty: none
  Descriptor::Kind kind = Descriptor::Kind::gauge;
  Duration window;  // of raw points; others have the Stackdriver adapter's
  std::size_t pages_max = 1;
};

struct Listed {
  std::vector<Point> points;  // the newest of each series
  bool whole = true;          // no page is left unread
};

class MonitoringApi {
 public:
  MonitoringApi(aio::Loop& loop, aio::Clock& clock, std::shared_ptr<TokenSource> tokens, MonitoringApiOptions options);

  // Error codes: gone (no such metric, in the Stackdriver adapter's words), denied, throttled, retry, invalid; each
  // text is one line with a remedy. A good answer is kept for an hour.
  [[nodiscard]] aio::Task<Result<Descriptor>> descriptor(std::string project, std::string metric,
                                                         aio::Deadline deadline);
  [[nodiscard]] aio::Task<Result<Listed>> list(ListRequest request, aio::Deadline deadline);

 private:
  struct Asked {
    std::string project;
    std::string target;
    std::string gone;  // what to say for a 404
  };
  [[nodiscard]] aio::Task<Result<std::string>> get(Asked asked, aio::Deadline deadline);
  [[nodiscard]] aio::Task<Result<aio::http::Response>> send(Asked asked, std::string token, aio::Deadline deadline);
  [[nodiscard]] aio::Task<Result<void>> wait_for_turn(std::string project, aio::Deadline deadline);
  [[nodiscard]] Error refusal(const Asked& asked, const aio::http::Response& response) const;

  struct Known {
    Descriptor descriptor;
    Time until;
  };
  aio::Clock& clock_;
  std::shared_ptr<TokenSource> tokens_;
  MonitoringApiOptions options_;
  aio::http::Client client_;
  std::map<std::string, CallBudget, std::less<>> budgets_;  // by project
  std::map<std::string, Known, std::less<>> descriptors_;   // by project and metric
};

// The target of timeSeries.list without its page token. A gauge that is not reduced is asked for as it was sampled: its
// newest point is what ALIGN_NEXT_OLDER gives, and carries the true time of the sample instead of that of the question.
// Pure.
[[nodiscard]] std::string list_target(const ListRequest& request, WallTime now);

}  // namespace sluice::gcp
