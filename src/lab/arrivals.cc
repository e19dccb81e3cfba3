// SPDX-License-Identifier: Apache-2.0
#include "lab/arrivals.h"

#include <algorithm>
#include <cmath>

#include "lab/math.h"

namespace sluice::lab {
namespace {

// A Poisson process whose rate changes: drawn at a rate that is high enough until some time, then thinned.
class Poisson : public Generator {
 public:
  explicit Poisson(Random random) : random_(random) {}
  Us next() final {
    while (true) {
      const Bound bound = bound_from(now_);
      if (bound.rate <= 0) {
        if (bound.until == never) {
          return never;
        }
        now_ = bound.until;
        continue;
      }
      const double gap = -log_of(1 - random_.unit()) * 1e6 / bound.rate;
      if (gap >= static_cast<double>(bound.until - now_)) {
        now_ = bound.until;  // what comes after does not know of what came before
        continue;
      }
      now_ += static_cast<Us>(gap);
      if (bound.exact || random_.unit() * bound.rate < rate_at(now_)) {
        return now_;
      }
    }
  }

 protected:
  struct Bound {
    double rate = 0;  // a second
    Us until = never;
    bool exact = true;  // this is the rate itself
  };
  virtual Bound bound_from(Us at) = 0;
  virtual double rate_at(Us /*at*/) { return 0; }
  Random& random() { return random_; }

 private:
  Random random_;
  Us now_ = 0;
};

class ConstantPoisson final : public Poisson {
 public:
  ConstantPoisson(double rate, Random random) : Poisson(random), rate_(rate) {}

 private:
  Bound bound_from(Us /*at*/) override { return {.rate = rate_}; }
  double rate_;
};

class Even final : public Generator {
 public:
  explicit Even(double rate) : gap_(rate <= 0 ? 0 : 1e6 / rate) {}
  Us next() override { return gap_ == 0 ? never : static_cast<Us>(gap_ * static_cast<double>(++n_)); }

 private:
  double gap_;
  std::int64_t n_ = 0;
};

class StepsPoisson final : public Poisson {
 public:
  StepsPoisson(const Steps& steps, Random random)
      : Poisson(random),
        base_(steps.base.value()),
        peak_(steps.peak.value()),
        first_(to_us(steps.first)),
        every_(to_us(steps.every)),
        lasts_(std::min(to_us(steps.lasts), to_us(steps.every))) {}

 private:
  Bound bound_from(Us at) override {
    if (at < first_) {
      return {.rate = base_, .until = first_};
    }
    const Us into = (at - first_) % every_;
    return into < lasts_ ? Bound{.rate = peak_, .until = at - into + lasts_}
                         : Bound{.rate = base_, .until = at - into + every_};
  }
  double base_, peak_;
  Us first_, every_, lasts_;
};

class RampPoisson final : public Poisson {
 public:
  RampPoisson(const Ramp& ramp, Random random)
      : Poisson(random),
        from_(ramp.from.value()),
        to_(ramp.to.value()),
        first_(to_us(ramp.first)),
        lasts_(to_us(ramp.lasts)) {}

 private:
  Bound bound_from(Us at) override {
    if (at < first_) {
      return {.rate = from_, .until = first_};
    }
    return at < first_ + lasts_ ? Bound{.rate = std::max(from_, to_), .until = first_ + lasts_, .exact = false}
                                : Bound{.rate = to_};
  }
  double rate_at(Us at) override {
    return from_ + (to_ - from_) * static_cast<double>(at - first_) / static_cast<double>(lasts_);
  }
  double from_, to_;
  Us first_, lasts_;
};

class DiurnalPoisson final : public Poisson {
 public:
  DiurnalPoisson(const Diurnal& day, Random random)
      : Poisson(random),
        least_(day.least.value()),
        most_(day.most.value()),
        period_(static_cast<double>(to_us(day.period))) {}

 private:
  Bound bound_from(Us /*at*/) override { return {.rate = most_, .until = never, .exact = false}; }
  double rate_at(Us at) override {
    const double part = (1 + sine(static_cast<double>(at) / period_ - 0.25)) / 2;
    return least_ + (most_ - least_) * part;
  }
  double least_, most_, period_;
};

class FlashPoisson final : public Poisson {
 public:
  FlashPoisson(const Flash& flash, Random random)
      : Poisson(random),
        base_(flash.base.value()),
        peak_(flash.peak.value()),
        first_(to_us(flash.first)),
        every_(flash.every ? to_us(*flash.every) : never),
        rise_(to_us(flash.rise)),
        decay_(static_cast<double>(to_us(flash.decay))) {}

 private:
  Bound bound_from(Us at) override {
    if (at < first_) {
      return {.rate = base_, .until = first_};
    }
    const Us into = (at - first_) % every_;
    const Us again = every_ == never ? never : at - into + every_;
    if (into < rise_) {
      return {.rate = std::max(base_, peak_), .until = std::min(again, at - into + rise_), .exact = false};
    }
    // It only falls from here on; looked at anew each tenth of the decay, little is thinned away.
    const Us soon = at + std::max<Us>(static_cast<Us>(decay_ / 10), 1);
    return {.rate = std::max(rate_at(at), base_), .until = std::min(again, soon), .exact = false};
  }
  double rate_at(Us at) override {
    const Us into = (at - first_) % every_;
    if (into < rise_) {
      return base_ + (peak_ - base_) * static_cast<double>(into) / static_cast<double>(rise_);
    }
    return base_ + (peak_ - base_) * exp_of(-static_cast<double>(into - rise_) / decay_);
  }
  double base_, peak_;
  Us first_, every_, rise_;
  double decay_;
};

class MmppPoisson final : public Poisson {
 public:
  MmppPoisson(const Mmpp& mmpp, Random random)
      : Poisson(random),
        rate_{mmpp.low.value(), mmpp.high.value()},
        lasts_{static_cast<double>(to_us(mmpp.low_lasts)), static_cast<double>(to_us(mmpp.high_lasts))} {}

 private:
  Bound bound_from(Us at) override {
    if (at >= until_) {
      high_ = !high_;
      until_ = at + std::max<Us>(exponential(random(), lasts_[high_ ? 1 : 0]), 1);
    }
    return {.rate = rate_[high_ ? 1 : 0], .until = until_};
  }
  double rate_[2], lasts_[2];
  bool high_ = true;  // the first turn is the low one's
  Us until_ = 0;
};

// Groups of arrivals that are drawn together: of a batch, of a bin of a trace.
class Grouped : public Generator {
 public:
  Us next() final {
    while (at_ == group_.size()) {
      group_.clear();
      at_ = 0;
      if (!fill(group_)) {
        return never;
      }
      std::ranges::sort(group_);
    }
    last_ = std::max(last_, group_[at_++]);  // spread groups may overlap
    return last_;
  }

 protected:
  // False: there is no further group.
  virtual bool fill(std::vector<Us>& group) = 0;

 private:
  std::vector<Us> group_;
  std::size_t at_ = 0;
  Us last_ = 0;
};

class Batches final : public Grouped {
 public:
  Batches(const Batch& batch, Random random) : batch_(batch), random_(random) {}

 private:
  bool fill(std::vector<Us>& group) override {
    const Us every = to_us(batch_.every);
    if (n_ > 0 && every == 0) {
      return false;
    }
    const double late = static_cast<double>(every) * batch_.jitter.value() * random_.unit();
    const Us at = to_us(batch_.first) + n_++ * every + static_cast<Us>(late);
    for (std::int64_t i = 0; i < batch_.size; ++i) {
      group.push_back(at + static_cast<Us>(static_cast<double>(to_us(batch_.spread)) * random_.unit()));
    }
    return true;
  }
  Batch batch_;
  Random random_;
  std::int64_t n_ = 0;
};

class Replay final : public Grouped {
 public:
  Replay(const Trace& trace, const std::vector<Bin>& bins, Random random)
      : trace_(trace), bins_(bins), random_(random) {}

 private:
  bool fill(std::vector<Us>& group) override {
    if (at_ == bins_.size()) {
      return false;
    }
    const Bin& bin = bins_[at_];
    const Duration end = at_ + 1 < bins_.size() ? bins_[at_ + 1].at : bin.at + (bin.at - bins_[at_ - 1].at);
    ++at_;
    if (bin.at < trace_.from) {
      return true;
    }
    const double begin_us = static_cast<double>(to_us(bin.at - trace_.from)) / static_cast<double>(trace_.compress);
    const double width_us = static_cast<double>(to_us(end - bin.at)) / static_cast<double>(trace_.compress);
    const double wanted = static_cast<double>(bin.arrivals) * trace_.scale.value();
    const auto sure = static_cast<std::int64_t>(wanted);
    const std::int64_t n = sure + (random_.unit() < wanted - static_cast<double>(sure) ? 1 : 0);
    for (std::int64_t i = 0; i < n; ++i) {
      group.push_back(static_cast<Us>(begin_us + width_us * random_.unit()));
    }
    return true;
  }
  Trace trace_;
  const std::vector<Bin>& bins_;
  Random random_;
  std::size_t at_ = 0;
};

struct Make {
  const Files& files;
  Random random;
  using Made = std::unique_ptr<Generator>;
  Made operator()(const Constant& one) const {
    return one.even ? Made(std::make_unique<Even>(one.rate.value()))
                    : Made(std::make_unique<ConstantPoisson>(one.rate.value(), random));
  }
  Made operator()(const Steps& one) const { return std::make_unique<StepsPoisson>(one, random); }
  Made operator()(const Ramp& one) const { return std::make_unique<RampPoisson>(one, random); }
  Made operator()(const Diurnal& one) const { return std::make_unique<DiurnalPoisson>(one, random); }
  Made operator()(const Flash& one) const { return std::make_unique<FlashPoisson>(one, random); }
  Made operator()(const Batch& one) const { return std::make_unique<Batches>(one, random); }
  Made operator()(const Mmpp& one) const { return std::make_unique<MmppPoisson>(one, random); }
  Made operator()(const Trace& one) const {
    return std::make_unique<Replay>(one, files.traces.find(one.file)->second, random);
  }
};

}  // namespace

std::unique_ptr<Generator> generator(const Arrivals& arrivals, const Files& files, Random random) {
  return std::visit(Make{files, random}, arrivals);
}

Merged::Merged(const Load& load, const Files& files, std::int64_t seed, std::uint64_t pool) {
  for (std::size_t i = 0; i < load.arrivals.size(); ++i) {
    One one{.generator = generator(load.arrivals[i], files, stream(seed, Stream::arrivals, pool * 64 + i))};
    one.next = one.generator->next();
    all_.push_back(std::move(one));
  }
}

Us Merged::next() {
  const auto first = std::ranges::min_element(all_, {}, &One::next);
  const Us at = first->next;
  if (at != never) {
    first->next = first->generator->next();
  }
  return at;
}

}  // namespace sluice::lab
