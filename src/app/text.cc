// SPDX-License-Identifier: Apache-2.0
#include "app/text.h"

#include <fmt/core.h>

namespace sluice::app {
namespace {

struct Piece {
  std::size_t bytes = 0;
  int columns = 0;
};

// The next colour sequence or character of non-empty text.
Piece next_piece(std::string_view text) {
  if (text.starts_with("\x1b[")) {
    const std::size_t end = text.find('m');
    return {.bytes = end == std::string_view::npos ? text.size() : end + 1, .columns = 0};
  }
  std::size_t bytes = 1;
  while (bytes < text.size() && (static_cast<unsigned char>(text[bytes]) & 0xC0U) == 0x80U) {
    ++bytes;
  }
  return {.bytes = bytes, .columns = 1};
}

}  // namespace

int width(std::string_view text) {
  int columns = 0;
  while (!text.empty()) {
    const Piece piece = next_piece(text);
    columns += piece.columns;
    text.remove_prefix(piece.bytes);
  }
  return columns;
}

std::string cut(std::string_view text, int columns) {
  if (width(text) <= columns) {
    return std::string(text);
  }
  std::string out;
  bool colour = false;
  for (int used = 0; !text.empty();) {
    const Piece piece = next_piece(text);
    if (used + piece.columns > columns - 1) {
      break;
    }
    colour = colour || piece.columns == 0;
    used += piece.columns;
    out += text.substr(0, piece.bytes);
    text.remove_prefix(piece.bytes);
  }
  out += columns > 0 ? "…" : "";
  return colour ? out + "\x1b[0m" : out;
}

std::string padded(std::string text, int columns) {
  const int missing = columns - width(text);
  return missing > 0 ? text + std::string(static_cast<std::size_t>(missing), ' ') : text;
}

std::string coloured(std::string_view text, Colour colour, bool on) {
  if (!on || colour == Colour::none) {
    return std::string(text);
  }
  const int code = colour == Colour::bold     ? 1
                   : colour == Colour::dim    ? 2
                   : colour == Colour::red    ? 31
                   : colour == Colour::green  ? 32
                   : colour == Colour::yellow ? 33
                   : colour == Colour::blue   ? 34
                                              : 36;
  return fmt::format("\x1b[{}m{}\x1b[0m", code, text);
}

}  // namespace sluice::app
