// SPDX-License-Identifier: Apache-2.0
#include "kube/objects.h"

#include <gtest/gtest.h>

namespace sluice::kube {
namespace {

constexpr WallTime t0 = std::chrono::sys_days{std::chrono::year{2026} / 3 / 1};

TEST(ReadJob, KeepsWhatIsDecidedBy) {
  const Result<Job> job = read_job(R"({
    "apiVersion": "batch/v1", "kind": "Job",
    "metadata": {"name": "orders-w3", "namespace": "shop", "uid": "u-1", "resourceVersion": "812",
                 "creationTimestamp": "2026-03-01T00:00:00Z", "deletionTimestamp": "2026-03-01T00:00:09Z",
                 "labels": {"sluice.dev/pool": "orders", "other": "x"}, "managedFields": [{"x": {}}],
                 "ownerReferences": [{"uid": "no", "controller": false}, {"uid": "yes", "controller": true}]},
    "spec": {"suspend": true, "template": {}},
    "status": {"active": 1, "ready": 2, "terminating": 3, "succeeded": 4, "failed": 5, "uncountedTerminatedPods": {}}})");
  ASSERT_TRUE(job) << job.error().what;
  EXPECT_EQ(job->meta.space + "/" + job->meta.name, "shop/orders-w3");
  EXPECT_EQ(job->meta.uid, "u-1");
  EXPECT_EQ(job->meta.version, "812");
  EXPECT_EQ(job->meta.pool, "orders");
  EXPECT_EQ(job->meta.owner, "yes");
  EXPECT_EQ(job->meta.created, t0);
  EXPECT_EQ(job->meta.deleting, t0 + std::chrono::seconds{9});
  EXPECT_TRUE(job->suspended);
  EXPECT_EQ(job->active * 10000 + job->ready * 1000 + job->terminating * 100 + job->succeeded_n * 10 + job->failed_n,
            12345);
  EXPECT_EQ(job->end, Job::End::none);
  EXPECT_FALSE(job->over());
}

Job ended(const std::string& conditions, const std::string& more = "") {
  const Result<Job> job = read_job(R"({"status":{)" + more + R"("conditions":[)" + conditions + "]}}");
  EXPECT_TRUE(job) << job.error().what;
  return job.value_or(Job{});
}

TEST(ReadJob, IsOverOnlyWhenItsPodsHaveEndedToo) {
  const std::string target =
      R"({"type":"FailureTarget","status":"True","reason":"BackoffLimitExceeded","message":"why"})";
  const std::string failed = R"({"type":"Failed","status":"True","reason":"BackoffLimitExceeded","message":"why",
                                 "lastTransitionTime":"2026-03-01T00:00:00Z"})";
  EXPECT_EQ(ended(target).end, Job::End::failing);
  EXPECT_EQ(ended(target).end_reason, "BackoffLimitExceeded");
  EXPECT_FALSE(ended(target).over());
  const Job over = ended(failed + "," + target);  // in any order
  EXPECT_EQ(over.end, Job::End::failed);
  EXPECT_EQ(over.end_message, "why");
  EXPECT_EQ(over.ended, t0);
  EXPECT_TRUE(over.over());
  EXPECT_FALSE(ended(failed, R"("terminating":1,)").over());
  EXPECT_EQ(ended(R"({"type":"SuccessCriteriaMet","status":"True"})").end, Job::End::succeeding);
  const Job complete = ended(R"({"type":"Complete","status":"True"})", R"("completionTime":"2026-03-01T00:00:00Z",)");
  EXPECT_EQ(complete.end, Job::End::complete);
  EXPECT_EQ(complete.ended, t0);
  EXPECT_EQ(ended(R"({"type":"Complete","status":"False"},{"type":"Suspended","status":"True"})").end, Job::End::none);
}

TEST(ReadPod, KeepsWhereItIsAndHowItsContainersAre) {
  const Result<Pod> pod = read_pod(R"({
    "metadata": {"name": "orders-w3-x7k", "uid": "p-1"},
    "spec": {"nodeName": "node-0"},
    "status": {"phase": "Running", "reason": "Evicted", "message": "low on memory",
      "conditions": [{"type": "Ready", "status": "True"},
                     {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}],
      "containerStatuses": [
        {"name": "worker", "ready": true, "restartCount": 2, "state": {"running": {"startedAt": "2026-03-01T00:00:00Z"}}},
        {"name": "proxy", "ready": false, "restartCount": 0,
         "state": {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling"}}},
        {"name": "done", "state": {"terminated": {"exitCode": 137, "reason": "OOMKilled", "message": "last words",
                                                  "startedAt": "2026-03-01T00:00:00Z"}}}]}})");
  ASSERT_TRUE(pod) << pod.error().what;
  EXPECT_EQ(pod->node, "node-0");
  EXPECT_EQ(pod->phase, Pod::Phase::running);
  EXPECT_EQ(pod->reason, "Evicted");
  EXPECT_EQ(pod->disrupted, "EvictionByEvictionAPI");
  EXPECT_TRUE(pod->ready);
  EXPECT_FALSE(pod->ended());
  ASSERT_EQ(pod->containers.size(), 3U);
  EXPECT_EQ(pod->containers[0].state, Container::State::running);
  EXPECT_EQ(pod->containers[0].restarts, 2);
  EXPECT_EQ(pod->containers[0].started, t0);
  EXPECT_TRUE(pod->containers[0].ready);
  EXPECT_EQ(pod->containers[1].state, Container::State::waiting);
  EXPECT_EQ(pod->containers[1].reason, "ImagePullBackOff");
  EXPECT_EQ(pod->containers[2].state, Container::State::terminated);
  EXPECT_EQ(pod->containers[2].exit_code, 137);
  EXPECT_EQ(pod->containers[2].message, "last words");
}

TEST(ReadPod, SaysWhyItHasNoNode) {
  const Result<Pod> pod = read_pod(R"({"status":{"phase":"Pending","conditions":[
    {"type":"PodScheduled","status":"False","reason":"Unschedulable","message":"0/3 nodes are available"}]}})");
  ASSERT_TRUE(pod);
  EXPECT_EQ(pod->node, "");
  EXPECT_EQ(pod->unscheduled_reason, "Unschedulable");
  EXPECT_EQ(pod->unscheduled_message, "0/3 nodes are available");
  EXPECT_EQ(read_pod(R"({"status":{"phase":"Unknown"}})")->phase, Pod::Phase::unknown);
  EXPECT_EQ(read_pod("{}")->phase, Pod::Phase::pending);
}

TEST(ReadObjects, NameTheFieldThatIsWrong) {
  EXPECT_EQ(read_job(R"({"status":{"active":"1"}})").error().what, "job.status.active: not a whole number");
  EXPECT_EQ(read_job(R"({"status":{"active":4294967296}})").error().what, "job.status.active: not a number of 32 bits");
  EXPECT_EQ(read_job(R"({"metadata":[]})").error().what, "job.metadata: not an object");
  EXPECT_EQ(read_job(R"({"metadata":{"creationTimestamp":"yesterday"}})").error().what,
            "job.metadata.creationTimestamp: not a time as in RFC 3339");
  EXPECT_EQ(read_job(R"({"spec":{"suspend":1}})").error().what, "job.spec.suspend: not true or false");
  EXPECT_EQ(read_pod(R"({"status":{"containerStatuses":[{"name":7}]}})").error().what,
            "pod.status.containerStatuses[0].name: not a string");
  EXPECT_EQ(read_pod(R"({"status":{"conditions":{}}})").error().what, "pod.status.conditions: not an array");
  EXPECT_EQ(read_pod("[]").error().what, "pod: not an object");
  EXPECT_EQ(read_pod("{").error().code, Code::invalid);
  EXPECT_EQ(read_pod(std::string(100'000, '[')).error().code, Code::invalid);
}

TEST(ReadList, GivesTheVersionAndTheNextPage) {
  const Result<ListHead> head = read_list_head(R"({"metadata":{"resourceVersion":"7","continue":"abc"},"items":[]})");
  EXPECT_EQ(head->version, "7");
  EXPECT_EQ(head->more, "abc");
  EXPECT_EQ(read_list_head(R"({"metadata":{"resourceVersion":"7"}})")->more, "");
}

TEST(ReadStatus, GivesWhyAndWhenToComeAgain) {
  const Result<Status> status = read_status(
      R"({"kind":"Status","code":429,"reason":"TooManyRequests","message":"slow down","details":{"retryAfterSeconds":2}})");
  EXPECT_EQ(status->code, 429);
  EXPECT_EQ(status->reason, "TooManyRequests");
  EXPECT_EQ(status->message, "slow down");
  EXPECT_EQ(status->retry_after_s, 2);
  EXPECT_FALSE(read_status(R"({"code":404})")->retry_after_s);
}

TEST(ReadEvent, IsAnObjectABookmarkOrTheEnd) {
  const Result<Event<Job>> added = read_job_event(R"({"type":"ADDED","object":{"metadata":{"name":"a"}}})");
  EXPECT_EQ(added->type, EventType::added);
  EXPECT_EQ(added->object.meta.name, "a");
  const Result<Event<Pod>> mark =
      read_pod_event(R"({"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"9"}}})");
  EXPECT_EQ(mark->type, EventType::bookmark);
  EXPECT_EQ(mark->object.meta.version, "9");
  const Result<Event<Pod>> end =
      read_pod_event(R"({"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired"}})");
  EXPECT_EQ(end->type, EventType::error);
  EXPECT_EQ(end->error.code, 410);
  EXPECT_EQ(read_job_event(R"({"type":"MOVED","object":{}})").error().what, "event.type: not a known type of event");
  EXPECT_EQ(read_job_event(R"({"type":"ADDED"})").error().what, "event.object: not there");
  EXPECT_EQ(read_job_event(R"({"type":"ADDED","object":{"status":{"active":"x"}}})").error().what,
            "job.status.active: not a whole number");
}

TEST(Objects, AreSmall) {
  EXPECT_LE(sizeof(Job) + sizeof(Pod) + sizeof(Container), 1024U);
}

}  // namespace
}  // namespace sluice::kube
