// The kernels that plans name, and their addresses.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

namespace cnnops::cuda {

struct Kernel {
  std::string name;  // as in Launch
  const void* function;
};

// The spelling of a template argument as the compiler prints it, without namespaces.
template <auto kernel>
std::string kernel_name() {
  const std::string_view text = __PRETTY_FUNCTION__;
  const std::string_view key = "kernel = ";
  const size_t first = text.find(key) + key.size();
  std::string name(text.substr(first, text.find_first_of(";]", first) - first));
  for (const std::string_view noise : {"cnnops::", "cuda::"}) {
    for (size_t at; (at = name.find(noise)) != std::string::npos;) name.erase(at, noise.size());
  }
  for (size_t at; (at = name.find("> >")) != std::string::npos;) name.erase(at + 1, 1);
  return name;
}

template <auto... kernels>
std::vector<Kernel> table_of() {
  return {{kernel_name<kernels>(), reinterpret_cast<const void*>(kernels)}...};
}

inline std::vector<Kernel> joined(std::initializer_list<std::vector<Kernel>> tables) {
  std::vector<Kernel> all;
  for (const auto& table : tables) all.insert(all.end(), table.begin(), table.end());
  return all;
}

}  // namespace cnnops::cuda
