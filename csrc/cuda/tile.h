// The sizes of tiles, shared by host and device.
#pragma once

namespace cnnops::cuda {

// Of a block of every convolution kernel.
inline constexpr int kThreads = 256;

// A row of a tile has 64 bytes along the reduction, in four chunks of 16.
inline constexpr int kStages = 3;  // tiles of each operand in flight
inline constexpr int kChunks = 4, kChunkBytes = 16, kRowBytes = kChunks * kChunkBytes;

// Rows of a result that are staged in shared memory at a time.
inline constexpr int kSlab = 64;

}  // namespace cnnops::cuda
