// Batch normalisation in training, with the ReLU behind it in the same pass.
//
// Keras computes it in a dozen passes over the features, forward and backward. Here it is two passes each way: one for
// the sums of each channel, one for the values. What backward needs is the input alone; the sign of the output follows
// from it again.
//
// The sums of a block of rows are a task's; they are added in the order of the blocks, in double. So nothing depends on
// the number of threads.

#include <cmath>
#include <cstdint>
#include <type_traits>
#include <vector>

#include "operation.h"
#include "vectors.h"
#include "worker_pool.h"

namespace segedge {
namespace {

constexpr std::int64_t kBlockValues = 32768;  // 128 kB: a block stays in the second cache between two passes over it
constexpr int kRows = 4;                      // rows that are read side by side, so that sums are moved once for all

// Features as rows of channels, cut into blocks of rows.
struct Layout {
    std::int64_t rows, channels, block_rows, blocks;

    static Layout of(const std::vector<std::int64_t>& shape) {
        Layout layout = {1, shape.back(), 1, 1};
        for (std::size_t axis = 0; axis + 1 < shape.size(); ++axis) layout.rows *= shape[axis];
        layout.block_rows = kBlockValues / layout.channels > 0 ? kBlockValues / layout.channels : 1;
        layout.blocks = (layout.rows + layout.block_rows - 1) / layout.block_rows;
        return layout;
    }
    std::int64_t start(std::int64_t block) const { return block * block_rows; }
    std::int64_t stop(std::int64_t block) const {
        return start(block) + block_rows < rows ? start(block) + block_rows : rows;
    }
};

// Calls work(value, channel, count) for the rows of a block, `kRows` at a time and the rest one by one: `value` is the
// place of the first channel of the first of `count` rows. Memory is read in its order.
template <typename Work>
void for_rows(const Layout& layout, std::int64_t block, Work&& work) {
    std::int64_t row = layout.start(block);
    for (; row + kRows <= layout.stop(block); row += kRows) work(row * layout.channels, std::integral_constant<int, kRows>{});
    for (; row < layout.stop(block); ++row) work(row * layout.channels, std::integral_constant<int, 1>{});
}

// Mean of a block's rows and sum of the squares of what lies around it, of each channel.
void block_moments(const float* features, const Layout& layout, std::int64_t block, float* mean, float* squares) {
    const std::int64_t channels = layout.channels;
    for_rows(layout, block, [&](std::int64_t at, auto rows) {
        for (std::int64_t channel = 0; channel < channels; channel += kLanes) {
            Floats sum = load(mean + channel);
            for (int row = 0; row < decltype(rows)::value; ++row)
                sum += load(features + at + row * channels + channel);
            store(mean + channel, sum);
        }
    });
    const float share = 1.0f / static_cast<float>(layout.stop(block) - layout.start(block));
    for (std::int64_t channel = 0; channel < channels; ++channel) mean[channel] *= share;
    for_rows(layout, block, [&](std::int64_t at, auto rows) {
        for (std::int64_t channel = 0; channel < channels; channel += kLanes) {
            const Floats middle = load(mean + channel);
            Floats sum = load(squares + channel);
            for (int row = 0; row < decltype(rows)::value; ++row) {
                const Floats away = load(features + at + row * channels + channel) - middle;
                sum += away * away;
            }
            store(squares + channel, sum);
        }
    });
}

// Mean and biased variance of each channel, from those of the blocks (Chan, Golub, LeVeque 1983).
void join_moments(const Layout& layout, const std::vector<float>& block_means,
                  const std::vector<float>& block_squares, float* mean, float* variance) {
    const std::int64_t channels = layout.channels;
    std::vector<double> means(static_cast<std::size_t>(channels)), squares(static_cast<std::size_t>(channels));
    for (std::int64_t block = 0; block < layout.blocks; ++block) {
        const double rows = static_cast<double>(layout.stop(block) - layout.start(block));
        for (std::int64_t i = 0; i < channels; ++i)
            means[i] += rows * static_cast<double>(block_means[block * channels + i]);
    }
    for (std::int64_t i = 0; i < channels; ++i) means[i] /= static_cast<double>(layout.rows);
    for (std::int64_t block = 0; block < layout.blocks; ++block) {
        const double rows = static_cast<double>(layout.stop(block) - layout.start(block));
        for (std::int64_t i = 0; i < channels; ++i) {
            const double away = static_cast<double>(block_means[block * channels + i]) - means[i];
            squares[i] += static_cast<double>(block_squares[block * channels + i]) + rows * away * away;
        }
    }
    for (std::int64_t i = 0; i < channels; ++i) {
        mean[i] = static_cast<float>(means[i]);
        variance[i] = static_cast<float>(squares[i] / static_cast<double>(layout.rows));
    }
}

// The output is features * scale + shift. Both directions compute it by this, so that they agree on its sign.
struct Affine {
    std::vector<float> scale, shift, inverse_deviation;

    Affine(std::int64_t channels, const float* gamma, const float* beta, const float* mean, const float* variance,
           float epsilon)
        : scale(static_cast<std::size_t>(channels)), shift(scale.size()), inverse_deviation(scale.size()) {
        for (std::int64_t i = 0; i < channels; ++i) {
            inverse_deviation[i] = 1.0f / std::sqrt(variance[i] + epsilon);
            scale[i] = gamma[i] * inverse_deviation[i];
            shift[i] = beta[i] - mean[i] * scale[i];
        }
    }
};

class BatchNorm {
   public:
    explicit BatchNorm(Attributes& attributes)
        : threads_(attributes.whole("threads")),
          relu_(attributes.whole("relu") != 0),
          epsilon_(attributes.real("epsilon")) {}

   protected:
    const int threads_;
    const bool relu_;
    const float epsilon_;
};

bool fits(Run& run, int features, int first_vector, int last_vector) {
    const std::vector<std::int64_t> shape = run.shape(features);
    bool fits = shape.size() >= 2 && shape.back() > 0 && shape.back() % kLanes == 0;
    for (const std::int64_t size : shape) fits = fits && size > 0;
    for (int i = first_vector; fits && i <= last_vector; ++i)
        fits = run.shape(i) == std::vector<std::int64_t>{shape.back()};
    return run.require(fits, "channels are no multiple of 8, or the shapes do not fit together");
}

// Inputs: features, gamma, beta. Outputs: normalised features, mean and biased variance of the batch.
class BatchNormForward : BatchNorm {
   public:
    using BatchNorm::BatchNorm;

    void compute(Run& run) const {
        if (!fits(run, 0, 1, 2)) return;
        const std::vector<std::int64_t> shape = run.shape(0);
        const Layout layout = Layout::of(shape);
        const float* const features = run.input<float>(0);
        float* const output = run.output(0, shape);
        float* const mean = run.output(1, {layout.channels});
        float* const variance = run.output(2, {layout.channels});
        const float *const gamma = run.input<float>(1), *const beta = run.input<float>(2);
        if (!run.ok()) return;
        const std::int64_t channels = layout.channels;
        std::vector<float> means(static_cast<std::size_t>(layout.blocks * channels)), squares(means.size());
        share_tasks(layout.blocks, threads_, [&](std::int64_t block) {
            block_moments(features, layout, block, &means[block * channels], &squares[block * channels]);
        });
        join_moments(layout, means, squares, mean, variance);
        const Affine affine(channels, gamma, beta, mean, variance, epsilon_);
        const bool relu = relu_;
        share_tasks(layout.blocks, threads_, [&](std::int64_t block) {
            for_rows(layout, block, [&](std::int64_t at, auto rows) {
                for (std::int64_t channel = 0; channel < channels; channel += kLanes) {
                    const Floats scale = load(&affine.scale[channel]), shift = load(&affine.shift[channel]);
                    for (int row = 0; row < decltype(rows)::value; ++row) {
                        const std::int64_t here = at + row * channels + channel;
                        Floats value = load(features + here) * scale + shift;
                        if (relu) value = value < 0.0f ? Floats{} : value;  // NaN stays
                        store(output + here, value);
                    }
                }
            });
        });
    }
};

// Inputs: gradient of the output, features, gamma, beta, mean, variance. Outputs: gradients of features, gamma, beta.
class BatchNormBackward : BatchNorm {
   public:
    using BatchNorm::BatchNorm;

    void compute(Run& run) const {
        if (!fits(run, 0, 2, 5) || !run.require(run.shape(0) == run.shape(1), "gradient and features differ in shape"))
            return;
        const std::vector<std::int64_t> shape = run.shape(0);
        const Layout layout = Layout::of(shape);
        const std::int64_t channels = layout.channels;
        const float *const upstream = run.input<float>(0), *const features = run.input<float>(1);
        const float *const gamma = run.input<float>(2), *const beta = run.input<float>(3);
        const float *const mean = run.input<float>(4), *const variance = run.input<float>(5);
        float* const gradient = run.output(0, shape);
        float* const gamma_gradient = run.output(1, {channels});
        float* const beta_gradient = run.output(2, {channels});
        if (!run.ok()) return;
        const Affine affine(channels, gamma, beta, mean, variance, epsilon_);
        const bool relu = relu_;
        std::vector<float> sums(static_cast<std::size_t>(layout.blocks * channels)), products(sums.size());
        share_tasks(layout.blocks, threads_, [&](std::int64_t block) {
            float *const sum_of = &sums[block * channels], *const product_of = &products[block * channels];
            for_rows(layout, block, [&](std::int64_t at, auto rows) {
                for (std::int64_t channel = 0; channel < channels; channel += kLanes) {
                    const Floats scale = load(&affine.scale[channel]), shift = load(&affine.shift[channel]);
                    const Floats middle = load(mean + channel);
                    Floats sum = load(sum_of + channel), product = load(product_of + channel);
                    for (int row = 0; row < decltype(rows)::value; ++row) {
                        const std::int64_t here = at + row * channels + channel;
                        const Floats value = load(features + here);
                        Floats share = load(upstream + here);
                        if (relu) share = value * scale + shift > 0.0f ? share : Floats{};
                        sum += share;
                        product += share * (value - middle);
                    }
                    store(sum_of + channel, sum);
                    store(product_of + channel, product);
                }
            });
        });
        // Gradient of a feature: scale * (upstream - mean of it - deviation * its mean product / variance).
        std::vector<float> slope(affine.scale.size()), offset(affine.scale.size());
        join_sums(layout, sums, beta_gradient);
        join_sums(layout, products, gamma_gradient);
        const float rows = static_cast<float>(layout.rows);
        for (std::int64_t i = 0; i < channels; ++i) {
            gamma_gradient[i] *= affine.inverse_deviation[i];
            slope[i] = -affine.scale[i] * affine.inverse_deviation[i] * gamma_gradient[i] / rows;
            offset[i] = -affine.scale[i] * beta_gradient[i] / rows - mean[i] * slope[i];
        }
        share_tasks(layout.blocks, threads_, [&](std::int64_t block) {
            for_rows(layout, block, [&](std::int64_t at, auto rows) {
                for (std::int64_t channel = 0; channel < channels; channel += kLanes) {
                    const Floats scale = load(&affine.scale[channel]), shift = load(&affine.shift[channel]);
                    const Floats slopes = load(&slope[channel]), offsets = load(&offset[channel]);
                    for (int row = 0; row < decltype(rows)::value; ++row) {
                        const std::int64_t here = at + row * channels + channel;
                        const Floats value = load(features + here);
                        Floats share = load(upstream + here);
                        if (relu) share = value * scale + shift > 0.0f ? share : Floats{};
                        store(gradient + here, share * scale + (value * slopes + offsets));
                    }
                }
            });
        });
    }

   private:
    static void join_sums(const Layout& layout, const std::vector<float>& of_blocks, float* total) {
        std::vector<double> sums(static_cast<std::size_t>(layout.channels));
        for (std::int64_t block = 0; block < layout.blocks; ++block)
            for (std::int64_t i = 0; i < layout.channels; ++i)
                sums[i] += static_cast<double>(of_blocks[block * layout.channels + i]);
        for (std::int64_t i = 0; i < layout.channels; ++i) total[i] = static_cast<float>(sums[i]);
    }
};

void infer_forward_shapes(TF_ShapeInferenceContext* context, TF_Status* status) {
    copy_shape(context, 0, 0, status);
    for (int output = 1; output <= 2 && TF_GetCode(status) == TF_OK; ++output) copy_shape(context, 1, output, status);
}

void infer_backward_shapes(TF_ShapeInferenceContext* context, TF_Status* status) {
    copy_shape(context, 1, 0, status);
    for (int output = 1; output <= 2 && TF_GetCode(status) == TF_OK; ++output) copy_shape(context, 2, output, status);
}

const std::vector<const char*> kAttributes = {"relu: int", "epsilon: float", "threads: int"};

const bool kRegistered =
    register_operation<BatchNormForward>("SegedgeBatchNorm", {"features: float", "gamma: float", "beta: float"},
                                         {"output: float", "mean: float", "variance: float"}, kAttributes,
                                         infer_forward_shapes) &&
    register_operation<BatchNormBackward>(
        "SegedgeBatchNormGrad",
        {"upstream: float", "features: float", "gamma: float", "beta: float", "mean: float", "variance: float"},
        {"features_gradient: float", "gamma_gradient: float", "beta_gradient: float"}, kAttributes,
        infer_backward_shapes);

}  // namespace
}  // namespace segedge
