// Operations on one row after the other: LayerNorm of the sum of two rows.

#pragma once

#include "pool.h"
#include "vectors.h"

namespace {

// The number of threads to use: small inputs are faster on one.
inline int threads_for(int64_t rows, int dim, int threads) { return rows * dim < 32768 ? 1 : threads; }

// The sum of part(c) for every vector c of a row. Two sums run side by side, so that no addition waits for the one before.
template <class Part>
inline float sum_over(int dim, const Part& part) {
    Floats even{}, odd{};
    int c = 0;
    for (; c + WIDTH < dim; c += 2 * WIDTH) {
        even += part(c);
        odd += part(c + WIDTH);
    }
    if (c < dim) even += part(c);
    return sum(even + odd);
}

// How to quantize rows, and where to write them; bytes is null if they are not wanted in uint8.
struct Rounded {
    Quantizer quantizer;
    uint8_t* bytes;
};

// LayerNorm of the sum of two rows of dim. first(t) and second(t) return the addresses of row t of both. then(t, scale) is
// called after each row; scale is one over its deviation.
template <class Type, class First, class Second, class Then>
void add_norm_of(const First& first, const Second& second, int64_t rows, int dim, const float* gain,
                 const float* shift, float epsilon, Type* out, const Rounded& rounded, int threads, const Then& then) {
    threads = threads_for(rows, dim, threads);
    const int padded = round_up(dim, WIDTH);
    share(rows, rows / (threads * 4), threads, [&](Units& units) {
        std::vector<float> buffer(padded);
        float* row = buffer.data();
        for (int64_t t; units.take(t);) {
            const Type *x = first(t), *y = second(t);
            const float mean = sum_over(dim, [&](int c) {
                const Floats both = load(x + c, dim - c) + load(y + c, dim - c);
                store(row + c, both);
                return both;
            }) / dim;
            for (int c = dim; c < padded; c++) row[c] = mean;
            const float squares = sum_over(dim, [&](int c) {
                const Floats d = load(row + c) - mean;
                return d * d;
            });
            const float scale = 1.0f / std::sqrt(squares / dim + epsilon);
            Type* const to = out + t * dim;
            uint8_t* const to_bytes = rounded.bytes ? rounded.bytes + t * dim : nullptr;
            const Quantizer quantizer = rounded.quantizer;
            for (int c = 0; c < dim; c += WIDTH) {
                const int left = dim - c;
                const Floats z = (load(row + c) - mean) * scale * load(gain + c, left) + load(shift + c, left);
                store(to + c, z, left);
                if (to_bytes) quantizer.write(to_bytes, z, c, left);
            }
            then(t, scale);
        }
    });
}

// (first + second) * scale + shift. next is prefetched: it is read after this row, and lies anywhere in a large table.
template <class Type>
void scaled_sum(const Type* first, const Type* second, float scale, const float* shift, int count, Type* to,
                const Type* next) {
    for (int c = 0; c < count; c += WIDTH) {
        const int left = count - c;
        __builtin_prefetch(next + c);
        store(to + c, (load(first + c, left) + load(second + c, left)) * scale + load(shift + c, left), left);
    }
}

}  // namespace
