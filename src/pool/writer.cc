// SPDX-License-Identifier: Apache-2.0
#include "pool/writer.h"

#include "base/hash.h"
#include "pool/pool.h"

namespace sluice::pool {

std::string to_json(const PoolSpec& spec) {
  std::string out;
  write(out, spec, Field{});
  out.shrink_to_fit();  // kept as long as its pool
  return out;
}

std::string to_json(const Pool& pool) {
  PoolFile file;
  file.metadata = {pool.name, pool.namespace_, pool.labels, pool.annotations};
  file.spec = pool.spec;
  std::string out;
  write(out, file, Field{});
  return out;
}

std::string to_json(const Queue& queue) {
  std::string out;
  write(out, queue, Field{.words = queue_words});
  return out;
}

std::string queue_json(const PoolSpec& spec) {
  std::string out;
  write(out, QueueInput{spec.queue, spec.dead_letter, spec.retry}, Field{});
  out.shrink_to_fit();
  return out;
}

std::string spec_hash(std::string_view spec_json) {
  return fmt::format("{:016x}", fnv1a(spec_json));
}

std::string spec_hash(const PoolSpec& spec) {
  return spec_hash(to_json(spec));
}

}  // namespace sluice::pool
