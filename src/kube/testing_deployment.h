// SPDX-License-Identifier: Apache-2.0
#pragma once
// A Deployment in memory behind FakeApi: its controller, which adds and removes pods in Kubernetes' own order, a
// scheduler with nodes that boot, a kubelet, and workers that answer as sluice's own do. As strict with versions as the
// real one.
#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "aio/event.h"
#include "fleet/node_group.h"
#include "kube/deployment.h"
#include "kube/testing_api.h"

namespace sluice::kube {

class FakeDeployment {
 public:
  struct Worker {
    std::string name;
    int number = 0;
    std::string node;
    std::string hash;
    bool running = false;
    bool ready = false;
    bool fails = false;            // before it is ready
    std::optional<int> exit_code;  // its container has ended
    bool failed = false;           // the pod: it is not started again
    bool deleting = false;
    std::string cost;     // as annotated
    std::string version;  // resourceVersion
    std::string state = "ready";
    int handling = 0;
    Time next_at;
  };

  FakeDeployment(aio::Loop& loop, aio::VirtualClock& clock)
      : clock_(clock), api(loop, clock), nodes_(nodes(), clock.now()) {
    api.on_request = [this](const std::string& method, const std::string& path, const std::string& body) {
      return answer(method, path, body);
    };
    show();
  }

  // What happens without a request, until cancelled.
  [[nodiscard]] aio::Task<void> run() {
    while (true) {
      co_await clock_.sleep_for(std::chrono::milliseconds{50});
      for (const int number : nodes_.advance(clock_.now())) {
        place(number);
      }
      control();
      if (clock_.now() >= news_at_) {
        // Watches are never silent for long: a real server sends bookmarks.
        news_at_ = clock_.now() + std::chrono::seconds{30};
        shown_.clear();
        show();
        api.put("pods", "other", {{"metadata", {{"name", "other"}, {"namespace", "default"}, {"uid", "other"}}}});
      }
      for (const int number : numbers()) {
        go_on(workers_.at(number));
      }
    }
  }
  [[nodiscard]] aio::http::Dial to_workers() {
    return [this](aio::Url url, aio::Deadline) { return reach(std::move(url)); };
  }
  static fleet::NodeGroupOptions nodes() { return {.min = 1, .max = 2, .slots = 2, .boot = std::chrono::seconds{12}}; }

  // The n-th that is there, by age.
  [[nodiscard]] Worker& worker(std::size_t n = 0) { return std::next(workers_.begin(), static_cast<long>(n))->second; }
  [[nodiscard]] std::size_t size() const { return workers_.size(); }
  [[nodiscard]] int replicas() const { return replicas_; }
  [[nodiscard]] const std::vector<std::string>& left() const { return left_; }

  // What others do.
  void scale(int replicas) {
    replicas_ = replicas;
    ++generation_;
    show();
  }
  void begin_rollout() {
    hash_ = "second";
    ++generation_;
    show();
  }
  void end_rollout() {
    for (auto& [number, worker] : workers_) {
      worker.hash = hash_;
      show(worker);
    }
    show();
  }
  void evict(Worker& worker) {
    worker.failed = true;
    worker.exit_code = 137;
    worker.ready = false;
    show(worker);
  }
  // As by hand: it is scaled down, and goes.
  void end_well(Worker& worker) {
    worker.exit_code = 0;
    worker.deleting = true;
    worker.ready = false;
    show(worker);
    scale(replicas_ - 1);
  }
  void show(Worker& worker) { worker.version = read_pod(api.put("pods", worker.name, pod_json(worker)))->meta.version; }

  bool next_fails = false;
  bool silent = false;     // workers that are not sluice's
  bool slow_ends = false;  // what is deleted goes on for now
  int drain_status = 202;
  bool makes_pods = true;
  int puts = 0;                     // of the scale, that were done
  std::vector<std::string> drains;  // the bodies
  // Told of each request before it is answered.
  std::function<void(const std::string& method, const std::string& path)> before = [](const std::string&,
                                                                                      const std::string&) {};

 private:
  using Answer = FakeApi::Answer;

  static Answer refuse(int status, std::string_view reason, const std::string& message) {
    return {.status = status,
            .body = boost::json::serialize(
                boost::json::object{{"kind", "Status"}, {"code", status}, {"reason", reason}, {"message", message}})};
  }

  Answer answer(const std::string& method, const std::string& path, const std::string& body) {
    before(method, path);
    if (path == "/apis/apps/v1/namespaces/default/deployments/orders" && method == "GET") {
      return {.body = show()};
    }
    if (path == "/apis/apps/v1/namespaces/default/deployments/orders/scale" && method == "PUT") {
      return put_scale(boost::json::parse(body).as_object());
    }
    if (path.starts_with("/api/v1/namespaces/default/pods/") && method == "PATCH") {
      return patch_pod(path.substr(path.rfind('/') + 1), boost::json::parse(body).at("metadata").as_object());
    }
    return refuse(405, "MethodNotAllowed", method + " " + path);
  }

  Answer put_scale(const boost::json::object& scale) {
    if (scale.at("metadata").at("resourceVersion").as_string() != version_) {
      return refuse(409, "Conflict", "the object has been modified");
    }
    const int replicas = static_cast<int>(scale.at("spec").at("replicas").as_int64());
    std::vector<int> added;
    for (int n = replicas_; n < replicas; ++n) {
      if (!nodes_.add(++made_, clock_.now())) {
        for (const int number : added) {
          nodes_.remove(number, clock_.now());
        }
        return refuse(
            403, "Forbidden",
            fmt::format("deployments.apps \"orders\" is forbidden: {}", nodes_.full_text(clock_.now()).substr(0, 27)));
      }
      added.push_back(made_);
    }
    coming_.insert(coming_.end(), added.begin(), added.end());
    ++puts;
    this->scale(replicas);
    return {.body = R"({"kind":"Scale"})"};
  }

  Answer patch_pod(const std::string& name, const boost::json::object& meta) {
    const auto at = std::ranges::find_if(workers_, [&](const auto& one) { return one.second.name == name; });
    if (at == workers_.end()) {
      return refuse(404, "NotFound", "pods \"" + name + "\" not found");
    }
    const boost::json::value* version = meta.if_contains("resourceVersion");
    if (meta.at("uid").as_string() != "uid-" + name ||
        (version != nullptr && version->as_string() != at->second.version)) {
      return refuse(409, "Conflict", "the object has been modified");
    }
    const boost::json::value& cost = meta.at("annotations").at(annotation_cost);
    at->second.cost = cost.is_null() ? "" : std::string(cost.as_string());
    show(at->second);
    return {.body = "{}"};
  }

  [[nodiscard]] std::vector<int> numbers() const {
    std::vector<int> out;
    for (const auto& [number, worker] : workers_) {
      out.push_back(number);
    }
    return out;
  }
  [[nodiscard]] static bool active(const Worker& worker) { return !worker.failed && !worker.deleting; }
  [[nodiscard]] int active_n() const {
    return static_cast<int>(std::ranges::count_if(workers_, [](const auto& one) { return active(one.second); }));
  }

  // The controllers of the Deployment and of its ReplicaSet.
  void control() {
    while (makes_pods && active_n() < replicas_) {
      make();
    }
    while (active_n() > replicas_) {
      Worker* first = nullptr;
      for (auto& [number, worker] : workers_) {
        const bool sooner = first != nullptr && active(worker) && goes_before(read(worker), read(*first));
        first = active(worker) && (first == nullptr || sooner) ? &worker : first;
      }
      first->deleting = true;
      first->next_at = clock_.now() + std::chrono::milliseconds{100};
      left_.push_back(first->name);
      show(*first);
    }
    if (observed_ != generation_ || told_n_ != active_n()) {
      show();
    }
  }
  static DeploymentPod read(const Worker& worker) {
    return *read_deployment_pod(boost::json::serialize(pod_json(worker)));
  }

  void make() {
    int number = 0;
    if (!coming_.empty()) {
      number = coming_.front();
      coming_.pop_front();
    } else {
      number = ++made_;
      const bool room = nodes_.add(number, clock_.now());
      EXPECT_TRUE(room);
    }
    Worker& worker = workers_[number];
    worker.number = number;
    worker.hash = hash_;
    worker.name = fmt::format("orders-{}-{:05}", hash_, number);
    worker.fails = std::exchange(next_fails, false);
    worker.next_at = clock_.now() + std::chrono::milliseconds{100};
    place(number);
    show(worker);
  }

  void go_on(Worker& worker) {
    if (clock_.now() < worker.next_at) {
      return;
    }
    worker.next_at = clock_.now() + std::chrono::milliseconds{100};
    if (worker.deleting && worker.exit_code) {
      nodes_.remove(worker.number, clock_.now());
      api.remove("pods", worker.name);
      workers_.erase(worker.number);
    } else if (worker.deleting) {
      worker.exit_code = slow_ends ? std::nullopt : std::optional(0);
      worker.ready = false;
      show(worker);
    } else if (worker.failed) {
      nodes_.remove(worker.number, clock_.now());
    } else if (!worker.node.empty() && !worker.running) {
      worker.running = true;
      show(worker);
    } else if (worker.running && worker.fails) {
      worker.failed = true;
      worker.exit_code = 1;
      show(worker);
    } else if (worker.running && worker.ready != (worker.state != "gone")) {
      worker.ready = worker.state != "gone";  // what its probe says
      show(worker);
    } else if (worker.node.empty()) {
      show(worker);  // the scheduler says why, again and again
    }
  }

  void place(int number) {
    const auto at = workers_.find(number);
    const std::optional<int> node = nodes_.node_of(number);
    if (at != workers_.end() && node && at->second.node.empty()) {
      at->second.node = fmt::format("node {}", *node);
      show(at->second);
    }
  }

  std::string show() {
    const auto updated = std::ranges::count_if(
        workers_, [this](const auto& one) { return active(one.second) && one.second.hash == hash_; });
    observed_ = generation_;
    told_n_ = active_n();
    const boost::json::object is{
        {"metadata", {{"name", "orders"}, {"namespace", "default"}, {"uid", "d"}, {"generation", generation_}}},
        {"spec", {{"replicas", replicas_}, {"selector", {{"matchLabels", {{"app", "orders"}}}}}}},
        {"status", {{"observedGeneration", observed_}, {"replicas", told_n_}, {"updatedReplicas", updated}}}};
    const std::string same = boost::json::serialize(is);
    if (same != shown_) {
      shown_ = same;
      object_ = api.put("deployments", "orders", is);
      version_ = read_deployment(object_)->meta.version;
    }
    return object_;
  }

  static boost::json::object condition(std::string_view type, const std::string& message, bool is) {
    return {{"type", type}, {"status", is ? "True" : "False"}, {"reason", ""}, {"message", message}};
  }

 public:
  [[nodiscard]] static boost::json::object pod_json(const Worker& worker) {
    boost::json::object container{{"name", "worker"}, {"ready", worker.ready}};
    if (worker.exit_code) {
      const char* const words = *worker.exit_code == 0 ? R"({"state":"gone","done":1})" : "no such queue";
      container["state"] = {{"terminated", {{"exitCode", *worker.exit_code}, {"message", words}}}};
    } else if (worker.running) {
      container["state"] = {{"running", boost::json::object()}};
    }
    boost::json::object meta{
        {"name", worker.name},
        {"namespace", "default"},
        {"uid", "uid-" + worker.name},
        {"labels", {{"app", "orders"}, {"pod-template-hash", worker.hash}}},
        {"annotations", boost::json::object()},
        {"ownerReferences",
         {boost::json::object{
             {"kind", "ReplicaSet"}, {"name", "orders-" + worker.hash}, {"uid", worker.hash}, {"controller", true}}}}};
    if (!worker.cost.empty()) {
      meta["annotations"] = {{annotation_cost, worker.cost}};
    }
    if (worker.deleting) {
      meta["deletionTimestamp"] = "2026-01-01T00:00:00Z";
    }
    const char* const phase = worker.failed ? "Failed" : worker.running ? "Running" : "Pending";
    return {{"metadata", std::move(meta)},
            {"spec", {{"nodeName", worker.node}}},
            {"status",
             {{"phase", phase},
              {"podIP", worker.running ? fmt::format("10.0.0.{}", worker.number) : ""},
              {"conditions",
               {condition("PodScheduled", worker.node.empty() ? "node 2 boots, soon" : "", !worker.node.empty()),
                condition("Ready", "", worker.ready)}},
              {"containerStatuses", {std::move(container)}}}}};
  }

 private:
  aio::Task<Result<std::unique_ptr<aio::Stream>>> reach(aio::Url url) {
    const int number = std::stoi(url.host.substr(url.host.rfind('.') + 1));
    if (silent) {
      co_return Error{Code::retry, "connection refused"};
    }
    aio::StreamPair pair = aio::stream_pair(clock_);
    api.group().spawn(serve_worker(std::move(pair.second), number));
    co_return std::move(pair.first);
  }

  aio::Task<void> serve_worker(std::unique_ptr<aio::Stream> stream, int number) {
    std::array<char, 4096> buffer;
    while (true) {
      const Result<std::size_t> n = co_await stream->read_some(buffer, aio::Deadline{});
      const auto at = workers_.find(number);
      if (n.value_or(0) == 0 || at == workers_.end() || at->second.exit_code) {
        co_return;
      }
      const std::string request(buffer.data(), *n);
      const bool drain = request.starts_with("POST /drain");
      Worker& worker = at->second;
      if (drain) {
        drains.push_back(request.substr(request.find("\r\n\r\n") + 4));
        worker.state = drain_status == 202 ? (worker.handling == 0 ? "gone" : "draining") : worker.state;
      }
      const std::string body =
          drain ? "" : fmt::format(R"({{"v":1,"state":"{}","handling":{}}})", worker.state, worker.handling);
      const int status = drain ? drain_status : worker.state == "gone" ? 503 : 200;
      const std::string text = fmt::format("HTTP/1.1 {} OK\r\nContent-Length: {}\r\n\r\n{}", status, body.size(), body);
      const Result<void> sent = co_await stream->write_all(text, aio::Deadline{});
      if (!sent) {
        co_return;
      }
    }
  }

  aio::VirtualClock& clock_;

 public:
  FakeApi api;

 private:
  fleet::NodeGroup nodes_;
  std::map<int, Worker> workers_;
  std::deque<int> coming_;  // of whom replicas tell already
  std::vector<std::string> left_;
  std::string hash_ = "first";
  std::string shown_;
  std::string object_;
  std::string version_;
  Time news_at_ = Time::min();
  int replicas_ = 0;
  int generation_ = 1;
  int observed_ = 0;
  int told_n_ = 0;
  int made_ = 0;
};

}  // namespace sluice::kube
