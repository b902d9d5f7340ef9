// Undoes the filters of the rows of a PNG of one channel.
//
// A label map is constant over most of its area. There every filter predicts the pixel before, so eight pixels at a time
// are recognised and filled; only what lies on a boundary is computed pixel by pixel.
//
// Source: PNG Specification, Third Edition (W3C), section 9 (filtering).

#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace {

enum Filter : uint8_t { kNone, kSub, kUp, kAverage, kPaeth };

inline uint64_t eight(const uint8_t* place) {
    uint64_t word;
    std::memcpy(&word, place, 8);
    return word;
}

inline int paeth(int left, int above, int corner) {
    const int to_left = std::abs(above - corner), to_above = std::abs(left - corner);
    const int to_corner = std::abs(left + above - 2 * corner);
    return to_left <= to_above && to_left <= to_corner ? left : to_above <= to_corner ? above : corner;
}

// Computes bytes `first` to `end` - 1 of a row one after the other; kBytes is the size of a value.
template <Filter filter, int kBytes>
void restore_few(const uint8_t* stored, const uint8_t* above, uint8_t* row, int64_t first, int64_t end) {
    for (int64_t x = first; x < end; ++x) {
        const int left = x >= kBytes ? row[x - kBytes] : 0, corner = x >= kBytes ? above[x - kBytes] : 0;
        const int predicted = filter == kSub ? left : filter == kAverage ? (left + above[x]) / 2 : paeth(left, above[x], corner);
        row[x] = uint8_t(stored[x] + predicted);
    }
}

// Eight bytes of the value of kBytes at a place.
template <int kBytes>
inline uint64_t repeated(const uint8_t* place) {
    if (kBytes == 1) return *place * 0x0101010101010101u;
    uint16_t value;
    std::memcpy(&value, place, 2);
    return value * 0x0001000100010001u;
}

template <Filter filter, int kBytes>
void restore(const uint8_t* stored, const uint8_t* above, uint8_t* row, int64_t size) {
    int64_t x = size < kBytes ? size : kBytes;
    restore_few<filter, kBytes>(stored, above, row, 0, x);
    for (; x + 8 <= size; x += 8) {
        const uint64_t left = repeated<kBytes>(row + x - kBytes);
        // Left and above alike, or above and corner alike, make the average and Paeth's predictor the value before.
        const bool is_flat = filter == kSub       ? true
                             : filter == kAverage ? eight(above + x) == left
                                                  : eight(above + x) == eight(above + x - kBytes);
        if (is_flat && eight(stored + x) == 0) {
            std::memcpy(row + x, &left, 8);
        } else {
            restore_few<filter, kBytes>(stored, above, row, x, x + 8);
        }
    }
    restore_few<filter, kBytes>(stored, above, row, x, size);
}

template <int kBytes>
bool restore_rows(const uint8_t* rows, int64_t height, int64_t size, const uint8_t* zeros, uint8_t* out) {
    for (int64_t y = 0; y < height; ++y) {
        const uint8_t* stored = rows + y * (size + 1) + 1;
        uint8_t* row = out + y * size;
        const uint8_t* above = y > 0 ? row - size : zeros;
        switch (stored[-1]) {
            case kNone:
                std::memcpy(row, stored, size_t(size));
                break;
            case kSub:
                restore<kSub, kBytes>(stored, above, row, size);
                break;
            case kUp:
                for (int64_t x = 0; x < size; ++x) row[x] = uint8_t(stored[x] + above[x]);
                break;
            case kAverage:
                restore<kAverage, kBytes>(stored, above, row, size);
                break;
            case kPaeth:
                restore<kPaeth, kBytes>(stored, above, row, size);
                break;
            default:
                return false;
        }
    }
    return true;
}

}  // namespace

// Writes the (height, row_bytes) bytes of the values, of one or two bytes each, that filtered rows stand for.
//
//   rows     (height, 1 + row_bytes) bytes, a row's filter in front of it
//
// Returns 0, 1 where a filter is unknown, or 2 without memory.
extern "C" int64_t segedge_unfilter_rows(const uint8_t* rows, int64_t height, int64_t row_bytes, int64_t value_bytes,
                                         uint8_t* out) {
    auto* zeros = static_cast<uint8_t*>(std::calloc(size_t(row_bytes), 1));
    if (zeros == nullptr) return 2;
    const bool is_known = value_bytes == 1 ? restore_rows<1>(rows, height, row_bytes, zeros, out)
                                           : restore_rows<2>(rows, height, row_bytes, zeros, out);
    std::free(zeros);
    return is_known ? 0 : 1;
}
