// SPDX-License-Identifier: Apache-2.0
#include "app/wiring.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "aio/fd.h"
#include "base/check.h"
#include "control/decide.h"
#include "queue/local/local_queue.h"
#include "queue/local/scaler_lock.h"

namespace sluice::app {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t pool_bytes_max = 1U << 20U;  // the parser's own limit: what is longer is one of its problems

std::string working_folder() {
  std::error_code failed;
  const fs::path here = fs::current_path(failed);
  return failed ? "/" : here.string();
}

// Where a pool file's relative paths begin: its own folder, or ours when it comes through a pipe.
std::string folder_of(const std::string& file) {
  struct stat info{};
  if (file == "-" || (::stat(file.c_str(), &info) == 0 && !S_ISREG(info.st_mode))) {
    return working_folder();
  }
  return fs::path(absolute(working_folder(), file)).parent_path().string();
}

void make_absolute(pool::Queue& queue, const std::string& folder) {
  if (auto* local = std::get_if<pool::LocalQueue>(&queue)) {
    local->path = absolute(folder, local->path);
  }
}

const char* queue_word(const pool::Queue& queue) {
  return std::holds_alternative<pool::RabbitQueue>(queue) ? "rabbitmq" : "pubsub";
}

std::optional<QueueTarget> queue_from_json(Context& context, const std::string& text, const std::string& where) {
  pool::ParsedQueue parsed = pool::parse_queue_json(text);
  for (const pool::Problem& problem : parsed.problems) {
    context.err.line(pool::render(problem, where));
  }
  if (!parsed.problems.empty() || !parsed.queue) {
    return std::nullopt;
  }
  QueueTarget target{.queue = std::move(*parsed.queue), .dead_letter = parsed.dead_letter, .retry = parsed.retry};
  make_absolute(target.queue, working_folder());
  const auto* local = std::get_if<pool::LocalQueue>(&target.queue);
  target.name = local != nullptr ? local->path : queue_word(target.queue);
  return target;
}

std::optional<QueueTarget> queue_from_pool(Context& context, const std::string& file, const Args& args) {
  std::optional<LoadedPool> loaded = load_pool(context, file, args);
  if (!loaded) {
    return std::nullopt;
  }
  const pool::PoolSpec& spec = loaded->pool.spec;
  QueueTarget target{
      .queue = spec.queue, .dead_letter = spec.dead_letter, .retry = spec.retry, .name = loaded->pool.name};
  target.pool = std::move(loaded);
  return target;
}

class LocalClient final : public QueueClient {
 public:
  explicit LocalClient(std::unique_ptr<queue::local::LocalQueue> queue) : queue_(std::move(queue)) {}
  std::unique_ptr<queue::Publisher> publisher() override { return queue_->publisher(); }
  std::unique_ptr<queue::Receiver> receiver(std::string who) override { return queue_->receiver(std::move(who)); }
  std::unique_ptr<queue::BacklogSource> source() override { return queue_->source(); }

 private:
  std::unique_ptr<queue::local::LocalQueue> queue_;
};

}  // namespace

std::string absolute(const std::string& folder, const std::string& path) {
  return (fs::path(folder) / path).lexically_normal().string();
}

Result<std::string> read_file(const std::string& path, std::size_t bytes_max) {
  const aio::Fd opened(path == "-" ? -1 : ::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  const int fd = path == "-" ? STDIN_FILENO : opened.get();
  std::string text;
  while (fd >= 0 && text.size() <= bytes_max) {
    const std::size_t had = text.size();
    text.resize(std::min<std::size_t>(had + 65536, bytes_max + 1));
    const ssize_t n = ::read(fd, text.data() + had, text.size() - had);
    const int number = errno;
    text.resize(had + static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
    if (n == 0) {
      return text;
    }
    if (n < 0 && number != EINTR) {
      return Error{Code::denied, fmt::format("{}: cannot read: {}", path, std::strerror(number))};
    }
  }
  if (fd < 0) {
    return Error{Code::denied, fmt::format("{}: cannot open: {}", path, std::strerror(errno))};
  }
  return text;
}

Result<void> write_file(const std::string& path, std::string_view text) {
  const std::string fresh = path + ".new";
  aio::Fd file(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  bool good = static_cast<bool>(file);
  while (good && !text.empty()) {
    const ssize_t n = ::write(file.get(), text.data(), text.size());
    good = n >= 0 || errno == EINTR;
    text.remove_prefix(static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
  }
  if (!good || ::rename(fresh.c_str(), path.c_str()) != 0) {
    const Error error{Code::denied, fmt::format("{}: cannot write: {}", path, std::strerror(errno))};
    ::unlink(fresh.c_str());
    return error;
  }
  return {};
}

std::optional<LoadedPool> load_pool(Context& context, const std::string& file, const Args& args) {
  const Result<std::string> text = read_file(file, pool_bytes_max);
  if (!text) {
    context.err.line(text.error().what);
    return std::nullopt;
  }
  pool::Parsed parsed = pool::parse_pool(*text);
  for (const pool::Problem& problem : parsed.problems) {
    context.err.line(pool::render(problem, file));
  }
  if (!parsed.pool) {
    return std::nullopt;
  }
  LoadedPool out{.file = file, .folder = folder_of(file), .pool = std::move(*parsed.pool)};
  make_absolute(out.pool.spec.queue, out.folder);
  const std::optional<std::string> state = args.text("state");
  const std::string states = state ? absolute(working_folder(), *state) : out.folder + "/.sluice";
  out.state = states + "/" + out.pool.name;
  const std::optional<std::string> secrets = args.text("secrets");
  out.secrets = secrets ? absolute(working_folder(), *secrets) : out.folder + "/secrets";
  return out;
}

std::optional<QueueTarget> find_queue(Context& context, const Args& args) {
  const std::optional<std::string> file = args.text("file");
  const std::optional<std::string> given = args.text("queue");
  if (file && given) {
    context.err.line("sluice: --file and --queue both name a queue; one is enough");
    return std::nullopt;
  }
  if (file) {
    return queue_from_pool(context, *file, args);
  }
  if (given && !given->starts_with('{')) {
    const std::string path = absolute(working_folder(), *given);
    return QueueTarget{.queue = pool::LocalQueue{.path = path}, .name = path};
  }
  if (given) {
    return queue_from_json(context, *given, "--queue");
  }
  const std::optional<std::string> inherited = context.env("SLUICE_QUEUE");
  if (inherited) {
    return queue_from_json(context, *inherited, "SLUICE_QUEUE");
  }
  context.err.line("sluice: no queue: give a pool file with -f, a queue file with --queue, or set SLUICE_QUEUE");
  return std::nullopt;
}

Flag queue_flag() {
  return {.name = "queue",
          .kind = Kind::text,
          .value = "QUEUE",
          .help = "instead of a pool: a local queue's file, or JSON as in SLUICE_QUEUE"};
}

bool supported(Context& context, const pool::Queue& queue, const std::string& where) {
  if (!std::holds_alternative<pool::LocalQueue>(queue)) {
    const char* word = queue_word(queue);
    context.err.line(fmt::format("{}.{}: this version does not speak to {} yet; accepted: local", where, word, word));
    return false;
  }
  return true;
}

bool supported(Context& context, const LoadedPool& loaded) {
  const pool::PoolSpec& spec = loaded.pool.spec;
  bool all = supported(context, spec.queue, loaded.file + ": $.spec.queue");
  const Result<void> policy = control::decidable(spec);
  if (!policy) {
    context.err.line(fmt::format("{}: $.spec.policy: {}", loaded.file, policy.error().what));
    all = false;
  }
  if (!spec.workers.run || spec.workers.run->command.empty()) {
    context.err.line(
        fmt::format("{}: $.spec.workers.run.command: missing; accepted: what starts a worker, such as [sluice, work, "
                    "--exec, ./handle]",
                    loaded.file));
    all = false;
  }
  return all;
}

aio::Task<Result<std::unique_ptr<QueueClient>>> open_queue(Context& context, pool::Queue queue, QueueAccess access,
                                                           aio::Deadline deadline) {
  using queue::local::LocalQueue;
  const auto* local = std::get_if<pool::LocalQueue>(&queue);
  check(local != nullptr, "a queue was opened without asking supported()");
  std::string path = local->path;
  queue::local::LocalOptions options{.create = access.create};
  Result<std::unique_ptr<LocalQueue>> opened = co_await LocalQueue::open(context.loop, context.clock, context.random,
                                                                         std::move(path), std::move(options), deadline);
  if (!opened) {
    co_return opened.error();
  }
  std::unique_ptr<QueueClient> client = std::make_unique<LocalClient>(std::move(*opened));
  co_return client;
}

Result<QueueLock> lock_queue(const pool::Queue& queue, const std::string& pool_id, WallTime now) {
  const auto* local = std::get_if<pool::LocalQueue>(&queue);
  check(local != nullptr, "the lock of a queue was asked for without asking supported()");
  Result<queue::local::ScalerLock> taken = queue::local::ScalerLock::take(local->path, pool_id, now);
  if (!taken) {
    return taken.error();
  }
  return QueueLock(std::make_shared<queue::local::ScalerLock>(std::move(*taken)));
}

}  // namespace sluice::app
