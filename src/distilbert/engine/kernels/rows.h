// Row by row: sums of two rows, then LayerNorm.

#pragma once

#include "vectors.h"

namespace {

// LayerNorm of a row; returns what its numbers were multiplied with.
float normalize(float* x, const float* gain, const float* shift, int count, float epsilon) {
    Floats total{}, squares{};
    float rest = 0, square_rest = 0;
    int c = 0;
    for (; c + WIDTH <= count; c += WIDTH) total += load(x + c);
    for (; c < count; c++) rest += x[c];
    const float mean = (sum(total) + rest) / count;
    for (c = 0; c + WIDTH <= count; c += WIDTH) {
        Floats d = load(x + c) - mean;
        squares += d * d;
    }
    for (; c < count; c++) square_rest += (x[c] - mean) * (x[c] - mean);
    const float scale = 1.0f / std::sqrt((sum(squares) + square_rest) / count + epsilon);
    for (c = 0; c + WIDTH <= count; c += WIDTH)
        store(x + c, (load(x + c) - mean) * scale * load(gain + c) + load(shift + c));
    for (; c < count; c++) x[c] = (x[c] - mean) * scale * gain[c] + shift[c];
    return scale;
}

// Rows below which waking other threads takes longer than they save.
inline int threads_for(int64_t rows, int dim, int threads) { return rows * dim < 32768 ? 1 : threads; }

// LayerNorm of the sum of two rows of dim; first(t) and second(t) say where those of row t are, and then(t, row, scale)
// goes on with the result in fp32 and what LayerNorm multiplied with.
template <class Type, class First, class Second, class Then>
void add_norm_of(const First& first, const Second& second, int64_t rows, int dim, const float* gain,
                 const float* shift, float epsilon, Type* out, int threads, const Then& then) {
    threads = threads_for(rows, dim, threads);
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        std::vector<float> row(dim);
#pragma omp for schedule(static)
        for (int64_t t = 0; t < rows; t++) {
            copy(row.data(), first(t), dim);
            add_in(row.data(), second(t), dim);
            const float scale = normalize(row.data(), gain, shift, dim, epsilon);
            copy(out + t * dim, row.data(), dim);
            then(t, row.data(), scale);
        }
    }
}

// (first + second) * scale + shift. next is read after this row, from anywhere in a large table.
template <class Type>
void scaled_sum(const Type* first, const Type* second, float scale, const float* shift, int count, Type* to,
                const Type* next) {
    int c = 0;
    for (; c + WIDTH <= count; c += WIDTH) {
        __builtin_prefetch(next + c);
        store(to + c, (load(first + c) + load(second + c)) * scale + load(shift + c));
    }
    for (; c < count; c++) put(to + c, (one(first + c) + one(second + c)) * scale + shift[c]);
}

}  // namespace
