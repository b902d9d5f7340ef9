// Softmax cross entropy at the size of the labels, from logits at the stride of a network.
//
// The logits of a pixel are interpolated bilinearly between four nodes, and its part of the gradient goes back to the
// same four. So no tensor of classes x height x width is ever made: a pixel's logits live in registers and in the first
// cache. Eight pixels of a row are computed at once.
//
// A task is one crop's row of cells, the pixels between two rows of nodes. It has its part of the loss and of the
// gradient to itself; the parts are added in the order of the rows. So neither depends on the number of threads.

#include <cstdint>
#include <memory>
#include <vector>

#include "operation.h"
#include "vectors.h"
#include "worker_pool.h"

namespace segedge {
namespace {

constexpr std::int64_t kMostClasses = 256;

// One axis of the labels: cells of (first pixel, low node, high node), and the weight of each pixel's high node. The
// last cell is followed by (number of pixels, 0, 0). `edge.postprocess.bilinear` makes it.
struct Axis {
    const std::int32_t* cells;
    std::int64_t cell_count;
    const float* fraction;

    std::int32_t start(std::int64_t cell) const { return cells[3 * cell]; }
    std::int32_t stop(std::int64_t cell) const { return cells[3 * cell + 3]; }
    std::int32_t low(std::int64_t cell) const { return cells[3 * cell + 1]; }
    std::int32_t high(std::int64_t cell) const { return cells[3 * cell + 2]; }
};

struct Problem {
    const float* logits;         // crops x node_rows x node_columns x classes
    const std::uint8_t* labels;  // crops x height x width
    const float* weights;        // 256: weight of a pixel by its label; 0 where it does not count
    Axis rows, columns;
    std::int64_t crops, node_rows, node_columns, classes, height, width;

    std::int64_t row_size() const { return node_columns * classes; }
    const float* node_row(std::int64_t crop, std::int64_t row) const {
        return logits + (crop * node_rows + row) * row_size();
    }
    bool is_sound() const;
};

bool is_sound(const Axis& axis, std::int64_t nodes, std::int64_t pixels) {
    bool sound = axis.cell_count > 0 && axis.start(0) == 0 && axis.start(axis.cell_count) == pixels;
    for (std::int64_t cell = 0; sound && cell < axis.cell_count; ++cell)
        sound = axis.start(cell) < axis.stop(cell) && axis.low(cell) >= 0 && axis.low(cell) < nodes &&
                axis.high(cell) >= 0 && axis.high(cell) < nodes;
    return sound;
}

bool Problem::is_sound() const {
    return classes > 0 && classes <= kMostClasses && segedge::is_sound(rows, node_rows, height) &&
           segedge::is_sound(columns, node_columns, width);
}

// Logits of eight pixels, and what follows from them; `kMostClasses` vectors are 8 kB of the first cache.
struct Pixels {
    Floats values[kMostClasses];
    Floats top[kMostClasses], bottom[kMostClasses];  // gradient of the upper and lower nodes, summed over rows
    Ints labels;
    Floats weights;

    // Reads `count` labels, up to eight, and returns whether one of the pixels counts.
    bool read(const std::uint8_t* from, std::int64_t count, const float* weight_of) {
        weights = Floats{};
        labels = Ints{} - 1;
        bool any = false;
        for (std::int64_t lane = 0; lane < count; ++lane) {
            labels[lane] = from[lane];
            weights[lane] = weight_of[from[lane]];
            any |= weights[lane] != 0;
        }
        return any;
    }

    // Turns logits into exp(logit - largest), and returns the losses; `total` receives the sums of the exponentials.
    Floats losses(std::int64_t classes, const Floats& largest, Floats& total) {
        Floats picked = largest;
        total = Floats{};
        for (std::int64_t label = 0; label < classes; ++label) {
            const Floats value = values[label];
            picked = labels == static_cast<std::int32_t>(label) ? value : picked;
            total += values[label] = exponential(value - largest);
        }
        return weights * (logarithm(total) + largest - picked);
    }

    // Adds the gradient of a row of pixels, whose lower nodes have the share `down`, to its cell's.
    void add_gradient(std::int64_t classes, const Floats& total, float down) {
        const Floats scale = weights / total;
        for (std::int64_t label = 0; label < classes; ++label) {
            const Floats hit = labels == static_cast<std::int32_t>(label) ? weights : Floats{};
            const Floats gradient = values[label] * scale - hit;
            const Floats lower = gradient * down;
            top[label] += gradient - lower;
            bottom[label] += lower;
        }
    }
};

// What a thread needs for a row of cells: the two rows of nodes between which it lies.
struct Band {
    const float *upper, *lower;           // node_columns x classes
    float *upper_gradient, *lower_gradient;  // the same, or nullptr
    float* pixel_losses;                  // height x width of this crop, or nullptr
    const std::uint8_t* labels;           // height x width of this crop
};

// Interpolates the logits of eight pixels from `x` on in the row with share `down` of the lower nodes.
inline Floats interpolate(const Problem& problem, const Band& band, std::int64_t left, std::int64_t right,
                          float down, const Floats& across, Floats* values) {
    const std::int64_t classes = problem.classes;
    const float *const a = band.upper + left * classes, *const b = band.upper + right * classes;
    const float *const c = band.lower + left * classes, *const d = band.lower + right * classes;
    Floats largest = spread(-__builtin_huge_valf());
    for (std::int64_t label = 0; label < classes; ++label) {
        const float near = a[label] + down * (c[label] - a[label]);
        const float far = b[label] + down * (d[label] - b[label]);
        const Floats value = near + across * (far - near);
        values[label] = value;
        largest = value > largest ? value : largest;
    }
    return largest;
}

// Computes the pixels of one row of cells between two columns of nodes, eight columns of pixels from `x` on.
double compute_cell(const Problem& problem, const Band& band, std::int64_t row_cell, std::int64_t column_cell,
                    std::int64_t x, std::int64_t count, Pixels& pixels) {
    const std::int64_t classes = problem.classes;
    const std::int64_t left = problem.columns.low(column_cell), right = problem.columns.high(column_cell);
    const Floats across = load(problem.columns.fraction + x);
    const bool gradient = band.upper_gradient != nullptr;
    Floats sum_of_losses = {};
    bool any = false;
    for (std::int64_t y = problem.rows.start(row_cell); y < problem.rows.stop(row_cell); ++y) {
        if (!pixels.read(band.labels + y * problem.width + x, count, problem.weights)) continue;
        if (gradient && !any)
            for (std::int64_t label = 0; label < classes; ++label) pixels.top[label] = pixels.bottom[label] = Floats{};
        any = true;
        const float down = problem.rows.fraction[y];
        const Floats largest = interpolate(problem, band, left, right, down, across, pixels.values);
        Floats total;
        const Floats losses = pixels.losses(classes, largest, total);
        if (gradient) pixels.add_gradient(classes, total, down);
        if (band.pixel_losses)
            for (std::int64_t lane = 0; lane < count; ++lane)
                band.pixel_losses[y * problem.width + x + lane] = losses[lane];
        sum_of_losses += losses;
    }
    if (!any) return 0;
    for (std::int64_t label = 0; gradient && label < classes; ++label) {
        const Floats top_right = pixels.top[label] * across, bottom_right = pixels.bottom[label] * across;
        band.upper_gradient[left * classes + label] += sum(pixels.top[label] - top_right);
        band.upper_gradient[right * classes + label] += sum(top_right);
        band.lower_gradient[left * classes + label] += sum(pixels.bottom[label] - bottom_right);
        band.lower_gradient[right * classes + label] += sum(bottom_right);
    }
    double loss = 0;
    for (int lane = 0; lane < kLanes; ++lane) loss += static_cast<double>(sum_of_losses[lane]);
    return loss;
}

double compute_band(const Problem& problem, const Band& band, std::int64_t row_cell) {
    Pixels pixels;
    double loss = 0;
    for (std::int64_t cell = 0; cell < problem.columns.cell_count; ++cell)
        for (std::int64_t x = problem.columns.start(cell); x < problem.columns.stop(cell); x += kLanes) {
            const std::int64_t left_over = problem.columns.stop(cell) - x;
            const std::int64_t count = left_over < kLanes ? left_over : kLanes;
            loss += compute_cell(problem, band, row_cell, cell, x, count, pixels);
        }
    return loss;
}

// Reads the inputs, which both operations have alike. `padded` keeps the fractions of the columns, eight more of them.
bool read_problem(Run& run, Problem& problem, std::vector<float>& padded) {
    const std::vector<std::int64_t> logits = run.shape(0), labels = run.shape(1), weights = run.shape(2);
    const std::vector<std::int64_t> row_cells = run.shape(3), row_fraction = run.shape(4);
    const std::vector<std::int64_t> column_cells = run.shape(5), column_fraction = run.shape(6);
    if (!run.ok()) return false;
    const bool fits = logits.size() == 4 && labels.size() == 3 && logits[0] == labels[0] && weights.size() == 1 &&
                      weights[0] == kMostClasses && row_cells.size() == 2 && row_cells[0] > 0 && row_cells[1] == 3 &&
                      column_cells.size() == 2 && column_cells[0] > 0 && column_cells[1] == 3 &&
                      row_fraction.size() == 1 && row_fraction[0] == labels[1] && column_fraction.size() == 1 &&
                      column_fraction[0] == labels[2];
    if (!run.require(fits, "shapes of logits, labels, weights and cells do not fit together")) return false;
    const float* const fractions = run.input<float>(6);
    padded.assign(static_cast<std::size_t>(labels[2] + kLanes), 0.0f);
    std::memcpy(padded.data(), fractions, static_cast<std::size_t>(labels[2]) * sizeof(float));
    problem = {run.input<float>(0),
               run.input<std::uint8_t>(1),
               run.input<float>(2),
               {run.input<std::int32_t>(3), row_cells[0] - 1, run.input<float>(4)},
               {run.input<std::int32_t>(5), column_cells[0] - 1, padded.data()},
               logits[0],
               logits[1],
               logits[2],
               logits[3],
               labels[1],
               labels[2]};
    return run.ok() && run.require(problem.is_sound(), "there are more than 256 classes, or the cells are not sound");
}

Band band_of(const Problem& problem, std::int64_t crop, std::int64_t row_cell) {
    Band band = {};
    band.upper = problem.node_row(crop, problem.rows.low(row_cell));
    band.lower = problem.node_row(crop, problem.rows.high(row_cell));
    band.labels = problem.labels + crop * problem.height * problem.width;
    return band;
}

// Outputs: the sum of the losses, and its gradient with respect to the logits.
class CrossEntropy {
   public:
    explicit CrossEntropy(Attributes& attributes) : threads_(attributes.whole("threads")) {}
    void compute(Run& run) const;

   private:
    const int threads_;
};

void CrossEntropy::compute(Run& run) const {
    Problem problem;
    std::vector<float> padded;
    if (!read_problem(run, problem, padded)) return;
    float* const total = run.output(0, {});
    float* const gradient = run.output(1, run.shape(0));
    if (!run.ok()) return;
    const std::int64_t bands = problem.rows.cell_count, row_size = problem.row_size();
    std::vector<double> losses(static_cast<std::size_t>(problem.crops * bands));
    // Not cleared here: each task clears its own part, beside the cache that will hold it.
    const std::unique_ptr<float[]> parts(new float[static_cast<std::size_t>(problem.crops * bands * 2 * row_size)]);
    share_tasks(problem.crops * bands, threads_, [&](std::int64_t task) {
        Band band = band_of(problem, task / bands, task % bands);
        band.upper_gradient = parts.get() + task * 2 * row_size;
        band.lower_gradient = band.upper_gradient + row_size;
        std::memset(band.upper_gradient, 0, static_cast<std::size_t>(2 * row_size) * sizeof(float));
        losses[static_cast<std::size_t>(task)] = compute_band(problem, band, task % bands);
    });
    share_tasks(problem.crops, threads_, [&](std::int64_t crop) {
        float* const crop_gradient = gradient + crop * problem.node_rows * row_size;
        std::memset(crop_gradient, 0, static_cast<std::size_t>(problem.node_rows * row_size) * sizeof(float));
        for (std::int64_t cell = 0; cell < bands; ++cell) {
            const float* const part = parts.get() + (crop * bands + cell) * 2 * row_size;
            float* const upper = crop_gradient + problem.rows.low(cell) * row_size;
            float* const lower = crop_gradient + problem.rows.high(cell) * row_size;
            for (std::int64_t i = 0; i < row_size; ++i) upper[i] += part[i];
            for (std::int64_t i = 0; i < row_size; ++i) lower[i] += part[row_size + i];
        }
    });
    double loss = 0;
    for (const double part : losses) loss += part;
    *total = static_cast<float>(loss);
}

// Output: the loss of each pixel, 0 where it does not count.
class PixelLosses {
   public:
    explicit PixelLosses(Attributes& attributes) : threads_(attributes.whole("threads")) {}
    void compute(Run& run) const;

   private:
    const int threads_;
};

void PixelLosses::compute(Run& run) const {
    Problem problem;
    std::vector<float> padded;
    if (!read_problem(run, problem, padded)) return;
    float* const pixel_losses = run.output(0, run.shape(1));
    if (!run.ok()) return;
    const std::int64_t bands = problem.rows.cell_count, crop_size = problem.height * problem.width;
    share_tasks(problem.crops * bands, threads_, [&](std::int64_t task) {
        Band band = band_of(problem, task / bands, task % bands);
        band.pixel_losses = pixel_losses + task / bands * crop_size;
        const std::int64_t first = problem.rows.start(task % bands), stop = problem.rows.stop(task % bands);
        std::memset(band.pixel_losses + first * problem.width, 0,
                    static_cast<std::size_t>((stop - first) * problem.width) * sizeof(float));
        compute_band(problem, band, task % bands);
    });
}

void infer_cross_entropy_shapes(TF_ShapeInferenceContext* context, TF_Status* status) {
    TF_ShapeHandle* const scalar = TF_ShapeInferenceContextScalar(context);
    TF_ShapeInferenceContextSetOutput(context, 0, scalar, status);
    TF_DeleteShapeHandle(scalar);
    if (TF_GetCode(status) == TF_OK) copy_shape(context, 0, 1, status);
}

void infer_pixel_loss_shapes(TF_ShapeInferenceContext* context, TF_Status* status) {
    copy_shape(context, 1, 0, status);
}

const std::vector<const char*> kInputs = {"logits: float",      "labels: uint8",       "weights: float",
                                          "row_cells: int32",   "row_fraction: float", "column_cells: int32",
                                          "column_fraction: float"};

const bool kRegistered =
    register_operation<CrossEntropy>("SegedgeCrossEntropy", kInputs, {"total: float", "gradient: float"},
                                     {"threads: int"}, infer_cross_entropy_shapes) &&
    register_operation<PixelLosses>("SegedgePixelLosses", kInputs, {"losses: float"}, {"threads: int"},
                                    infer_pixel_loss_shapes);

}  // namespace
}  // namespace segedge
