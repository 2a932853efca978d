// The sums of a task whose output channels fill vectors, [pixel][channel]: built in the result where
// its layout allows that, else in scratch memory and written from there.
#pragma once

#include "implicit_gemm_task.h"

namespace cnnops::CNNOPS_TARGET {

template <class T>
class ChannelSums {
 public:
  using A = Accumulate<T>;

  ChannelSums(const CorrelationOperands<T>& operands, const Correlation& lattice,
              const CorrelationTask& task, const CorrelationScratch<T>& scratch)
      : operands_(operands),
        lattice_(lattice),
        task_(task),
        bias_(bias_start(scratch)),
        sums_(sums_in_result()),
        are_in_result_(sums_.data != nullptr) {
    if (!are_in_result_) sums_ = {scratch.sums, round_up(task.channels, kTileColumns<A>)};
  }

  bool are_in_result() const { return are_in_result_; }
  // Whether pixels follow each other in the result, channel by channel.
  bool are_transposed() const {
    const Strides4& stride = operands_.result_stride;
    return stride.c != 1 && result_step(lattice_, stride, 1) == 1;
  }
  int64_t row() const { return sums_.row; }
  // Of the task's pixels from `pixel` on.
  A* at(int64_t pixel) const { return sums_.data + pixel * sums_.row; }
  // Of so many of these pixels with the block of depth from k on; the scalars are left open.
  Product<A> product(const PackedFilter<A>& filter, int64_t k, int64_t pixel, int64_t rows) const {
    const BlockStart<A> start = block_start(k, bias_, {at(pixel), sums_.row});
    Product<A> product{};
    product.rows = rows;
    // In scratch memory whole vectors may be written.
    product.columns = are_in_result_ ? task_.channels : round_up(task_.channels, lanes<A>);
    product.vectors = filter.at(task_.group, task_.first_channel / filter.width, k);
    product.vector_panel = filter.panel_stride(k);
    product.vector_depth = filter.width;
    product.start = start.data;
    product.start_panel = start.panel;
    product.start_row = start.row;
    product.sums = at(pixel);
    product.sums_row = sums_.row;
    return product;
  }

  // To the result, where they are not there yet.
  void write() const {
    for (int64_t image = 0; image < task_.images; ++image) write(image, {0, task_.pixels});
  }
  // Those of some of an image's pixels.
  void write(int64_t image, const Range& pixels) const {
    if (are_in_result_) return;
    const A* from = at(image * task_.pixels + pixels.first);
    T* const to = first_result(image);
    if (are_transposed()) {
      transpose_copy(from, sums_.row, to + pixels.first, operands_.result_stride.c,
                     pixels.last - pixels.first, task_.channels);
    } else {
      write_pixels(from, to, pixels);
    }
  }

 private:
  T* first_result(int64_t image) const {
    const Strides4& stride = operands_.result_stride;
    const int64_t channel = task_.group * operands_.produce + task_.first_channel;
    return operands_.result + (task_.first_image + image) * stride.n + channel * stride.c +
           result_offset(lattice_, stride, task_.first_pixel);
  }

  TaskSums<A> sums_in_result() const {
    const Strides4& stride = operands_.result_stride;
    const int64_t step = stride.c == 1 ? result_step(lattice_, stride, task_.images) : 0;
    if (step == 0) return {nullptr, 0};
    return {accumulators(first_result(0)), step};
  }

  BlockStart<A> bias_start(const CorrelationScratch<T>& scratch) const {
    if (operands_.bias == nullptr) return {nullptr, 0, 0};
    const int64_t channel = task_.group * operands_.produce + task_.first_channel;
    const int64_t channels = task_.channels;
    copy_run(operands_.bias + channel, scratch.bias, channels);
    fill_run(scratch.bias + channels, A(0), round_up(channels, lanes<A>) - channels);
    return {scratch.bias, kTileColumns<A>, 0};
  }

  void write_pixels(const A* from, T* to, const Range& pixels) const {
    const Strides4& stride = operands_.result_stride;
    const int64_t start = result_offset(lattice_, stride, task_.first_pixel);
    for (int64_t p = pixels.first; p < pixels.last; ++p, from += sums_.row) {
      const int64_t offset = result_offset(lattice_, stride, task_.first_pixel + p) - start;
      store_run(from, to + offset, stride.c, task_.channels);
    }
  }

  const CorrelationOperands<T>& operands_;
  const Correlation& lattice_;
  const CorrelationTask& task_;
  BlockStart<A> bias_;
  TaskSums<A> sums_;
  bool are_in_result_;
};

}  // namespace cnnops::CNNOPS_TARGET
