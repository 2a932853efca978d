// Runs a functor over whole tensors: cuts the results into tasks and blocks, and turns what a block
// needs into tiles.
//
// A task owns some rows of the results of one vector of maps (NCHW) or of one image
// (channels_last); it shares nothing it writes. Blocks are as large as the memory for tiles allows.
// Every result is folded in the order of its taps wherever in a block it lies.
#pragma once

#include "pool2d_fold.h"

namespace cnnops::CNNOPS_TARGET {

// The tensors of a functor; what it does not use stays empty.
template <class A>
struct PoolTensors {
  TileSource<A> source[2], own;
  TileResult<A> result[2];
};

// Memory for the tiles of one thread. Within an ordinary first-level cache and a half.
inline constexpr int64_t kTileBytes = 56 * 1024;
inline constexpr int64_t kTileCapacity = kTileBytes / CNNOPS_VECTOR_BYTES;

struct TileMemory {
  char* tiles;

  explicit TileMemory(Arena& arena)
      : tiles(arena.take<char>(kTileBytes + 5 * kWorkspaceAlignment)) {}
};

CNNOPS_INLINE int64_t tile_workspace(int64_t threads) {
  return workspace_bytes(Arena(), threads, [](Arena& own) { return TileMemory(own); });
}

// Bytes. Results as large as this leave the caches before anything reads them where a pooling moves so
// much in all: one thread does not use as much of the cache that processors share as several do.
inline constexpr int64_t kStreamedBytes = 8 << 20;
inline constexpr int64_t kMovedByOne = 12 << 20, kMovedByMore = 20 << 20;
inline constexpr int64_t kCacheLine = 64;

// What a pooling moves per channel of an image, in samples.
struct MovedSamples {
  int64_t result, all;
};

// Large results written in place, in whole cache lines, are not left in the caches, which would read
// those lines first.
template <class A>
bool is_streamed(const TileResult<A>& result, const Pool2dShape& shape, const MovedSamples& moved,
                 int64_t threads) {
  const int64_t sample = shape.channels * int64_t(sizeof(A)), bytes = shape.batch * sample;
  return kStreams && result.in_place && moved.result * bytes >= kStreamedBytes &&
         moved.all * bytes >= (threads > 1 ? kMovedByMore : kMovedByOne) &&
         sample % kCacheLine == 0 && reinterpret_cast<uintptr_t>(result.data) % kCacheLine == 0;
}

template <class Op>
MovedSamples moved_samples(Pair source, Pair result) {
  return {result.h * result.w,
          Op::kSources * source.h * source.w + (1 + Op::kOwn) * result.h * result.w};
}

template <class Op>
class PoolWalk {
 public:
  using A = typename Op::A;

  PoolWalk(const Pool2dProblem& problem, const PoolWindows& windows, const Op& op,
           const PoolTensors<A>& tensors, int64_t threads)
      : op_(op), windows_(windows), tensors_(tensors), problem_(problem) {
    choose_blocks();
    stream_ = is_streamed(tensors.result[0], problem.shape,
                          moved_samples<Op>(windows.source, windows.result), threads);
  }

  void run(const Execution& execution) const {
    const ScratchBySlot memory(execution, Arena(), [](Arena& own) { return TileMemory(own); });
    const int64_t row_blocks = divide_up(windows_.result.h, rows_);
    const int64_t units =
        problem_.channels_last ? problem_.shape.batch : divide_up(maps(), lanes<A>);
    parallel(execution, units * row_blocks, [&](int64_t task, int64_t slot) {
      const int64_t first = task % row_blocks * rows_;
      run_rows(task / row_blocks, first, smaller(rows_, windows_.result.h - first),
               memory(slot).tiles);
      if (stream_) stream_fence();
    });
  }

 private:
  int64_t maps() const { return problem_.shape.batch * problem_.shape.channels; }

  bool in_place(int k) const { return tensors_.source[k].in_place && !Op::kPrepares; }

  // Samples of tiles that so many rows and columns of results need.
  int64_t tile_samples(int64_t rows, int64_t columns) const {
    int64_t sources = 0, results = Op::kOwn && !tensors_.own.in_place;
    for (int k = 0; k < Op::kSources; ++k) sources += !in_place(k);
    for (int k = 0; k < Op::kResults; ++k) results += !tensors_.result[k].in_place;
    // Whole rows are loaded as such: they follow one another in memory.
    const int64_t source_columns =
        columns == windows_.result.w ? windows_.source.w : windows_.columns_under(columns);
    return sources * windows_.rows_under(rows) * source_columns + results * rows * columns;
  }

  void choose_blocks() {
    vectors_ = problem_.channels_last ? larger<int64_t>(1, problem_.shape.channels / lanes<A>) : 1;
    columns_ = windows_.result.w;
    const auto fits = [&](int64_t rows) {
      return tile_samples(rows, columns_) * vectors_ <= kTileCapacity;
    };
    while (!fits(1) && columns_ > kFewColumns) columns_ = divide_up(columns_, 2);
    while (!fits(1) && vectors_ > 1) vectors_ = divide_up(vectors_, 2);
    while (!fits(1) && columns_ > 1) columns_ = divide_up(columns_, 2);
    in_parts_ = !fits(1);
    rows_ = 1;
    const int64_t most =
        larger<int64_t>(1, smaller(windows_.result.h, kTaskSamples / (columns_ * vectors_)));
    while (!in_parts_ && rows_ < most && fits(rows_ + 1)) ++rows_;
  }

  // The lanes of a unit from a channel on: whole vectors as far as possible. Less than a vector at
  // the end of the channels reaches back over the one before.
  LaneBlock lane_block(int64_t unit, int64_t channel) const {
    const int64_t channels = problem_.shape.channels;
    if (!problem_.channels_last) {
      const int64_t map = unit * lanes<A>;
      return {map / channels, map % channels, smaller(lanes<A>, maps() - map)};
    }
    const int64_t whole = smaller(vectors_, (channels - channel) / lanes<A>) * lanes<A>;
    if (whole > 0) return {unit, channel, whole};
    if (channels > lanes<A>) return {unit, channels - lanes<A>, lanes<A>};
    return {unit, 0, channels};
  }

  void run_rows(int64_t unit, int64_t first, int64_t rows, char* memory) const {
    const int64_t channels = problem_.channels_last ? problem_.shape.channels : 1;
    for (int64_t column = 0; column < windows_.result.w; column += columns_) {
      const Area area{first, rows, column, smaller(columns_, windows_.result.w - column)};
      for (int64_t channel = 0; channel < channels;) {
        const LaneBlock block = lane_block(unit, channel);
        run_block(block, area, memory);
        channel = problem_.channels_last ? block.channel + block.count : channels;
      }
    }
  }

  void run_block(const LaneBlock& block, const Area& area, char* memory) const {
    Arena arena(memory);
    PoolTiles<A> tiles{};
    tiles.vectors = divide_up(block.count, lanes<A>);
    tiles.stream = stream_;
    tiles.fetch = in_place(0);
    if constexpr (Op::kOwn)
      tiles.own = load(tensors_.own, tensors_.own.in_place, block, area, arena);
    for (int k = 0; k < Op::kResults; ++k) tiles.result[k] = result_tile(k, block, area, arena);
    const PoolFold<Op> fold(op_, windows_, tiles);
    if (in_parts_) {
      fold_in_parts(fold, block, area, tiles, arena);
    } else {
      load_sources(block, source_area(area), tiles, arena);
      fold.fold(area);
    }
    for (int k = 0; k < Op::kResults; ++k) {
      const TileResult<A>& result = tensors_.result[k];
      if (!result.in_place)
        result.store(result.data, result.stride, problem_.shape.channels, block, tiles.result[k]);
    }
  }

  void load_sources(const LaneBlock& block, const Area& area, PoolTiles<A>& tiles,
                    Arena arena) const {
    for (int k = 0; k < Op::kSources; ++k)
      tiles.source[k] = load(tensors_.source[k], in_place(k), block, area, arena);
    if constexpr (Op::kPrepares) prepare_tiles(op_, tiles);
  }

  // A single result after another; as many taps of its window at a time as there is memory for.
  void fold_in_parts(const PoolFold<Op>& fold, const LaneBlock& block, const Area& area,
                     PoolTiles<A>& tiles, const Arena& arena) const {
    const int64_t capacity = (kTileCapacity - Op::kOwn - Op::kResults) / Op::kSources;
    for (int64_t y = area.row; y < area.row + area.rows; ++y) {
      const Reach& row = windows_.rows[y];
      for (int64_t r = 0; r < windows_.run_count; ++r) {
        WindowRun run = clipped(windows_.runs[r], area.column, area.column + area.columns);
        if (run.count == 0) continue;
        const Reach& column = run.reach;
        const int64_t columns =
            larger<int64_t>(1, smaller(column.taps, taps_in(capacity, windows_.dilation.w)));
        const int64_t rows =
            columns < column.taps
                ? 1
                : taps_in(capacity / span(columns, windows_.dilation.w), windows_.dilation.h);
        fold.fold_in_parts(y, run, [&](auto body) {
          for (int64_t i = 0; i < row.taps; i += rows) {
            for (int64_t j = 0; j < column.taps; j += columns) {
              const Reach part_row = part(row, i, rows, windows_.dilation.h, windows_.tap_step.h);
              const Reach part_column =
                  part(column, j, columns, windows_.dilation.w, windows_.tap_step.w);
              load_sources(block,
                           {part_row.source, span(part_row.taps, windows_.dilation.h),
                            part_column.source, span(part_column.taps, windows_.dilation.w)},
                           tiles, arena);
              body(part_row, part_column);
            }
          }
        });
      }
    }
  }

  static Reach part(const Reach& reach, int64_t first, int64_t most, int64_t dilation,
                    int64_t tap_step) {
    return {reach.source + first * dilation, smaller(most, reach.taps - first),
            reach.tap + first * tap_step};
  }
  // The samples that so many taps span, and the taps that span at most so many samples.
  static int64_t span(int64_t taps, int64_t dilation) { return (taps - 1) * dilation + 1; }
  static int64_t taps_in(int64_t samples, int64_t dilation) { return (samples - 1) / dilation + 1; }

  // Samples from the first to the last of some windows.
  struct Extent {
    int64_t first = INT64_MAX, end = 0;

    void add(const Reach& reach, int64_t dilation) {
      if (reach.taps == 0) return;
      first = smaller(first, reach.source);
      end = larger(end, reach.source + span(reach.taps, dilation));
    }
    int64_t start() const { return end > 0 ? first : 0; }
    int64_t count() const { return end > 0 ? end - first : 0; }
  };

  // What the windows of an area reach.
  Area source_area(const Area& area) const {
    Extent rows, columns;
    for (int64_t y = area.row; y < area.row + area.rows; ++y)
      rows.add(windows_.rows[y], windows_.dilation.h);
    if (area.columns == windows_.result.w)
      return {rows.start(), rows.count(), 0, windows_.source.w};
    for (int64_t r = 0; r < windows_.run_count; ++r) {
      const WindowRun run = clipped(windows_.runs[r], area.column, area.column + area.columns);
      if (run.count == 0) continue;
      Reach last = run.reach;
      last.source += (run.count - 1) * run.stride;
      columns.add(run.reach, windows_.dilation.w);
      columns.add(last, windows_.dilation.w);
    }
    return {rows.start(), rows.count(), columns.start(), columns.count()};
  }

  Tile<A> load(const TileSource<A>& source, bool in_place, const LaneBlock& block, const Area& area,
               Arena& arena) const {
    if (in_place) {
      // Only read.
      A* data = const_cast<A*>(static_cast<const A*>(source.data));
      return tile_in_place(data, source.stride, block, area);
    }
    const Tile<A> tile = empty_tile(block, area, arena);
    source.load(source.data, source.stride, problem_.shape.channels, block, tile);
    return tile;
  }

  Tile<A> result_tile(int k, const LaneBlock& block, const Area& area, Arena& arena) const {
    const TileResult<A>& result = tensors_.result[k];
    if (result.in_place)
      return tile_in_place(static_cast<A*>(result.data), result.stride, block, area);
    return empty_tile(block, area, arena);
  }

  static Tile<A> tile_in_place(A* data, const Strides4& stride, const LaneBlock& block,
                               const Area& area) {
    return {data + block.image * stride.n + block.channel + area.row * stride.h +
                area.column * stride.w,
            stride.h, stride.w, area};
  }
  static Tile<A> empty_tile(const LaneBlock& block, const Area& area, Arena& arena) {
    const int64_t sample = round_up(block.count, lanes<A>);
    return {arena.take<A>(area.size() * sample), area.columns * sample, sample, area};
  }

  // Blocks of fewer columns read too many of their neighbours' samples again; blocks of fewer
  // channels read memory in pieces.
  static constexpr int64_t kFewColumns = 16;
  // Samples a task has at most, in vectors: enough to hide its start, and little enough that
  // threads find enough tasks.
  static constexpr int64_t kTaskSamples = 4096;

  const Op op_;
  const PoolWindows& windows_;
  const PoolTensors<A> tensors_;
  const Pool2dProblem& problem_;
  int64_t vectors_, rows_, columns_;
  bool in_parts_, stream_;
};

template <class Op>
void pool(const Pool2dProblem& problem, const PoolWindows& windows, const Op& op,
          const PoolTensors<typename Op::A>& tensors, const Execution& execution) {
  PoolWalk<Op>(problem, windows, op, tensors, execution.threads).run(execution);
}

}  // namespace cnnops::CNNOPS_TARGET
