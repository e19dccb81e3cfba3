// SPDX-License-Identifier: Apache-2.0
#include "kube/deployment.h"

#include <fmt/core.h>

#include <tuple>

#include "base/number.h"
#include "kube/fields.h"

namespace sluice::kube {
namespace {

namespace json = boost::json;

std::string words_of(const Fields& expression, std::string_view key) {
  std::string out;
  const json::value* values = expression.get(key);
  if (values == nullptr || !values->is_array()) {
    return out;
  }
  for (const json::value& one : values->get_array()) {
    out += out.empty() ? "" : ",";
    out += one.is_string() ? std::string_view(one.get_string()) : std::string_view();
  }
  return out;
}

std::string requirement(const Fields& expression) {
  const std::string key = expression.text("key");
  const std::string how = expression.text("operator");
  if (how == "Exists" || how == "DoesNotExist") {
    return how == "Exists" ? key : "!" + key;
  }
  if (how != "In" && how != "NotIn") {
    expression.fail("operator", "In, NotIn, Exists or DoesNotExist");
  }
  return fmt::format("{} {} ({})", key, how == "In" ? "in" : "notin", words_of(expression, "values"));
}

std::string selector_of(const Fields& selector) {
  std::string out;
  const json::value* labels = selector.get("matchLabels");
  if (labels != nullptr && labels->is_object()) {
    const Fields fields = selector.in("matchLabels");
    for (const auto& label : labels->get_object()) {
      const std::string_view key{label.key().data(), label.key().size()};
      out += fmt::format("{}{}={}", out.empty() ? "" : ",", key, fields.text(key));
    }
  }
  selector.each("matchExpressions", [&](const Fields& one) { out += (out.empty() ? "" : ",") + requirement(one); });
  return out;
}

Deployment deployment_of(const Fields& object) {
  const Fields spec = object.in("spec");
  const Fields status = object.in("status");
  Deployment out{.meta = meta_of(object),
                 .generation = object.in("metadata").number("generation"),
                 .observed = status.number("observedGeneration"),
                 .replicas = spec.get("replicas") != nullptr ? spec.small("replicas") : 1,
                 .pods = status.small("replicas"),
                 .updated = status.small("updatedReplicas"),
                 .selector = selector_of(spec.in("selector")),
                 .refused = {}};
  status.conditions([&](const std::string& type, const std::string& is, const Fields& condition) {
    if (type == "ReplicaFailure" && is == "True") {
      out.refused = condition.text("message");
    }
  });
  return out;
}

DeploymentPod deployment_pod_of(const Fields& object) {
  DeploymentPod out;
  static_cast<Pod&>(out) = pod_of(object);
  const Fields meta = object.in("metadata");
  out.hash = meta.in("labels").text("pod-template-hash");
  // What is no number Kubernetes takes for 0, too.
  out.cost = parse_number<std::int32_t>(meta.in("annotations").text(annotation_cost)).value_or(0);
  meta.each("ownerReferences", [&](const Fields& owner) {
    if (owner.truth("controller") && owner.text("kind") == "ReplicaSet") {
      out.replica_set = owner.text("name");
    }
  });
  return out;
}

int rank_of(Pod::Phase phase) {
  return phase == Pod::Phase::pending ? 0 : phase == Pod::Phase::unknown ? 1 : 2;
}

}  // namespace

bool is_of(const DeploymentPod& pod, std::string_view deployment) {
  return !pod.hash.empty() && pod.replica_set == fmt::format("{}-{}", deployment, pod.hash);
}

bool goes_before(const DeploymentPod& a, const DeploymentPod& b) {
  const auto order = [](const DeploymentPod& pod) {
    return std::tuple(!pod.node.empty(), rank_of(pod.phase), pod.ready, pod.cost);
  };
  return order(a) < order(b);
}

Result<Deployment> read_deployment(std::string_view json) {
  return read_object<Deployment>(json, "deployment", deployment_of);
}

Result<Event<Deployment>> read_deployment_event(std::string_view json) {
  return read_event<Deployment>(json, "deployment", deployment_of);
}

Result<DeploymentPod> read_deployment_pod(std::string_view json) {
  return read_object<DeploymentPod>(json, "pod", deployment_pod_of);
}

Result<Event<DeploymentPod>> read_deployment_pod_event(std::string_view json) {
  return read_event<DeploymentPod>(json, "pod", deployment_pod_of);
}

Result<Autoscaler> read_autoscaler(std::string_view json) {
  return read_object<Autoscaler>(json, "horizontalpodautoscaler", [](const Fields& object) {
    const Fields target = object.in("spec").in("scaleTargetRef");
    return Autoscaler{
        .name = object.in("metadata").text("name"), .kind = target.text("kind"), .target = target.text("name")};
  });
}

}  // namespace sluice::kube
