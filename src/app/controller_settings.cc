// SPDX-License-Identifier: Apache-2.0
#include "app/controller_settings.h"

#include <fmt/core.h>
#include <unistd.h>

#include "app/wiring.h"
#include "base/number.h"

namespace sluice::app {
namespace {

constexpr std::size_t file_max = 4U << 20U;

}  // namespace

Result<ListenAt> parse_listen(const std::string& text) {
  const std::size_t colon = text.rfind(':');
  const std::optional<std::uint16_t> port =
      colon == std::string::npos ? std::nullopt : parse_number<std::uint16_t>(std::string_view(text).substr(colon + 1));
  if (!port) {
    return Error{Code::invalid, fmt::format("--listen {}: accepted is ADDRESS:PORT, such as 127.0.0.1:7171", text)};
  }
  const std::string address = text.substr(0, colon);
  return address.empty() ? ListenAt{.port = *port} : ListenAt{.address = address, .port = *port};
}

kube::ReadFile file_reader() {
  return [](const std::string& path) -> Result<std::string> {
    if (::access(path.c_str(), F_OK) != 0) {
      return Error{Code::gone, path + ": is not there"};
    }
    return read_file(path, file_max);
  };
}

Result<ControllerSettings> controller_settings(Context& context, const Args& args) {
  ControllerSettings out;
  const auto variable = [&context](const std::string& name) { return context.env(name); };
  const kube::Wanted wanted{.kubeconfig = args.text("kubeconfig").value_or(""),
                            .context = args.text("context").value_or(""),
                            .space = args.texts("namespace").empty() ? "" : args.texts("namespace").front()};
  Result<kube::Access> access = kube::find_access(wanted, variable, file_reader());
  if (!access) {
    return access.error();
  }
  out.access = std::move(*access);
  if (args.has("all-namespaces") && !args.texts("namespace").empty()) {
    return Error{Code::invalid, "--all-namespaces and --namespace: one is enough"};
  }
  out.spaces = args.texts("namespace");
  if (args.has("all-namespaces")) {
    out.spaces = {""};
  } else if (out.spaces.empty()) {
    out.spaces = {out.access.space};
  }
  out.lease = args.text("lease").value_or("sluice");
  out.lease_space = args.text("lease-namespace").value_or(out.access.space);
  out.secrets = args.text("secrets").value_or("/var/run/secrets/sluice.dev");
  out.journal = args.text("journal").value_or("");
  if (const std::optional<std::string> listen = args.text("listen")) {
    const Result<ListenAt> place = parse_listen(*listen);
    if (!place) {
      return place.error();
    }
    out.listen = *place;
  }
  return out;
}

}  // namespace sluice::app
