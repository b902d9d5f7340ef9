// Bilinear upsampling and argmax in one step: strided logits to a label map.
//
// A pixel is a convex combination of the four corners of its cell. Where one class is the argmax
// of all four corners it is the argmax of every pixel between them, so such a cell is filled and
// only the cells on a class boundary are computed. In these, a class that loses to one and the same
// corner winner at all four corners cannot win inside and is left out.
//
// What remains is evaluated in float. A pixel whose best and second value are too close to be told
// apart in float is evaluated again in double, in the order of operations of edge/postprocess/bilinear.py, which
// defines the result. Interpolation weights come from there too, for both coordinate rules alike.

#include <cfenv>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "bilinear.h"
#include "node_rows.h"

namespace segedge {

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

namespace {

// Rows of a cell evaluated together, as far as the vector registers reach.
#ifdef __AVX512VL__
constexpr int kRows = 8;
#else
constexpr int kRows = 4;
#endif

// The four corners of a cell: the logits of all classes at each, the winner there, and the largest magnitude.
struct Cell {
    const float *top_left, *top_right, *bottom_left, *bottom_right;
    std::uint8_t winners[4];
    float largest;
};

// The classes that may win somewhere in one cell, in ascending order. Candidate k has its logits at
// `position[k]` of the corner arrays, which are `size` long, a multiple of kLanes.
struct Candidates {
    std::int64_t count, size;
    float margin;
    std::int32_t label[kMostClasses];
    std::int32_t position[kMostClasses];
    const float *top_left, *top_right, *bottom_left, *bottom_right;
    float few[4][kLanes];

    Corners corners(std::int64_t k) const {
        const std::int32_t at = position[k];
        return {top_left[at], top_right[at], bottom_left[at], bottom_right[at]};
    }
};

// Leaves out the classes that one corner winner beats at all four corners; ties stay in.
void find_candidates(const Cell& cell, std::int64_t classes, Candidates& candidates) {
    const float* corners[4] = {cell.top_left, cell.top_right, cell.bottom_left, cell.bottom_right};
    // Two of the four winners are the same in most cells.
    std::uint8_t distinct[4] = {cell.winners[0]};
    int distinct_count = 1;
    for (int i = 1; i < 4; ++i) {
        const std::uint8_t winner = cell.winners[i];
        bool is_new = winner != distinct[0];
        for (int j = 1; j < distinct_count; ++j) is_new &= winner != distinct[j];
        distinct[distinct_count] = winner;
        distinct_count += is_new;
    }
    std::int64_t count = 0;
    for (std::int64_t first = 0; first < classes; first += kLanes) {
        const Floats top_left = load<Floats>(cell.top_left + first), top_right = load<Floats>(cell.top_right + first);
        const Floats bottom_left = load<Floats>(cell.bottom_left + first);
        const Floats bottom_right = load<Floats>(cell.bottom_right + first);
        Ints loses = {};
        for (int i = 0; i < distinct_count; ++i) {
            const std::int64_t winner = distinct[i];
            loses |= (top_left < cell.top_left[winner]) & (top_right < cell.top_right[winner]) &
                     (bottom_left < cell.bottom_left[winner]) & (bottom_right < cell.bottom_right[winner]);
        }
        unsigned left_over = ~lanes_set(loses) & (classes - first < kLanes ? (1u << (classes - first)) - 1 : 0xffu);
        for (; left_over; left_over &= left_over - 1)
            candidates.label[count++] = static_cast<std::int32_t>(first + __builtin_ctz(left_over));
    }
    candidates.count = count;
    if (count <= kLanes) {
        candidates.size = kLanes;
        for (std::int64_t k = 0; k < count; ++k) {
            const std::int32_t label = candidates.label[k];
            candidates.position[k] = static_cast<std::int32_t>(k);
            for (int corner = 0; corner < 4; ++corner) candidates.few[corner][k] = corners[corner][label];
        }
        for (int corner = 0; corner < 4; ++corner) corners[corner] = candidates.few[corner];
    } else {
        candidates.size = (classes + kLanes - 1) / kLanes * kLanes;
        std::memcpy(candidates.position, candidates.label, static_cast<std::size_t>(count) * sizeof(std::int32_t));
    }
    candidates.top_left = corners[0];
    candidates.top_right = corners[1];
    candidates.bottom_left = corners[2];
    candidates.bottom_right = corners[3];
    // The largest logit of the nodes will do, unless a class that cannot win here was masked with a huge one.
    float largest = cell.largest;
    if (largest > 1000) {
        largest = 0;
        for (std::int64_t k = 0; k < count; ++k)
            for (const float* const corner : corners) {
                const float value = corner[candidates.position[k]];
                largest = value > largest ? value : -value > largest ? -value : largest;
            }
    }
    candidates.margin = deciding_margin(largest);
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

// Writes `width` labels of a vector, as bytes.
inline void store_labels(const Ints& labels, std::uint8_t* to, std::int64_t width) {
    const Bytes bytes = __builtin_convertvector(labels, Bytes);
    if (width >= kLanes)
        std::memcpy(to, &bytes, kLanes);
    else
        std::memcpy(to, &bytes, static_cast<std::size_t>(width));
}

// Labels `count` neighbouring rows of a cell where two classes are left, by the sign of their difference:
// most boundaries lie between two classes. The difference of two corners is off by 2um, its interpolation
// by 7u(2m) twice, together 30um: within the same margin as in label_rows.
template <int count>
void label_pair(const Candidates& candidates, const SegedgeAxis& rows, const SegedgeAxis& columns, std::int64_t y,
                std::int64_t begin, std::int64_t end, std::uint8_t* out, std::int64_t out_stride) {
    static_assert(count <= kLanes, "the rows of a cell are the lanes of a vector here");
    const Corners lower = candidates.corners(0), upper = candidates.corners(1);
    const float top_left = upper.top_left - lower.top_left, top_right = upper.top_right - lower.top_right;
    const float down_left = upper.bottom_left - lower.bottom_left - top_left;
    const float down_right = upper.bottom_right - lower.bottom_right - top_right;
    const Floats down = load<Floats>(rows.fraction + y);
    const Floats at_left = top_left + down * down_left;
    const Floats slope = top_right + down * down_right - at_left;
    const Ints lower_label = Ints{} + candidates.label[0], upper_label = Ints{} + candidates.label[1];
    for (std::int64_t x = begin; x < end; x += kLanes) {
        const Floats across = load<Floats>(columns.fraction + x);
        Ints label[count], doubtful[count], any_doubtful = {};
        for (int row = 0; row < count; ++row) {
            const Floats ahead = at_left[row] + across * slope[row];
            label[row] = ahead > 0 ? upper_label : lower_label;  // a tie goes to the lower class
            // Also where it is NaN: infinite differences of huge logits.
            doubtful[row] = ~((ahead > candidates.margin) | (ahead < -candidates.margin));
            any_doubtful |= doubtful[row];
        }
        if (any_lane(any_doubtful))
            for (int row = 0; row < count; ++row)
                if (any_lane(doubtful[row])) label[row] = exact_labels(candidates, rows, columns, y + row, x);
        for (int row = 0; row < count; ++row)
            store_labels(label[row], out + (y + row) * out_stride + x, end - x);
    }
}

// Labels `count` neighbouring rows of a cell.
template <int count>
void label_rows(const Candidates& candidates, const SegedgeAxis& rows, const SegedgeAxis& columns,
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
                label[row] = value > best[row] ? this_label : label[row];  // a tie goes to the lower class
                second[row] = maximum(minimum(value, best[row]), second[row]);
                best[row] = maximum(value, best[row]);
            }
        }
        Ints doubtful = {};
        for (int row = 0; row < count; ++row) doubtful |= ~(best[row] - second[row] > candidates.margin);
        if (any_lane(doubtful))
            for (int row = 0; row < count; ++row)
                if (any_lane(~(best[row] - second[row] > candidates.margin)))
                    label[row] = exact_labels(candidates, rows, columns, y + row, x);
        for (int row = 0; row < count; ++row)
            store_labels(label[row], out + (y + row) * out_stride + x, end - x);
    }
}

void label_cell(const Candidates& candidates, const SegedgeAxis& rows, const SegedgeAxis& columns, std::int64_t cell_y,
                std::int64_t cell_x, std::uint8_t* out, std::int64_t out_stride) {
    const std::int64_t begin = columns.start[cell_x], end = columns.start[cell_x + 1];
    const std::int64_t last = rows.start[cell_y + 1];
    std::int64_t y = rows.start[cell_y];
    const bool is_pair = candidates.count == 2;
    for (; y + kRows <= last; y += kRows)
        (is_pair ? label_pair<kRows> : label_rows<kRows>)(candidates, rows, columns, y, begin, end, out, out_stride);
    for (; y + 4 <= last; y += 4)
        (is_pair ? label_pair<4> : label_rows<4>)(candidates, rows, columns, y, begin, end, out, out_stride);
    for (; y < last; ++y)
        (is_pair ? label_pair<1> : label_rows<1>)(candidates, rows, columns, y, begin, end, out, out_stride);
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
                               {top[left], top[right], bottom[left], bottom[right]},
                               nodes.largest(low, high, left, right)};
            find_candidates(cell, classes, candidates);
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
