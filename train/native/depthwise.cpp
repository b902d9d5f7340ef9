// Depthwise convolution, channels last, forward and backward.
//
// Four pixels are computed side by side, eight channels at a time, so that a tap is loaded once for four and memory is
// read in its order. A task is a few rows of one crop.
// The gradient of the kernel is summed within a task, and the tasks' sums are added in their order: so it does not
// depend on the number of threads.

#include <cstdint>
#include <memory>
#include <type_traits>
#include <vector>

#include "operation.h"
#include "vectors.h"
#include "worker_pool.h"

namespace segedge {
namespace {

constexpr std::int64_t kTaskValues = 65536;
constexpr int kPixels = 4;

// Sizes of a convolution from `height` x `width` to `out_height` x `out_width`.
struct Geometry {
    std::int64_t crops, height, width, channels, out_height, out_width;
    std::int64_t stride, dilation, top, left;

    std::int64_t row_size() const { return width * channels; }
    std::int64_t out_row_size() const { return out_width * channels; }
};

// Rows that are computed together, of any maps of `height` rows for each crop.
struct RowBlocks {
    std::int64_t height, rows, blocks;

    RowBlocks(std::int64_t height, std::int64_t row_size)
        : height(height), rows(kTaskValues / row_size > 0 ? kTaskValues / row_size : 1),
          blocks((height + rows - 1) / rows) {}
    std::int64_t crop(std::int64_t task) const { return task / blocks; }
    std::int64_t start(std::int64_t task) const { return task % blocks * rows; }
    std::int64_t stop(std::int64_t task) const { return start(task) + rows < height ? start(task) + rows : height; }
};

// First and last + 1 pixel of an output row whose taps all lie within the input row.
struct Interior {
    std::int64_t start, stop;

    Interior(const Geometry& shape, std::int64_t kernel) {
        start = (shape.left + shape.stride - 1) / shape.stride;
        const std::int64_t room = shape.width - 1 + shape.left - (kernel - 1) * shape.dilation;
        stop = room < 0 ? 0 : room / shape.stride + 1;
        if (stop > shape.out_width) stop = shape.out_width;
        if (start > stop) start = stop;
    }
};

// The input rows that an output row sees; rows outside of the input are rows of zeros.
template <int kernel>
struct InputRows {
    const float* row[kernel];

    InputRows(const Geometry& shape, const float* crop, std::int64_t y, const float* zeros) {
        for (int i = 0; i < kernel; ++i) {
            const std::int64_t from = y * shape.stride + i * shape.dilation - shape.top;
            row[i] = from >= 0 && from < shape.height ? crop + from * shape.row_size() : zeros;
        }
    }
};

// Calls work(pixel, count) for the pixels within, `kPixels` at a time and the rest one by one.
template <typename Work>
void for_pixels(const Interior& interior, Work&& work) {
    std::int64_t pixel = interior.start;
    for (; pixel + kPixels <= interior.stop; pixel += kPixels) work(pixel, std::integral_constant<int, kPixels>{});
    for (; pixel < interior.stop; ++pixel) work(pixel, std::integral_constant<int, 1>{});
}

template <int kernel>
void convolve_row(const Geometry& shape, const InputRows<kernel>& rows, const float* taps, float* out) {
    const std::int64_t channels = shape.channels, next_tap = shape.dilation * channels;
    const std::int64_t next_pixel = shape.stride * channels;
    const Interior interior(shape, kernel);
    for_pixels(interior, [&](std::int64_t pixel, auto pixels) {
        constexpr int count = decltype(pixels)::value;
        const std::int64_t first = (pixel * shape.stride - shape.left) * channels;
        for (std::int64_t channel = 0; channel < channels; channel += kLanes) {
            Floats values[count] = {};
            for (int i = 0; i < kernel; ++i)
                for (int j = 0; j < kernel; ++j) {
                    const Floats tap = load(taps + (i * kernel + j) * channels + channel);
                    const float* const from = rows.row[i] + first + j * next_tap + channel;
                    for (int k = 0; k < count; ++k) values[k] += load(from + k * next_pixel) * tap;
                }
            for (int k = 0; k < count; ++k) store(out + (pixel + k) * channels + channel, values[k]);
        }
    });
    const auto border = [&](std::int64_t pixel) {
        for (std::int64_t channel = 0; channel < channels; channel += kLanes) {
            Floats value = {};
            for (int j = 0; j < kernel; ++j) {
                const std::int64_t from = pixel * shape.stride + j * shape.dilation - shape.left;
                if (from < 0 || from >= shape.width) continue;
                for (int i = 0; i < kernel; ++i)
                    value += load(rows.row[i] + from * channels + channel) *
                             load(taps + (i * kernel + j) * channels + channel);
            }
            store(out + pixel * channels + channel, value);
        }
    };
    for (std::int64_t pixel = 0; pixel < interior.start; ++pixel) border(pixel);
    for (std::int64_t pixel = interior.stop; pixel < shape.out_width; ++pixel) border(pixel);
}

template <int kernel>
void convolve(const Geometry& shape, int threads, const float* features, const float* taps, float* out) {
    const RowBlocks blocks(shape.out_height, shape.out_row_size());
    const std::vector<float> zeros(static_cast<std::size_t>(shape.row_size()));
    share_tasks(shape.crops * blocks.blocks, threads, [&](std::int64_t task) {
        const float* const crop = features + blocks.crop(task) * shape.height * shape.row_size();
        for (std::int64_t y = blocks.start(task); y < blocks.stop(task); ++y)
            convolve_row<kernel>(shape, {shape, crop, y, zeros.data()}, taps,
                                 out + (blocks.crop(task) * shape.out_height + y) * shape.out_row_size());
    });
}

// Gradient of the features where the stride is 1: a convolution of the upstream gradient with the kernel turned round.
template <int kernel>
void features_gradient_of_stride_1(const Geometry& shape, int threads, const float* upstream, const float* taps,
                                   float* gradient) {
    const std::int64_t reach = (kernel - 1) * shape.dilation;
    const Geometry turned = {shape.crops, shape.out_height, shape.out_width, shape.channels,     shape.height,
                             shape.width, 1,                shape.dilation,  reach - shape.top, reach - shape.left};
    std::vector<float> turned_taps(static_cast<std::size_t>(kernel * kernel * shape.channels));
    for (int tap = 0; tap < kernel * kernel; ++tap)
        std::memcpy(&turned_taps[static_cast<std::size_t>(tap * shape.channels)],
                    taps + (kernel * kernel - 1 - tap) * shape.channels,
                    static_cast<std::size_t>(shape.channels) * sizeof(float));
    convolve<kernel>(turned, threads, upstream, turned_taps.data(), gradient);
}

// Gradient of the features for any stride: each feature collects from the outputs that it went into.
template <int kernel>
void features_gradient(const Geometry& shape, int threads, const float* upstream, const float* taps,
                       float* gradient) {
    const RowBlocks blocks(shape.height, shape.row_size());
    const std::int64_t channels = shape.channels;
    share_tasks(shape.crops * blocks.blocks, threads, [&](std::int64_t task) {
        const std::int64_t crop = blocks.crop(task);
        for (std::int64_t y = blocks.start(task); y < blocks.stop(task); ++y)
            for (std::int64_t x = 0; x < shape.width; ++x) {
                const float *from[kernel * kernel], *by[kernel * kernel];
                int count = 0;
                for (int i = 0; i < kernel; ++i) {
                    const std::int64_t out_y = y + shape.top - i * shape.dilation;
                    if (out_y < 0 || out_y % shape.stride || out_y / shape.stride >= shape.out_height) continue;
                    for (int j = 0; j < kernel; ++j) {
                        const std::int64_t out_x = x + shape.left - j * shape.dilation;
                        if (out_x < 0 || out_x % shape.stride || out_x / shape.stride >= shape.out_width) continue;
                        from[count] = upstream + (crop * shape.out_height + out_y / shape.stride) *
                                                     shape.out_row_size() +
                                      out_x / shape.stride * channels;
                        by[count++] = taps + (i * kernel + j) * channels;
                    }
                }
                float* const to = gradient + (crop * shape.height + y) * shape.row_size() + x * channels;
                for (std::int64_t channel = 0; channel < channels; channel += kLanes) {
                    Floats value = {};
                    for (int i = 0; i < count; ++i) value += load(from[i] + channel) * load(by[i] + channel);
                    store(to + channel, value);
                }
            }
    });
}

// Adds what one output row gives to the gradient of the taps.
template <int kernel>
void add_taps_gradient(const Geometry& shape, const InputRows<kernel>& rows, const float* upstream, float* sums) {
    const std::int64_t channels = shape.channels, next_tap = shape.dilation * channels;
    const std::int64_t next_pixel = shape.stride * channels;
    const Interior interior(shape, kernel);
    for_pixels(interior, [&](std::int64_t pixel, auto pixels) {
        constexpr int count = decltype(pixels)::value;
        const std::int64_t first = (pixel * shape.stride - shape.left) * channels;
        for (std::int64_t channel = 0; channel < channels; channel += kLanes) {
            Floats shares[count];
            for (int k = 0; k < count; ++k) shares[k] = load(upstream + (pixel + k) * channels + channel);
            for (int i = 0; i < kernel; ++i)
                for (int j = 0; j < kernel; ++j) {
                    float* const sum = sums + (i * kernel + j) * channels + channel;
                    const float* const from = rows.row[i] + first + j * next_tap + channel;
                    Floats value = load(sum);
                    for (int k = 0; k < count; ++k) value += load(from + k * next_pixel) * shares[k];
                    store(sum, value);
                }
        }
    });
    const auto border = [&](std::int64_t pixel) {
        for (int j = 0; j < kernel; ++j) {
            const std::int64_t from = pixel * shape.stride + j * shape.dilation - shape.left;
            if (from < 0 || from >= shape.width) continue;
            for (int i = 0; i < kernel; ++i)
                for (std::int64_t channel = 0; channel < channels; channel += kLanes) {
                    float* const sum = sums + (i * kernel + j) * channels + channel;
                    store(sum, load(sum) + load(upstream + pixel * channels + channel) *
                                               load(rows.row[i] + from * channels + channel));
                }
        }
    };
    for (std::int64_t pixel = 0; pixel < interior.start; ++pixel) border(pixel);
    for (std::int64_t pixel = interior.stop; pixel < shape.out_width; ++pixel) border(pixel);
}

template <int kernel>
void taps_gradient(const Geometry& shape, int threads, const float* upstream, const float* features,
                   float* gradient) {
    const RowBlocks blocks(shape.out_height, shape.out_row_size());
    const std::int64_t tasks = shape.crops * blocks.blocks, count = kernel * kernel * shape.channels;
    const std::vector<float> zeros(static_cast<std::size_t>(shape.row_size()));
    std::vector<float> sums(static_cast<std::size_t>(tasks * count));
    share_tasks(tasks, threads, [&](std::int64_t task) {
        const float* const crop = features + blocks.crop(task) * shape.height * shape.row_size();
        for (std::int64_t y = blocks.start(task); y < blocks.stop(task); ++y)
            add_taps_gradient<kernel>(shape, {shape, crop, y, zeros.data()},
                                      upstream + (blocks.crop(task) * shape.out_height + y) * shape.out_row_size(),
                                      &sums[static_cast<std::size_t>(task * count)]);
    });
    std::vector<double> total(static_cast<std::size_t>(count));
    for (std::int64_t task = 0; task < tasks; ++task)
        for (std::int64_t i = 0; i < count; ++i) total[i] += static_cast<double>(sums[task * count + i]);
    for (std::int64_t i = 0; i < count; ++i) gradient[i] = static_cast<float>(total[i]);
}

class Depthwise {
   public:
    explicit Depthwise(Attributes& attributes)
        : threads_(attributes.whole("threads")),
          stride_(attributes.whole("stride")),
          dilation_(attributes.whole("dilation")),
          top_(attributes.whole("top")),
          left_(attributes.whole("left")) {}

   protected:
    // Reads the sizes from the shapes of features (n, h, w, c), taps (k, k, c, 1) and output (n, h, w, c).
    bool read(Run& run, const std::vector<std::int64_t>& features, const std::vector<std::int64_t>& taps,
              const std::vector<std::int64_t>& output, Geometry& shape) const {
        const bool fits = features.size() == 4 && taps.size() == 4 && output.size() == 4 && features[3] > 0 &&
                          features[3] % kLanes == 0 && taps[2] == features[3] && taps[3] == 1 && taps[0] == taps[1] &&
                          (taps[0] == 3 || taps[0] == 5) && output[0] == features[0] && output[3] == features[3] &&
                          stride_ > 0 && dilation_ > 0 && top_ >= 0 && left_ >= 0;
        if (!run.require(fits, "sizes are none of a depthwise convolution of 3x3 or 5x5 and 8 n channels")) return false;
        shape = {features[0], features[1], features[2], features[3], output[1],
                 output[2],   stride_,     dilation_,   top_,        left_};
        return true;
    }

    const int threads_;
    const std::int64_t stride_, dilation_, top_, left_;
};

// Inputs: features, taps. Output: the convolution.
class DepthwiseForward : Depthwise {
   public:
    explicit DepthwiseForward(Attributes& attributes)
        : Depthwise(attributes),
          out_height_(attributes.whole("out_height")),
          out_width_(attributes.whole("out_width")) {}

    void compute(Run& run) const {
        const std::vector<std::int64_t> features = run.shape(0), taps = run.shape(1);
        if (!run.ok() || !run.require(features.size() == 4, "features have no four axes")) return;
        const std::vector<std::int64_t> output = {features[0], out_height_, out_width_, features[3]};
        Geometry shape;
        if (!read(run, features, taps, output, shape)) return;
        const float *const values = run.input<float>(0), *const kernel = run.input<float>(1);
        float* const out = run.output(0, output);
        if (!run.ok()) return;
        (taps[0] == 3 ? convolve<3> : convolve<5>)(shape, threads_, values, kernel, out);
    }

   private:
    const std::int64_t out_height_, out_width_;
};

// Inputs: gradient of the output, features, taps. Outputs: gradients of the features and of the taps.
class DepthwiseBackward : Depthwise {
   public:
    using Depthwise::Depthwise;

    void compute(Run& run) const {
        const std::vector<std::int64_t> upstream = run.shape(0), features = run.shape(1), taps = run.shape(2);
        Geometry shape;
        if (!run.ok() || !read(run, features, taps, upstream, shape)) return;
        const float *const shares = run.input<float>(0), *const values = run.input<float>(1);
        const float* const kernel = run.input<float>(2);
        float *const gradient = run.output(0, features), *const kernel_gradient = run.output(1, taps);
        if (!run.ok()) return;
        (taps[0] == 3 ? taps_gradient<3> : taps_gradient<5>)(shape, threads_, shares, values, kernel_gradient);
        const bool turns = stride_ == 1 && top_ <= (taps[0] - 1) * dilation_ && left_ <= (taps[0] - 1) * dilation_;
        const auto collect = taps[0] == 3 ? (turns ? features_gradient_of_stride_1<3> : features_gradient<3>)
                                          : (turns ? features_gradient_of_stride_1<5> : features_gradient<5>);
        collect(shape, threads_, shares, kernel, gradient);
    }
};

void infer_forward_shapes(TF_ShapeInferenceContext* context, TF_Status* status) {
    // The interface cannot make a shape of sizes; the caller sets it.
    TF_ShapeInferenceContextSetUnknownShape(context, status);
}

void infer_backward_shapes(TF_ShapeInferenceContext* context, TF_Status* status) {
    copy_shape(context, 1, 0, status);
    if (TF_GetCode(status) == TF_OK) copy_shape(context, 2, 1, status);
}

const bool kRegistered =
    register_operation<DepthwiseForward>(
        "SegedgeDepthwise", {"features: float", "taps: float"}, {"output: float"},
        {"stride: int", "dilation: int", "top: int", "left: int", "out_height: int", "out_width: int", "threads: int"},
        infer_forward_shapes) &&
    register_operation<DepthwiseBackward>("SegedgeDepthwiseGrad",
                                          {"upstream: float", "features: float", "taps: float"},
                                          {"features_gradient: float", "taps_gradient: float"},
                                          {"stride: int", "dilation: int", "top: int", "left: int", "threads: int"},
                                          infer_backward_shapes);

}  // namespace
}  // namespace segedge
