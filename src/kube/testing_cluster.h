// SPDX-License-Identifier: Apache-2.0
#pragma once
// A cluster in memory behind FakeApi: a Job controller, a scheduler with nodes that boot, a kubelet, and workers that
// answer as sluice's own do. As slow as it is told, and as strict with names and preconditions as the real one.
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "aio/event.h"
#include "fleet/node_group.h"
#include "kube/job_fleet.h"
#include "kube/testing_api.h"

namespace sluice::kube {

class FakeCluster {
 public:
  struct Worker {
    std::string job;
    std::string uid;  // of the Job
    int slot = 0;
    std::string pod;  // its name; empty: none was made yet
    std::string node;
    bool running = false;
    bool ready = false;
    bool fails = false;            // before it is ready
    std::optional<int> exit_code;  // its container has ended
    std::string last_words;
    bool deleting = false;           // its pod
    bool collected = false;          // which had no node, and is Failed by that before it goes
    std::optional<std::string> end;  // the Job's: Complete or Failed
    std::string version;             // of its pod
    std::string job_version;
    Time next_at;
  };

  FakeCluster(aio::Loop& loop, aio::VirtualClock& clock)
      : clock_(clock), api(loop, clock), nodes_(nodes(), clock.now()) {
    api.on_request = [this](const std::string& method, const std::string& path, const std::string& body) {
      return answer(method, path.substr(path.rfind('/') + 1), path, body);
    };
  }

  // What happens without a request, until cancelled.
  [[nodiscard]] aio::Task<void> run() {
    while (true) {
      co_await clock_.sleep_for(step);
      for (const int slot : nodes_.advance(clock_.now())) {
        place(slot);
      }
      std::vector<std::string> names;
      for (const auto& [name, worker] : workers_) {
        names.push_back(name);
      }
      for (const std::string& name : names) {
        go_on(workers_.at(name));
      }
    }
  }

  [[nodiscard]] aio::http::Dial to_workers(aio::Loop&) {
    return [this](aio::Url url, aio::Deadline) { return reach(std::move(url)); };
  }

  void end(int slot, int exit_code, std::string last_words) {
    Worker& worker = of(slot);
    worker.exit_code = exit_code;
    worker.last_words = std::move(last_words);
    worker.ready = false;
    show_pod(worker);
  }
  [[nodiscard]] Worker& of(int slot) { return workers_.at("orders-w" + std::to_string(slot)); }

  bool next_fails = false;
  bool silent = false;  // workers that are not sluice's
  int deleted_pods = 0;
  FakeApi::Answer dry_run = {};  // to creates that are not to be kept

 private:
  static constexpr Duration step = std::chrono::milliseconds{50};
  static constexpr const char* space = "default";

 public:
  static fleet::NodeGroupOptions nodes() { return {.min = 1, .max = 2, .slots = 2, .boot = std::chrono::seconds{12}}; }

 private:
  using Answer = FakeApi::Answer;

  static Answer refuse(int status, std::string_view reason, const std::string& message) {
    return {.status = status,
            .body = boost::json::serialize(
                boost::json::object{{"kind", "Status"}, {"code", status}, {"reason", reason}, {"message", message}})};
  }

  Answer answer(const std::string& method, const std::string& name, const std::string& path, const std::string& body) {
    const bool jobs = path.contains("/jobs");
    if (method == "POST" && path.contains("dryRun=All")) {
      return dry_run;
    }
    if (method == "POST") {
      return create(boost::json::parse(body).as_object());
    }
    if (!jobs && method == "DELETE") {
      return delete_pod(name, boost::json::parse(body).at("preconditions"));
    }
    const auto at = workers_.find(name);
    if (at == workers_.end()) {
      return refuse(404, "NotFound", "jobs.batch \"" + name + "\" not found");
    }
    if (method == "GET") {
      return {.body = show_job(at->second, false)};
    }
    const boost::json::value conditions = boost::json::parse(body).at("preconditions");
    if (conditions.at("uid").as_string() != at->second.uid ||
        conditions.at("resourceVersion").as_string() != at->second.job_version) {
      return refuse(409, "Conflict", "the precondition does not match");
    }
    if (!at->second.pod.empty()) {
      api.remove("pods", at->second.pod);
    }
    api.remove("jobs", name);
    workers_.erase(at);
    return {};
  }

  Answer create(const boost::json::object& job) {
    const std::string name(job.at("metadata").at("name").as_string());
    if (workers_.contains(name)) {
      return refuse(409, "AlreadyExists", "jobs.batch \"" + name + "\" already exists");
    }
    const int slot = *slot_of("orders", name);
    if (!nodes_.add(slot, clock_.now())) {
      return refuse(
          403, "Forbidden",
          fmt::format("jobs.batch \"{}\" is forbidden: {}", name, nodes_.full_text(clock_.now()).substr(0, 27)));
    }
    Worker& worker = workers_[name];
    worker.job = name;
    worker.uid = fmt::format("uid-{}", ++made_);
    worker.slot = slot;
    worker.next_at = clock_.now() + std::chrono::milliseconds{100};
    worker.fails = std::exchange(next_fails, false);
    return {.status = 201, .body = show_job(worker, true)};
  }

  Answer delete_pod(const std::string& name, const boost::json::value& conditions) {
    const std::string job = name.substr(0, name.rfind('-'));
    const auto at = workers_.find(job);
    if (at == workers_.end() || at->second.pod != name) {
      return refuse(404, "NotFound", "pods \"" + name + "\" not found");
    }
    const boost::json::value* version = conditions.as_object().if_contains("resourceVersion");
    if (version != nullptr && version->as_string() != at->second.version) {
      return refuse(409, "Conflict", "the ResourceVersion in the precondition does not match");
    }
    ++deleted_pods;
    at->second.deleting = true;
    show_pod(at->second);
    return {};
  }

  // One thing at a time: the Job controller makes a pod, the kubelet starts it, it becomes ready, it is cleared away.
  void go_on(Worker& worker) {
    if (clock_.now() < worker.next_at || worker.end) {
      return;
    }
    worker.next_at = clock_.now() + std::chrono::milliseconds{100};
    if (worker.pod.empty()) {
      worker.pod = fmt::format("{}-{}", worker.job, ++made_);
      place(worker.slot);
      show_pod(worker);
    } else if (worker.deleting && worker.node.empty() && !worker.collected) {
      worker.collected = true;
      show_pod(worker);
    } else if (worker.deleting || worker.exit_code) {
      nodes_.remove(worker.slot, clock_.now());
      worker.end = worker.exit_code == 0 ? "Complete" : "Failed";
      if (worker.deleting) {
        api.remove("pods", worker.pod);
        worker.pod.clear();
      }
      show_job(worker, true);
    } else if (!worker.node.empty() && !worker.running) {
      worker.running = true;
      show_pod(worker);
    } else if (worker.running && worker.fails) {
      end(worker.slot, 1, "no such queue");
    } else if (worker.running && !worker.ready) {
      worker.ready = true;
      show_pod(worker);
    } else if (worker.node.empty()) {
      show_pod(worker);  // the scheduler says why, again and again
    }
  }

  void place(int slot) {
    const auto at = workers_.find("orders-w" + std::to_string(slot));
    const std::optional<int> node = nodes_.node_of(slot);
    if (at != workers_.end() && node && !at->second.pod.empty() && at->second.node.empty()) {
      at->second.node = fmt::format("node {}", *node);
      show_pod(at->second);
    }
  }

  static boost::json::object condition(std::string_view type, std::string_view reason, const std::string& message,
                                       bool is = true) {
    return {{"type", type}, {"status", is ? "True" : "False"}, {"reason", reason}, {"message", message}};
  }

  std::string show_job(Worker& worker, bool news) {
    boost::json::object status;
    if (worker.end) {
      status["conditions"] = boost::json::array{condition(*worker.end, "", "")};
      status["completionTime"] = format_time(clock_.wall());
    }
    boost::json::object job{{"metadata",
                             {{"name", worker.job},
                              {"namespace", space},
                              {"uid", worker.uid},
                              {"resourceVersion", worker.job_version},
                              {"labels", {{label_pool, "orders"}}}}},
                            {"status", std::move(status)}};
    if (!news) {
      return boost::json::serialize(job);
    }
    const std::string text = api.put("jobs", worker.job, std::move(job));
    worker.job_version = read_job(text)->meta.version;
    return text;
  }

  void show_pod(Worker& worker) {
    boost::json::array conditions;
    if (worker.node.empty()) {
      conditions.push_back(condition("PodScheduled", "", nodes_.why(worker.slot, clock_.now()), false));
    }
    conditions.push_back(condition("Ready", "", "", worker.ready && !worker.exit_code));
    boost::json::object container{{"name", "worker"}, {"ready", worker.ready}};
    if (worker.exit_code) {
      container["state"] = {{"terminated", {{"exitCode", *worker.exit_code}, {"message", worker.last_words}}}};
    } else if (worker.running) {
      container["state"] = {{"running", boost::json::object()}};
    }
    const char* const phase = worker.collected   ? "Failed"
                              : worker.exit_code ? (*worker.exit_code == 0 ? "Succeeded" : "Failed")
                              : worker.running   ? "Running"
                                                 : "Pending";
    boost::json::object meta{{"name", worker.pod},
                             {"namespace", space},
                             {"uid", "pod-" + worker.pod},
                             {"labels", {{label_pool, "orders"}}},
                             {"ownerReferences", {boost::json::object{{"uid", worker.uid}, {"controller", true}}}}};
    if (worker.deleting) {
      meta["deletionTimestamp"] = format_time(clock_.wall());
    }
    const std::string text = api.put("pods", worker.pod,
                                     {{"metadata", std::move(meta)},
                                      {"spec", {{"nodeName", worker.node}}},
                                      {"status",
                                       {{"phase", phase},
                                        {"podIP", worker.running ? fmt::format("10.0.0.{}", worker.slot + 1) : ""},
                                        {"conditions", std::move(conditions)},
                                        {"containerStatuses", {std::move(container)}}}}});
    worker.version = read_pod(text)->meta.version;
  }

  static std::string format_time(WallTime at) { return format_wall(at); }

  aio::Task<Result<std::unique_ptr<aio::Stream>>> reach(aio::Url url) {
    const int slot = url.host.back() - '1';
    if (silent) {
      co_return Error{Code::retry, "connection refused"};
    }
    aio::StreamPair pair = aio::stream_pair(clock_);
    api.group().spawn(serve_worker(std::move(pair.second), slot));
    co_return std::move(pair.first);
  }

  aio::Task<void> serve_worker(std::unique_ptr<aio::Stream> stream, int slot) {
    std::array<char, 4096> buffer;
    while (true) {
      const Result<std::size_t> n = co_await stream->read_some(buffer, aio::Deadline{});
      if (n.value_or(0) == 0 || !workers_.contains("orders-w" + std::to_string(slot))) {
        co_return;
      }
      const bool drain = std::string_view(buffer.data(), *n).starts_with("POST /drain");
      const std::string body = drain ? "" : R"({"v":1,"state":"ready","handling":0})";
      const std::string text =
          fmt::format("HTTP/1.1 {} OK\r\nContent-Length: {}\r\n\r\n{}", drain ? 202 : 200, body.size(), body);
      const Result<void> sent = co_await stream->write_all(text, aio::Deadline{});
      if (drain) {
        end(slot, 0, R"({"state":"gone","done":1})");
      }
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
  std::map<std::string, Worker> workers_;
  int made_ = 0;
};

}  // namespace sluice::kube
