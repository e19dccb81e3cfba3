// SPDX-License-Identifier: Apache-2.0
#include "app/wiring.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <set>

#include "aio/fd.h"
#include "base/hash.h"
#include "control/decide.h"
#include "fleet/process/scaler_lock.h"
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

// Given, inherited from the fleet that started us, or beside `folder`.
std::string secrets_folder(const Context& context, const Args& args, const std::string& folder) {
  const std::optional<std::string> given = args.text("secrets");
  const std::optional<std::string> inherited = given ? std::nullopt : context.env("SLUICE_SECRETS");
  return given || inherited ? absolute(working_folder(), given ? *given : *inherited) : folder + "/secrets";
}

std::optional<QueueTarget> queue_from_json(Context& context, const std::string& text, const std::string& where,
                                           const Args& args) {
  pool::ParsedQueue parsed = pool::parse_queue_json(text);
  for (const pool::Problem& problem : parsed.problems) {
    context.err.line(pool::render(problem, where));
  }
  if (!parsed.problems.empty() || !parsed.queue) {
    return std::nullopt;
  }
  QueueTarget target{
      .spec = {.queue = std::move(*parsed.queue), .dead_letter = parsed.dead_letter, .retry = parsed.retry},
      .secrets = secrets_folder(context, args, working_folder())};
  wiring::make_absolute(target.spec.queue, working_folder());
  target.name = wiring::text_of(target.spec.queue);
  return target;
}

std::optional<QueueTarget> queue_from_pool(Context& context, const std::string& file, const Args& args) {
  std::optional<LoadedPool> loaded = load_pool(context, file, args);
  if (!loaded) {
    return std::nullopt;
  }
  QueueTarget target{
      .spec = wiring::queue_spec(loaded->pool.spec), .secrets = loaded->secrets, .name = loaded->pool.name};
  target.pool = std::move(loaded);
  return target;
}

// Ours alone, where locks of queues lie that have no file of their own: one scaler for a queue and person and machine.
Result<std::string> locks_folder() {
  const std::string folder = fmt::format("{}/sluice-{}", fs::temp_directory_path().string(), ::getuid());
  struct stat info{};
  if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) {
    return Error{Code::denied, fmt::format("{}: cannot make: {}", folder, std::strerror(errno))};
  }
  if (::lstat(folder.c_str(), &info) != 0 || !S_ISDIR(info.st_mode) || info.st_uid != ::getuid()) {
    return Error{Code::denied, fmt::format("{}: is not a folder of this user; remove it, or set TMPDIR", folder)};
  }
  return folder;
}

// pubsub://PROJECT/SUBSCRIPTION[?topic=TOPIC] as SLUICE_QUEUE has it; names are checked there.
std::string pubsub_json(std::string_view text) {
  text.remove_prefix(std::string_view("pubsub://").size());
  const std::size_t slash = text.find('/');
  const std::string_view project = text.substr(0, slash);
  const std::string_view rest = slash == std::string_view::npos ? std::string_view() : text.substr(slash + 1);
  const std::size_t query = rest.find('?');
  const std::string_view parameters = query == std::string_view::npos ? std::string_view() : rest.substr(query + 1);
  std::string topic;
  if (parameters.starts_with("topic=")) {
    topic = fmt::format(R"(,"topic":"{}")", json_escape(parameters.substr(6)));
  } else if (!parameters.empty()) {
    topic = fmt::format(R"(,"{}":null)", json_escape(parameters));  // refused by its name
  }
  return fmt::format(R"({{"queue":{{"pubsub":{{"project":"{}","subscription":"{}"{}}}}}}})", json_escape(project),
                     json_escape(rest.substr(0, query)), topic);
}

}  // namespace

Result<std::string> read_file(const std::string& path, std::size_t bytes_max) {
  const aio::Fd opened(path == "-" ? -1 : ::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  const int fd = path == "-" ? STDIN_FILENO : opened.get();
  if (fd < 0) {
    return Error{Code::denied, fmt::format("{}: cannot open: {}", path, std::strerror(errno))};
  }
  Result<std::string> text = aio::read_all(fd, bytes_max);
  return text ? std::move(text) : text.error().in(path);
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
  wiring::make_absolute(out.pool.spec.queue, out.folder);
  const std::optional<std::string> state = args.text("state");
  const std::string states = state ? absolute(working_folder(), *state) : out.folder + "/.sluice";
  out.state = states + "/" + out.pool.name;
  out.secrets = secrets_folder(context, args, out.folder);
  return out;
}

std::optional<LoadedQueues> load_queues(Context& context, const std::string& file, const Args& args) {
  const Result<std::string> text = read_file(file, pool_bytes_max);
  if (!text) {
    context.err.line(text.error().what);
    return std::nullopt;
  }
  pool::ParsedQueues parsed = pool::parse_queues(*text);
  for (const pool::Problem& problem : parsed.problems) {
    context.err.line(pool::render(problem, file));
  }
  if (!parsed.problems.empty()) {
    return std::nullopt;
  }
  std::set<std::string> seen;
  const std::string folder = folder_of(file);
  for (pool::WatchedQueue& queue : parsed.queues) {
    if (!seen.insert(queue.id()).second) {
      context.err.line(fmt::format("{}: {} is there twice; accepted: a name once in a namespace", file, queue.id()));
      return std::nullopt;
    }
    wiring::make_absolute(queue.queue, folder);
  }
  return LoadedQueues{.secrets = secrets_folder(context, args, folder), .queues = std::move(parsed.queues)};
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
  if (given && (given->starts_with("amqp://") || given->starts_with("amqps://"))) {
    context.err.line(
        "sluice: --queue: an address names no queue; accepted: "
        R"({"queue":{"rabbitmq":{"url":"amqp://HOST:5672","queue":"NAME"}}}, or a pool file with -f)");
    return std::nullopt;
  }
  if (given && given->starts_with("pubsub://")) {
    return queue_from_json(context, pubsub_json(*given), "--queue", args);
  }
  if (given && !given->starts_with('{')) {
    const std::string path = absolute(working_folder(), *given);
    return QueueTarget{.spec = {.queue = pool::LocalQueue{.path = path}, .dead_letter = {}, .retry = {}}, .name = path};
  }
  if (given) {
    return queue_from_json(context, *given, "--queue", args);
  }
  const std::optional<std::string> inherited = context.env("SLUICE_QUEUE");
  if (inherited) {
    return queue_from_json(context, *inherited, "SLUICE_QUEUE", args);
  }
  context.err.line("sluice: no queue: give a pool file with -f, a queue file with --queue, or set SLUICE_QUEUE");
  return std::nullopt;
}

Flag queue_flag() {
  return {.name = "queue",
          .kind = Kind::text,
          .value = "QUEUE",
          .help =
              "instead of a pool: a local queue's file, pubsub://PROJECT/SUBSCRIPTION[?topic=TOPIC], or JSON as in "
              "SLUICE_QUEUE"};
}

bool supported(Context& context, const LoadedPool& loaded) {
  const pool::PoolSpec& spec = loaded.pool.spec;
  bool all = true;
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

Result<QueueLock> lock_queue(const pool::Queue& queue, const std::string& pool_id, WallTime now) {
  if (const auto* local = std::get_if<pool::LocalQueue>(&queue)) {
    Result<queue::local::ScalerLock> taken = queue::local::ScalerLock::take(local->path, pool_id, now);
    return taken ? Result<QueueLock>(std::make_shared<queue::local::ScalerLock>(std::move(*taken))) : taken.error();
  }
  const Result<std::string> folder = locks_folder();
  if (!folder) {
    return folder.error();
  }
  const std::string name = wiring::text_of(queue);
  using fleet::process::ScalerLock;
  Result<ScalerLock> taken = ScalerLock::take(fmt::format("{}/{:016x}.lock", *folder, fnv1a(name)),
                                              {.pool = pool_id, .pid = ::getpid(), .since = now});
  return taken ? Result<QueueLock>(std::make_shared<ScalerLock>(std::move(*taken))) : taken.error().in(name);
}

}  // namespace sluice::app
