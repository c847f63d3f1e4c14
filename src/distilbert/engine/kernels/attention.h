// Attention within each sequence of a packed batch. Legend: Q queries and K keys of one sequence, H head dim.

#pragma once

#include "vectors.h"

namespace {

#if defined(__AVX512F__)
constexpr int ROWS = 6, COLUMNS = 4;  // rows and vectors of columns of a product; their sums fill the registers
#else
constexpr int ROWS = 4, COLUMNS = 2;
#endif
constexpr float LOWEST = -FLT_MAX;

// (K, H) with a stride -> (H, width) in fp32, zeros beyond K; width is a multiple of WIDTH.
template <class Type>
void transpose(const Type* from, int64_t stride, int keys, int dim, float* to, int width) {
    for (int t = 0; t < keys; t += WIDTH) {
        int h = 0;
        for (; h + WIDTH <= dim; h += WIDTH) {
            Floats square[WIDTH], next[WIDTH];
            for (int i = 0; i < WIDTH; i++) square[i] = t + i < keys ? load(from + (t + i) * stride + h) : Floats{};
            for (int round = 1; round < WIDTH; round *= 2) {
                for (int i = 0; i < WIDTH / 2; i++) {
                    next[2 * i] = zip<0>(square[i], square[i + WIDTH / 2]);
                    next[2 * i + 1] = zip<WIDTH / 2>(square[i], square[i + WIDTH / 2]);
                }
                for (int i = 0; i < WIDTH; i++) square[i] = next[i];
            }
            for (int i = 0; i < WIDTH; i++) store(to + int64_t(h + i) * width + t, square[i]);
        }
        for (; h < dim; h++)
            for (int i = 0; i < WIDTH; i++)
                to[int64_t(h) * width + t + i] = t + i < keys ? one(from + (t + i) * stride + h) : 0.0f;
    }
}

// Calls put(r, c, sums) for ROWS rows and N vectors of columns from c on; sums are those over k of a[r][k] * b[k][column].
template <class Kind, int N, class Put>
inline void product(const float* const* a, const float* b, int b_stride, int depth, int c, Put& put) {
    typename Kind::Sum sums[ROWS][N];
    for (int r = 0; r < ROWS; r++)
        for (int n = 0; n < N; n++) sums[r][n] = typename Kind::Sum{};
    for (int k = 0; k < depth; k++) {
        Floats columns[N];
        for (int n = 0; n < N; n++) columns[n] = load(b + int64_t(k) * b_stride + c + n * WIDTH);
        for (int r = 0; r < ROWS; r++)
            for (int n = 0; n < N; n++) sums[r][n] = Kind::add(sums[r][n], a[r][k], columns[n]);
    }
    for (int r = 0; r < ROWS; r++)
        for (int n = 0; n < N; n++) put(r, c + n * WIDTH, Kind::numbers(sums[r][n]));
}

template <class Kind, class Put>
void products(const float* const* a, const float* b, int b_stride, int depth, int width, Put& put) {
    int c = 0;
    for (; c + COLUMNS * WIDTH <= width; c += COLUMNS * WIDTH) product<Kind, COLUMNS>(a, b, b_stride, depth, c, put);
    switch ((width - c) / WIDTH) {
        case 3: product<Kind, 3>(a, b, b_stride, depth, c, put); break;
        case 2: product<Kind, 2>(a, b, b_stride, depth, c, put); break;
        case 1: product<Kind, 1>(a, b, b_stride, depth, c, put); break;
    }
}

// Stores scores and the highest score of each row. Columns beyond the keys get the lowest score.
struct Scores {
    float* to;
    int stride, keys;
    Floats best[ROWS];
    Scores(float* to, int stride, int keys) : to(to), stride(stride), keys(keys) {
        for (int r = 0; r < ROWS; r++) best[r] = all(LOWEST);
    }
    void operator()(int r, int c, Floats x) {
        if (c + WIDTH > keys) {
            Ints lane;
            for (int i = 0; i < WIDTH; i++) lane[i] = c + i;
            x = lane < keys ? x : all(LOWEST);
        }
        best[r] = larger(best[r], x);
        store(to + r * stride + c, x);
    }
    // Turns row r into weights that are not divided by their sum yet, and returns the sum. scale is positive and has the
    // factor log2(e) in it.
    template <class Type>
    float soften(int r, float scale, Type* weights) const {
        const float top = maximum(best[r]);
        Floats total{};
        for (int t = 0; t < stride; t += WIDTH) {
            // The difference is taken first: the rounding error of a large product would be a large exponent. A NaN in
            // the second operand of larger() stays one.
            const Floats x = larger(all(-1000.0f), (load(to + r * stride + t) - top) * scale);
            const Floats weight = power_of_two<sizeof(Type) == 2>(x);
            store(weights + t, weight);
            total += weight;
        }
        return sum(total);
    }
};

// (K, H) with a stride -> (K, padded) in fp32, zeros beyond H.
template <class Type>
void lay_out(const Type* from, int64_t stride, int keys, int dim, float* to, int padded) {
    for (int t = 0; t < keys; t++) {
        copy(to + int64_t(t) * padded, from + t * stride, dim);
        for (int c = dim; c < padded; c++) to[int64_t(t) * padded + c] = 0.0f;
    }
}

#if defined(MULTIPLIES_PAIRS)
// (K, H) of bf16 -> (K / 2 rounded up, H) of pairs: two keys of a channel side by side. H is a multiple of WIDTH.
void lay_out_pairs(const bf16* from, int64_t stride, int keys, int dim, float* to) {
    for (int t = 0; t < keys; t += 2) {
        const bf16 *first = from + t * stride, *second = first + stride;
        for (int c = 0; c < dim; c += WIDTH) {
            Ints pair = widen(first + c);
            if (t + 1 < keys) pair |= widen(second + c) << 16;
            store(to + int64_t(t / 2) * dim + c, (Floats)pair);
        }
    }
}
#endif

struct Scratch {
    std::vector<float> keys, values, queries, scores, weights;
    void fit(int width, int count, int dim, int padded) {
        grow(keys, int64_t(dim) * width);
        grow(values, int64_t(count + 1) * padded);
        grow(queries, ROWS * dim);
        grow(scores, ROWS * width);
        grow(weights, ROWS * width);
    }
    static void grow(std::vector<float>& part, int64_t size) {
        if (int64_t(part.size()) < size) part.resize(size);
    }
};

template <class Type>
struct Attention {
    const Type *q, *k, *v;
    int64_t q_stride, k_stride, v_stride, out_stride;
    int dim;
    float scale;
    Type* out;
    Quantizer quantizer;
    uint8_t* bytes;

    // Where the results of one head go, from a query on. It is a copy of members: a store might change members, as far as
    // the compiler knows, but not registers.
    struct Results {
        Type* out;
        uint8_t* bytes;
        Quantizer quantizer;
        int64_t stride;
        int dim;
        // Writes a vector of a row, from column c of its head on.
        void write(int r, int c, Floats x) const {
            if (out) store(out + r * stride + c, x, dim - c);
            if (bytes) quantizer.write(bytes + r * stride, x, c, dim - c);
        }
    };

    Results results(int64_t query, int channel) const {
        const int64_t at = query * out_stride + channel;
        const Quantizer here{bytes ? quantizer.factor + channel : nullptr, quantizer.zero};
        return {out ? out + at : nullptr, bytes ? bytes + at : nullptr, here, out_stride, dim};
    }

    bool in_pairs() const {
#if defined(MULTIPLIES_PAIRS)
        return sizeof(Type) == 2 && dim % WIDTH == 0 && q_stride % 2 == 0 && k_stride % 2 == 0;
#else
        return false;
#endif
    }

    void fetch(const Type* head) const {
        for (int c = 0; c < dim; c += 64 / int(sizeof(Type))) __builtin_prefetch(head + c);
    }

    // One head of one sequence: queries [q0, q1) attend to keys [k0, k1). channel is the first column of the head in a row.
    void head(int64_t q0, int64_t q1, int64_t k0, int64_t k1, int channel, Scratch& scratch) const {
        const int count = int(k1 - k0), width = round_up(count, WIDTH), padded = round_up(dim, WIDTH);
        scratch.fit(width, count, dim, padded);
        float *keys = scratch.keys.data(), *values = scratch.values.data(), *weights = scratch.weights.data();
        const Type *first_key = k + k0 * k_stride + channel, *first_value = v + k0 * v_stride + channel;
        // Prefetch the next head, which lies beside this one in every row.
        for (int64_t t = q0; t < q1; t++) fetch(q + t * q_stride + channel + dim);
        for (int64_t t = k0; t < k1; t++) fetch(k + t * k_stride + channel + dim);
        for (int64_t t = k0; t < k1; t++) fetch(v + t * v_stride + channel + dim);
        const bool pairs = in_pairs();
#if defined(MULTIPLIES_PAIRS)
        if (pairs) {
            transpose((const float*)first_key, k_stride / 2, count, dim / 2, keys, width);
            lay_out_pairs((const bf16*)first_value, v_stride, count, dim, values);
        }
#endif
        if (!pairs) {
            transpose(first_key, k_stride, count, dim, keys, width);
            lay_out(first_value, v_stride, count, dim, values, padded);
        }
        for (int64_t first = q0; first < q1; first += ROWS) {
            const int rows = int(q1 - first < ROWS ? q1 - first : ROWS);
            const float *queries[ROWS], *shares[ROWS];
            for (int r = 0; r < ROWS; r++) {  // rows beyond the last one repeat it
                const Type* from = q + (first + (r < rows ? r : rows - 1)) * q_stride + channel;
                queries[r] = pairs || sizeof(Type) == 4 ? (const float*)from : scratch.queries.data() + r * dim;
                if (!pairs && sizeof(Type) == 2) copy(scratch.queries.data() + r * dim, from, dim);
                shares[r] = weights + (r < rows ? r : rows - 1) * width;
            }
            float inverse[ROWS];
            Scores scores(scratch.scores.data(), width, count);
            const Results to = results(first, channel);
            const auto put = [&](int r, int c, Floats x) {
                if (r < rows) to.write(r, c, x * inverse[r]);
            };
#if defined(MULTIPLIES_PAIRS)
            if (pairs) {
                products<Pair>(queries, keys, width, dim / 2, width, scores);
                for (int r = 0; r < rows; r++)
                    inverse[r] = 1.0f / scores.soften(r, scale * 1.44269504f, (bf16*)(weights + r * width));
                products<Pair>(shares, values, dim, (count + 1) / 2, dim, put);
            }
#endif
            if (!pairs) {
                products<Single>(queries, keys, width, dim, width, scores);
                for (int r = 0; r < rows; r++)
                    inverse[r] = 1.0f / scores.soften(r, scale * 1.44269504f, weights + r * width);
                products<Single>(shares, values, padded, count, padded, put);
            }
        }
    }
};

}  // namespace
