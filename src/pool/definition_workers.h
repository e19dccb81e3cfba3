// SPDX-License-Identifier: Apache-2.0
#pragma once
// The workers' part of the definition; see pool/definition.h.
#include <array>

#include "pool/definition_base.h"
#include "pool/job_template.h"
#include "pool/types.h"

namespace sluice::pool {

inline constexpr std::array<std::string_view, 5> claim_words = {"auto", "reported", "readiness", "broker", "consumers"};

template <class V, Is<Run> T>
void describe(V& v, T& o) {
  v.about("The worker process itself.");
  v.field("image", o.image,
          {.doc = "The container image, for a cluster.", .form = Form::image, .default_text = "the job template's"});
  v.field("command", o.command,
          {.doc = "Program and arguments, never a shell; `sluice` is the scaler's own binary in a process fleet. "
                  "Nothing in it is expanded.",
           .items_max = 256,
           .form = Form::argument,
           .default_text = "the image's own"});
  v.field("env", o.env,
          {.doc = "Environment variables. Nothing in them is expanded; no credentials.",
           .items_max = 256,
           .form = Form::argument,
           .key_form = Form::variable});
  v.rule(o,
         {.fields = {"command"},
          .accepted = "a program as the first of the command's texts",
          .cel = "!has(self.command) || self.command.size() == 0 || self.command[0] != ''"},
         [](const Run& r) {
           return wrong_unless(r.command.empty() || !r.command.front().empty(),
                               "an empty text where the program belongs");
         });
}

template <class V, Is<JobFleet> T>
void describe(V& v, T& o) {
  v.about("Each worker is a Kubernetes Job with one pod.");
  v.field(
      "template", o.job_template,
      {.doc = "A JobTemplateSpec. parallelism and completions absent or 1, backoffLimit absent or 0, not Indexed, no "
              "manualSelector, restartPolicy not Always.",
       .default_text = "made from run"});
  v.field("container", o.container,
          {.doc = "The container that is the worker: its readiness and end count.",
           .form = Form::label,
           .default_text = "the first"});
  v.rule(o, {.fields = {"container", "template"}, .accepted = "the name of a container in the template", .cel = {}},
         [](const JobFleet& j) {
           const bool good = !j.container || !j.job_template || has_container(*j.job_template, *j.container);
           return wrong_unless(good, fmt::format("no container named {}", j.container.value_or("")));
         });
}

template <class V, Is<DeploymentFleet> T>
void describe(V& v, T& o) {
  v.about("The workers are the pods of a Deployment that exists.");
  v.field("name", o.name,
          {.doc = "The Deployment's name, in the pool's namespace.", .required = true, .form = Form::name});
}

template <class V, Is<Nodes> T>
void describe(V& v, T& o) {
  v.about(
      "An imagined group of nodes for worker processes on one machine, so that waiting for a node and a full group "
      "happen as in a cluster. A node beyond "
      "`min` goes off when it has been idle for 60 s.");
  v.field("min", o.min, {.doc = "Nodes that are up from the start and stay.", .max = workers_limit});
  v.field("max", o.max, {.doc = "Nodes at most.", .min = 1, .max = workers_limit});
  v.field("slots", o.slots,
          {.doc = "Workers that fit on one node.", .min = 1, .max = workers_limit, .default_text = "workers.max"});
  v.field("boot", o.boot,
          {.doc = "The time that a new node needs before its first worker starts.",
           .shortest = Duration{0},
           .longest = std::chrono::hours{1}});
  v.rule(o, {.fields = {"min", "max"}, .accepted = "min at most max", .cel = "self.min <= self.max"},
         [](const Nodes& n) { return at_most(n.min, n.max); });
}

template <class V, Is<ProcessFleet> T>
void describe(V& v, T& o) {
  v.about("Worker processes on this machine, for `sluice scale`.");
  v.field("nodes", o.nodes, {.doc = "The imagined group of nodes."});
}

template <class V, Is<Workers> T>
void describe(V& v, T& o) {
  v.about(
      "How many workers, and what they are. `job` or `deployment` for a cluster, `process` beside it for `sluice "
      "scale`.");
  v.field("min", o.min, {.doc = "Workers that stay even when nothing waits.", .max = workers_limit});
  v.field("max", o.max,
          {.doc = "Never more live workers than this.", .required = true, .min = 1, .max = workers_limit});
  v.field("surge", o.surge,
          {.doc = "Workers at most that are created and not yet on a node.",
           .min = 1,
           .max = workers_limit,
           .default_text =
               "threshold 1; backlogPerWorker 8 or the live workers, whichever is more; lag and hpa workers.max"});
  v.field("startDeadline", o.start_deadline,
          {.doc = "A worker that is not ready after this time has failed to start."});
  v.field("fullAfter", o.full_after,
          {.doc = "The node group counts as full when no worker got its place for this long.",
           .default_text = "3 x the learned start-up time, at least 5m"});
  v.field(
      "maxRuntime", o.max_runtime,
      {.doc = "The longest that one message may take.", .longest = std::chrono::hours{720}, .default_text = "none"});
  v.field("idleExit", o.idle_exit,
          {.doc = "A worker leaves when the queue has been empty for this long.",
           .default_text = "10s; lag 15m, as the scaler asks idle workers to leave"});
  v.field("claim", o.claim,
          {.doc = "How it is known that a worker takes messages: the first of these that works, or this one.",
           .words = claim_words});
  v.field("concurrency", o.concurrency, {.doc = "Messages that one worker handles at a time.", .min = 1, .max = 1000});
  v.field("run", o.run,
          {.doc = "The worker process itself.", .default_text = "the job template's or the Deployment's"});
  v.field("job", o.job,
          {.doc = "Workers as Kubernetes Jobs.", .default_text = "a Job made from run, unless deployment is given"});
  v.field("deployment", o.deployment, {.doc = "Workers as the pods of a Deployment.", .default_text = "none"});
  v.field("process", o.process,
          {.doc = "Workers as processes on this machine.", .default_text = "one node with room for all"});
  v.rule(o, {.fields = {"min", "max"}, .accepted = "min at most max", .cel = "self.min <= self.max"},
         [](const Workers& w) { return at_most(w.min, w.max); });
  v.rule(o,
         {.fields = {"deployment", "job"},
          .accepted = "one of job and deployment",
          .cel = "!(has(self.job) && has(self.deployment))"},
         [](const Workers& w) { return wrong_unless(!(w.job && w.deployment), "both job and deployment"); });
  v.rule(o,
         {.fields = {"process", "run", "run.command"},
          .accepted = "run.command, the program of the worker processes, beside process",
          .cel = "!has(self.process) || (has(self.run) && has(self.run.command))"},
         [](const Workers& w) {
           return wrong_unless(!w.process || (w.run && !w.run->command.empty()), "process without run.command");
         });
  v.rule(o,
         {.fields = {"job.template", "job", "run", "run.image"},
          .accepted = "a job.template with containers, or run.image, beside job",
          .cel = "!has(self.job) || has(self.job.template) || (has(self.run) && has(self.run.image))"},
         [](const Workers& w) {
           const bool template_runs = w.job && w.job->job_template && has_containers(*w.job->job_template);
           return wrong_unless(!w.job || template_runs || (w.run && w.run->image), "a Job without a container");
         });
}

}  // namespace sluice::pool
