// SPDX-License-Identifier: Apache-2.0
#include "kube/secret.h"

#include <fmt/core.h>

#include <boost/json.hpp>

#include "aio/base64.h"

namespace sluice::kube {

namespace json = boost::json;

Result<SecretData> read_secret(std::string_view text) {
  boost::system::error_code bad;
  const json::value value = json::parse({text.data(), text.size()}, bad);
  const json::object* secret = bad ? nullptr : value.if_object();
  if (secret == nullptr) {
    return Error{Code::invalid, "the API server's answer is no Secret"};
  }
  SecretData out;
  const json::value* data = secret->if_contains("data");
  if (data == nullptr || data->is_null()) {
    return out;
  }
  if (!data->is_object()) {
    return Error{Code::invalid, "the Secret's data is not an object"};
  }
  for (const auto& [key, encoded] : data->get_object()) {
    Result<std::string> bytes = encoded.is_string() ? aio::from_base64(std::string_view(encoded.get_string()))
                                                    : Error{Code::invalid, "not a string"};
    if (!bytes) {
      return Error{Code::invalid, fmt::format("the Secret's key {} is not base64", std::string_view(key))};
    }
    out.emplace(std::string_view(key), std::move(*bytes));
  }
  return out;
}

aio::Task<Result<SecretData>> get_secret(Api& api, std::string space, std::string name, aio::Deadline deadline) {
  Call call{.path = fmt::format("/api/v1/namespaces/{}/secrets/{}", space, name)};
  const Result<std::string> answer = co_await api.ask(std::move(call), deadline);
  if (answer) {
    Result<SecretData> out = read_secret(*answer);
    co_return out ? std::move(out) : out.error().in(fmt::format("Secret {}", name));
  }
  const Error& error = answer.error();
  if (error.code == Code::gone) {
    co_return Error{Code::gone,
                    fmt::format("there is no Secret {} in namespace {}; kubectl -n {} create secret generic "
                                "{} --from-literal=username=.. --from-literal=password=..",
                                name, space, space, name)};
  }
  if (error.code == Code::denied) {
    co_return Error{Code::denied, fmt::format("{}; give the controller the right to get the Secret {} by its name (the "
                                              "chart's value credentials.read), or mount it (credentials.mount)",
                                              error.what, name)};
  }
  co_return error.in(fmt::format("Secret {}", name));
}

}  // namespace sluice::kube
