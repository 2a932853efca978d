// Chains of multiply-adds in registers: no memory, and so many chains that none waits for itself.
#pragma once

#include "peak.h"
#include "vector.h"

namespace cnnops::CNNOPS_TARGET {

// All registers but the two operands and a spare one. A core that starts two multiply-adds a cycle
// and needs five for each is busy with ten chains.
static constexpr int kChains = kRegisters - 3;

template <class A>
static double multiply_adds(int64_t rounds, A* sink) {
  // Every chain tends to the fixed point 1 of x -> x / 2 + 1 / 2, away from denormals.
  const Vec<A> factor = splat<A>(A(0.5)), summand = splat<A>(A(0.5));
  Vec<A> chains[kChains];
  for (int i = 0; i < kChains; ++i) chains[i] = splat<A>(A(i));
  for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 32
    for (int i = 0; i < kChains; ++i) chains[i] = multiply_add<A>(chains[i], factor, summand);
  }
  Vec<A> sum = chains[0];
  for (int i = 1; i < kChains; ++i) sum = sum + chains[i];
  *sink = sum[0];
  return 2.0 * double(rounds) * kChains * lanes<A>;
}

extern const Peak kPeak;
const Peak kPeak{multiply_adds<float>, multiply_adds<double>};

}  // namespace cnnops::CNNOPS_TARGET
