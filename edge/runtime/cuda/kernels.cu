// The kernels around an engine: a camera's frame to network input, logits to labels, labels over the frame.
//
// One source for two compilers. nvcc and NVRTC make GPU code of it; a C++ compiler, given `blockIdx`, `blockDim` and
// `threadIdx` as variables, makes functions that the tests run thread by thread. Nothing but C++14 and what
// CUDA 11.4 knows is used, no header of either compiler, and no shared memory.
//
// Compile with --fmad=false (a C++ compiler: -ffp-contract=off) and without fast-math: the order of the double
// operations defines the labels. The one fused operation that is wanted is written out.
//
// Each kernel runs on a grid of two dimensions that may be larger than its image; a thread outside does nothing.
// A table of an axis holds four ints for each of its output pixels: four rows of `pixels` ints, see launches.py.

// NVRTC has the functions of the CUDA library, but not the names that C++ compilers have for them.
#ifdef __CUDACC_RTC__
#define __builtin_huge_valf() __int_as_float(0x7f800000)
#define __builtin_huge_val() __longlong_as_double(0x7ff0000000000000)
#define __builtin_fmaf(x, y, z) fmaf(x, y, z)
#define __builtin_rintf(x) rintf(x)
#endif

#include "bilinear.h"

#ifdef __CUDACC__
#define SEGEDGE_KERNEL extern "C" __global__
#else
#define SEGEDGE_KERNEL extern "C"
#endif

// Told of every store to an image: how the tests count that each pixel is written once.
#ifndef SEGEDGE_STORED
#define SEGEDGE_STORED(address, bytes)
#endif

namespace segedge {

typedef unsigned char Byte;

// Neighbouring labels that one thread writes, as one word where the address allows.
const int kRun = 4;

struct Color {
    int red, green, blue;
};

struct Tap {
    int low, high, low_weight, high_weight;
};

SEGEDGE_DEVICE Tap tap_of(const int* table, int pixels, int pixel) {
    const Tap tap = {table[pixel], table[pixels + pixel], table[2 * pixels + pixel], table[3 * pixels + pixel]};
    return tap;
}

SEGEDGE_DEVICE int clamp_to_byte(int value) { return value < 0 ? 0 : value > 255 ? 255 : value; }

// ---------------------------------------------------------------------------------------------------- frame to input

// A frame of three bytes a pixel; `first_is_blue` tells BGR from RGB.
struct InterleavedFrame {
    const Byte* bytes;
    long long pitch;
    int first_is_blue;

    SEGEDGE_DEVICE Color at(int y, int x) const {
        const Byte* const pixel = bytes + y * pitch + 3LL * x;
        const Color color = {pixel[first_is_blue ? 2 : 0], pixel[1], pixel[first_is_blue ? 0 : 2]};
        return color;
    }
};

// A frame as a camera or a decoder gives it: luma, and chroma (U, V) at half the size both ways.
// ITU-R BT.601 with luma 16 to 235, in the 20-bit fixed point of OpenCV's COLOR_YUV2RGB_NV12.
struct Nv12Frame {
    const Byte* luma;
    long long luma_pitch;
    const Byte* chroma;
    long long chroma_pitch;

    SEGEDGE_DEVICE Color at(int y, int x) const {
        const int half = 1 << 19;
        const int above_black = luma[y * luma_pitch + x] - 16;
        const int light = 1220542 * (above_black > 0 ? above_black : 0) + half;
        const Byte* const pair = chroma + (y / 2) * chroma_pitch + 2 * (x / 2);
        const int u = pair[0] - 128, v = pair[1] - 128;
        const Color color = {clamp_to_byte((light + 1673527 * v) >> 20),
                             clamp_to_byte((light - 852492 * v - 409993 * u) >> 20),
                             clamp_to_byte((light + 2116026 * u) >> 20)};
        return color;
    }
};

// The 11-bit fixed point of OpenCV's INTER_LINEAR for bytes: horizontal sums are exact, each vertical product loses
// its last bits before the sum. The largest number is 255 * 2048 * 2048 / 16, below 2^27.
SEGEDGE_DEVICE int blend_taps(const Tap& row, const Tap& column, int top_left, int top_right, int bottom_left,
                              int bottom_right) {
    const int top = (top_left * column.low_weight + top_right * column.high_weight) >> 4;
    const int bottom = (bottom_left * column.low_weight + bottom_right * column.high_weight) >> 4;
    return clamp_to_byte((((row.low_weight * top) >> 16) + ((row.high_weight * bottom) >> 16) + 2) >> 2);
}

template <typename Frame>
SEGEDGE_DEVICE void prepare_pixel(const Frame& frame, const Tap& row, const Tap& column, Byte* to) {
    const Color top_left = frame.at(row.low, column.low);
    if (row.high_weight == 0 && column.high_weight == 0) {  // a frame of the network's size: nothing else counts
        to[0] = Byte(top_left.red);
        to[1] = Byte(top_left.green);
        to[2] = Byte(top_left.blue);
        SEGEDGE_STORED(to, 3);
        return;
    }
    const Color top_right = frame.at(row.low, column.high);
    const Color bottom_left = frame.at(row.high, column.low), bottom_right = frame.at(row.high, column.high);
    to[0] = Byte(blend_taps(row, column, top_left.red, top_right.red, bottom_left.red, bottom_right.red));
    to[1] = Byte(blend_taps(row, column, top_left.green, top_right.green, bottom_left.green, bottom_right.green));
    to[2] = Byte(blend_taps(row, column, top_left.blue, top_right.blue, bottom_left.blue, bottom_right.blue));
    SEGEDGE_STORED(to, 3);
}

// ---------------------------------------------------------------------------------------------------- logits to labels

// Logits of all classes, a plane of height x width each.
struct Logits {
    const float* values;
    int classes, height, width;

    SEGEDGE_DEVICE float at(int label, int y, int x) const {
        return values[(static_cast<long long>(label) * height + y) * width + x];
    }

    SEGEDGE_DEVICE Corners corners(int label, const Tap& row, const Tap& column) const {
        const Corners corners = {at(label, row.low, column.low), at(label, row.low, column.high),
                                 at(label, row.high, column.low), at(label, row.high, column.high)};
        return corners;
    }
};

SEGEDGE_DEVICE bool is_finite(float value) { return value - value == 0.0f; }

SEGEDGE_DEVICE float larger(float one, float other) { return one > other ? one : other; }

SEGEDGE_DEVICE float magnitude(float value) { return value < 0.0f ? -value : value; }

// The lowest best class of a node; `all_finite` is cleared where a logit is NaN or infinite.
SEGEDGE_DEVICE int label_node(const Logits& logits, int y, int x, bool& all_finite) {
    float best = logits.at(0, y, x);
    int winner = 0;
    all_finite = is_finite(best);
    for (int label = 1; label < logits.classes; ++label) {
        const float value = logits.at(label, y, x);
        all_finite = all_finite && is_finite(value);
        if (value > best) {
            best = value;
            winner = label;
        }
    }
    return winner;
}

SEGEDGE_DEVICE bool loses_everywhere(const Corners& loser, const Corners& winner) {
    return loser.top_left < winner.top_left && loser.top_right < winner.top_right &&
           loser.bottom_left < winner.bottom_left && loser.bottom_right < winner.bottom_right;
}

// A pixel of a cell whose corners have several winners: in float, and in double where float cannot tell. Classes that
// lose to one of two corner winners at all four corners lose between them too, and are left out.
SEGEDGE_DEVICE int label_boundary(const Logits& logits, const Tap& row, const Tap& column, int one_winner,
                                  int other_winner) {
    const Corners one = logits.corners(one_winner, row, column), other = logits.corners(other_winner, row, column);
    // Weights are whole numbers below 2^18, so both conversions are exact and the quotient is rounded once.
    const float down = static_cast<float>(row.high_weight) / static_cast<float>(row.low_weight + row.high_weight);
    const float across =
        static_cast<float>(column.high_weight) / static_cast<float>(column.low_weight + column.high_weight);
    float best = -__builtin_huge_valf(), second = -__builtin_huge_valf(), largest = 0.0f;
    int winner = one_winner;
    for (int label = 0; label < logits.classes; ++label) {
        const Corners corner = logits.corners(label, row, column);
        if (loses_everywhere(corner, one) || loses_everywhere(corner, other)) continue;
        largest = larger(larger(largest, larger(magnitude(corner.top_left), magnitude(corner.top_right))),
                         larger(magnitude(corner.bottom_left), magnitude(corner.bottom_right)));
        const float left = corner.top_left + down * (corner.bottom_left - corner.top_left);
        const float right = corner.top_right + down * (corner.bottom_right - corner.top_right);
        const float value = left + across * (right - left);
        if (value > best) {
            second = best;
            best = value;
            winner = label;
        } else {
            second = larger(value, second);
        }
    }
    if (best - second > deciding_margin(largest)) return winner;
    double best_exact = -__builtin_huge_val();
    for (int label = 0; label < logits.classes; ++label) {
        const Corners corner = logits.corners(label, row, column);
        if (loses_everywhere(corner, one) || loses_everywhere(corner, other)) continue;
        const double value =
            interpolate_exact(corner, row.low_weight, row.high_weight, column.low_weight, column.high_weight);
        if (value > best_exact) {  // a tie goes to the lower class
            best_exact = value;
            winner = label;
        }
    }
    return winner;
}

// A bilinear value is a convex combination of four corners: where they have one winner, so has the pixel.
SEGEDGE_DEVICE int label_pixel(const Logits& logits, const Byte* winners, const Tap& row, const Tap& column) {
    const Byte* const top = winners + static_cast<long long>(row.low) * logits.width;
    const Byte* const bottom = winners + static_cast<long long>(row.high) * logits.width;
    const int top_left = top[column.low], top_right = top[column.high];
    const int bottom_left = bottom[column.low], bottom_right = bottom[column.high];
    const int another = top_right != top_left ? top_right : bottom_left != top_left ? bottom_left : bottom_right;
    return another == top_left ? top_left : label_boundary(logits, row, column, top_left, another);
}

// -------------------------------------------------------------------------------------------------- labels over a frame

// OpenCV's addWeighted for bytes: single precision, the second product rounded, the sum fused with the first, a half
// to the even neighbour. Processors without fused multiply-add round once more there: at most one level apart.
SEGEDGE_DEVICE Byte blend_bytes(int frame, int color, float frame_share, float color_share) {
    const float value = __builtin_fmaf(static_cast<float>(frame), frame_share, static_cast<float>(color) * color_share);
    return Byte(clamp_to_byte(static_cast<int>(__builtin_rintf(value))));
}

}  // namespace segedge

// Resizes a frame of three bytes a pixel to RGB, (height, width, 3) without gaps.
SEGEDGE_KERNEL void segedge_prepare_interleaved(const segedge::Byte* frame, long long frame_pitch, int first_is_blue,
                                                const int* rows, const int* columns, segedge::Byte* out, int height,
                                                int width) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height) return;
    const segedge::InterleavedFrame source = {frame, frame_pitch, first_is_blue};
    segedge::prepare_pixel(source, segedge::tap_of(rows, height, y), segedge::tap_of(columns, width, x),
                           out + 3 * (static_cast<long long>(y) * width + x));
}

// Resizes an NV12 frame to RGB: each of the four pixels around is converted, then they are blended.
SEGEDGE_KERNEL void segedge_prepare_nv12(const segedge::Byte* luma, long long luma_pitch, const segedge::Byte* chroma,
                                         long long chroma_pitch, const int* rows, const int* columns,
                                         segedge::Byte* out, int height, int width) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height) return;
    const segedge::Nv12Frame source = {luma, luma_pitch, chroma, chroma_pitch};
    segedge::prepare_pixel(source, segedge::tap_of(rows, height, y), segedge::tap_of(columns, width, x),
                           out + 3 * (static_cast<long long>(y) * width + x));
}

// Turns bytes into floats of the same numbers.
SEGEDGE_KERNEL void segedge_widen(const segedge::Byte* pixels, float* out, int height, int width) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height) return;
    const long long at = static_cast<long long>(y) * width + x;
    out[at] = static_cast<float>(pixels[at]);
    SEGEDGE_STORED(out + at, sizeof(float));
}

// Writes the best class of every node, (height, width) without gaps. Sets `not_finite` to 1 if a logit is NaN or
// infinite, and leaves it as it is otherwise: all writers write the same.
SEGEDGE_KERNEL void segedge_label_nodes(const float* logits, int classes, int height, int width,
                                        segedge::Byte* winners, int* not_finite) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height) return;
    const segedge::Logits planes = {logits, classes, height, width};
    bool all_finite;
    segedge::Byte* const to = winners + static_cast<long long>(y) * width + x;
    *to = segedge::Byte(segedge::label_node(planes, y, x, all_finite));
    SEGEDGE_STORED(to, 1);
    if (!all_finite) *not_finite = 1;
}

// Writes the label map; a thread labels kRun pixels side by side. Needs the winners of segedge_label_nodes.
SEGEDGE_KERNEL void segedge_label_pixels(const float* logits, int classes, int logit_height, int logit_width,
                                         const segedge::Byte* winners, const int* rows, const int* columns,
                                         segedge::Byte* labels, long long labels_pitch, int height, int width) {
    const int first = (blockIdx.x * blockDim.x + threadIdx.x) * segedge::kRun;
    const int y = blockIdx.y * blockDim.y + threadIdx.y;
    if (first >= width || y >= height) return;
    const segedge::Logits planes = {logits, classes, logit_height, logit_width};
    const segedge::Tap row = segedge::tap_of(rows, height, y);
    segedge::Byte* const to = labels + y * labels_pitch + first;
    const int count = width - first < segedge::kRun ? width - first : segedge::kRun;
    unsigned word = 0;
    for (int i = 0; i < count; ++i) {
        const segedge::Tap column = segedge::tap_of(columns, width, first + i);
        word |= static_cast<unsigned>(segedge::label_pixel(planes, winners, row, column)) << (8 * i);
    }
    // GPUs and the tests' processors are little-endian.
    if (count == segedge::kRun && reinterpret_cast<unsigned long long>(to) % sizeof(word) == 0) {
        *reinterpret_cast<unsigned*>(to) = word;
        SEGEDGE_STORED(to, segedge::kRun);
    } else {
        for (int i = 0; i < count; ++i) {
            to[i] = segedge::Byte(word >> (8 * i));
            SEGEDGE_STORED(to + i, 1);
        }
    }
}

// Blends each pixel of a frame with the colour of its label; `palette` is 256 x 3 bytes in the frame's channel order.
SEGEDGE_KERNEL void segedge_paint(const segedge::Byte* frame, long long frame_pitch, const segedge::Byte* labels,
                                  long long labels_pitch, const segedge::Byte* palette, float frame_share,
                                  float color_share, segedge::Byte* picture, long long picture_pitch, int height,
                                  int width) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height) return;
    const segedge::Byte* const from = frame + y * frame_pitch + 3LL * x;
    const segedge::Byte* const color = palette + 3 * labels[y * labels_pitch + x];
    segedge::Byte* const to = picture + y * picture_pitch + 3LL * x;
    for (int channel = 0; channel < 3; ++channel)
        to[channel] = segedge::blend_bytes(from[channel], color[channel], frame_share, color_share);
    SEGEDGE_STORED(to, 3);
}
