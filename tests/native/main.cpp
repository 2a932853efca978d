// Runs every CPU kernel of one instruction set on small problems, without PyTorch: what the
// sanitizers watch (tests/native/Makefile).
//
//   kernels                 checks all; CNNOPS_CPU_CAPABILITY names the instruction set
//   kernels --capabilities  those of this machine
//   kernels --faults        faults that this build sees
//   kernels --fault NAME    plants one: the program must fail
#include <csignal>
#include <cstring>
#include <stdexcept>

#include "../../csrc/cpu/capability.h"
#include "../../csrc/cpu/flush_denormals.h"
#include "faults.h"
#include "report.h"
#include "suites.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#include <sanitizer/common_interface_defs.h>
#endif

namespace native {
namespace {

void say_what_ran() { std::fprintf(stderr, "in the check of %s\n", under_check.c_str()); }

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
void explain_ends() { __sanitizer_set_death_callback(say_what_ran); }
#else
void explain_ends() {
  for (const int number : {SIGSEGV, SIGBUS, SIGILL}) {
    std::signal(number, [](int number) {
      say_what_ran();
      std::signal(number, SIG_DFL);
      std::raise(number);
    });
  }
}
#endif

void check_denormal_mode() {
  under_check = "flush_denormals.h";
  ++checks;
  const uint64_t before = cnnops::float_control();
  try {
    const cnnops::FlushDenormals flush;
    if ((cnnops::float_control() & cnnops::kFlushBits) != cnnops::kFlushBits) fail("not set");
    {
      const cnnops::KeepDenormals keep;
      if ((cnnops::float_control() & cnnops::kFlushBits) != 0) fail("not cleared");
    }
    if ((cnnops::float_control() & cnnops::kFlushBits) != cnnops::kFlushBits) fail("not restored");
    throw std::runtime_error("");
  } catch (const std::runtime_error&) {
    if (cnnops::float_control() != before) fail("not restored after an exception");
  }
}

int run_all() {
  explain_ends();
  check_denormal_mode();
  Counts counts = check_conv2d();
  counts.merge(check_pool2d());
  for (const auto& [kernel, count] : counts)
    std::printf("%-40s %lld\n", kernel.c_str(), (long long)count);
  std::printf("%s: %lld checks, %lld failures\n", cnnops::capability_name(cnnops::capability()),
              (long long)checks, (long long)failures);
  return failures == 0 ? 0 : 1;
}

}  // namespace
}  // namespace native

int main(int argc, char** argv) {
  const std::string option = argc > 1 ? argv[1] : "";
  if (option == "--capabilities") {
    for (const cnnops::Capability one : cnnops::supported_capabilities())
      std::printf("%s\n", cnnops::capability_name(one));
    return 0;
  }
  if (option == "--faults") {
    for (const std::string& name : native::visible_faults()) std::printf("%s\n", name.c_str());
    return 0;
  }
  const bool plants = option == "--fault" && argc == 3 && native::plant_fault(argv[2]);
  if (argc > 1 && !plants) {
    std::fprintf(stderr, "usage: %s [--capabilities | --faults | --fault NAME]\n", argv[0]);
    return 2;
  }
  return native::run_all();
}
