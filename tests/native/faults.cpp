#include "faults.h"

#include <cstring>

namespace native {
namespace {

using cnnops::Conv2dAlgorithm;
using cnnops::Conv2dPass;
using cnnops::Conv2dProblem;
using cnnops::Conv2dTensors;
using cnnops::DType;
using cnnops::Execution;

// What a kernel does beside its work.
struct Fault {
  const char* name;
  void (*commit)(const Conv2dProblem&, const Conv2dTensors&, const Execution&);
};

Conv2dAlgorithm healthy() {
  const cnnops::Conv2dKernels& kernels = cnnops::conv2d_kernels();
  for (int64_t i = 0; i < kernels.algorithm_count; ++i) {
    if (kernels.algorithms[i].name == std::string("implicit_gemm")) return kernels.algorithms[i];
  }
  return kernels.algorithms[0];
}

// Elements of the forward pass, whose tensors are dense in the checks that faults must fail.
int64_t bytes_of(DType dtype) {
  return dtype == DType::kFloat64 ? 8 : dtype == DType::kFloat32 ? 4 : 2;
}
int64_t input_bytes(const Conv2dProblem& p) {
  return p.shape.batch * p.shape.in_channels * p.shape.input.h * p.shape.input.w *
         bytes_of(p.dtype);
}
int64_t output_bytes(const Conv2dProblem& p) {
  return p.shape.batch * p.shape.out_channels * p.shape.output.h * p.shape.output.w *
         bytes_of(p.dtype);
}
char* bytes(const cnnops::MutableTensor& tensor) { return static_cast<char*>(tensor.data); }

volatile char sink;

constexpr Fault kFaults[] = {
    {"read_past_end", [](const Conv2dProblem& problem, const Conv2dTensors& tensors,
                         const Execution&) { sink = bytes(tensors.input)[input_bytes(problem)]; }},
    {"read_before_start", [](const Conv2dProblem&, const Conv2dTensors& tensors,
                             const Execution&) { sink = bytes(tensors.input)[-1]; }},
    {"write_past_end", [](const Conv2dProblem& problem, const Conv2dTensors& tensors,
                          const Execution&) { bytes(tensors.output)[output_bytes(problem)] = 0; }},
    {"write_to_an_operand", [](const Conv2dProblem&, const Conv2dTensors& tensors,
                               const Execution&) { bytes(tensors.weight)[0] = 0; }},
    {"workspace_past_end",
     [](const Conv2dProblem& problem, const Conv2dTensors&, const Execution& execution) {
       sink = execution.workspace[healthy().workspace(problem, execution.threads)];
     }},
    {"uncovered_result",
     [](const Conv2dProblem& problem, const Conv2dTensors& tensors, const Execution&) {
       std::memset(bytes(tensors.output) + output_bytes(problem) - bytes_of(problem.dtype), 0xff,
                   bytes_of(problem.dtype));
     }},
    {"slightly_wrong",
     [](const Conv2dProblem& problem, const Conv2dTensors& tensors, const Execution&) {
       // Of little-endian numbers, a middle bit of the last one's fraction.
       bytes(tensors.output)[output_bytes(problem) - (problem.dtype == DType::kFloat64   ? 4
                                                      : problem.dtype == DType::kFloat32 ? 3
                                                                                         : 2)] ^= 4;
     }},
    {"depends_on_threads",
     [](const Conv2dProblem&, const Conv2dTensors& tensors, const Execution& execution) {
       if (execution.threads == 3) bytes(tensors.output)[0] ^= 1;
     }},
#if defined(__SANITIZE_THREAD__)
    {"race",
     [](const Conv2dProblem&, const Conv2dTensors& tensors, const Execution& execution) {
       cnnops::parallel(execution, 64, [&](int64_t, int64_t) {
         volatile char* byte = bytes(tensors.output);
         *byte = *byte;
       });
     }},
#endif
#if defined(__SANITIZE_ADDRESS__)  // and UBSan, which has no macro of its own
    {"misaligned",
     [](const Conv2dProblem&, const Conv2dTensors& tensors, const Execution&) {
       sink = char(*reinterpret_cast<const volatile int16_t*>(bytes(tensors.weight) + 1));
     }},
    {"overflow",
     [](const Conv2dProblem& problem, const Conv2dTensors&, const Execution&) {
       volatile int64_t largest = INT64_MAX;
       largest = largest + problem.shape.batch;
     }},
#endif
};

const Fault* planted = nullptr;

void run_planted(const Conv2dProblem& problem, const Conv2dTensors& tensors,
                 const Execution& execution) {
  healthy().run(problem, tensors, execution);
  if (problem.pass == Conv2dPass::kForward) planted->commit(problem, tensors, execution);
}

}  // namespace

std::vector<std::string> visible_faults() {
  std::vector<std::string> names;
  for (const Fault& fault : kFaults) names.emplace_back(fault.name);
  return names;
}

bool plant_fault(const std::string& name) {
  for (const Fault& fault : kFaults) {
    if (fault.name == name) planted = &fault;
  }
  return planted != nullptr;
}

std::vector<Conv2dAlgorithm> algorithms_to_check() {
  if (planted != nullptr) {
    Conv2dAlgorithm broken = healthy();
    broken.run = run_planted;
    return {broken};
  }
  const cnnops::Conv2dKernels& kernels = cnnops::conv2d_kernels();
  return {kernels.algorithms, kernels.algorithms + kernels.algorithm_count};
}

}  // namespace native
