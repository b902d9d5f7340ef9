// Bilinear interpolation inside one cell of logits: what the kernels of every device compute alike.
//
// Compile without contraction to FMA (-ffp-contract=off, nvcc --fmad=false) and without fast-math: the
// order of the double operations is that of edge/postprocess/bilinear.py, which defines the labels.

#ifndef SEGEDGE_BILINEAR_H
#define SEGEDGE_BILINEAR_H

#ifdef __CUDACC__
#define SEGEDGE_DEVICE __host__ __device__ inline
#else
#define SEGEDGE_DEVICE inline
#endif

namespace segedge {

// Logits of one class at the corners of a cell.
struct Corners {
    float top_left, top_right, bottom_left, bottom_right;
};

// The defining arithmetic: vertical first, then horizontal. The weights are whole numbers (numerators
// over a common denominator per axis), so products of weights and logits are exact.
SEGEDGE_DEVICE double interpolate_exact(const Corners& corner, double top_weight, double bottom_weight,
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

#endif  // SEGEDGE_BILINEAR_H
