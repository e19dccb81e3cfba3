// SPDX-License-Identifier: Apache-2.0
// A worker that writes down what it is given: one line a message, "id attempt cause length". What the body says to do,
// it does: fail, throw, wait. Configured by the environment, as a scaler sets it.
#include <sluice/worker.h>

#include <chrono>
#include <fstream>
#include <iostream>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>

namespace {

class Ledger {
 public:
  explicit Ledger(const std::string& path) : out_(path, std::ios::app) {}
  void note(const sluice::Message& message) {
    const std::string cause = message.cause().empty() ? "first" : message.cause();
    const std::lock_guard<std::mutex> lock(mutex_);
    out_ << message.id() << ' ' << message.attempt() << ' ' << cause << ' ' << message.body().size() << std::endl;
  }

 private:
  std::mutex mutex_;
  std::ofstream out_;
};

sluice::Outcome handle(const sluice::Message& message, Ledger& ledger) {
  ledger.note(message);
  const std::string& body = message.body();
  if (body == "throw") {
    throw std::runtime_error("as the message asked");
  }
  if (body == "later" && message.attempt() == 1) {
    return sluice::Outcome::retry_after(std::chrono::milliseconds(10), "as the message asked");
  }
  if (body == "never") {
    return sluice::Outcome::permanent("as the message asked");
  }
  while (body == "wait" && !message.cancelled()) {
    std::this_thread::yield();
  }
  return message.cancelled() ? sluice::Outcome::failed("cancelled") : sluice::Outcome::done();
}

}  // namespace

int main(int argc, char** argv) {
  const bool brief = argc == 3 && std::string(argv[2]) == "brief";
  if (argc != 2 && !brief) {
    std::cerr << "usage: example_worker LEDGER [brief]\n";
    return 2;
  }
  Ledger ledger(argv[1]);
  sluice::WorkerOptions options;
  options.brief = brief;
  sluice::Worker worker(options);
  const int code = worker.run([&ledger](const sluice::Message& message) { return handle(message, ledger); });
  std::cout << worker.report() << "\n";
  return code;
}
