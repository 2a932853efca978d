// Fetching memory into the cache before it is read.
#pragma once

#include "vector.h"

namespace cnnops::CNNOPS_TARGET {

inline constexpr int64_t kPage = 4096;  // bytes

// Fetches the line of memory a page further on, for what is read from one end to the other: processors
// fetch that ahead themselves, but not from one page to the next.
template <class T>
CNNOPS_INLINE void fetch_page_ahead(const T* from) {
  __builtin_prefetch(from + kPage / sizeof(T));
}
// The same for what is written: a store waits for its line.
template <class T>
CNNOPS_INLINE void fetch_page_ahead_to_write(T* to) {
  __builtin_prefetch(to + kPage / sizeof(T), 1);
}
// About a page in elements, where only a part of every pixel, of `pixel` elements, is read: whole pixels.
template <class T>
CNNOPS_INLINE int64_t page_of_pixels(int64_t pixel) {
  constexpr int64_t kElements = kPage / int64_t(sizeof(T));
  return larger<int64_t>(1, (kElements + pixel / 2) / pixel) * pixel;
}
// The elements of a cache line.
template <class T>
inline constexpr int64_t kLineElements = 64 / int64_t(sizeof(T));

// Cache lines that a tile fetches, one each step of the depth.
struct FetchedLines {
  const char* first;
  int64_t step;  // bytes; 0 for no lines
};

// What is needed next, in pieces of memory whose lines register tiles fetch, one tile after the other,
// while they multiply what is there already. More than kMostBytes would drive that out of the cache.
class Ahead {
 public:
  // A run of memory.
  template <class T>
  void add(const T* data, int64_t elements) {
    const int64_t bytes = elements * int64_t(sizeof(T));
    if (bytes <= kMostBytes) push({bytes_at(data), bytes_at(data) + bytes, kLine});
  }

  // Columns of many rows that lie `pitch` elements apart. A tile fetches a line of every row, if its
  // depth is the number of rows.
  template <class T>
  void add_columns(const T* data, int64_t columns, int64_t pitch) {
    const int64_t bytes = columns * int64_t(sizeof(T));
    push({bytes_at(data), bytes_at(data) + bytes, pitch * int64_t(sizeof(T))});
  }

  // The lines of the next tile of such a depth.
  FetchedLines take(int64_t depth) {
    if (next_ == count_) return {nullptr, 0};
    Piece& piece = pieces_[next_];
    const char* const first = piece.first;
    piece.first += piece.step == kLine ? depth * kLine : kLine;
    if (piece.first >= piece.last) ++next_;
    return {first, piece.step};
  }

 private:
  static constexpr int64_t kLine = 64, kMostBytes = 320 << 10;
  static constexpr int kMostPieces = 12;
  struct Piece {
    const char *first, *last;
    int64_t step;
  };

  static const char* bytes_at(const void* data) { return static_cast<const char*>(data); }
  void push(const Piece& piece) {
    if (count_ < kMostPieces) pieces_[count_++] = piece;
  }

  Piece pieces_[kMostPieces];
  int count_ = 0, next_ = 0;
};

}  // namespace cnnops::CNNOPS_TARGET
