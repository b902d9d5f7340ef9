// Bilinear upsampling and argmax in one step: strided logits to a label map.
//
// A pixel is a convex combination of the four corners of its cell. Where one class is the argmax
// of all four corners it is the argmax of every pixel between them, so such a cell is filled and
// only the cells on a class boundary are computed. In these, a class that loses to one and the same
// corner winner at all four corners cannot win inside and is left out.
//
// What remains is evaluated in float. A pixel whose best and second value are too close to be told
// apart in float is evaluated again in double, in the order of operations of edge/bilinear.py, which
// defines the result. Compile with -ffp-contract=off and without -ffast-math: that order counts.
//
// Interpolation weights come from the caller (edge/bilinear.py), for both coordinate rules alike.
// The functions marked SEGEDGE_DEVICE are for CUDA kernels too; nvcc and NVRTC see these alone.

#ifdef __CUDACC__
#define SEGEDGE_DEVICE __host__ __device__ inline
#else
#define SEGEDGE_DEVICE inline
#endif

namespace segedge {

// Logits of one class at the corners of a cell.
template <typename Real>
struct Corners {
    Real top_left, top_right, bottom_left, bottom_right;
};

// The defining arithmetic: vertical first, then horizontal. The weights are whole numbers (numerators
// over a common denominator per axis), so products of weights and logits are exact.
SEGEDGE_DEVICE double interpolate_exact(const Corners<float>& corner, double top_weight, double bottom_weight,
                                        double left_weight, double right_weight) {
    const double left = top_weight * static_cast<double>(corner.top_left) +
                        bottom_weight * static_cast<double>(corner.bottom_left);
    const double right = top_weight * static_cast<double>(corner.top_right) +
                         bottom_weight * static_cast<double>(corner.bottom_right);
    return left_weight * left + right_weight * right;
}

// The smallest difference of two float values that decides between them, where no corner exceeds
// `largest`. With u = 2^-24 and m = largest, `a + w * (b - a)` with a rounded weight is off by at most
// 2um (weight) + 2um (difference) + 2um (product) + um (sum) = 7um; done along y and then along x, that
// is 7um + 7um; for two values 28um, and 2um more for their difference: below 32um = 2^-19 m. The
// second term covers values that are subnormal. A contraction to FMA only makes the error smaller.
// Large values, whose differences may overflow, get an infinite margin.
SEGEDGE_DEVICE float deciding_margin(float largest) {
    return largest > 1e30f ? __builtin_huge_valf() : largest * 1.9073486328125e-06f + 1.17549435e-38f;
}

}  // namespace segedge

#ifndef __CUDACC__

#include <cfenv>
#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace segedge {
namespace {

constexpr int kLanes = 8;
constexpr int kMostClasses = 256;
typedef float Floats __attribute__((vector_size(kLanes * sizeof(float))));
typedef std::int32_t Ints __attribute__((vector_size(kLanes * sizeof(std::int32_t))));

template <typename Vector, typename Value>
inline Vector load(const Value* from) {
    Vector vector;
    std::memcpy(&vector, from, sizeof(vector));
    return vector;
}

inline Floats magnitude(const Floats& values) { return values < 0 ? -values : values; }

inline Floats maximum(const Floats& one, const Floats& other) { return one > other ? one : other; }

inline bool any_lane(const Ints& mask) {
    std::int64_t words[kLanes / 2];
    std::memcpy(words, &mask, sizeof(words));
    std::int64_t all = 0;
    for (const std::int64_t word : words) all |= word;
    return all != 0;
}

}  // namespace

extern "C" {

// One axis of the output, cut into cells: runs of pixels between the same two nodes.
// The three weight tables have kLanes entries more than there are pixels.
struct SegedgeAxis {
    std::int64_t cells;
    const std::int32_t* start;  // cells + 1 entries: first pixel of each cell, then the number of pixels
    const std::int32_t* low;    // node before the cell's pixels
    const std::int32_t* high;   // node behind them: low + 1, or low beyond the outermost nodes
    const float* fraction;      // per pixel: weight of the high node, 0 to 1
    const double* low_weight;   // per pixel: whole numbers
    const double* high_weight;
};

}  // extern "C"

namespace {

// Node rows are visited from top to bottom, and the last two are kept, all classes of a node side by side.
class NodeRows {
  public:
    NodeRows(const float* logits, std::int64_t classes, std::int64_t height, std::int64_t width)
        : logits_(logits), classes_(classes), height_(height), width_(width) {
        padded_classes_ = (classes + kLanes - 1) / kLanes * kLanes;
        row_size_ = width * padded_classes_;
        nodes_ = static_cast<float*>(std::calloc(static_cast<std::size_t>(2 * row_size_), sizeof(float)));
        labels_ = static_cast<std::uint8_t*>(std::malloc(static_cast<std::size_t>(2 * width)));
    }
    ~NodeRows() {
        std::free(nodes_);
        std::free(labels_);
    }
    NodeRows(const NodeRows&) = delete;
    NodeRows& operator=(const NodeRows&) = delete;

    bool allocated() const { return nodes_ && labels_; }
    std::int64_t padded_classes() const { return padded_classes_; }
    const float* node(std::int64_t y, std::int64_t x) const {
        return nodes_ + (y & 1) * row_size_ + x * padded_classes_;
    }
    const std::uint8_t* labels(std::int64_t y) const { return labels_ + (y & 1) * width_; }

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
        float* const nodes = nodes_ + (y & 1) * row_size_;
        std::uint8_t* const labels = labels_ + (y & 1) * width_;
        bool finite = true;
        std::int64_t x = 0;
        for (; x + kBlock <= width_; x += kBlock)
            finite &= read_block(row + x, height_ * width_, kBlock, nodes + x * padded_classes_, labels + x);
        if (x < width_) {
            float padded[kMostClasses * kBlock] = {};
            for (std::int64_t c = 0; c < classes_; ++c)
                std::memcpy(padded + c * kBlock, row + c * height_ * width_ + x, (width_ - x) * sizeof(float));
            finite &= read_block(padded, kBlock, width_ - x, nodes + x * padded_classes_, labels + x);
        }
        return finite;
    }

    bool read_block(const float* from, std::int64_t class_stride, std::int64_t count, float* nodes,
                    std::uint8_t* labels) const {
        Floats best[2] = {load<Floats>(from), load<Floats>(from + kLanes)};
        Ints winner[2] = {};
        Ints not_finite = {};
        for (std::int64_t c = 0; c < classes_; ++c, from += class_stride) {
            for (int half = 0; half < 2; ++half) {
                const Floats value = load<Floats>(from + half * kLanes);
                winner[half] = value > best[half] ? Ints{} + static_cast<std::int32_t>(c) : winner[half];
                best[half] = maximum(value, best[half]);
                not_finite |= ~(value - value == 0);
            }
            for (std::int64_t i = 0; i < count; ++i) nodes[i * padded_classes_ + c] = from[i];
        }
        for (std::int64_t i = 0; i < count; ++i) labels[i] = static_cast<std::uint8_t>(winner[i / kLanes][i % kLanes]);
        return !any_lane(not_finite);
    }

    const float* logits_;
    std::int64_t classes_, height_, width_, padded_classes_, row_size_, next_ = 0;
    float* nodes_;
    std::uint8_t* labels_;
};

// The four corners of a cell: a pointer to the logits of all classes at each, and the winner there.
struct Cell {
    const float *top_left, *top_right, *bottom_left, *bottom_right;
    std::uint8_t winners[4];
};

// The classes that may win somewhere in one cell, in ascending order. Candidate k has its logits at
// `position[k]` of the corner arrays, which are `size` long, a multiple of kLanes.
struct Candidates {
    std::int64_t count, size;
    float largest;
    std::int32_t label[kMostClasses];
    std::int32_t position[kMostClasses];
    const float *top_left, *top_right, *bottom_left, *bottom_right;
    float few[4][kLanes];

    Corners<float> corners(std::int64_t k) const {
        const std::int32_t at = position[k];
        return {top_left[at], top_right[at], bottom_left[at], bottom_right[at]};
    }
};

// Marks (-1) the classes that lose to `winner` at all four corners. A tie goes to the lower class; in
// the vector of `winner` itself ties are left to the evaluation.
void mark_losers(const Cell& cell, std::int64_t padded_classes, std::int64_t winner, std::int32_t* loses) {
    const Floats a = Floats{} + cell.top_left[winner], b = Floats{} + cell.top_right[winner];
    const Floats c = Floats{} + cell.bottom_left[winner], d = Floats{} + cell.bottom_right[winner];
    for (std::int64_t k = 0; k < padded_classes; k += kLanes) {
        const Floats top_left = load<Floats>(cell.top_left + k), top_right = load<Floats>(cell.top_right + k);
        const Floats bottom_left = load<Floats>(cell.bottom_left + k);
        const Floats bottom_right = load<Floats>(cell.bottom_right + k);
        Ints marked = load<Ints>(loses + k);
        if (k > winner)
            marked |= (top_left <= a) & (top_right <= b) & (bottom_left <= c) & (bottom_right <= d);
        else
            marked |= (top_left < a) & (top_right < b) & (bottom_left < c) & (bottom_right < d);
        std::memcpy(loses + k, &marked, sizeof(marked));
    }
}

void find_candidates(const Cell& cell, std::int64_t classes, std::int64_t padded_classes, Candidates& candidates) {
    std::int32_t loses[kMostClasses] = {};
    for (int i = 0; i < 4; ++i) {
        bool seen = false;
        for (int j = 0; j < i; ++j) seen = seen || cell.winners[j] == cell.winners[i];
        if (!seen) mark_losers(cell, padded_classes, cell.winners[i], loses);
    }
    std::int64_t count = 0;
    for (std::int64_t c = 0; c < classes; ++c) {
        candidates.label[count] = static_cast<std::int32_t>(c);
        count += loses[c] + 1;
    }
    candidates.count = count;
    const float* corners[4] = {cell.top_left, cell.top_right, cell.bottom_left, cell.bottom_right};
    if (count <= kLanes) {
        candidates.size = kLanes;
        for (int corner = 0; corner < 4; ++corner) {
            for (std::int64_t k = 0; k < kLanes; ++k)
                candidates.few[corner][k] = k < count ? corners[corner][candidates.label[k]] : 0;
            corners[corner] = candidates.few[corner];
        }
        for (std::int64_t k = 0; k < count; ++k) candidates.position[k] = static_cast<std::int32_t>(k);
    } else {
        candidates.size = padded_classes;
        std::memcpy(candidates.position, candidates.label, static_cast<std::size_t>(count) * sizeof(std::int32_t));
    }
    candidates.top_left = corners[0];
    candidates.top_right = corners[1];
    candidates.bottom_left = corners[2];
    candidates.bottom_right = corners[3];
    Floats largest = {};
    for (const float* const corner : corners)
        for (std::int64_t k = 0; k < candidates.size; k += kLanes)
            largest = maximum(largest, magnitude(load<Floats>(corner + k)));
    candidates.largest = 0;
    for (int lane = 0; lane < kLanes; ++lane)
        candidates.largest = largest[lane] > candidates.largest ? largest[lane] : candidates.largest;
}

// Labels of kLanes neighbouring pixels of one row, in double, by the definition.
Ints exact_labels(const Candidates& candidates, const SegedgeAxis& rows, const SegedgeAxis& columns, std::int64_t y,
                  std::int64_t x) {
    std::int32_t labels[kLanes];
    for (int lane = 0; lane < kLanes; ++lane) {
        double best = 0;
        for (std::int64_t k = 0; k < candidates.count; ++k) {
            const double value = interpolate_exact(candidates.corners(k), rows.low_weight[y], rows.high_weight[y],
                                                   columns.low_weight[x + lane], columns.high_weight[x + lane]);
            if (k == 0 || value > best) {
                best = value;
                labels[lane] = candidates.label[k];
            }
        }
    }
    return load<Ints>(labels);
}

// Labels `count` neighbouring rows of a cell.
template <int count>
void label_rows(const Candidates& candidates, float margin, const SegedgeAxis& rows, const SegedgeAxis& columns,
                std::int64_t y, std::int64_t begin, std::int64_t end, std::uint8_t* out, std::int64_t out_stride) {
    alignas(64) float at_left[count][kMostClasses], slope[count][kMostClasses];
    for (std::int64_t k = 0; k < candidates.size; k += kLanes) {
        const Floats top_left = load<Floats>(candidates.top_left + k);
        const Floats top_right = load<Floats>(candidates.top_right + k);
        const Floats down_left = load<Floats>(candidates.bottom_left + k) - top_left;
        const Floats down_right = load<Floats>(candidates.bottom_right + k) - top_right;
        for (int row = 0; row < count; ++row) {
            const Floats left = top_left + rows.fraction[y + row] * down_left;
            const Floats right_minus_left = top_right + rows.fraction[y + row] * down_right - left;
            std::memcpy(at_left[row] + k, &left, sizeof(left));
            std::memcpy(slope[row] + k, &right_minus_left, sizeof(left));
        }
    }
    const std::int32_t first = candidates.position[0];
    for (std::int64_t x = begin; x < end; x += kLanes) {
        const Floats across = load<Floats>(columns.fraction + x);
        Floats best[count], second[count];
        Ints label[count];
        for (int row = 0; row < count; ++row) {
            best[row] = at_left[row][first] + across * slope[row][first];
            second[row] = best[row] - 3e38f;
            label[row] = Ints{} + candidates.label[0];
        }
        for (std::int64_t k = 1; k < candidates.count; ++k) {
            const std::int32_t at = candidates.position[k];
            const Ints this_label = Ints{} + candidates.label[k];
            for (int row = 0; row < count; ++row) {
                const Floats value = at_left[row][at] + across * slope[row][at];
                label[row] = value > best[row] ? this_label : label[row];
                const Floats lower = value < best[row] ? value : best[row];
                best[row] = maximum(value, best[row]);
                second[row] = maximum(lower, second[row]);
            }
        }
        const std::size_t width = static_cast<std::size_t>(end - x < kLanes ? end - x : kLanes);
        for (int row = 0; row < count; ++row) {
            if (any_lane(~(best[row] - second[row] > margin)))
                label[row] = exact_labels(candidates, rows, columns, y + row, x);
            std::uint8_t bytes[kLanes];
            for (int lane = 0; lane < kLanes; ++lane) bytes[lane] = static_cast<std::uint8_t>(label[row][lane]);
            std::uint8_t* const to = out + (y + row) * out_stride + x;
            if (width == kLanes)
                std::memcpy(to, bytes, kLanes);
            else
                std::memcpy(to, bytes, width);
        }
    }
}

void label_cell(const Candidates& candidates, const SegedgeAxis& rows, const SegedgeAxis& columns, std::int64_t cell_y,
                std::int64_t cell_x, std::uint8_t* out, std::int64_t out_stride) {
    const std::int64_t begin = columns.start[cell_x], end = columns.start[cell_x + 1];
    const std::int64_t last = rows.start[cell_y + 1];
    const float margin = deciding_margin(candidates.largest);
    std::int64_t y = rows.start[cell_y];
    for (; y + 4 <= last; y += 4) label_rows<4>(candidates, margin, rows, columns, y, begin, end, out, out_stride);
    for (; y < last; ++y) label_rows<1>(candidates, margin, rows, columns, y, begin, end, out, out_stride);
}

// Fills one output row with the label of each cell's top left corner, run by run. That is final for
// uniform cells; the others are listed.
std::int64_t fill_row(const std::uint8_t* top, const std::uint8_t* bottom, const SegedgeAxis& columns,
                      std::uint8_t* out, std::int32_t* boundary) {
    std::int64_t boundary_count = 0;
    std::int64_t run_start = 0;
    std::uint8_t run_label = top[columns.low[0]];
    for (std::int64_t cell = 0; cell < columns.cells; ++cell) {
        const std::int64_t left = columns.low[cell], right = columns.high[cell];
        const std::uint8_t label = top[left];
        const unsigned differences = (label ^ top[right]) | (label ^ bottom[left]) | (label ^ bottom[right]);
        boundary[boundary_count] = static_cast<std::int32_t>(cell);
        boundary_count += differences != 0;
        if (differences == 0 && label != run_label) {
            const std::int64_t start = columns.start[cell];
            std::memset(out + run_start, run_label, static_cast<std::size_t>(start - run_start));
            run_start = start;
            run_label = label;
        }
    }
    std::memset(out + run_start, run_label, static_cast<std::size_t>(columns.start[columns.cells] - run_start));
    return boundary_count;
}

enum Status { kDone = 0, kNotFinite = 1, kOutOfMemory = 2 };

Status upsample_argmax(const float* logits, std::int64_t classes, std::int64_t height, std::int64_t width,
                       const SegedgeAxis& rows, const SegedgeAxis& columns, std::uint8_t* out,
                       std::int64_t out_stride, std::int32_t* boundary) {
    NodeRows nodes(logits, classes, height, width);
    if (!nodes.allocated()) return kOutOfMemory;
    Candidates candidates;
    const std::size_t row_bytes = static_cast<std::size_t>(columns.start[columns.cells]);
    for (std::int64_t cell_y = 0; cell_y < rows.cells; ++cell_y) {
        const std::int64_t low = rows.low[cell_y], high = rows.high[cell_y];
        if (!nodes.advance(high)) return kNotFinite;
        const std::uint8_t* const top = nodes.labels(low);
        const std::uint8_t* const bottom = nodes.labels(high);
        const std::int64_t first = rows.start[cell_y];
        std::uint8_t* const first_row = out + first * out_stride;
        const std::int64_t boundary_count = fill_row(top, bottom, columns, first_row, boundary);
        for (std::int64_t y = first + 1; y < rows.start[cell_y + 1]; ++y)
            std::memcpy(out + y * out_stride, first_row, row_bytes);
        for (std::int64_t i = 0; i < boundary_count; ++i) {
            const std::int64_t cell_x = boundary[i], left = columns.low[cell_x], right = columns.high[cell_x];
            const Cell cell = {nodes.node(low, left),
                               nodes.node(low, right),
                               nodes.node(high, left),
                               nodes.node(high, right),
                               {top[left], top[right], bottom[left], bottom[right]}};
            find_candidates(cell, classes, nodes.padded_classes(), candidates);
            label_cell(candidates, rows, columns, cell_y, cell_x, out, out_stride);
        }
    }
    return nodes.finish() ? kDone : kNotFinite;
}

}  // namespace
}  // namespace segedge

// Labels an image.
//
//   logits      classes x height x width, contiguous; classes is 1 to 256
//   rows        the output's rows, columns likewise
//   out         one byte per pixel, rows `out_stride` bytes apart
//
// Returns 0; 1 if a logit is NaN or infinite (out then holds rows up to there); 2 if memory is short.
// May run in several threads at once.
extern "C" int segedge_upsample_argmax(const float* logits, std::int64_t classes, std::int64_t height,
                                       std::int64_t width, const segedge::SegedgeAxis* rows,
                                       const segedge::SegedgeAxis* columns, std::uint8_t* out,
                                       std::int64_t out_stride) {
    std::int32_t* const boundary =
        static_cast<std::int32_t*>(std::malloc(static_cast<std::size_t>(columns->cells + 1) * sizeof(std::int32_t)));
    if (!boundary) return segedge::kOutOfMemory;
    // Other libraries may have set this thread to flush subnormal numbers to zero or to round otherwise.
    std::fenv_t caller;
    std::fegetenv(&caller);
    std::fesetenv(FE_DFL_ENV);
    const int status =
        segedge::upsample_argmax(logits, classes, height, width, *rows, *columns, out, out_stride, boundary);
    std::fesetenv(&caller);
    std::free(boundary);
    return status;
}

#endif  // __CUDACC__
