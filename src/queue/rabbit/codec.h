// SPDX-License-Identifier: Apache-2.0
#pragma once
// Methods and properties of AMQP 0-9-1 by rabbitmq-c's codec, without its connection: see decisions/0012.
#include <amqp.h>
#include <amqp_framing.h>

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"
#include "queue/rabbit/frame.h"

namespace sluice::queue::rabbit {

// Bytes that outlive what they are put into.
[[nodiscard]] inline amqp_bytes_t to_bytes(std::string_view text) {
  return amqp_bytes_t{text.size(), const_cast<char*>(text.data())};
}
[[nodiscard]] inline std::string_view to_view(amqp_bytes_t bytes) {
  return {static_cast<const char*>(bytes.bytes), bytes.len};
}

// A text of the broker for people: its first bytes, on one line, with a "?" for all that is not printable ASCII.
[[nodiscard]] std::string plain(std::string_view text, std::size_t most = 300);

// Memory of what was decoded; everything decoded with it is gone when it is.
class Pool {
 public:
  Pool() { ::init_amqp_pool(&pool_, page_bytes); }
  ~Pool() { ::empty_amqp_pool(&pool_); }
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;
  [[nodiscard]] amqp_pool_t* get() { return &pool_; }

 private:
  // Chosen: what a usual delivery needs. Every message has a pool, whose pages are set to zero.
  static constexpr std::size_t page_bytes = 1000;
  amqp_pool_t pool_{};
};

// A copy that lives as long as the pool.
[[nodiscard]] std::string_view keep(std::string_view bytes, Pool& pool);

// A method as it came: its number and its arguments, decoded by the type that belongs to the number.
class Method {
 public:
  // Requires: a frame of FrameType::method, whose payload outlives this.
  explicit Method(const Frame& frame) : Method(read_u32(frame.payload, 0), frame.payload.substr(4)) {}
  Method(amqp_method_number_t number, std::string_view arguments) : number_(number), arguments_(arguments) {}
  [[nodiscard]] amqp_method_number_t number() const { return number_; }
  [[nodiscard]] std::string_view arguments() const { return arguments_; }
  [[nodiscard]] std::string name() const;
  // The arguments as the struct of rabbitmq-c for number(); valid as long as the pool. Code::invalid when they are cut
  // short, when their tables are nested too deep (tables.h), or when the method is one with tables that only clients
  // send.
  template <class T>
  [[nodiscard]] Result<const T*> as(Pool& pool) const {
    const Result<void*> decoded = decode(pool);
    if (!decoded) {
      return decoded.error();
    }
    return static_cast<const T*>(*decoded);
  }

 private:
  [[nodiscard]] Result<void*> decode(Pool& pool) const;
  amqp_method_number_t number_;
  std::string_view arguments_;
};

// Appends a method frame. Requires: the arguments fit into a frame of `frame_max` bytes; checked.
void append_method(std::string& out, std::uint16_t channel, amqp_method_number_t number, void* arguments,
                   std::uint32_t frame_max);

struct ContentHead {
  std::uint64_t body_size = 0;
  const amqp_basic_properties_t* properties = nullptr;
};
// Of a frame of FrameType::header; valid as long as the pool. Code::invalid as for Method::as().
[[nodiscard]] Result<ContentHead> decode_head(const Frame& frame, Pool& pool);
// Appends the header frame of a message whose body has `size` bytes. Code::invalid when its properties do not fit into
// a frame; then nothing is appended.
[[nodiscard]] Result<void> append_head(std::string& out, std::uint16_t channel, amqp_basic_properties_t properties,
                                       std::uint64_t size, std::uint32_t frame_max);
// Appends some of its body, in as many frames as that takes.
void append_body(std::string& out, std::uint16_t channel, std::string_view bytes, std::uint32_t frame_max);
// Both.
[[nodiscard]] Result<void> append_content(std::string& out, std::uint16_t channel, amqp_basic_properties_t properties,
                                          std::string_view body, std::uint32_t frame_max);

}  // namespace sluice::queue::rabbit
