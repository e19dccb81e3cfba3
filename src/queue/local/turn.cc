// SPDX-License-Identifier: Apache-2.0
#include "queue/local/turn.h"

#include <fcntl.h>

namespace sluice::queue::local {

namespace {

struct flock bytes(short type, long from, long n) {
  struct flock out{};
  out.l_type = type;
  out.l_whence = SEEK_SET;
  out.l_start = from;
  out.l_len = n;
  return out;
}

}  // namespace

void Turn::open(const std::string& folder) {
  if (!fd_) {
    fd_ = aio::Fd(::open((folder + "/turn").c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666));
  }
}

void Turn::want(Random& random) {
  if (!fd_ || mine_ >= 0) {
    return;
  }
  const long at = static_cast<long>(random.below(1U << 30U));
  struct flock one = bytes(F_WRLCK, at, 1);
  if (::fcntl(fd_.get(), F_OFD_SETLK, &one) == 0) {
    mine_ = at;
  }
}

void Turn::got() {
  if (mine_ >= 0) {
    struct flock one = bytes(F_UNLCK, mine_, 1);
    (void)::fcntl(fd_.get(), F_OFD_SETLK, &one);
    mine_ = -1;
  }
}

bool Turn::others_want() const {
  struct flock all = bytes(F_WRLCK, 0, 0);
  return fd_ && ::fcntl(fd_.get(), F_OFD_GETLK, &all) == 0 && all.l_type != F_UNLCK;
}

}  // namespace sluice::queue::local
