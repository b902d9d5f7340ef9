// The ids of a label map in a PNG of one channel of 8 bits, and how many pixels have each.
//
// A label map is constant over most of its area. There every filter of PNG predicts the pixel before, so eight pixels
// at a time are recognised and filled; only what lies on a boundary is computed pixel by pixel.
//
// Source: PNG Specification, Third Edition (W3C), section 9 (filtering).

#include <cstdint>
#include <cstring>

#include "inflate.h"

namespace segedge {

namespace {

enum Filter : std::uint8_t { kNone, kSub, kUp, kAverage, kPaeth };

std::uint64_t eight(const std::uint8_t* place) {
    std::uint64_t word;
    std::memcpy(&word, place, 8);
    return word;
}

std::uint8_t paeth(int left, int above, int corner) {
    const int to_left = above > corner ? above - corner : corner - above;
    const int to_above = left > corner ? left - corner : corner - left;
    const int both = left + above - 2 * corner;
    const int to_corner = both < 0 ? -both : both;
    if (to_left <= to_above && to_left <= to_corner) return std::uint8_t(left);
    return std::uint8_t(to_above <= to_corner ? above : corner);
}

// Computes pixels first to end - 1 of a row one after the other.
template <Filter filter>
void restore_few(const std::uint8_t* stored, const std::uint8_t* above, std::uint8_t* row, std::int64_t first,
                 std::int64_t end) {
    for (std::int64_t x = first; x < end; ++x) {
        const int left = x ? row[x - 1] : 0, corner = x ? above[x - 1] : 0;
        const int predicted = filter == kSub       ? left
                              : filter == kAverage ? (left + above[x]) >> 1
                                                   : paeth(left, above[x], corner);
        row[x] = std::uint8_t(stored[x] + predicted);
    }
}

// Restores a row, which may lie up to `width` bytes before what is stored of it: every read of eight bytes comes before
// the write of them.
template <Filter filter>
void restore(const std::uint8_t* stored, const std::uint8_t* above, std::uint8_t* row, std::int64_t width) {
    std::int64_t x = width < 1 ? width : 1;
    restore_few<filter>(stored, above, row, 0, x);
    for (; x + 8 <= width; x += 8) {
        const std::uint64_t left = row[x - 1] * 0x0101010101010101u;
        const bool is_flat = filter == kSub       ? true
                             : filter == kAverage ? eight(above + x) == left
                                                  : eight(above + x) == eight(above + x - 1);
        if (is_flat && eight(stored + x) == 0) {
            std::memcpy(row + x, &left, 8);
        } else {
            restore_few<filter>(stored, above, row, x, x + 8);
        }
    }
    restore_few<filter>(stored, above, row, x, width);
}

void count_row(const std::uint8_t* row, std::int64_t width, std::int64_t* counts) {
    std::int64_t x = 0;
    for (; x + 8 <= width; x += 8) {
        if (eight(row + x) == row[x] * 0x0101010101010101u) {
            counts[row[x]] += 8;
        } else {
            for (int i = 0; i < 8; ++i) ++counts[row[x + i]];
        }
    }
    for (; x < width; ++x) ++counts[row[x]];
}

}  // namespace

// Decodes the image data of a PNG of one channel of 8 bits that is not interlaced.
//
//   data, size     zlib stream of the image data, all IDAT chunks joined
//   buffer         (height * (width + 1)) bytes; its first height * width become the values
//   counts         256 counts, which are added to
//
// Returns 0, or 1 where the stream is damaged or of another size.
extern "C" int segedge_png_ids(const std::uint8_t* data, std::int64_t size, std::int64_t height, std::int64_t width,
                               std::uint8_t* buffer, std::int64_t* counts) {
    if (!inflate_zlib(data, size, buffer, height * (width + 1))) return 1;
    for (std::int64_t y = 0; y < height; ++y) {
        const std::uint8_t filter = buffer[y * (width + 1)];
        const std::uint8_t* stored = buffer + y * (width + 1) + 1;
        std::uint8_t* row = buffer + y * width;
        const std::uint8_t* above = row - width;
        if (y == 0) {  // the row above the first one is zero
            if (filter == kNone || filter == kUp) std::memmove(row, stored, std::size_t(width));
            else if (filter == kSub || filter == kPaeth) restore<kSub>(stored, row, row, width);
            else if (filter == kAverage) {
                for (std::int64_t x = 0; x < width; ++x)
                    row[x] = std::uint8_t(stored[x] + ((x ? row[x - 1] : 0) >> 1));
            } else return 1;
        } else if (filter == kNone) {
            std::memmove(row, stored, std::size_t(width));
        } else if (filter == kSub) {
            restore<kSub>(stored, above, row, width);
        } else if (filter == kUp) {
            for (std::int64_t x = 0; x < width; ++x) row[x] = std::uint8_t(stored[x] + above[x]);
        } else if (filter == kAverage) {
            restore<kAverage>(stored, above, row, width);
        } else if (filter == kPaeth) {
            restore<kPaeth>(stored, above, row, width);
        } else {
            return 1;
        }
        count_row(row, width, counts);
    }
    return 0;
}

}  // namespace segedge
