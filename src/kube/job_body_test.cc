// SPDX-License-Identifier: Apache-2.0
#include "kube/job_body.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "kube/objects.h"

namespace sluice::kube {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;

boost::json::value made(const JobTemplate& job, int slot = 3, bool stays = false) {
  const Result<std::string> text = job_json(job, slot, stays);
  EXPECT_TRUE(text) << text.error().what;
  return boost::json::parse(text.value_or("{}"));
}
std::string text(const boost::json::value& value, const char* pointer) {
  boost::system::error_code none;
  const boost::json::value* found = value.find_pointer(pointer, none);
  return found == nullptr ? "absent" : boost::json::serialize(*found);
}
std::vector<std::string> variables(const boost::json::value& job, int container = 0) {
  std::vector<std::string> out;
  for (const boost::json::value& one :
       job.at("spec").at("template").at("spec").at("containers").at(container).at("env").as_array()) {
    out.push_back(std::string(one.at("name").as_string()) + "=" + std::string(one.at("value").as_string()));
  }
  return out;
}
JobTemplate of_run() {
  return {.space = "shop", .pool = "orders", .image = "registry.example/worker:1", .argv = {"sluice", "work"}};
}

TEST(JobBody, AWorkerMadeFromRunIsReadyWhenItSaysSo) {
  JobTemplate job = of_run();
  job.environment = {{"SLUICE_QUEUE", "{}"}};
  job.idle_exit = "10s";
  const boost::json::value json = made(job);
  EXPECT_EQ(text(json, "/apiVersion") + text(json, "/kind"), R"("batch/v1""Job")");
  EXPECT_EQ(text(json, "/metadata/name"), R"("orders-w3")");
  EXPECT_EQ(text(json, "/metadata/namespace"), R"("shop")");
  for (const char* where : {"/metadata/labels", "/spec/template/metadata/labels"}) {
    EXPECT_EQ(text(json, where),
              R"({"sluice.dev/pool":"orders","sluice.dev/slot":"3","app.kubernetes.io/managed-by":"sluice"})");
  }
  EXPECT_EQ(text(json, "/spec/parallelism") + text(json, "/spec/completions") + text(json, "/spec/backoffLimit"),
            "110");
  EXPECT_EQ(text(json, "/spec/podReplacementPolicy"), R"("Failed")");
  EXPECT_EQ(text(json, "/spec/ttlSecondsAfterFinished"), "86400");
  EXPECT_EQ(text(json, "/spec/template/spec/restartPolicy"), R"("Never")");
  EXPECT_EQ(text(json, "/spec/template/spec/enableServiceLinks"), "false");
  EXPECT_EQ(text(json, "/spec/template/spec/containers/0/command"), R"(["sluice","work"])");
  EXPECT_EQ(text(json, "/spec/template/spec/containers/0/readinessProbe/httpGet"), R"({"path":"/worker","port":7172})");
  EXPECT_EQ(text(json, "/spec/template/metadata/annotations/sluice.dev~1container"), R"("worker")");
  EXPECT_EQ(text(json, "/metadata/annotations/sluice.dev~1stays-when-idle"), "absent");
  EXPECT_THAT(variables(json), ElementsAre("SLUICE_QUEUE={}", "SLUICE_POOL=shop/orders", "SLUICE_WORKER=orders-w3",
                                           "SLUICE_SLOT=3", "SLUICE_WORKER_PORT=7172", "SLUICE_IDLE_EXIT=10s"));
}

TEST(JobBody, ASlotThatStaysIsRememberedInTheObject) {
  const boost::json::value json = made(of_run(), 0, true);
  EXPECT_EQ(text(json, "/metadata/annotations/sluice.dev~1stays-when-idle"), R"("true")");
  EXPECT_THAT(variables(json), testing::Contains("SLUICE_IDLE_EXIT=never"));
}

TEST(JobBody, TheTemplateIsTheUsersWhereItSaysSomething) {
  JobTemplate job{.space = "shop", .pool = "orders"};
  job.json = R"({"metadata":{"labels":{"team":"a"},"ownerReferences":[{"uid":"x"}],"generateName":"x-"},)"
             R"("spec":{"ttlSecondsAfterFinished":0,"podReplacementPolicy":"TerminatingOrFailed","template":{)"
             R"("metadata":{"annotations":{"karpenter.sh/do-not-disrupt":"false"}},)"
             R"("spec":{"restartPolicy":"OnFailure","terminationGracePeriodSeconds":90,"containers":[)"
             R"({"name":"proxy","image":"p"},)"
             R"({"name":"it","image":"i","env":[{"name":"A","value":"1"},{"name":"SLUICE_POOL","value":"x"}]}]}}}})";
  job.container = "it";
  job.env = {{"A", "2"}};
  job.max_runtime = 60s;
  const boost::json::value json = made(job);
  EXPECT_EQ(text(json, "/metadata/labels/team"), R"("a")");
  EXPECT_EQ(text(json, "/metadata/ownerReferences") + text(json, "/metadata/generateName"), "absentabsent");
  EXPECT_EQ(text(json, "/spec/ttlSecondsAfterFinished"), "0");
  EXPECT_EQ(text(json, "/spec/podReplacementPolicy"), R"("TerminatingOrFailed")");
  EXPECT_EQ(text(json, "/spec/template/spec/restartPolicy"), R"("OnFailure")");
  EXPECT_EQ(text(json, "/spec/template/spec/terminationGracePeriodSeconds"), "90");
  EXPECT_EQ(text(json, "/spec/template/metadata/annotations/karpenter.sh~1do-not-disrupt"), R"("false")");
  EXPECT_EQ(text(json, "/spec/template/metadata/annotations/sluice.dev~1container"), R"("it")");
  EXPECT_EQ(text(json, "/spec/template/spec/containers/0/env"), "absent");
  EXPECT_EQ(text(json, "/spec/template/spec/containers/1/readinessProbe"), "absent") << "not a program of ours";
  EXPECT_THAT(variables(json, 1), ElementsAre("A=2", "SLUICE_POOL=shop/orders", "SLUICE_WORKER=orders-w3",
                                              "SLUICE_SLOT=3", "SLUICE_WORKER_PORT=7172", "SLUICE_IDLE_EXIT=never"));
  job.max_runtime = 30min;
  EXPECT_EQ(text(made(job), "/spec/template/spec/terminationGracePeriodSeconds"), "1800");
}

TEST(JobBody, CredentialsAreFilesOfAMountedSecretAndNothingElse) {
  JobTemplate job = of_run();
  job.secret = "rabbitmq-user";
  const boost::json::value json = made(job);
  EXPECT_EQ(text(json, "/spec/template/spec/volumes/0/secret"), R"({"secretName":"rabbitmq-user"})");
  EXPECT_EQ(text(json, "/spec/template/spec/containers/0/volumeMounts/0/mountPath"),
            R"("/var/run/secrets/sluice.dev/rabbitmq-user")");
  EXPECT_THAT(variables(json), testing::Contains("SLUICE_SECRETS=/var/run/secrets/sluice.dev"));
}

TEST(JobBody, SaysWhatIsNoJob) {
  JobTemplate job{.space = "shop", .pool = "orders"};
  EXPECT_THAT(job_json(job, 0, false).error().what, HasSubstr("nor is there run.image"));
  for (const char* text : {"[]", "{\"spec\":[]}", "{\"metadata\":1}", "{\"spec\":{\"template\":{\"spec\":7}}}", "{"}) {
    job.json = text;
    EXPECT_THAT(job_json(job, 0, false).error().what, HasSubstr("no JobTemplateSpec")) << text;
  }
  job.json = R"({"spec":{"template":{"spec":{"containers":{}}}}})";
  EXPECT_THAT(job_json(job, 0, false).error().what, HasSubstr("not a list"));
  job.json = R"({"spec":{"template":{"spec":{"containers":[{"name":"a"}]}}}})";
  job.container = "b";
  EXPECT_THAT(job_json(job, 0, false).error().what, HasSubstr("no container b"));
}

TEST(SlotOf, ReadsOnlyNamesThatSluiceGives) {
  EXPECT_EQ(slot_of("orders", "orders-w0"), 0);
  EXPECT_EQ(slot_of("orders", "orders-w9999"), 9999);
  for (const char* name : {"orders-w", "orders-w01", "orders-w-1", "orders-w1x", "orders-w2-w3", "other-w1", "orders",
                           "orders-w99999999999"}) {
    EXPECT_EQ(slot_of("orders", name), std::nullopt) << name;
  }
  EXPECT_EQ(slot_of("orders-w2", "orders-w2-w3"), 3);
}

}  // namespace
}  // namespace sluice::kube
