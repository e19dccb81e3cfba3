// SPDX-License-Identifier: Apache-2.0
#include "lab/band_program.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>

namespace sluice::lab {
namespace {

using Square = std::array<BandVector, band_width>;

constexpr double close_enough = 1e-3;   // of bound and cost, relatively
constexpr double towards_wall = 0.995;  // how far of the way to the nearest wall a step may go
constexpr double kept_apart = 1e-13;    // added to the diagonal, relatively: blocks that nothing moves stay regular

using Column = std::vector<double>;  // unknown i of block b at b * band_width + i

double dot(const Column& a, const Column& b) {
  double out = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    out += a[i] * b[i];
  }
  return out;
}

// The rows without their zeros: most have two to four of ten.
class Rows {
 public:
  struct Term {
    std::size_t at = 0;
    double value = 0;
  };
  explicit Rows(const std::vector<BandRow>& rows) {
    first_.push_back(0);
    for (const BandRow& row : rows) {
      for (std::size_t i = 0; i < 2 * band_width; ++i) {
        const double value = i < band_width ? row.before[i] : row.here[i - band_width];
        if (value != 0 && (row.block > 0 || i >= band_width)) {
          terms_.push_back({row.block * band_width + i - band_width, value});
        }
      }
      first_.push_back(terms_.size());
      least_.push_back(row.least);
    }
  }
  [[nodiscard]] std::size_t size() const { return least_.size(); }
  [[nodiscard]] double least(std::size_t row) const { return least_[row]; }
  [[nodiscard]] std::span<const Term> of(std::size_t row) const {
    return std::span(terms_).subspan(first_[row], first_[row + 1] - first_[row]);
  }
  // row * z
  [[nodiscard]] double times(std::size_t row, const Column& z) const {
    double out = 0;
    for (const Term& term : of(row)) {
      out += term.value * z[term.at];
    }
    return out;
  }
  // to += row' * by
  void spread(Column& to, std::size_t row, double by) const {
    for (const Term& term : of(row)) {
      to[term.at] += term.value * by;
    }
  }

 private:
  std::vector<Term> terms_;
  std::vector<std::size_t> first_;
  std::vector<double> least_;
};

// The symmetric matrix sum over rows of weight * row' row, as its Cholesky factor L: on its diagonal the squares
// `here`, left of it `before`.
class Factor {
 public:
  explicit Factor(std::size_t blocks) : here_(blocks), before_(blocks) {}
  void make(const Rows& rows, const std::vector<double>& weights);
  void solve(Column& x) const;

 private:
  void eliminate(std::size_t block);
  std::vector<Square> here_, before_;
};

void Factor::make(const Rows& rows, const std::vector<double>& weights) {
  std::ranges::fill(here_, Square{});
  std::ranges::fill(before_, Square{});
  for (std::size_t r = 0; r < rows.size(); ++r) {
    const std::span<const Rows::Term> terms = rows.of(r);
    for (const Rows::Term& one : terms) {
      const std::size_t block = one.at / band_width;
      for (const Rows::Term& other : terms) {
        if (other.at <= one.at) {  // its lower half
          Square& square = other.at / band_width == block ? here_[block] : before_[block];
          square[one.at % band_width][other.at % band_width] += weights[r] * one.value * other.value;
        }
      }
    }
  }
  for (std::size_t block = 0; block < here_.size(); ++block) {
    eliminate(block);
  }
}

// Requires: the blocks before it are done.
void Factor::eliminate(std::size_t block) {
  Square& here = here_[block];
  BandVector whole{};  // before anything is taken off
  for (std::size_t i = 0; i < band_width; ++i) {
    whole[i] = here[i][i];
  }
  if (block > 0) {
    const Square& above = here_[block - 1];
    Square& left = before_[block];
    for (BandVector& row : left) {  // row := row * inverse of above'
      for (std::size_t i = 0; i < band_width; ++i) {
        for (std::size_t k = 0; k < i; ++k) {
          row[i] -= row[k] * above[i][k];
        }
        row[i] /= above[i][i];
      }
    }
    for (std::size_t i = 0; i < band_width; ++i) {
      for (std::size_t j = 0; j <= i; ++j) {
        for (std::size_t k = 0; k < band_width; ++k) {
          here[i][j] -= left[i][k] * left[j][k];
        }
      }
    }
  }
  for (std::size_t i = 0; i < band_width; ++i) {
    for (std::size_t j = 0; j <= i; ++j) {
      double sum = here[i][j];
      for (std::size_t k = 0; k < j; ++k) {
        sum -= here[i][k] * here[j][k];
      }
      here[i][j] = i == j ? std::sqrt(std::max(sum, 0.0) + kept_apart * whole[i] + 1e-30) : sum / here[j][j];
    }
  }
}

void Factor::solve(Column& x) const {
  for (std::size_t block = 0; block < here_.size(); ++block) {
    const Square& here = here_[block];
    double* const mine = &x[block * band_width];
    for (std::size_t i = 0; i < band_width; ++i) {
      for (std::size_t k = 0; block > 0 && k < band_width; ++k) {
        mine[i] -= before_[block][i][k] * x[(block - 1) * band_width + k];
      }
      for (std::size_t k = 0; k < i; ++k) {
        mine[i] -= here[i][k] * mine[k];
      }
      mine[i] /= here[i][i];
    }
  }
  for (std::size_t block = here_.size(); block-- > 0;) {
    const Square& here = here_[block];
    double* const mine = &x[block * band_width];
    for (std::size_t i = band_width; i-- > 0;) {
      for (std::size_t k = 0; block + 1 < here_.size() && k < band_width; ++k) {
        mine[i] -= before_[block + 1][k][i] * x[(block + 1) * band_width + k];
      }
      for (std::size_t k = i + 1; k < band_width; ++k) {
        mine[i] -= here[k][i] * mine[k];
      }
      mine[i] /= here[i][i];
    }
  }
}

// How far along `step` until a value is 0; at most 1.
double reach(const std::vector<double>& values, const std::vector<double>& step) {
  double out = 1;
  for (std::size_t i = 0; i < values.size(); ++i) {
    out = step[i] < 0 ? std::min(out, -values[i] / step[i]) : out;
  }
  return out;
}

class Solver {
 public:
  explicit Solver(const BandProgram& program)
      : rows_(program.rows),
        most_(program.most),
        z_(program.cost.size() * band_width),
        slack_(rows_.size()),
        price_(rows_.size()),
        missing_(rows_.size()),
        factor_(program.cost.size()) {
    for (const BandVector& block : program.cost) {
      cost_.insert(cost_.end(), block.begin(), block.end());
    }
    start();
  }
  BandAnswer solve(std::int64_t steps_max);

 private:
  void start();
  [[nodiscard]] double bound() const;
  void step();
  void direction(const std::vector<double>& product, Column& dz, std::vector<double>& ds,
                 std::vector<double>& dy) const;
  [[nodiscard]] double gap() const;

  Rows rows_;
  BandVector most_;
  Column cost_, z_;
  std::vector<double> slack_, price_;  // of the rows
  Column unpaid_;                      // cost - rows' * price
  std::vector<double> missing_;        // slack - (rows * z - least)
  Factor factor_;
};

// Mehrotra's: the smallest slacks and prices that keep their equations, moved until they are well within their walls.
void Solver::start() {
  factor_.make(rows_, std::vector<double>(rows_.size(), 1));
  for (std::size_t r = 0; r < rows_.size(); ++r) {
    rows_.spread(z_, r, rows_.least(r));
  }
  factor_.solve(z_);
  Column multipliers = cost_;
  factor_.solve(multipliers);
  double low_s = 0, low_y = 0;
  for (std::size_t r = 0; r < rows_.size(); ++r) {
    slack_[r] = rows_.times(r, z_) - rows_.least(r);
    price_[r] = rows_.times(r, multipliers);
    low_s = std::min(low_s, slack_[r]);
    low_y = std::min(low_y, price_[r]);
  }
  double product = 0, all_s = 0, all_y = 0;
  for (std::size_t r = 0; r < rows_.size(); ++r) {
    slack_[r] -= 1.5 * low_s;
    price_[r] -= 1.5 * low_y;
    product += slack_[r] * price_[r];
    all_s += slack_[r];
    all_y += price_[r];
  }
  for (std::size_t r = 0; r < rows_.size(); ++r) {
    slack_[r] += 1e-6 + (all_y > 0 ? product / all_y / 2 : 1);
    price_[r] += 1e-6 + (all_s > 0 ? product / all_s / 2 : 1);
  }
}

double Solver::gap() const {
  double out = 0;
  for (std::size_t r = 0; r < slack_.size(); ++r) {
    out += slack_[r] * price_[r];
  }
  return out / static_cast<double>(slack_.size());
}

// For any prices >= 0: cost * z >= prices * least + (cost - rows' * prices) * z, and z is within `most`.
double Solver::bound() const {
  double out = 0;
  for (std::size_t r = 0; r < price_.size(); ++r) {
    out += price_[r] * rows_.least(r);
  }
  Column unpaid = cost_;
  for (std::size_t r = 0; r < price_.size(); ++r) {
    rows_.spread(unpaid, r, -price_[r]);
  }
  for (std::size_t i = 0; i < unpaid.size(); ++i) {
    out -= std::abs(unpaid[i]) * most_[i % band_width];
  }
  return out;
}

// The step in which slack * price becomes what it is plus `product`, to first order.
void Solver::direction(const std::vector<double>& product, Column& dz, std::vector<double>& ds,
                       std::vector<double>& dy) const {
  // rows' dy = unpaid;  rows dz - ds = missing;  slack dy + price ds = product
  dz = unpaid_;
  for (double& one : dz) {
    one = -one;
  }
  for (std::size_t r = 0; r < slack_.size(); ++r) {
    rows_.spread(dz, r, (product[r] + price_[r] * missing_[r]) / slack_[r]);
  }
  factor_.solve(dz);
  for (std::size_t r = 0; r < slack_.size(); ++r) {
    ds[r] = rows_.times(r, dz) - missing_[r];
    dy[r] = (product[r] - price_[r] * ds[r]) / slack_[r];
  }
}

void Solver::step() {
  const std::size_t n = slack_.size();
  unpaid_ = cost_;
  std::vector<double> weights(n), product(n), ds(n), dy(n);
  for (std::size_t r = 0; r < n; ++r) {
    rows_.spread(unpaid_, r, -price_[r]);
    missing_[r] = slack_[r] + rows_.least(r) - rows_.times(r, z_);
    weights[r] = price_[r] / slack_[r];
    product[r] = -slack_[r] * price_[r];
  }
  factor_.make(rows_, weights);
  Column dz;
  direction(product, dz, ds, dy);
  const double now = gap();
  const double far_s = reach(slack_, ds), far_y = reach(price_, dy);
  double then = 0;
  for (std::size_t r = 0; r < n; ++r) {
    then += (slack_[r] + far_s * ds[r]) * (price_[r] + far_y * dy[r]);
  }
  const double shrink = then / static_cast<double>(n) / now;
  const double centre = shrink * shrink * shrink * now;
  for (std::size_t r = 0; r < n; ++r) {
    product[r] += centre - ds[r] * dy[r];
  }
  direction(product, dz, ds, dy);
  const double go_s = std::min(1.0, towards_wall * reach(slack_, ds));
  const double go_y = std::min(1.0, towards_wall * reach(price_, dy));
  for (std::size_t i = 0; i < z_.size(); ++i) {
    z_[i] += go_s * dz[i];
  }
  for (std::size_t r = 0; r < n; ++r) {
    slack_[r] += go_s * ds[r];
    price_[r] += go_y * dy[r];
  }
}

BandAnswer Solver::solve(std::int64_t steps_max) {
  BandAnswer out{.bound = -std::numeric_limits<double>::infinity()};
  for (; out.steps < steps_max; ++out.steps) {
    step();
    const double cost = dot(cost_, z_);
    const double now = bound();
    if (!std::isfinite(cost) || !std::isfinite(now)) {
      break;
    }
    out.cost = cost;
    out.bound = std::max(out.bound, now);
    if (std::abs(cost - now) <= close_enough * std::max(std::abs(cost), 1e-9)) {
      break;
    }
  }
  for (std::size_t at = 0; at < z_.size(); ++at) {
    out.z.resize(at / band_width + 1);
    out.z.back()[at % band_width] = z_[at];
  }
  return out;
}

}  // namespace

BandAnswer solve(const BandProgram& program, std::int64_t steps_max) {
  return Solver(program).solve(steps_max);
}

}  // namespace sluice::lab
