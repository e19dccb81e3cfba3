// SPDX-License-Identifier: Apache-2.0
#include "external/config_map.h"

#include <boost/json.hpp>

#include "kube/fields.h"

namespace sluice::external {
namespace {

// By its name alone, which is all that the role extension-apiserver-authentication-reader gives a right to.
constexpr const char* path =
    "/api/v1/namespaces/kube-system/configmaps?fieldSelector=metadata.name%3Dextension-apiserver-authentication";
constexpr const char* name = "ConfigMap extension-apiserver-authentication";

kube::MirrorOptions<ConfigMap> options(std::function<void(const std::string&)> trouble) {
  kube::MirrorOptions<ConfigMap> out{.path = path, .read = read_config_map, .read_event = read_config_map_event};
  out.trouble = [trouble = std::move(trouble)](const Error* why) {
    trouble(why == nullptr ? "" : why->in(std::string(name) + " of kube-system cannot be read").what);
  };
  return out;
}

ConfigMap meta_alone(const kube::Fields& object) {
  return {.meta = kube::meta_of(object), .config = {}};
}

}  // namespace

Result<ConfigMap> read_config_map(std::string_view json) {
  Result<ConfigMap> out = kube::read_object<ConfigMap>(json, name, meta_alone);
  if (!out) {
    return out;
  }
  Result<ProxyConfig> config = parse_proxy_config(json);
  if (!config) {
    return config.error();
  }
  out->config = std::move(*config);
  return out;
}

Result<kube::Event<ConfigMap>> read_config_map_event(std::string_view json) {
  Result<kube::Event<ConfigMap>> out = kube::read_event<ConfigMap>(json, name, meta_alone);
  if (!out || out->type == kube::EventType::bookmark || out->type == kube::EventType::error) {
    return out;
  }
  const boost::json::value line = boost::json::parse({json.data(), json.size()});
  Result<ProxyConfig> config = parse_proxy_config(boost::json::serialize(line.at("object")));
  if (!config) {
    return config.error();
  }
  out->object.config = std::move(*config);
  return out;
}

ProxyConfigWatch::ProxyConfigWatch(kube::Api& api, aio::Clock& clock, Random& random,
                                   std::function<void(const std::string&)> trouble)
    : mirror_(api, clock, random, [&] {
        kube::MirrorOptions<ConfigMap> out = options(std::move(trouble));
        out.on_change = [this](const ConfigMap*, const ConfigMap* now) {
          if (now != nullptr && (version_ == 0 || now->config != config_)) {
            config_ = now->config;
            ++version_;
          }
        };
        return out;
      }()) {}

}  // namespace sluice::external
