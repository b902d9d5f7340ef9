// Rows of logits, turned so that the classes of a node lie side by side, with the winner of each node.

#ifndef SEGEDGE_NODE_ROWS_H
#define SEGEDGE_NODE_ROWS_H

#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace segedge {
namespace {

// Vectors of the compiler (GCC and Clang): every processor has them, in registers of its own width.
constexpr int kLanes = 8;
constexpr int kMostClasses = 256;
typedef float Floats __attribute__((vector_size(kLanes * sizeof(float))));
typedef std::int32_t Ints __attribute__((vector_size(kLanes * sizeof(std::int32_t))));
typedef std::uint8_t Bytes __attribute__((vector_size(kLanes)));

template <typename Vector, typename Value>
inline Vector load(const Value* from) {
    Vector vector;
    std::memcpy(&vector, from, sizeof(vector));
    return vector;
}

inline Ints bits_of(const Floats& values) {
    Ints bits;
    std::memcpy(&bits, &values, sizeof(bits));
    return bits;
}

inline Floats maximum(const Floats& one, const Floats& other) { return one > other ? one : other; }

inline Floats minimum(const Floats& one, const Floats& other) { return one < other ? one : other; }

// Takes turns from the first and the second vector, beginning in the lower or in the upper halves.
#ifdef __clang__
inline Floats interleave_low(Floats a, Floats b) { return __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11); }
inline Floats interleave_high(Floats a, Floats b) { return __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15); }
#else
inline Floats interleave_low(Floats a, Floats b) { return __builtin_shuffle(a, b, Ints{0, 8, 1, 9, 2, 10, 3, 11}); }
inline Floats interleave_high(Floats a, Floats b) { return __builtin_shuffle(a, b, Ints{4, 12, 5, 13, 6, 14, 7, 15}); }
#endif

// Swaps rows and columns of an 8 x 8 matrix, by three perfect shuffles.
inline void transpose(Floats (&matrix)[kLanes]) {
    for (int round = 0; round < 3; ++round) {
        Floats shuffled[kLanes];
        for (int i = 0; i < kLanes / 2; ++i) {
            shuffled[2 * i] = interleave_low(matrix[i], matrix[i + kLanes / 2]);
            shuffled[2 * i + 1] = interleave_high(matrix[i], matrix[i + kLanes / 2]);
        }
        for (int i = 0; i < kLanes; ++i) matrix[i] = shuffled[i];
    }
}

inline bool any_lane(const Ints& mask) {
    std::int64_t words[kLanes / 2];
    std::memcpy(words, &mask, sizeof(words));
    std::int64_t all = 0;
    for (const std::int64_t word : words) all |= word;
    return all != 0;
}

// One bit per lane whose mask is set; a lane of a mask is 0 or -1.
inline unsigned lanes_set(const Ints& mask) {
#ifdef __AVX__
    Floats lanes;
    std::memcpy(&lanes, &mask, sizeof(lanes));
    return static_cast<unsigned>(__builtin_ia32_movmskps256(lanes));
#else
    const Ints bits = mask & Ints{1, 2, 4, 8, 16, 32, 64, 128};
    int all = 0;
    for (int lane = 0; lane < kLanes; ++lane) all |= bits[lane];
    return static_cast<unsigned>(all);
#endif
}

// Node rows are visited from top to bottom, and the last two are kept, all classes of a node side by side.
class NodeRows {
  public:
    NodeRows(const float* logits, std::int64_t classes, std::int64_t height, std::int64_t width)
        : logits_(logits), classes_(classes), height_(height), width_(width) {
        padded_classes_ = (classes + kLanes - 1) / kLanes * kLanes;
        padded_width_ = (width + kBlock - 1) / kBlock * kBlock;
        const std::int64_t node_floats = 2 * padded_width_ * padded_classes_;
        nodes_ = static_cast<float*>(
            std::malloc(static_cast<std::size_t>(node_floats + 2 * padded_width_) * sizeof(float)));
        largest_ = nodes_ + node_floats;
        labels_ = static_cast<std::uint8_t*>(std::malloc(static_cast<std::size_t>(2 * padded_width_)));
    }
    ~NodeRows() {
        std::free(nodes_);
        std::free(labels_);
    }
    NodeRows(const NodeRows&) = delete;
    NodeRows& operator=(const NodeRows&) = delete;

    bool allocated() const { return nodes_ && labels_; }
    const float* node(std::int64_t y, std::int64_t x) const {
        return nodes_ + ((y & 1) * padded_width_ + x) * padded_classes_;
    }
    const std::uint8_t* labels(std::int64_t y) const { return labels_ + (y & 1) * padded_width_; }

    float largest(std::int64_t low, std::int64_t high, std::int64_t left, std::int64_t right) const {
        const float* const top = largest_ + (low & 1) * padded_width_;
        const float* const bottom = largest_ + (high & 1) * padded_width_;
        const float most_above = top[left] > top[right] ? top[left] : top[right];
        const float most_below = bottom[left] > bottom[right] ? bottom[left] : bottom[right];
        return most_above > most_below ? most_above : most_below;
    }

    // Reads rows up to and including `last`; false if one of them holds NaN or infinity.
    bool advance(std::int64_t last) {
        for (; next_ <= last; ++next_)
            if (!read(next_)) return false;
        return true;
    }
    bool finish() { return advance(height_ - 1); }

  private:
    // One cache line of every class: neighbouring classes are often 2^n bytes apart and share cache sets.
    static constexpr int kBlock = 2 * kLanes;

    bool read(std::int64_t y) {
        const float* const row = logits_ + y * width_;
        float* const nodes = nodes_ + (y & 1) * padded_width_ * padded_classes_;
        std::uint8_t* const labels = labels_ + (y & 1) * padded_width_;
        float* const largest = largest_ + (y & 1) * padded_width_;
        bool finite = true;
        std::int64_t x = 0;
        for (; x + kBlock <= width_; x += kBlock)
            finite &= read_block(row + x, height_ * width_, nodes + x * padded_classes_, largest + x, labels + x);
        if (x < width_) {
            float padded[kMostClasses * kBlock] = {};
            for (std::int64_t c = 0; c < classes_; ++c)
                std::memcpy(padded + c * kBlock, row + c * height_ * width_ + x,
                            static_cast<std::size_t>(width_ - x) * sizeof(float));
            finite &= read_block(padded, kBlock, nodes + x * padded_classes_, largest + x, labels + x);
        }
        return finite;
    }

    bool read_block(const float* from, std::int64_t class_stride, float* nodes, float* largest,
                    std::uint8_t* labels) const {
        Floats best[2] = {load<Floats>(from), load<Floats>(from + kLanes)};
        Ints winner[2] = {};
        Ints largest_bits[2] = {};
        for (std::int64_t first = 0; first < classes_; first += kLanes) {
            for (int half = 0; half < 2; ++half) {
                Floats planes[kLanes];
                for (int lane = 0; lane < kLanes; ++lane) {
                    // The padding repeats the last class, which then never wins twice.
                    const std::int64_t c = first + lane < classes_ ? first + lane : classes_ - 1;
                    const Floats value = load<Floats>(from + c * class_stride + half * kLanes);
                    const Ints bits = bits_of(value) & 0x7fffffff;
                    // The next row: hardware does not foresee this many streams.
                    if (half == 0) __builtin_prefetch(from + c * class_stride + width_);
                    const Ints label = Ints{} + static_cast<std::int32_t>(c);
                    winner[half] = value > best[half] ? label : winner[half];
                    best[half] = maximum(value, best[half]);
                    largest_bits[half] = bits > largest_bits[half] ? bits : largest_bits[half];
                    planes[lane] = value;
                }
                transpose(planes);
                for (int i = 0; i < kLanes; ++i)
                    std::memcpy(nodes + (half * kLanes + i) * padded_classes_ + first, &planes[i], sizeof(Floats));
            }
        }
        std::memcpy(largest, largest_bits, sizeof(largest_bits));
        for (int i = 0; i < kBlock; ++i) labels[i] = static_cast<std::uint8_t>(winner[i / kLanes][i % kLanes]);
        // Infinity and NaN have all bits of the exponent set.
        return !any_lane((largest_bits[0] >= 0x7f800000) | (largest_bits[1] >= 0x7f800000));
    }

    const float* logits_;
    std::int64_t classes_, height_, width_, padded_classes_, padded_width_, next_ = 0;
    float* nodes_;
    float* largest_;
    std::uint8_t* labels_;
};

}  // namespace
}  // namespace segedge

#endif  // SEGEDGE_NODE_ROWS_H
