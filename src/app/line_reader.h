// SPDX-License-Identifier: Apache-2.0
#pragma once
// The lines of a file or of standard input, one at a time, in bounded memory. Blocks: for verbs that do nothing else.
#include <cstddef>
#include <optional>
#include <string>

#include "aio/fd.h"
#include "base/result.h"

namespace sluice::app {

struct ReadLine {
  std::string text;        // without its end; cut to the limit when too long
  std::size_t number = 0;  // from 1
  bool ended = true;       // false: the file ends here without a line end
  bool too_long = false;
};

class LineReader {
 public:
  // "-" is standard input. Code::denied with path and reason.
  static Result<LineReader> open(const std::string& path, std::size_t length_max);

  // Empty at the end. A file that cannot be read further is an Error.
  Result<std::optional<ReadLine>> next();

 private:
  LineReader(aio::Fd file, std::string path, std::size_t length_max)
      : file_(std::move(file)), path_(std::move(path)), length_max_(length_max) {}
  Result<bool> fill();
  [[nodiscard]] int fd() const { return path_ == "-" ? 0 : file_.get(); }

  aio::Fd file_;
  std::string path_;
  std::size_t length_max_;
  std::string buffer_;
  std::size_t at_ = 0;
  std::size_t number_ = 0;
};

}  // namespace sluice::app
