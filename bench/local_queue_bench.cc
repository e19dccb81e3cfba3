// SPDX-License-Identifier: Apache-2.0
// links: queue_local queue aio base model
// The local queue beside what it stands on: bare SQLite commits of the same grouping, and the disk's own sync rate, all
// in one run and interleaved, so that a noisy machine is noisy for both. Then how receive grows with the backlog.
//
//   local_queue_bench [--dir DIR] [--waiting N] [--group N]      (default: the current folder, 1000000, 1 to 1000)
#include <fcntl.h>
#include <fmt/core.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "aio/clock.h"
#include "aio/loop.h"
#include "base/check.h"
#include "queue/local/local_queue.h"

namespace {

using namespace sluice;
using namespace std::chrono_literals;
using aio::Deadline;
using aio::Task;
using queue::Delivery;
using queue::Message;
using queue::local::LocalQueue;

constexpr std::size_t body_bytes = 200;

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

struct World {
  aio::Loop loop;
  aio::RealClock clock{loop};
  Random random{42};
  std::string folder;
};

// What all threads of this process have used: unlike the clock, it does not count who else is busy.
double cpu_seconds() {
  timespec ts{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
  return static_cast<double>(ts.tv_sec) + 1e-9 * static_cast<double>(ts.tv_nsec);
}

double syncs_per_second(World& world) {
  const std::string path = world.folder + "/sync";
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  check(fd >= 0, "cannot make a file in the bench folder");
  const std::string page(4096, 'x');
  const int n = 200;
  const Time start = world.clock.now();
  for (int i = 0; i < n; ++i) {
    check(::pwrite(fd, page.data(), page.size(), 0) == 4096 && ::fdatasync(fd) == 0, "the disk fails");
  }
  const double seconds = to_s(world.clock.now() - start);
  ::close(fd);
  return n / seconds;
}

// The least that keeps a queue's promises: one table with an index by which a re-sent id is refused and one that keeps
// what waits in order; one commit each to add, take and remove a group.
class Bare {
 public:
  explicit Bare(const std::string& path) {
    check(sqlite3_open(path.c_str(), &db_) == SQLITE_OK, "SQLite does not open");
    run("PRAGMA journal_mode=PERSIST");
    run("PRAGMA synchronous=EXTRA");
    run("CREATE TABLE q(key INTEGER PRIMARY KEY, id TEXT, body BLOB, taken INTEGER)");
    run("CREATE UNIQUE INDEX q_id ON q(id)");
    run("CREATE INDEX q_place ON q(taken, key)");
    add_ = prepare("INSERT INTO q VALUES(?, ?, ?, 0)");
    take_ = prepare("UPDATE q SET taken=1 WHERE key=? RETURNING body");
    remove_ = prepare("DELETE FROM q WHERE key=?");
  }
  ~Bare() {
    for (sqlite3_stmt* s : {add_, take_, remove_}) {
      sqlite3_finalize(s);
    }
    sqlite3_close(db_);
  }
  Bare(const Bare&) = delete;
  Bare& operator=(const Bare&) = delete;

  void round(int group, const std::string& body) {
    const sqlite3_int64 first = next_;
    transaction(add_, first, group, &body);
    transaction(take_, first, group, nullptr);
    transaction(remove_, first, group, nullptr);
    next_ += group;
  }

 private:
  sqlite3_stmt* prepare(const char* sql) {
    sqlite3_stmt* out = nullptr;
    check(sqlite3_prepare_v2(db_, sql, -1, &out, nullptr) == SQLITE_OK, "SQLite does not prepare");
    return out;
  }
  void run(const char* sql) { check(sqlite3_exec(db_, sql, nullptr, nullptr, nullptr) == SQLITE_OK, "SQLite fails"); }
  void transaction(sqlite3_stmt* s, sqlite3_int64 first, int group, const std::string* body) {
    run("BEGIN IMMEDIATE");
    for (sqlite3_int64 key = first; key < first + group; ++key) {
      sqlite3_reset(s);
      sqlite3_bind_int64(s, 1, key);
      const std::string id = fmt::format("m{:012}", key);
      if (body != nullptr) {
        sqlite3_bind_text(s, 2, id.data(), static_cast<int>(id.size()), SQLITE_STATIC);
        sqlite3_bind_blob(s, 3, body->data(), static_cast<int>(body->size()), SQLITE_STATIC);
      }
      while (sqlite3_step(s) == SQLITE_ROW) {
      }
    }
    sqlite3_reset(s);
    run("COMMIT");
  }

  sqlite3* db_ = nullptr;
  sqlite3_stmt* add_ = nullptr;
  sqlite3_stmt* take_ = nullptr;
  sqlite3_stmt* remove_ = nullptr;
  sqlite3_int64 next_ = 1;
};

// The queue under test with one publisher and one worker.
struct Queue {
  explicit Queue(World& w) : world(w) {}
  World& world;
  std::unique_ptr<LocalQueue> queue;
  std::unique_ptr<queue::Publisher> publisher;
  std::unique_ptr<queue::Receiver> receiver;
  std::uint64_t next = 0;

  Task<void> open(std::string path) {
    const Deadline deadline = world.clock.in(60s);
    auto opened = co_await LocalQueue::open(world.loop, world.clock, world.random, path, {}, deadline);
    check(opened.has_value(), "the queue does not open");
    queue = std::move(*opened);
    publisher = queue->publisher();
    receiver = queue->receiver("bench");
    const Result<void> ready = co_await receiver->open(deadline);
    check(ready.has_value(), "the receiver does not open");
  }
  Task<void> close() {
    const Deadline deadline = world.clock.in(60s);
    const Result<void> closed = co_await receiver->close(deadline);
    check(closed.has_value(), "the receiver does not close");
  }
  Task<void> publish(int group, std::string body) {
    std::vector<Message> batch;
    for (int i = 0; i < group; ++i) {
      batch.push_back(Message{.id = fmt::format("m{:012}", next++),
                              .body = body,
                              .headers = {},
                              .type = {},
                              .priority = 0,
                              .published_at = {}});
    }
    const Deadline deadline = world.clock.in(60s);
    const auto answers = co_await publisher->publish(std::move(batch), deadline);
    check(std::ranges::all_of(answers, [](const auto& a) { return a.state == queue::PublishState::confirmed; }),
          "a message was not confirmed");
  }
  Task<std::vector<Delivery>> receive(int group) {
    const Deadline deadline = world.clock.in(60s);
    auto got = co_await receiver->receive(static_cast<std::size_t>(group), deadline);
    check(got && got->size() == static_cast<std::size_t>(group), "not all messages came");
    co_return std::move(*got);
  }
  // As a worker does: each is begun and finished on its own, the acknowledgements share a commit.
  Task<void> ack(std::vector<Delivery> got) {
    const Deadline deadline = world.clock.in(60s);
    std::vector<queue::Tag> tags;
    for (const Delivery& delivery : got) {
      const Result<void> begun = co_await receiver->begin(delivery.tag, deadline);
      check(begun.has_value(), "a delivery did not begin");
      receiver->finished(delivery.tag);
      tags.push_back(delivery.tag);
    }
    const auto answers = co_await receiver->ack_all(tags, deadline);
    check(std::ranges::all_of(answers, [](const auto& a) { return a.has_value(); }), "an acknowledgement failed");
  }
  Task<void> round(int group, std::string body) {
    co_await publish(group, body);
    std::vector<Delivery> got = co_await receive(group);
    co_await ack(std::move(got));
  }
};

Task<void> beside_sqlite(World& world, std::vector<int> groups) {
  fmt::print("disk: {:.0f} fdatasync/s\n\n", syncs_per_second(world));
  fmt::print(
      "publish + receive + ack, messages/s   group    sluice  bare SQLite    ratio (want >= 0.80)   cpu us/message\n");
  Queue ours(world);
  co_await ours.open(world.folder + "/ours.db");
  Bare bare(world.folder + "/bare.db");
  const std::string body(body_bytes, 'b');
  for (const int group : groups) {
    const int rounds = group >= 1000 ? 15 : 31;
    std::vector<double> mine;
    std::vector<double> theirs;
    double my_cpu = 0;
    double their_cpu = 0;
    for (int round = 0; round < rounds; ++round) {
      const double cpu = cpu_seconds();
      const Time start = world.clock.now();
      co_await ours.round(group, body);
      const Time middle = world.clock.now();
      const double cpu_middle = cpu_seconds();
      bare.round(group, body);
      my_cpu += cpu_middle - cpu;
      their_cpu += cpu_seconds() - cpu_middle;
      mine.push_back(to_s(middle - start));
      theirs.push_back(to_s(world.clock.now() - middle));
    }
    const double a = group / median(mine);
    const double b = group / median(theirs);
    const double per = 1e6 / (group * rounds);
    fmt::print("{:>43} {:>9.0f} {:>12.0f} {:>8.2f} {:>19.1f} {:>6.1f}\n", group, a, b, a / b, my_cpu * per,
               their_cpu * per);
  }
  co_await ours.close();
}

struct Times {
  double receive;
  double ack;
  double sample;
};

Task<Times> times_at(Queue& queue, int rounds) {
  std::vector<double> receives;
  std::vector<double> acks;
  std::vector<double> samples;
  const auto source = queue.queue->source();
  const std::string body(body_bytes, 'b');
  for (int round = 0; round < rounds; ++round) {
    const Time start = queue.world.clock.now();
    std::vector<Delivery> got = co_await queue.receive(10);
    const Time received = queue.world.clock.now();
    co_await queue.ack(std::move(got));
    const Time acked = queue.world.clock.now();
    const Deadline deadline = queue.world.clock.in(60s);
    const auto sample = co_await source->sample(deadline);
    check(sample.has_value(), "the sample failed");
    samples.push_back(to_s(queue.world.clock.now() - acked));
    acks.push_back(to_s(acked - received));
    receives.push_back(to_s(received - start));
    co_await queue.publish(10, body);
  }
  co_return Times{median(receives), median(acks), median(samples)};
}

Task<void> growth(World& world, int waiting) {
  Queue small(world);
  co_await small.open(world.folder + "/small.db");
  const std::string body(body_bytes, 'b');
  co_await small.publish(10, body);
  Queue large(world);
  co_await large.open(world.folder + "/large.db");
  const Time start = world.clock.now();
  for (int n = 0; n < waiting; n += 5000) {
    const int some = std::min(5000, waiting - n);
    co_await large.publish(some, body);
  }
  const double seconds = to_s(world.clock.now() - start);
  fmt::print("\nfilled with {} messages in {:.1f} s, {:.0f} a second\n", waiting, seconds, waiting / seconds);
  // Interleaved in small pieces, for the same noise on both.
  std::array<std::vector<double>, 2> receive;
  std::array<std::vector<double>, 2> ack;
  std::array<std::vector<double>, 2> sample;
  for (int piece = 0; piece < 9; ++piece) {
    for (std::size_t which = 0; which < 2; ++which) {
      const Times t = co_await times_at(which == 0 ? small : large, 9);
      receive[which].push_back(t.receive);
      ack[which].push_back(t.ack);
      sample[which].push_back(t.sample);
    }
  }
  fmt::print("\nmilliseconds for 10 messages, waiting         10  {:>10}   growth (want <= 1.50)\n", waiting);
  const auto line = [](const char* what, const std::array<std::vector<double>, 2>& v) {
    const double a = median(v[0]) * 1000;
    const double b = median(v[1]) * 1000;
    fmt::print("{:>37} {:>10.3f} {:>11.3f} {:>8.2f}\n", what, a, b, b / a);
  };
  line("receive", receive);
  line("ack", ack);
  line("sample", sample);
  co_await small.close();
  co_await large.close();
}

Task<void> bench(World& world, int waiting, std::vector<int> groups) {
  co_await beside_sqlite(world, groups);
  co_await growth(world, waiting);
}

}  // namespace

int main(int argc, char** argv) {
  std::string dir = ".";
  int waiting = 1'000'000;
  std::vector<int> groups{1, 10, 100, 1000};
  for (int i = 1; i + 1 < argc; i += 2) {
    if (std::strcmp(argv[i], "--dir") == 0) {
      dir = argv[i + 1];
    } else if (std::strcmp(argv[i], "--waiting") == 0) {
      waiting = std::max(10, std::atoi(argv[i + 1]));
    } else if (std::strcmp(argv[i], "--group") == 0) {
      groups = {std::max(1, std::atoi(argv[i + 1]))};
    }
  }
  World world;
  std::string name = dir + "/local-queue-bench-XXXXXX";
  check(::mkdtemp(name.data()) != nullptr, "cannot make a folder for the bench");
  world.folder = name;
  world.loop.run(bench(world, waiting, groups));
  std::filesystem::remove_all(world.folder);
}
