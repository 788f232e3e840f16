// The MLP of a block, y = W2 gelu(W1 x + b1) + b2, on rows of channels, forward
// and backward. Works through tiles of rows, so that the hidden layer, which is
// the largest array of the network, never leaves the cache; the backward pass
// computes it again. Widths must be multiples of 16.
//
//   x, y [rows, width]   W1 [hidden, width]   W2 [width, hidden]
//
// With `grids`, the values before and after gelu are rounded to the steps of an
// integer grid, as quantized inference does; the gradient passes through the
// rounding, and is zero where a value was clipped.

#include <cmath>
#include <cstdint>
#include <cstring>
#include <omp.h>
#include <vector>

namespace {

#ifdef __AVX512F__
typedef float Vector __attribute__((vector_size(64), aligned(4)));
#else
typedef float Vector __attribute__((vector_size(32), aligned(4)));
#endif

constexpr int TILE = 96;
constexpr int COLUMNS = 16;  // of one block of the matrix product
constexpr int LANES = sizeof(Vector) / sizeof(float);
constexpr int VECTORS = COLUMNS / LANES;
constexpr int ROWS = 12 / VECTORS;  // of one block: its sums take 12 registers

Vector load(const float *p) { return *reinterpret_cast<const Vector *>(p); }
void store(float *p, Vector v) { *reinterpret_cast<Vector *>(p) = v; }

// c[i][j] (+)= sum over k of a[i * a_row + k * a_step] * b[k * b_step + j] for M
// rows and 16 columns.
template <int M>
void block(int depth, const float *a, int64_t a_row, int64_t a_step, const float *b,
           int64_t b_step, float *c, int64_t c_row, bool add) {
    Vector sums[M][VECTORS];
    for (int i = 0; i < M; i++)
        for (int v = 0; v < VECTORS; v++)
            sums[i][v] = add ? load(c + i * c_row + v * LANES) : Vector{};
    for (int k = 0; k < depth; k++) {
        Vector right[VECTORS];
        for (int v = 0; v < VECTORS; v++) right[v] = load(b + k * b_step + v * LANES);
#pragma GCC unroll 12
        for (int i = 0; i < M; i++) {
            const float value = a[i * a_row + k * a_step];
            for (int v = 0; v < VECTORS; v++) sums[i][v] += value * right[v];
        }
    }
    for (int i = 0; i < M; i++)
        for (int v = 0; v < VECTORS; v++) store(c + i * c_row + v * LANES, sums[i][v]);
}

// Blocks of M rows as long as there are M, then of half as many.
template <int M>
void blocks(int rows, int depth, const float *a, int64_t a_row, int64_t a_step,
            const float *b, int64_t b_step, float *c, int64_t c_row, bool add) {
    int i = 0;
    for (; i + M <= rows; i += M)
        block<M>(depth, a + i * a_row, a_row, a_step, b, b_step, c + i * c_row, c_row, add);
    if constexpr (M > 1)
        blocks<M / 2>(rows - i, depth, a + i * a_row, a_row, a_step, b, b_step,
                      c + i * c_row, c_row, add);
}

// c [rows, columns] (+)= a b. Column panel j of b begins at b + j * b_panel.
void multiply(int rows, int columns, int depth, const float *a, int64_t a_row,
              int64_t a_step, const float *b, int64_t b_panel, int64_t b_step,
              float *c, bool add) {
    for (int j = 0; j < columns / COLUMNS; j++)
        blocks<ROWS>(rows, depth, a, a_row, a_step, b + j * b_panel, b_step,
                     c + j * COLUMNS, columns, add);
}

// b [depth, columns], or its transpose, as panels of 16 columns.
std::vector<float> pack(const float *b, int depth, int columns, bool transposed) {
    std::vector<float> panels(size_t(depth) * columns);
    float *out = panels.data();
    for (int j = 0; j < columns; j += COLUMNS)
        for (int k = 0; k < depth; k++)
            for (int i = 0; i < COLUMNS; i++)
                *out++ = transposed ? b[int64_t(j + i) * depth + k]
                                    : b[int64_t(k) * columns + j + i];
    return panels;
}

// exp(-x * x / 2), to about 1e-7.
inline float bell(float x) {
    float power = x * x * -0.72134752f;  // to the base of 2
    power = power < -126.0f ? -126.0f : power;
    const int whole = int(power - 0.5f);  // rounds, as power is not positive
    const float f = (power - float(whole)) * 0.69314718f;
    float p = 1.0f / 5040;
    p = p * f + 1.0f / 720;
    p = p * f + 1.0f / 120;
    p = p * f + 1.0f / 24;
    p = p * f + 1.0f / 6;
    p = p * f + 0.5f;
    p = p * f + 1.0f;
    p = p * f + 1.0f;
    const int32_t bits = (whole + 127) << 23;
    float scale;
    std::memcpy(&scale, &bits, 4);
    return p * scale;
}

// The normal distribution function, from `bell` (Abramowitz and Stegun 7.1.26).
inline float distribution(float x, float bell) {
    const float t = 1.0f / (1.0f + 0.3275911f * 0.70710678f * std::fabs(x));
    float p = 1.061405429f;
    p = p * t - 1.453152027f;
    p = p * t + 1.421413741f;
    p = p * t - 0.284496736f;
    p = p * t + 0.254829592f;
    const float tail = 0.5f * p * t * bell;
    return x < 0 ? tail : 1.0f - tail;
}

// Steps of one size, from the lowest to the highest that an integer can hold,
// counted from zero.
struct Grid {
    float size, lowest, highest;
};

struct Grids {
    Grid before, after;
};

// `value` in steps, not yet rounded.
inline float steps(const Grid &grid, float value) { return value * (1.0f / grid.size); }

inline float rounded(const Grid &grid, float steps) {
    steps = steps < grid.lowest ? grid.lowest : steps;
    steps = steps > grid.highest ? grid.highest : steps;
    return grid.size * std::nearbyint(steps);
}

// Whether rounding to the nearest step stays on the grid; 1 or 0.
inline float inside(const Grid &grid, float steps) {
    return steps >= grid.lowest - 0.5f && steps <= grid.highest + 0.5f ? 1.0f : 0.0f;
}

void fill_rows(float *out, const float *row, int rows, int columns) {
    for (int i = 0; i < rows; i++)
        std::memcpy(out + int64_t(i) * columns, row, sizeof(float) * columns);
}

}  // namespace

extern "C" void mlp_forward(int threads, int64_t rows, int width, int hidden,
                            const float *x, const float *w1, const float *b1,
                            const float *w2, const float *b2, const Grids *grids,
                            float *y) {
    const auto first = pack(w1, width, hidden, true);
    const auto second = pack(w2, hidden, width, true);
    const int64_t tiles = (rows + TILE - 1) / TILE;
#pragma omp parallel num_threads(threads)
    {
        std::vector<float> h(size_t(TILE) * hidden);
#pragma omp for schedule(static)
        for (int64_t tile = 0; tile < tiles; tile++) {
            const int64_t start = tile * TILE;
            const int count = rows - start < TILE ? int(rows - start) : TILE;
            fill_rows(h.data(), b1, count, hidden);
            multiply(count, hidden, width, x + start * width, width, 1, first.data(),
                     int64_t(width) * COLUMNS, COLUMNS, h.data(), true);
            float *values = h.data();
            if (grids) {
                const Grids g = *grids;
#pragma omp simd
                for (int i = 0; i < count * hidden; i++) {
                    const float v = rounded(g.before, steps(g.before, values[i]));
                    const float output = v * distribution(v, bell(v));
                    values[i] = rounded(g.after, steps(g.after, output));
                }
            } else {
#pragma omp simd
                for (int i = 0; i < count * hidden; i++)
                    values[i] *= distribution(values[i], bell(values[i]));
            }
            fill_rows(y + start * width, b2, count, width);
            multiply(count, width, hidden, h.data(), hidden, 1, second.data(),
                     int64_t(hidden) * COLUMNS, COLUMNS, y + start * width, true);
        }
    }
}

// The gradients gw1 and gw2 have the shape of w1 and w2 and are overwritten, as
// is gb1; the gradient of b2 is a plain sum and left to the caller.
extern "C" void mlp_backward(int threads, int64_t rows, int width, int hidden,
                             const float *x, const float *w1, const float *b1,
                             const float *w2, const Grids *grids, const float *gy,
                             float *gx, float *gw1, float *gb1, float *gw2) {
    const auto first = pack(w1, width, hidden, true);
    const auto second_back = pack(w2, width, hidden, false);
    const auto first_back = pack(w1, hidden, width, false);
    const int64_t tiles = (rows + TILE - 1) / TILE;
    const int weights = width * hidden;
    // Every thread sums on its own, so that the order of the sums is fixed.
    const size_t sums = size_t(2) * weights + hidden;
    std::vector<float> all_sums(sums * threads);
#pragma omp parallel num_threads(threads)
    {
        std::vector<float> h(size_t(TILE) * hidden), gh(size_t(TILE) * hidden);
        float *sum1 = all_sums.data() + sums * omp_get_thread_num();
        float *sum2 = sum1 + weights, *sum_b = sum2 + weights;
#pragma omp for schedule(static)
        for (int64_t tile = 0; tile < tiles; tile++) {
            const int64_t start = tile * TILE;
            const int count = rows - start < TILE ? int(rows - start) : TILE;
            const float *x_tile = x + start * width, *gy_tile = gy + start * width;
            fill_rows(h.data(), b1, count, hidden);
            multiply(count, hidden, width, x_tile, width, 1, first.data(),
                     int64_t(width) * COLUMNS, COLUMNS, h.data(), true);
            multiply(count, hidden, width, gy_tile, width, 1, second_back.data(),
                     int64_t(width) * COLUMNS, COLUMNS, gh.data(), false);
            float *value = h.data(), *gradient = gh.data();
            if (grids) {
                const Grids g = *grids;
#pragma omp simd
                for (int i = 0; i < count * hidden; i++) {
                    const float before = steps(g.before, value[i]);
                    const float v = rounded(g.before, before), density = bell(v);
                    const float share = distribution(v, density);
                    const float after = steps(g.after, v * share);
                    value[i] = rounded(g.after, after);
                    gradient[i] *= (share + v * density * 0.39894228f) *
                                   inside(g.before, before) * inside(g.after, after);
                }
            } else {
#pragma omp simd
                for (int i = 0; i < count * hidden; i++) {
                    const float v = value[i], density = bell(v);
                    const float share = distribution(v, density);
                    value[i] = v * share;
                    gradient[i] *= share + v * density * 0.39894228f;
                }
            }
            for (int i = 0; i < count; i++)
                for (int j = 0; j < hidden; j++)
                    sum_b[j] += gradient[int64_t(i) * hidden + j];
            multiply(count, width, hidden, gh.data(), hidden, 1, first_back.data(),
                     int64_t(hidden) * COLUMNS, COLUMNS, gx + start * width, false);
            // Transposed left factors: [hidden, count] x and [width, count] h.
            multiply(hidden, width, count, gh.data(), 1, hidden, x_tile, COLUMNS,
                     width, sum1, true);
            multiply(width, hidden, count, gy_tile, 1, width, h.data(), COLUMNS,
                     hidden, sum2, true);
        }
    }
    std::memset(gw1, 0, sizeof(float) * weights);
    std::memset(gw2, 0, sizeof(float) * weights);
    std::memset(gb1, 0, sizeof(float) * hidden);
    for (int thread = 0; thread < threads; thread++) {
        const float *sum = all_sums.data() + sums * thread;
        for (int i = 0; i < weights; i++) {
            gw1[i] += sum[i];
            gw2[i] += sum[weights + i];
        }
        for (int j = 0; j < hidden; j++) gb1[j] += sum[2 * weights + j];
    }
}
