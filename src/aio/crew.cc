// SPDX-License-Identifier: Apache-2.0
#include "aio/crew.h"

#include <algorithm>
#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "aio/event.h"

namespace sluice::aio {
namespace {

// Shared with what the threads posted, which may run after the crew was cancelled.
struct Progress {
  explicit Progress(Clock& clock) : changed(clock) {}
  std::atomic<std::size_t> next{0};
  std::size_t done = 0;  // on the loop
  Event changed;
};

class Crew {
 public:
  Crew(Loop& loop, const std::shared_ptr<Progress>& progress, const std::shared_ptr<const CrewWork>& what)
      : progress_(progress), pieces_(what->pieces) {
    for (std::size_t i = 0; i < std::min(std::max<std::size_t>(what->threads, 1), what->pieces); ++i) {
      threads_.emplace_back([&loop, progress, what] {
        for (std::size_t piece = progress->next++; piece < what->pieces; piece = progress->next++) {
          what->work(piece);
          loop.post([progress, what, piece] {
            ++progress->done;
            what->done(piece);
            progress->changed.notify();
          });
        }
      });
    }
  }
  ~Crew() {
    progress_->next = pieces_;
    for (std::thread& thread : threads_) {
      thread.join();
    }
  }
  Crew(const Crew&) = delete;
  Crew& operator=(const Crew&) = delete;

 private:
  std::shared_ptr<Progress> progress_;
  std::size_t pieces_;
  std::vector<std::thread> threads_;
};

}  // namespace

Task<void> work_together(Loop& loop, Clock& clock, CrewWork what) {
  const auto progress = std::make_shared<Progress>(clock);
  const auto shared = std::make_shared<const CrewWork>(std::move(what));
  const Crew crew(loop, progress, shared);
  while (progress->done < shared->pieces) {
    co_await progress->changed.wait(Deadline{});
  }
}

}  // namespace sluice::aio
