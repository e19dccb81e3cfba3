// SPDX-License-Identifier: Apache-2.0
// links: base model aio queue worker
//
// What `--exec` costs beside the process itself: messages through the real Runtime and ExecHandler, from a queue in
// memory, against a bare posix_spawn + waitpid loop of the same program with the same input. Both in turns, so that a
// slower moment of the machine hits both; the ratio is of the medians. Not Google Benchmark: one figure is a whole run.
#include <fcntl.h>
#include <fmt/core.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <string>
#include <vector>

#include "aio/signals.h"
#include "base/check.h"
#include "queue/memory.h"
#include "worker/exec_handler.h"
#include "worker/runtime.h"

extern char** environ;

namespace sluice::worker {
namespace {

using namespace std::chrono_literals;

constexpr int messages = 400;  // a run of about half a second
constexpr int rounds = 7;
constexpr double wanted = 0.8;
const std::string body = "{\"order\": 4711, \"items\": [1, 2, 3]}";

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// The least that anybody can do: a pipe with the body, spawn, close, wait.
double bare(const char* program) {
  std::string name = program;
  char* argv[] = {name.data(), nullptr};
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < messages; ++i) {
    int ends[2];
    check(::pipe2(ends, O_CLOEXEC) == 0, "pipe");
    check(::write(ends[1], body.data(), body.size()) == static_cast<ssize_t>(body.size()), "write");
    ::close(ends[1]);
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, ends[0], 0);
    pid_t pid = 0;
    check(::posix_spawn(&pid, program, &actions, nullptr, argv, environ) == 0, "posix_spawn");
    ::posix_spawn_file_actions_destroy(&actions);
    ::close(ends[0]);
    int status = 0;
    check(::waitpid(pid, &status, 0) == pid && status == 0, "waitpid");
  }
  return messages / seconds_since(start);
}

aio::Task<void> through(aio::Loop& loop, aio::Clock& clock, const char* program, double& rate) {
  Random random(1);
  queue::MemoryBroker broker(loop, clock, random);
  const std::unique_ptr<queue::Publisher> publisher = broker.publisher("bench");
  std::vector<queue::Message> batch(messages);
  for (int i = 0; i < messages; ++i) {
    batch[static_cast<std::size_t>(i)].id = fmt::format("m-{}", i);
    batch[static_cast<std::size_t>(i)].body = body;
  }
  const aio::Deadline soon = clock.in(1min);
  co_await publisher->publish(std::move(batch), soon);

  ExecOptions exec{.argv = {program}, .environment = {}, .directory = {}};
  for (char** entry = environ; *entry != nullptr; ++entry) {
    exec.environment.emplace_back(*entry);
  }
  ExecHandler handler(loop, clock, std::move(exec));
  const std::unique_ptr<queue::Receiver> receiver = broker.receiver("w0");
  Observer observer;
  RuntimeOptions options{.worker = "w0"};
  options.idle_exit = 0s;
  Runtime runtime(loop, clock, random, *receiver, handler, options, observer);
  const auto start = std::chrono::steady_clock::now();
  const Result<Summary> end = co_await runtime.run();
  rate = messages / seconds_since(start);
  check(end.has_value() && end->counts.done == messages, "not every message was done");
}

double worker(const char* program) {
  aio::Loop loop;
  aio::RealClock clock(loop);
  double rate = 0;
  loop.run(through(loop, clock, program, rate));
  return rate;
}

double median(std::vector<double> all) {
  std::ranges::sort(all);
  return all[all.size() / 2];
}

int run() {
  const char* program = "/bin/true";
  aio::ignore_sigpipe();
  bare(program);  // both warm
  worker(program);
  std::vector<double> references;
  std::vector<double> figures;
  for (int i = 0; i < rounds; ++i) {
    references.push_back(bare(program));
    figures.push_back(worker(program));
  }
  const double ratio = median(figures) / median(references);
  fmt::print("bare posix_spawn loop   {:8.0f} a second\n", median(references));
  fmt::print("work --exec             {:8.0f} a second   {:.0f} % of it (wanted: {:.0f} %)\n", median(figures),
             100 * ratio, 100 * wanted);
  return 0;
}

}  // namespace
}  // namespace sluice::worker

int main() {
  return sluice::worker::run();
}
