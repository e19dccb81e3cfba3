// SPDX-License-Identifier: Apache-2.0
#include "wiring/secret.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "aio/fd.h"

namespace sluice::wiring {
namespace {

constexpr std::size_t bytes_max = 1U << 20U;  // of a Kubernetes Secret, all its keys together

}  // namespace

Result<std::string> read_secret_file(const std::string& path) {
  const aio::Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file) {
    return Error{Code::denied, fmt::format("{}: cannot open: {}", path, std::strerror(errno))};
  }
  Result<std::string> text = aio::read_all(file.get(), bytes_max);
  if (!text) {
    return text.error().in(path);
  }
  if (text->size() > bytes_max) {
    return Error{Code::denied, fmt::format("{}: longer than {} bytes", path, bytes_max)};
  }
  return text;
}

std::string without_line_end(std::string text) {
  if (text.ends_with('\n')) {
    text.pop_back();
    if (text.ends_with('\r')) {
      text.pop_back();
    }
  }
  return text;
}

bool FolderSecrets::has(const std::string& name, const std::string& key) const {
  return ::access((place(name) + "/" + key).c_str(), F_OK) == 0;
}

Result<std::string> FolderSecrets::read(const std::string& name, const std::string& key) const {
  Result<std::string> text = read_secret_file(place(name) + "/" + key);
  return text ? without_line_end(std::move(*text)) : text;
}

}  // namespace sluice::wiring
