// SPDX-License-Identifier: Apache-2.0
#include "app/cluster_secrets.h"

#include <fmt/core.h>

#include <optional>
#include <vector>

namespace sluice::app {
namespace {

using namespace std::chrono_literals;

// A changed Secret is in use within a minute: read every 30 s, and connections look at their login every 5 s.
constexpr Duration read_each = 30s;
constexpr Duration read_max = 10s;

}  // namespace

// One Secret that is followed; the only one that its pool asks for.
class ClusterSecrets::Followed final : public wiring::SecretSource {
 public:
  Followed(std::string space, std::string name) : space_(std::move(space)), name_(std::move(name)) {}

  [[nodiscard]] const std::string& space() const { return space_; }
  [[nodiscard]] const std::string& name() const { return name_; }
  // What was read stays when it cannot be read for a while; when the Secret is gone, it is gone.
  void take(Result<kube::SecretData> read) {
    if (read) {
      data_ = std::move(*read);
      why_not_.reset();
      return;
    }
    if (!data_ || read.error().code == Code::gone) {
      data_.reset();
      why_not_ = read.error().what;
    }
  }

  [[nodiscard]] bool has(const std::string&, const std::string& key) const override {
    return data_ && data_->contains(key);
  }
  [[nodiscard]] Result<std::string> read(const std::string&, const std::string& key) const override {
    if (!data_) {
      return Error{Code::denied, why_not_.value_or(fmt::format("Secret {}: not read yet", name_))};
    }
    const auto at = data_->find(key);
    if (at != data_->end()) {
      return wiring::without_line_end(at->second);
    }
    std::string keys;
    for (const auto& [other, bytes] : *data_) {
      keys += (keys.empty() ? "" : ", ") + other;
    }
    return Error{Code::denied,
                 fmt::format("Secret {} has no key {}; it has {}", name_, key, keys.empty() ? "none at all" : keys)};
  }
  [[nodiscard]] std::string place(const std::string&) const override { return "cluster " + space_ + "/" + name_; }

 private:
  std::string space_;
  std::string name_;
  std::optional<kube::SecretData> data_;
  std::optional<std::string> why_not_;
};

aio::Task<std::shared_ptr<const wiring::SecretSource>> ClusterSecrets::follow(std::string space, std::string name,
                                                                              aio::Deadline deadline) {
  std::weak_ptr<Followed>& known = followed_[{space, name}];
  std::shared_ptr<Followed> one = known.lock();
  if (!one) {
    one = std::make_shared<Followed>(std::move(space), std::move(name));
    known = one;
    co_await refresh(one, deadline);
  }
  co_return one;
}

aio::Task<void> ClusterSecrets::refresh(std::shared_ptr<Followed> one, aio::Deadline deadline) {
  Result<kube::SecretData> read = co_await kube::get_secret(api_, one->space(), one->name(), deadline);
  if (!read) {
    log_.warn("controller", "Secret not read", {{"namespace", one->space()}, {"error", read.error().what}});
  }
  one->take(std::move(read));
}

aio::Task<void> ClusterSecrets::run() {
  while (true) {
    co_await clock_.sleep_for(read_each);
    std::vector<std::weak_ptr<Followed>> due;
    std::erase_if(followed_, [](const auto& entry) { return entry.second.expired(); });
    due.reserve(followed_.size());
    for (const auto& [key, one] : followed_) {
      due.push_back(one);
    }
    for (const std::weak_ptr<Followed>& one : due) {
      if (const std::shared_ptr<Followed> alive = one.lock()) {
        const aio::Deadline deadline = clock_.in(read_max);
        co_await refresh(alive, deadline);
      }
    }
  }
}

}  // namespace sluice::app
