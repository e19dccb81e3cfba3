// SPDX-License-Identifier: Apache-2.0
// sluice doctor: what is wrong with a set-up, and what repairs it.
#include "app/doctor.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <filesystem>

#include "app/controller_settings.h"
#include "app/verbs.h"
#include "control/explain.h"
#include "model/json.h"

namespace sluice::app {
namespace {

using namespace std::chrono_literals;

constexpr std::array codes{
    DoctorCode{"D001", "pool", "The pool file is not valid, or a state folder does not say what its pool is.",
               "Mend the places that are listed, each with line, column and the accepted form."},
    DoctorCode{"D002", "pool", "The pool uses a queue or a policy that this version does not have.",
               "Use what the finding accepts: lag needs a local queue, or RabbitMQ with management."},
    DoctorCode{"D004", "pool", "The pool is paused: it is observed, and nothing is started.", "Remove `paused: true`."},
    DoctorCode{"D010", "queue", "The queue file is not there yet.", "`sluice publish` makes it."},
    DoctorCode{"D011", "queue", "The queue file cannot be opened, or is damaged.",
               "The text says what is wrong. Restore a copy, or move the file away to begin anew."},
    DoctorCode{"D012", "queue",
               "The queue's place is refused: a missing folder, a network filesystem, no rights, no file.",
               "Name a file in a folder of a local disk that you may write."},
    DoctorCode{"D013", "queue", "Little space is left on the disk of the queue.",
               "Free some. Publishing fails cleanly until then; what was confirmed is safe."},
    DoctorCode{"D014", "queue", "Messages were given up and lie in the dead letters.",
               "The workers' logs (slots/N.log in the state folder) say why. Mend the handler, publish them again."},
    DoctorCode{"D015", "queue", "Messages wait and no scaler runs.", "`sluice scale -f FILE`."},
    DoctorCode{"D016", "queue", "The disk is slow to sync, and every commit waits for it.",
               "Publish in batches, or put the queue on another disk."},
    DoctorCode{"D040", "queue", "The broker cannot be reached, or lets the user not in.",
               "The fix shows what to look at: the broker, the password, the virtual host, the credentials."},
    DoctorCode{"D041", "queue", "The queue is not there.", "`sluice publish --declare`, or declare it yourself."},
    DoctorCode{"D042", "queue", "The user may not do what workers or `publish --declare` do.",
               "The fix is the `rabbitmqctl set_permissions`, or the `gcloud` command, that gives just that."},
    DoctorCode{
        "D043", "queue", "The management API does not answer, or not to this user.",
        "The fix names the tag or the plugin. Without it, what is in flight stays unknown. Of Pub/Sub it is Cloud "
        "Monitoring, without which nothing is scaled."},
    DoctorCode{"D044", "queue", "The queue cannot be scaled, or only to one worker.",
               "Streams and exclusive queues: name another. Single active consumer: workers.max: 1. A Pub/Sub "
               "subscription must be one that is pulled, on the pool's topic."},
    DoctorCode{"D045", "queue", "The broker drops messages of this queue by itself.",
               "Remove the limit of time or length, or let it refuse instead of drop."},
    DoctorCode{"D046", "queue", "Messages that are given up, or wait for a retry, have no way.",
               "`sluice publish --declare` makes the queues; the fix names a policy. On Pub/Sub a topic for dead "
               "letters needs a subscription of its own, and the subscription a dead-letter policy, which counts."},
    DoctorCode{"D047", "queue", "A handler may take longer than the broker waits for its acknowledgement.",
               "Raise the broker's consumer_timeout beyond workers.maxRuntime."},
    DoctorCode{"D048", "queue", "The broker has an alarm and takes no messages.", "Free memory or disk on the broker."},
    DoctorCode{"D020", "workers", "The worker's command is missing or cannot be started.",
               "`chmod +x`, or name another program in workers.run.command."},
    DoctorCode{"D021", "workers", "The handler after --exec cannot be started.",
               "`chmod +x`, or name another program after --exec."},
    DoctorCode{"D022", "workers", "The nodes have fewer slots than workers.max.",
               "Lower workers.max, or raise max or slots under workers.process.nodes."},
    DoctorCode{"D023", "workers", "Workers end before they do anything, so only one at a time is tried.",
               "Run the worker's command by hand; its last words are in the text."},
    DoctorCode{"D024", "workers", "The workers cannot be seen.", "Look at the rights of slots/ in the state folder."},
    DoctorCode{"D030", "state", "The state folder cannot be written.",
               "`chmod u+rwx`, or another one with --state DIR."},
    DoctorCode{"D031", "state", "There is a journal, but no decision in it that can be read.",
               "`sluice decide --journal FILE` names each line and what is wrong with it."},
    DoctorCode{"D032", "state", "The scaler cannot read the queue or the workers, and holds.",
               "The text is the error it met; `sluice explain` says since when."},
    DoctorCode{"D033", "state", "There is no place for another worker.",
               "More nodes or slots, or wait: it goes on by itself when there is room."},
    DoctorCode{"D050", "cluster", "Another program serves external metrics; one of a cluster can.",
               "Nothing, if it is to stay. Else uninstall it, or let sluice's adapter pass on to it (`--forward-to`)."},
    DoctorCode{"D051", "cluster", "The server of external metrics is not available, so HPAs get no numbers.",
               "The text is the API server's reason: look at the Service and the pods that the fix names."},
    DoctorCode{"D052", "cluster", "Who serves external metrics cannot be read.",
               "The fix names the right that is missing, or the API server that does not answer."},
};

struct Group {
  std::string name;
  std::vector<Finding> findings;
};

std::string sign(Health health) {
  return health == Health::ok ? "√" : health == Health::warning ? "‼" : "×";
}

std::string_view word(Health health) {
  return health == Health::ok ? "ok" : health == Health::warning ? "warning" : "failed";
}

class Report {
 public:
  explicit Report(Context& context) : context_(context) {}

  // `pool` is empty for what is of none.
  void show(const std::string& pool, const std::vector<Finding>& findings, bool several) {
    if (several && !context_.json) {
      context_.out.line((counts_[0] + counts_[1] + counts_[2] > 0 ? "\n" : "") + control::printable(pool));
    }
    std::string group;
    for (const Finding& finding : findings) {
      ++counts_[static_cast<std::size_t>(finding.health)];
      if (context_.json) {
        json(pool, finding);
      } else {
        text(finding, finding.group == group ? "" : finding.group);
      }
      group = finding.group;
    }
  }
  // Returns the exit code.
  int end() {
    const std::size_t all = counts_[0] + counts_[1] + counts_[2];
    if (context_.json) {
      context_.out.line(fmt::format(R"({{"event":"summary","checks":{},"ok":{},"warnings":{},"failed":{}}})", all,
                                    counts_[0], counts_[1], counts_[2]));
    } else {
      context_.out.line(fmt::format("{} checks: {} ok, {} warning{}, {} failed", all, counts_[0], counts_[1],
                                    counts_[1] == 1 ? "" : "s", counts_[2]));
    }
    return counts_[2] > 0 ? exit_failed : exit_done;
  }

 private:
  void text(const Finding& finding, const std::string& group) {
    const std::string code = finding.code.empty() ? "" : "   " + finding.code;
    context_.out.line(
        fmt::format("{:<8} {} {}{}", group, sign(finding.health), control::printable(finding.text), code));
    if (!finding.fix.empty()) {
      context_.out.line(fmt::format("{:<8}   fix: {}", "", control::printable(finding.fix)));
    }
  }
  void json(const std::string& pool, const Finding& finding) {
    std::string line = R"({"event":"check","pool":)";
    if (pool.empty()) {
      line += "null";
    } else {
      model::append_json_string(line, pool);
    }
    line += fmt::format(R"(,"group":"{}","level":"{}","code":)", finding.group, word(finding.health));
    line += finding.code.empty() ? "null" : fmt::format("\"{}\"", finding.code);
    line += ",\"text\":";
    model::append_json_string(line, finding.text);
    line += ",\"fix\":";
    if (finding.fix.empty()) {
      line += "null";
    } else {
      model::append_json_string(line, finding.fix);
    }
    context_.out.line(line + "}");
  }

  Context& context_;
  std::array<std::size_t, 3> counts_{};
};

// A pool file with mistakes is a finding of its own, and the other files are looked at all the same.
std::optional<std::vector<Place>> sound_places(Context& context, const Args& args, Report& report) {
  const std::vector<std::string> files = args.texts("file");
  if (files.empty()) {
    return find_places(context, args, "doctor");
  }
  std::vector<Place> out;
  for (const std::string& file : files) {
    Args one = args;
    one.flags["file"] = {file};
    one.positionals.clear();
    std::optional<std::vector<Place>> found = find_places(context, one, "doctor");
    if (found) {
      out.insert(out.end(), found->begin(), found->end());
    } else {
      report.show(file,
                  {{"pool", Health::failed, "D001", file + " is not a valid pool: see the lines on stderr",
                    "mend those places"}},
                  false);
    }
  }
  return out;
}

bool asks_cluster(const Args& args) {
  return args.has("context") || args.has("kubeconfig");
}

// Pools are looked at where some are named, or where nothing is and some are here.
bool asks_pools(const Args& args) {
  const bool named = !args.texts("file").empty() || args.has("state") || !args.positionals.empty();
  return named || (!asks_cluster(args) && any_place_here());
}

// Null: there is none to ask, which is said on stderr where one was named.
std::unique_ptr<kube::Api> cluster_of(Context& context, const Args& args) {
  const kube::Wanted wanted{
      .kubeconfig = args.text("kubeconfig").value_or(""), .context = args.text("context").value_or(""), .space = {}};
  const auto variable = [&context](const std::string& name) { return context.env(name); };
  Result<kube::Access> access = kube::find_access(wanted, variable, file_reader());
  if (!access) {
    if (asks_cluster(args)) {
      context.err.line("sluice doctor: " + access.error().what);
    }
    return nullptr;
  }
  return std::make_unique<kube::Api>(context.loop, context.clock, std::move(*access), file_reader(),
                                     context.environment);
}

std::vector<Flag> doctor_flags() {
  std::vector<Flag> out = place_flags();
  out.push_back({.name = "context", .kind = Kind::text, .value = "NAME", .help = "also look at this cluster"});
  out.push_back({.name = "kubeconfig",
                 .kind = Kind::file,
                 .value = "FILE",
                 .help = "look at its cluster; instead of KUBECONFIG and ~/.kube"});
  return out;
}

aio::Task<int> run_doctor(Context& context, Args args) {
  Report report(context);
  const bool pools = asks_pools(args);
  const std::unique_ptr<kube::Api> cluster = pools && !asks_cluster(args) ? nullptr : cluster_of(context, args);
  if (!cluster && asks_cluster(args)) {
    co_return exit_usage;
  }
  if (cluster) {
    std::vector<Finding> findings;
    const aio::Deadline deadline = context.clock.in(10s);
    co_await check_cluster(findings, *cluster, deadline);
    report.show("", findings, false);
  }
  if (cluster && !pools) {
    co_return report.end();
  }
  std::optional<std::vector<Place>> places = sound_places(context, args, report);
  if (!places) {
    co_return exit_usage;
  }
  const bool several = places->size() > 1;
  for (Place& place : *places) {
    const std::string folder = place.file.empty() ? ""
                                                  : absolute(std::filesystem::current_path().string(),
                                                             std::filesystem::path(place.file).parent_path().string());
    const std::string id = place.id;
    Looker looker(context, std::move(place));
    const aio::Deadline deadline = context.clock.in(20s);
    const PoolLook look = co_await looker.look(deadline);
    std::vector<Finding> findings;
    check_pool(findings, look);
    check_queue(findings, look);
    co_await check_broker(findings, context, look.place, deadline);
    check_workers(findings, context, look, folder);
    check_state(findings, look);
    report.show(id, findings, several);
  }
  co_return report.end();
}

}  // namespace

std::span<const DoctorCode> doctor_codes() {
  return codes;
}

std::string doctor_page() {
  std::string out =
      "# What sluice doctor finds\n\nGenerated by `sluice man --markdown doctor`; a test compares. A code stays what "
      "it is, so that\n"
      "it can be searched for. `√` is well, `‼` a warning, `×` a failure; exit 1 when something failed.\n";
  std::string_view group;
  for (const DoctorCode& code : codes) {
    if (code.group != group) {
      out += fmt::format("\n## {}\n\n| code | means | what repairs it |\n| --- | --- | --- |\n", code.group);
      group = code.group;
    }
    out += fmt::format("| {} | {} | {} |\n", code.code, code.means, code.repair);
  }
  return out;
}

Verb doctor_verb() {
  return {.name = "doctor",
          .summary = "what is wrong with a set-up, and what repairs it",
          .about =
              "Checks pool, queue, workers and state, and names what repairs what is wrong. Every code is in\n"
              "docs/reference/doctor.md. Exit 0 when nothing failed, 1 when something did. With --context or\n"
              "--kubeconfig, and where no pool is here, it asks the cluster who serves external metrics.",
          .examples = {{"sluice doctor -f orders.yaml", "before the first message"},
                       {"sluice doctor --context prod", "who serves external metrics there"},
                       {"sluice doctor -o json", ""}},
          .flags = doctor_flags(),
          .positionals = place_words(),
          .rest = "",
          .run = run_doctor};
}

}  // namespace sluice::app
