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
  std::string text(bytes_max + 1, '\0');
  std::size_t size = 0;
  while (size < text.size()) {
    const ssize_t n = ::read(file.get(), text.data() + size, text.size() - size);
    if (n < 0 && errno == EINTR) {
      continue;
    }
    if (n < 0) {
      return Error{Code::denied, fmt::format("{}: cannot read: {}", path, std::strerror(errno))};
    }
    if (n == 0) {
      text.resize(size);
      return text;
    }
    size += static_cast<std::size_t>(n);
  }
  return Error{Code::denied, fmt::format("{}: longer than {} bytes", path, bytes_max)};
}

bool Secret::has(const std::string& key) const {
  return ::access((folder_ + "/" + key).c_str(), F_OK) == 0;
}

Result<std::string> Secret::read(const std::string& key) const {
  Result<std::string> text = read_secret_file(folder_ + "/" + key);
  if (text && text->ends_with('\n')) {
    text->pop_back();
    if (text->ends_with('\r')) {
      text->pop_back();
    }
  }
  return text;
}

}  // namespace sluice::wiring
