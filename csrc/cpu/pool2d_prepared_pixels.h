// Gradients of poolings whose windows do not tile maps, in channels_last, of functors that prepare their
// sources: every window is prepared once, into rows that stay in caches, from which pixels gather, a few
// vectors of channels at a time.
#pragma once

#include "pool2d_lanes.h"

namespace cnnops::CNNOPS_TARGET {

// The rows of windows that pixels of one row need, of as many channels as a second-level cache has room for:
// [source][row % rows][column][channel].
template <class A>
struct PreparedRows {
  static constexpr int64_t kSources = 2, kMostBytes = 128 * 1024;
  int64_t rows, columns, vectors;  // of channels

  explicit PreparedRows(const Pool2dShape& shape)
      : rows(smaller(divide_up(shape.kernel.h, shape.stride.h), shape.output.h)),
        columns(shape.output.w),
        vectors(smaller(divide_up(shape.channels, lanes<A>),
                        kMostBytes / (kSources * rows * columns * CNNOPS_VECTOR_BYTES))) {}

  // Elements from a window to the next, and all.
  int64_t pitch() const { return vectors * lanes<A>; }
  int64_t size() const { return kSources * rows * columns * pitch(); }
};

template <class A>
bool has_prepared_rows(const Pool2dProblem& problem) {
  const Pool2dShape& shape = problem.shape;
  return problem.channels_last && shape.channels >= lanes<A> && has_small_window(shape) &&
         !windows_tile(shape) && shape.dilation.h == 1 && shape.dilation.w == 1 &&
         PreparedRows<A>(shape).vectors > 0;
}

template <class A>
struct PreparedMemory {
  A* rows;

  PreparedMemory(Arena& arena, const PreparedRows<A>& kept) : rows(arena.take<A>(kept.size())) {}
};

template <class A>
int64_t prepared_workspace(const Pool2dProblem& problem, int64_t threads) {
  if (!has_prepared_rows<A>(problem)) return 0;
  const PreparedRows<A> kept(problem.shape);
  return workspace_bytes(Arena(), threads,
                         [&](Arena& own) { return PreparedMemory<A>(own, kept); });
}

// Runs a functor of pool2d_fold.h. T stores its values, Second its second source, if it has one.
template <class Op, class T, class Second>
class PreparedPixels {
 public:
  using A = typename Op::A;

  static bool supports(const Pool2dProblem& problem, const PoolTensors<A>& tensors) {
    return has_prepared_rows<A>(problem) && reads_whole_pixels<Op>(tensors);
  }

  PreparedPixels(const Pool2dProblem& problem, const Op& op, const PoolTensors<A>& tensors,
                 int64_t threads)
      : op_(op),
        windows_(PoolWindows::backward(problem.shape)),
        batch_(problem.shape.batch),
        channels_(problem.shape.channels),
        ahead_(page_of_pixels<T>(channels_)),
        kept_(problem.shape),
        first_{static_cast<const T*>(tensors.source[0].data), tensors.source[0].stride},
        second_{static_cast<const Second*>(tensors.source[1].data), tensors.source[1].stride},
        own_{static_cast<const T*>(tensors.own.data), tensors.own.stride},
        result_{static_cast<T*>(tensors.result[0].data), tensors.result[0].stride},
        streams_(is_streamed(tensors.result[0], problem.shape,
                             moved_samples<Op>(windows_.source, windows_.result), threads)) {}

  void run(const Execution& execution) const {
    const ScratchBySlot memory(execution, Arena(),
                               [&](Arena& own) { return PreparedMemory<A>(own, kept_); });
    const int64_t bands = divide_up(windows_.result.h, kBandRows);
    parallel(execution, batch_ * bands, [&](int64_t task, int64_t slot) {
      const int64_t first = task % bands * kBandRows;
      const Range rows{first, smaller(first + kBandRows, windows_.result.h)};
      Block block{task / bands, 0, 0, memory(slot).rows};
      for (int64_t c = 0; c < channels_; c += kept_.pitch()) {
        block.count = smaller(kept_.pitch(), channels_ - c);
        // Less than a vector at the end reaches back over the channels before.
        block.count = larger(block.count, lanes<A>);
        block.channel = smaller(c, channels_ - block.count);
        write_band(block, rows);
      }
      if (streams_) stream_fence();
    });
  }

 private:
  static constexpr int kBlock = 4;  // vectors
  // Rows of pixels a thread writes one after the other; the first needs windows of those before.
  static constexpr int64_t kBandRows = 16;

  // Channels of an image, and their rows of windows.
  struct Block {
    int64_t image, channel, count;
    A* prepared;
  };

  A* prepared(const Block& block, int64_t source, int64_t row) const {
    const int64_t index = source * kept_.rows + row % kept_.rows;
    return block.prepared + index * kept_.columns * kept_.pitch();
  }

  void write_band(const Block& block, const Range& rows) const {
    int64_t ready = 0;  // rows of windows
    for (int64_t y = rows.first; y < rows.last; ++y) {
      const Reach& row = windows_.rows[y];
      if (row.taps > 0) {
        for (ready = larger(ready, row.source); ready < row.source + row.taps; ++ready)
          prepare_row(block, ready);
      }
      for (int64_t r = 0; r < windows_.run_count; ++r) write_run(block, y, windows_.runs[r]);
    }
  }

  void prepare_row(const Block& block, int64_t p) const {
    const Op op = op_;
    const int64_t count = block.count, next = kept_.pitch(), ahead = ahead_;
    A* first = prepared(block, 0, p);
    A* second = prepared(block, 1, p);
    for (int64_t q = 0; q < windows_.source.w; ++q, first += next, second += next) {
      const Vec<A> preparation = op.preparation(p, q);
      const T* from = first_.at(block.image, p, q) + block.channel;
      const Second* other = nullptr;
      if constexpr (Op::kSources > 1) other = second_.at(block.image, p, q) + block.channel;
      for (int64_t i = 0; i < count; i += lanes<A>) {
        i = smaller(i, count - lanes<A>);
        __builtin_prefetch(from + i + ahead);
        if constexpr (Op::kSources > 1) __builtin_prefetch(other + i + ahead);
        Vec<A> a = load_lanes<A>(from + i), b{};
        if constexpr (Op::kSources > 1) b = load_lanes<A>(other + i);
        op.prepare(a, b, preparation);
        store(first + i, a);
        if constexpr (Op::kSources > 1) store(second + i, b);
      }
    }
  }

  // A window that covers a pixel: where its channels are prepared, and the pixel's position in it.
  struct Window {
    const A *first, *second;
    int64_t tap;
  };
  struct Windows {
    Window all[kSmallWindow];
    int64_t count;
  };

  // The windows of a run's first pixel. Those of the next ones lie as far on as from pixel to pixel.
  Windows find_windows(const Block& block, int64_t y, const WindowRun& run) const {
    const Reach &row = windows_.rows[y], &column = run.reach;
    Windows found;
    found.count = row.taps * column.taps;
    for (int64_t i = 0; i < found.count; ++i) {
      const int64_t r = i / column.taps, s = i % column.taps;
      const int64_t offset = (column.source + s) * kept_.pitch();
      found.all[i] = {prepared(block, 0, row.source + r) + offset,
                      prepared(block, 1, row.source + r) + offset,
                      windows_.position(row, column, r, s)};
    }
    return found;
  }

  // Pixels of a row whose windows lie alike.
  void write_run(const Block& block, int64_t y, const WindowRun& run) const {
    if constexpr (std::is_same_v<T, A>) {
      if (streams_) return write_run(block, y, run, StreamedLanes<A>{});
    }
    write_run(block, y, run, WholeLanes<A>{});
  }

  template <class Lanes>
  __attribute__((noinline)) void write_run(const Block& block, int64_t y, const WindowRun& run,
                                           Lanes lane) const {
    const Windows windows = find_windows(block, y, run);
    const int64_t count = block.count, next_window = run.stride * kept_.pitch();
    const int64_t next_own = run.step * own_.stride.w, next_result = run.step * result_.stride.w;
    T* to = result_.at(block.image, y, run.first) + block.channel;
    const T* own = to;  // only read where it is the functor's
    if constexpr (Op::kOwn) own = own_.at(block.image, y, run.first) + block.channel;
    for (int64_t i = 0, window = 0; i < run.count; ++i, window += next_window) {
      int64_t c = 0;
      for (; c + kBlock * lanes<A> <= count; c += kBlock * lanes<A>)
        write_vectors<kBlock>(windows, window + c, own + c, to + c, lane);
      for (; c < count; c += lanes<A>) {
        const int64_t first = smaller(c, count - lanes<A>);
        write_vectors<1>(windows, window + first, own + first, to + first, lane);
      }
      own += next_own, to += next_result;
    }
  }

  // kVectors vectors of a pixel's channels.
  template <int kVectors, class Lanes>
  CNNOPS_INLINE void write_vectors(const Windows& windows, int64_t offset, const T* own, T* to,
                                   Lanes lane) const {
    const Op op = op_;
    const auto constants = op.constants(0, 0, 0);
    typename Op::State states[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      Vec<A> sample{};
      if constexpr (Op::kOwn) {
        __builtin_prefetch(own + v * lanes<A> + ahead_);
        sample = lane.read(own + v * lanes<A>, lanes<A>);
      }
      states[v] = op.start(constants, sample);
    }
    for (int64_t i = 0; i < windows.count; ++i) {
      const Window& window = windows.all[i];
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        Vec<A> other{};
        if constexpr (Op::kSources > 1) other = load(window.second + offset + v * lanes<A>);
        op.template step<0>(states[v], load(window.first + offset + v * lanes<A>), other,
                            window.tap);
      }
    }
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v)
      lane.write(to + v * lanes<A>, op.value(states[v], constants), lanes<A>);
  }

  const Op op_;
  const PoolWindows windows_;
  const int64_t batch_, channels_, ahead_;
  const PreparedRows<A> kept_;
  const PixelMap<const T> first_;
  const PixelMap<const Second> second_;
  const PixelMap<const T> own_;
  const PixelMap<T> result_;
  const bool streams_;
};

}  // namespace cnnops::CNNOPS_TARGET
