// SPDX-License-Identifier: Apache-2.0
// The part of doctor that asks a broker.
#include "app/doctor.h"
#include "queue/examined.h"

namespace sluice::app {
namespace {

using queue::Examined;

std::string code_of(Examined::Topic topic) {
  switch (topic) {
    case Examined::Topic::connection:
      return "D040";
    case Examined::Topic::missing:
      return "D041";
    case Examined::Topic::permission:
      return "D042";
    case Examined::Topic::management:
      return "D043";
    case Examined::Topic::kind:
      return "D044";
    case Examined::Topic::loss:
      return "D045";
    case Examined::Topic::dead_letters:
      return "D046";
    case Examined::Topic::timeout:
      return "D047";
    case Examined::Topic::alarm:
      return "D048";
  }
  return "";
}

Health health_of(Examined::Level level) {
  switch (level) {
    case Examined::Level::ok:
      return Health::ok;
    case Examined::Level::warning:
      return Health::warning;
    case Examined::Level::failed:
      return Health::failed;
  }
  return Health::failed;
}

}  // namespace

aio::Task<void> check_broker(std::vector<Finding>& out, Context& context, const Place& place, aio::Deadline deadline) {
  if (!place.spec || std::holds_alternative<pool::LocalQueue>(place.spec->queue)) {
    co_return;
  }
  wiring::QueueAccess access{.create = false, .secrets = place.secrets, .purpose = "sluice doctor"};
  wiring::QueueSpec spec = wiring::queue_spec(*place.spec);
  const Result<std::unique_ptr<wiring::QueueClient>> client =
      co_await context.queues.open(std::move(spec), std::move(access), deadline);
  if (!client) {
    out.push_back({"queue", Health::failed, "D040", client.error().what, "correct the pool file"});
    co_return;
  }
  const std::vector<Examined> examined = co_await (*client)->examine(place.spec->workers.max_runtime, deadline);
  for (const Examined& one : examined) {
    const bool well = one.level == Examined::Level::ok;
    out.push_back({"queue", health_of(one.level), well ? "" : code_of(one.topic), one.text, one.fix});
  }
}

}  // namespace sluice::app
