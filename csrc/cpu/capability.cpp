#include "capability.h"

#include <cstdlib>
#include <stdexcept>

namespace cnnops {
namespace {

bool is_supported(Capability capability) {
  switch (capability) {
    case Capability::kPortable:
      return true;
#if defined(__x86_64__)
    case Capability::kAvx2:
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
             __builtin_cpu_supports("f16c");
    case Capability::kAvx512:
      return is_supported(Capability::kAvx2) && __builtin_cpu_supports("avx512f") &&
             __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
             __builtin_cpu_supports("avx512vl");
#endif
#if defined(__aarch64__)
    case Capability::kNeon:
      return true;
#endif
    default:
      return false;
  }
}

std::string supported_names() {
  std::string names;
  for (const Capability one : supported_capabilities()) {
    names += (names.empty() ? "" : ", ") + std::string(capability_name(one));
  }
  return names;
}

Capability choose() {
  const std::vector<Capability> supported = supported_capabilities();
  const char* wanted = std::getenv("CNNOPS_CPU_CAPABILITY");
  if (wanted == nullptr) return supported.back();
  for (const Capability one : supported) {
    if (capability_name(one) == std::string(wanted)) return one;
  }
  throw std::runtime_error("cnnops: CNNOPS_CPU_CAPABILITY must be one of " + supported_names() +
                           " on this machine, got '" + wanted + "'");
}

}  // namespace

Capability capability() {
  static const Capability chosen = choose();
  return chosen;
}

const char* capability_name(Capability capability) {
  switch (capability) {
    case Capability::kPortable:
      return "portable";
    case Capability::kAvx2:
      return "avx2";
    case Capability::kAvx512:
      return "avx512";
    case Capability::kNeon:
      return "neon";
  }
  return "";
}

std::vector<Capability> supported_capabilities() {
  std::vector<Capability> supported;
  for (const Capability one :
       {Capability::kPortable, Capability::kAvx2, Capability::kAvx512, Capability::kNeon}) {
    if (is_supported(one)) supported.push_back(one);
  }
  return supported;
}

}  // namespace cnnops
