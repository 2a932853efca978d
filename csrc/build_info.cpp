// The facts of this build, as attributes of the Python module cnnops._build_info.
// setup.py states them as macros. Nothing of torch is included or linked: the module can be
// imported, and its torch_version compared, beside a torch that the operators cannot be loaded
// with.

#include <pybind11/pybind11.h>

#include <string>

namespace py = pybind11;

namespace {

std::string compiler() {
#if defined(__clang__)
  return "clang " __clang_version__;
#else
  return "gcc " __VERSION__;
#endif
}

// 202002 becomes "C++20".
std::string cxx_standard() { return "C++" + std::to_string(__cplusplus / 100 % 100); }

}  // namespace

PYBIND11_MODULE(_build_info, module) {
  module.doc() = "What cnnops was built with.";
  module.attr("version") = CNNOPS_VERSION;
  module.attr("torch_version") = CNNOPS_TORCH_VERSION;
  module.attr("compiler") = compiler();
  module.attr("cxx_standard") = cxx_standard();
  module.attr("flags") = CNNOPS_FLAGS;
#ifdef CNNOPS_CUDA_VERSION
  module.attr("cuda_version") = CNNOPS_CUDA_VERSION;
  module.attr("cuda_architectures") = py::tuple(py::str(CNNOPS_CUDA_ARCHITECTURES).attr("split")());
#else
  module.attr("cuda_version") = py::none();
  module.attr("cuda_architectures") = py::tuple();
#endif
}
