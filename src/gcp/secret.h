// SPDX-License-Identifier: Apache-2.0
#pragma once
// A text that nobody may see: it has no implicit string, nothing prints it, and its bytes are overwritten when it goes.
#include <string>
#include <string_view>
#include <utility>

namespace sluice::gcp {

// Overwrites the bytes in a way that no compiler leaves out.
void wipe(std::string& text);
void wipe(char* data, std::size_t size);

class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string_view text) : text_(text) {}
  Secret(const Secret& other) = default;
  Secret(Secret&& other) noexcept : text_(std::move(other.text_)) { wipe(other.text_); }
  Secret& operator=(const Secret& other) {
    if (this != &other) {
      wipe(text_);
      text_ = other.text_;
    }
    return *this;
  }
  Secret& operator=(Secret&& other) noexcept {
    std::swap(text_, other.text_);
    return *this;
  }
  ~Secret() { wipe(text_); }

  // For the one call that has to have it.
  [[nodiscard]] std::string_view reveal() const { return text_; }
  [[nodiscard]] bool empty() const { return text_.empty(); }
  friend bool operator==(const Secret&, const Secret&) = default;

 private:
  std::string text_;
};

}  // namespace sluice::gcp
