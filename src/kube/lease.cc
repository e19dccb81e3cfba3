// SPDX-License-Identifier: Apache-2.0
#include "kube/lease.h"

#include <algorithm>
#include <boost/json.hpp>

#include "kube/fields.h"

namespace sluice::kube {
namespace {

namespace json = boost::json;

// MicroTime takes exactly six digits.
std::string micro_time(WallTime t) {
  std::string out = format_wall(t);
  out.insert(out.size() - 1, "000");
  return out;
}

}  // namespace

Result<LeaseRecord> read_lease(std::string_view json) {
  return read_object<LeaseRecord>(json, "lease", [](const Fields& lease) {
    const Fields spec = lease.in("spec");
    return LeaseRecord{.version = lease.in("metadata").text("resourceVersion"),
                       .holder = spec.text("holderIdentity"),
                       .transitions = spec.number("leaseTransitions"),
                       .acquired = spec.time("acquireTime")};
  });
}

LeaseMachine::Step LeaseMachine::step(Time now, WallTime wall) {
  if (releasing_) {
    if (released()) {
      return {Step::Kind::wait, Time::max(), {}};
    }
    writing_ = known_;
    return known_ ? Step{Step::Kind::update, {}, body("", wall)} : Step{Step::Kind::get, {}, {}};
  }
  if (now < next_at_) {
    return {Step::Kind::wait, next_at_, {}};
  }
  if (missing_) {
    writing_ = true;
    return {Step::Kind::create, {}, body(options_.me, wall)};
  }
  // Ours, released, or not renewed for all its time: seen by this clock.
  if (known_ && (ours() || seen_.holder.empty() || now - seen_at_ >= options_.duration)) {
    writing_ = true;
    return {Step::Kind::update, {}, body(options_.me, wall)};
  }
  return {Step::Kind::get, {}, {}};
}

void LeaseMachine::release(Time now) {
  releasing_ = true;
  tried_ = !leads(now) && !ours();
  held_until_ = Time::min();
}

void LeaseMachine::granted(LeaseRecord record, Time sent_at, Time now) {
  const bool wrote = std::exchange(writing_, false);
  if (!known_ || record.version != seen_.version) {
    seen_at_ = now;
  }
  seen_ = std::move(record);
  known_ = true;
  missing_ = false;
  tried_ = tried_ || (releasing_ && wrote);
  if (wrote && ours() && !releasing_) {
    // A tenth is left for clocks of different speed.
    held_until_ = sent_at + options_.duration * 9 / 10;
  } else if (!ours()) {
    held_until_ = Time::min();
  }
  // Released: not a moment is lost.
  next_at_ = seen_.holder.empty() && !wrote ? now : std::max(now, sent_at + options_.each);
}

void LeaseMachine::missing(Time now) {
  writing_ = false;
  known_ = false;
  missing_ = true;
  tried_ = releasing_;
  // Whoever creates it leads from then on; a leader whose Lease was deleted is none.
  held_until_ = Time::min();
  next_at_ = now;
}

void LeaseMachine::failed(const Error& why, Time now) {
  const bool wrote = std::exchange(writing_, false);
  if (why.code == Code::gone) {
    missing(now);
    return;
  }
  if (wrote) {
    // It may have been written. What is there must be read before anything is written again, or the version is an old
    // one for ever. A leader leads on for what is left of its time.
    missing_ = false;
    known_ = false;
  }
  next_at_ = why.code == Code::conflict ? now : now + options_.each;
  tried_ = releasing_;  // it expires
}

std::string LeaseMachine::body(std::string_view holder, WallTime wall) const {
  const bool goes_on = known_ && seen_.holder == options_.me;
  const WallTime acquired = goes_on ? seen_.acquired.value_or(wall) : wall;
  json::object spec{{"holderIdentity", holder},
                    {"leaseDurationSeconds", to_ms(options_.duration) / 1000},
                    {"acquireTime", micro_time(acquired)},
                    {"renewTime", micro_time(wall)},
                    {"leaseTransitions", seen_.transitions + (goes_on || !known_ ? 0 : 1)}};
  json::object metadata{{"namespace", options_.space}, {"name", options_.name}};
  if (known_) {
    metadata["resourceVersion"] = seen_.version;
  }
  return json::serialize(json::object{{"apiVersion", "coordination.k8s.io/v1"},
                                      {"kind", "Lease"},
                                      {"metadata", std::move(metadata)},
                                      {"spec", std::move(spec)}});
}

}  // namespace sluice::kube
