// Running a window operation in either memory format.
#pragma once

#include "window_channels.h"
#include "window_columns.h"

namespace cnnops::CNNOPS_TARGET {

template <class Op>
void run_windows(const WindowProblem& problem, const Op& op, bool channels_last,
                 const Execution& execution) {
  if (channels_last) {
    ChannelWindows<Op>::run(problem, op, execution);
  } else {
    ColumnWindows<Op>::run(problem, op, execution);
  }
}

}  // namespace cnnops::CNNOPS_TARGET
