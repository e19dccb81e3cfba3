// SPDX-License-Identifier: Apache-2.0
#pragma once
// Pub/Sub's REST service as a process sees it: where it is, who we are to it, and what its refusals mean.
#include <functional>
#include <memory>
#include <string>

#include "aio/clock.h"
#include "aio/http.h"
#include "aio/loop.h"
#include "base/random.h"
#include "base/result.h"
#include "gcp/token.h"
#include "queue/pubsub/wire.h"

namespace sluice::queue::pubsub {

inline constexpr std::string_view google = "https://pubsub.googleapis.com";

struct ServiceOptions {
  std::string base = std::string(google);         // "http://127.0.0.1:8085" of an emulator
  std::shared_ptr<gcp::TokenSource> tokens = {};  // none: no Authorization is sent
  aio::http::Dial dial = {};                      // empty: by name or address
};

// What somebody asks for, so that a refusal can say which right or thing is missing.
struct Asked {
  std::string what;     // "publish"
  std::string of;       // "projects/p/topics/t"
  std::string role;     // that allows it: "roles/pubsub.publisher"
  std::string command;  // that makes the thing where it is not there
};

struct Answer {
  int status = 0;
  std::string body;
  [[nodiscard]] bool good() const { return status >= 200 && status < 300; }
};

// "projects/P/topics/T", as Pub/Sub's JSON has it.
[[nodiscard]] std::string topic_name(std::string_view project, std::string_view topic);
[[nodiscard]] std::string subscription_name(std::string_view project, std::string_view subscription);
// The last part of such a name, and the part behind "projects/".
[[nodiscard]] std::string short_name(std::string_view name);
[[nodiscard]] std::string project_of(std::string_view name);
// Its path in a request.
[[nodiscard]] std::string target_of(std::string_view name, std::string_view verb = "");

// Of what answers "no such topic": as an operator types it.
[[nodiscard]] std::string create_topic(std::string_view topic_name);
[[nodiscard]] std::string create_subscription(std::string_view subscription_name, std::string_view topic);

// What an answer that is not good means, in one line: denied names the role, gone the command.
[[nodiscard]] Error refused(const Answer& answer, const Asked& asked);

class Service {
 public:
  // All references outlive it.
  Service(aio::Loop& loop, aio::Clock& clock, Random& random, ServiceOptions options);

  // One exchange. Any status is an Answer; an Error: nobody knows whether it was done, but for denied (no token).
  // `server_timeout`: after so long the server is to end it.
  [[nodiscard]] aio::Task<Result<Answer>> call(std::string method, std::string target, std::string body,
                                               aio::Deadline deadline, std::optional<Duration> server_timeout);
  [[nodiscard]] aio::Task<Result<Answer>> call(std::string method, std::string target, std::string body,
                                               aio::Deadline deadline) {
    return call(std::move(method), std::move(target), std::move(body), deadline, std::nullopt);
  }
  // The same, where all that is not good is an Error.
  [[nodiscard]] aio::Task<Result<std::string>> ask(std::string method, std::string target, std::string body,
                                                   Asked asked, aio::Deadline deadline);
  // Makes sure that a connection stands: what fails here was certainly not sent.
  [[nodiscard]] aio::Task<Result<void>> reach(aio::Deadline deadline);

  [[nodiscard]] aio::Loop& loop() { return loop_; }
  [[nodiscard]] aio::Clock& clock() { return clock_; }
  [[nodiscard]] Random& random() { return random_; }
  [[nodiscard]] const std::string& base() const { return options_.base; }

 private:
  aio::Loop& loop_;
  aio::Clock& clock_;
  Random& random_;
  ServiceOptions options_;
  aio::http::Client client_;
};

}  // namespace sluice::queue::pubsub
