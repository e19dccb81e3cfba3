// SPDX-License-Identifier: Apache-2.0
#pragma once
// Liveness without writes: each Receiver holds an exclusive lock on its own small file FILE-workers/N as long as its
// process lives; the kernel lets go of it however the process dies. In the same file it notes which deliveries have
// begun and finished, unsynced: that must survive the death of the process, which is what a page cache does, and a
// commit per message would be far too slow. After the death of the machine the notes are not believed (another boot
// id).
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

#include "aio/fd.h"
#include "base/result.h"

namespace sluice::queue::local {

enum class Progress : std::uint8_t { held, begun, finished };

// One delivery as the queue file knows it: the message's key and how often it was delivered.
struct DeliveryKey {
  std::int64_t key = 0;
  std::int64_t deliveries = 0;
  friend bool operator==(const DeliveryKey&, const DeliveryKey&) = default;
};

class Sidecar {
 public:
  // Makes and locks the file of `owner`, a number never used before. Makes the folder when it is missing.
  [[nodiscard]] static Result<Sidecar> make(const std::string& folder, std::int64_t owner);

  // Notes the progress of a delivery in one of its slots. Survives this process once it returns.
  Result<void> note(std::size_t slot, DeliveryKey delivery, Progress progress);
  // Removes the file, then lets go of the lock. A Sidecar destroyed without it leaves the file, as a death does.
  void remove();

 private:
  Sidecar(std::string path, aio::Fd fd) : path_(std::move(path)), fd_(std::move(fd)) {}
  std::string path_;
  aio::Fd fd_;
};

// The side file of an owner that no longer lives, locked by us, so that only one process clears up after it.
class Remains {
 public:
  // Nullopt: the owner lives, or another process is clearing up. A missing file is a dead owner.
  [[nodiscard]] static Result<std::optional<Remains>> of(const std::string& folder, std::int64_t owner);

  // How far a delivery got. Nullopt: the notes are lost, from another boot or damaged, so nobody knows.
  [[nodiscard]] std::optional<Progress> progress(DeliveryKey delivery) const;
  // Removes the file; after what it belonged to has been given back.
  void remove();

 private:
  Remains() = default;
  std::string path_;
  aio::Fd fd_;
  bool believed_ = false;
  std::unordered_map<std::int64_t, std::pair<std::int64_t, Progress>> notes_;
};

}  // namespace sluice::queue::local
