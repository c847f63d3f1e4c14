// What lies between the matrix products of the engine, for packed tokens: embeddings with LayerNorm, residual sums with
// LayerNorm, and attention within each sequence. Reads and writes fp32 or bf16, computes in fp32, and writes uint8 beside
// or instead of it where the next product wants that. One source for every instruction set: the width of a vector is all
// that differs. operations.py calls these functions and holds their plain twins.
//
// Legend: T tokens, D dim, N heads, H head dim, Q queries and K keys of one sequence.

#include <omp.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

namespace {

#if defined(__AVX512F__)
constexpr int WIDTH = 16;
#elif defined(__AVX__)
constexpr int WIDTH = 8;
#else
constexpr int WIDTH = 4;
#endif
#if defined(__AVX512F__)
constexpr int COLUMNS = 4;  // vectors beside each other in a pass over the keys: all must fit the registers
#else
constexpr int COLUMNS = 2;
#endif
constexpr int ROWS = 4;  // queries that share such a pass
constexpr float LOWEST = -1e30f;

typedef float Floats __attribute__((vector_size(WIDTH * 4), aligned(4)));
typedef int32_t Ints __attribute__((vector_size(WIDTH * 4), aligned(4)));
typedef uint16_t Halves __attribute__((vector_size(WIDTH * 2), aligned(2)));
typedef uint8_t Bytes __attribute__((vector_size(WIDTH), aligned(1)));
typedef uint16_t bf16;

inline int round_up(int n, int step) { return (n + step - 1) / step * step; }

inline Floats all(float x) { return Floats{} + x; }

inline Floats load(const float* p) { return *reinterpret_cast<const Floats*>(p); }

inline Floats load(const bf16* p) {
    Ints wide = __builtin_convertvector(*reinterpret_cast<const Halves*>(p), Ints) << 16;
    return (Floats)wide;  // the same bits
}

inline void store(float* p, Floats x) { *reinterpret_cast<Floats*>(p) = x; }

inline void store(bf16* p, Floats x) {  // to the nearest, ties to even
#if defined(__AVX512BF16__)
    const __m256bh halves = _mm512_cvtneps_pbh((__m512)x);
    std::memcpy(p, &halves, sizeof halves);
    return;
#endif
    Ints bits = (Ints)x;
    bits += 0x7fff + ((bits >> 16) & 1);
    *reinterpret_cast<Halves*>(p) = __builtin_convertvector(bits >> 16, Halves);
}

inline float one(const float* p) { return *p; }

inline float one(const bf16* p) {
    uint32_t bits = uint32_t(*p) << 16;
    float x;
    std::memcpy(&x, &bits, 4);
    return x;
}

inline void put(float* p, float x) { *p = x; }

inline void put(bf16* p, float x) {
    uint32_t bits;
    std::memcpy(&bits, &x, 4);
    *p = bf16((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

inline Floats smaller(Floats a, Floats b) { return a < b ? a : b; }
inline Floats larger(Floats a, Floats b) { return a > b ? a : b; }

inline float sum(Floats x) {
    float total = 0;
    for (int i = 0; i < WIDTH; i++) total += x[i];
    return total;
}

inline float maximum(Floats x) {
    float best = x[0];
    for (int i = 1; i < WIDTH; i++) best = best < x[i] ? x[i] : best;
    return best;
}

// e^x for x <= 0: 2^n times a polynomial of the rest, to 2e-7 of the value.
inline Floats exponential(Floats x) {
    x = larger(x, all(-87.0f));
    Floats n = x * 1.44269504f + 12582912.0f - 12582912.0f;  // rounds to whole numbers
    Floats r = x - n * 0.693359375f + n * 2.12194440e-4f;
    Floats p = r * 1.9875691500e-4f + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    Ints power = (__builtin_convertvector(n, Ints) + 127) << 23;
    return p * (Floats)power;
}

// x * factor + zero as uint8, to the nearest; factor gives a vector for the channels from c on.
template <class Factor>
inline void to_bytes(const float* x, int count, uint8_t* out, const Factor& factor, float zero) {
    for (int c = 0; c < count; c += WIDTH) {
        const int many = count - c < WIDTH ? count - c : WIDTH;
        Floats y{};
        std::memcpy(&y, x + c, many * 4);
        y = smaller(larger(y * factor(c) + zero, all(0.0f)), all(255.0f)) + 8388608.0f;  // the low bits are the number
        const Bytes bytes = __builtin_convertvector((Ints)y & 255, Bytes);
        std::memcpy(out + c, &bytes, many);
    }
}

// How a row becomes uint8 for an int8 product: factors by channel.
struct Quantizer {
    const float* factor;
    float zero;
    void write(uint8_t* out, const float* x, int count) const {
        const auto by_channel = [&](int c) {
            Floats part{};
            std::memcpy(&part, factor + c, (count - c < WIDTH ? count - c : WIDTH) * 4);
            return part;
        };
        to_bytes(x, count, out, by_channel, zero);
    }
};

template <class Type>
void copy_in(float* to, const Type* from, int count) {
    int c = 0;
    for (; c + WIDTH <= count; c += WIDTH) store(to + c, load(from + c));
    for (; c < count; c++) to[c] = one(from + c);
}

template <class Type>
void copy_out(Type* to, const float* from, int count) {
    int c = 0;
    for (; c + WIDTH <= count; c += WIDTH) store(to + c, load(from + c));
    for (; c < count; c++) put(to + c, from[c]);
}

template <class Type>
void add_in(float* to, const Type* from, int count) {
    int c = 0;
    for (; c + WIDTH <= count; c += WIDTH) store(to + c, load(to + c) + load(from + c));
    for (; c < count; c++) to[c] += one(from + c);
}

void normalize(float* x, const float* gain, const float* shift, int count, float epsilon) {
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
}

// Rows below which waking other threads takes longer than they save.
inline int threads_for(int64_t rows, int dim, int threads) { return rows * dim < 32768 ? 1 : threads; }

// LayerNorm of the sum of two rows of dim; first(t) and second(t) say where those of row t are.
template <class Type, class First, class Second>
void add_norm_of(const First& first, const Second& second, int64_t rows, int dim, const float* gain,
                 const float* shift, float epsilon, Type* out, Quantizer quantizer, uint8_t* bytes, int threads) {
    threads = threads_for(rows, dim, threads);
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        std::vector<float> row(dim);
#pragma omp for schedule(static)
        for (int64_t t = 0; t < rows; t++) {
            copy_in(row.data(), first(t), dim);
            add_in(row.data(), second(t), dim);
            normalize(row.data(), gain, shift, dim, epsilon);
            copy_out(out + t * dim, row.data(), dim);
            if (bytes) quantizer.write(bytes + t * dim, row.data(), dim);
        }
    }
}

// A square of WIDTH rows, turned about its diagonal: each round zips the upper half with the lower one.
#if defined(__clang__) || __GNUC__ >= 12
#define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#endif
inline Floats zip_low(Floats a, Floats b) {
#if !defined(SHUFFLE)
    Floats z;
    for (int i = 0; i < WIDTH; i++) z[i] = i % 2 ? b[i / 2] : a[i / 2];
    return z;
#elif defined(__AVX512F__)
    return SHUFFLE(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
#elif defined(__AVX__)
    return SHUFFLE(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
#else
    return SHUFFLE(a, b, 0, 4, 1, 5);
#endif
}
inline Floats zip_high(Floats a, Floats b) {
#if !defined(SHUFFLE)
    Floats z;
    for (int i = 0; i < WIDTH; i++) z[i] = i % 2 ? b[(i + WIDTH) / 2] : a[(i + WIDTH) / 2];
    return z;
#elif defined(__AVX512F__)
    return SHUFFLE(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
#elif defined(__AVX__)
    return SHUFFLE(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
#else
    return SHUFFLE(a, b, 2, 6, 3, 7);
#endif
}

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
                    next[2 * i] = zip_low(square[i], square[i + WIDTH / 2]);
                    next[2 * i + 1] = zip_high(square[i], square[i + WIDTH / 2]);
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

// What a product multiplies at a time: numbers, or pairs of bf16 whose two products are added.
struct Single {
    static Floats add(Floats sum, float a, Floats b) { return sum + a * b; }
};
#if defined(__AVX512BF16__)
struct Pair {
    static Floats add(Floats sum, float a, Floats b) {
        return (Floats)_mm512_dpbf16_ps((__m512)sum, (__m512bh)_mm512_set1_ps(a), (__m512bh)b);
    }
};
#endif

// to[r][c] = sum over k of a[r][k] * b[k][c], for ROWS rows and N vectors of columns.
template <class Kind, int N>
inline void product(const float* const* a, const float* b, int b_stride, int depth, float* to, int to_stride) {
    Floats sums[ROWS][N] = {};
    for (int k = 0; k < depth; k++) {
        Floats columns[N];
        for (int n = 0; n < N; n++) columns[n] = load(b + int64_t(k) * b_stride + n * WIDTH);
        for (int r = 0; r < ROWS; r++)
            for (int n = 0; n < N; n++) sums[r][n] = Kind::add(sums[r][n], a[r][k], columns[n]);
    }
    for (int r = 0; r < ROWS; r++)
        for (int n = 0; n < N; n++) store(to + r * to_stride + n * WIDTH, sums[r][n]);
}

template <class Kind>
void products(const float* const* a, const float* b, int b_stride, int depth, int width, float* to, int to_stride) {
    int c = 0;
    for (; c + COLUMNS * WIDTH <= width; c += COLUMNS * WIDTH)
        product<Kind, COLUMNS>(a, b + c, b_stride, depth, to + c, to_stride);
    switch ((width - c) / WIDTH) {
        case 3: product<Kind, 3>(a, b + c, b_stride, depth, to + c, to_stride); break;
        case 2: product<Kind, 2>(a, b + c, b_stride, depth, to + c, to_stride); break;
        case 1: product<Kind, 1>(a, b + c, b_stride, depth, to + c, to_stride); break;
    }
}

// One row of scores times a positive scale -> weights that are not divided by their sum yet; returns the sum.
template <class Type>
inline float soften(float* scores, int keys, int width, float scale, Type* weights) {
    for (int t = keys; t < width; t++) scores[t] = LOWEST;
    Floats best = all(LOWEST), total{};
    for (int t = 0; t < width; t += WIDTH) best = larger(best, load(scores + t));
    const float top = maximum(best);
    for (int t = 0; t < width; t += WIDTH) {
        Floats weight = exponential((load(scores + t) - top) * scale);
        store(weights + t, weight);
        total += weight;
    }
    return sum(total);
}

// (K, H) with a stride -> (K, padded) in fp32, zeros beyond H.
template <class Type>
void lay_out(const Type* from, int64_t stride, int keys, int dim, float* to, int padded) {
    for (int t = 0; t < keys; t++) {
        copy_in(to + int64_t(t) * padded, from + t * stride, dim);
        for (int c = dim; c < padded; c++) to[int64_t(t) * padded + c] = 0.0f;
    }
}

#if defined(__AVX512BF16__)
// (K, H) of bf16 -> (K / 2 rounded up, H) of pairs: two keys of a channel beside each other. H is a multiple of WIDTH.
void lay_out_pairs(const bf16* from, int64_t stride, int keys, int dim, float* to) {
    for (int t = 0; t < keys; t += 2) {
        const bf16 *first = from + t * stride, *second = first + stride;
        for (int c = 0; c < dim; c += WIDTH) {
            Ints pair = __builtin_convertvector(*reinterpret_cast<const Halves*>(first + c), Ints);
            if (t + 1 < keys) pair |= __builtin_convertvector(*reinterpret_cast<const Halves*>(second + c), Ints) << 16;
            store(to + int64_t(t / 2) * dim + c, (Floats)pair);
        }
    }
}
#endif

struct Scratch {
    std::vector<float> keys, values, queries, scores, weights, context;
    void fit(int width, int count, int dim, int padded) {
        grow(keys, int64_t(dim) * width);
        grow(values, int64_t(count + 1) * padded);
        grow(queries, ROWS * dim);
        grow(scores, ROWS * width);
        grow(weights, ROWS * width);
        grow(context, ROWS * padded);
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

    bool in_pairs() const {
#if defined(__AVX512BF16__)
        return sizeof(Type) == 2 && dim % WIDTH == 0 && q_stride % 2 == 0 && k_stride % 2 == 0;
#else
        return false;
#endif
    }

    // One head of one sequence: queries [q0, q1) look at keys [k0, k1); channel is where the head begins in a row.
    void head(int64_t q0, int64_t q1, int64_t k0, int64_t k1, int channel, Scratch& scratch) const {
        const int count = int(k1 - k0), width = round_up(count, WIDTH), padded = round_up(dim, WIDTH);
        scratch.fit(width, count, dim, padded);
        float *keys = scratch.keys.data(), *values = scratch.values.data(), *scores = scratch.scores.data();
        float *weights = scratch.weights.data(), *context = scratch.context.data();
        const Type *first_key = k + k0 * k_stride + channel, *first_value = v + k0 * v_stride + channel;
        const bool pairs = in_pairs();
#if defined(__AVX512BF16__)
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
            float sums[ROWS];
            for (int r = 0; r < ROWS; r++) {  // a row too many repeats the last one
                const Type* from = q + (first + (r < rows ? r : rows - 1)) * q_stride + channel;
                queries[r] = pairs || sizeof(Type) == 4 ? (const float*)from : scratch.queries.data() + r * dim;
                if (!pairs && sizeof(Type) == 2) copy_in(scratch.queries.data() + r * dim, from, dim);
                shares[r] = weights + r * width;
            }
#if defined(__AVX512BF16__)
            if (pairs) {
                products<Pair>(queries, keys, width, dim / 2, width, scores, width);
                for (int r = 0; r < ROWS; r++)
                    sums[r] = soften(scores + r * width, count, width, scale, (bf16*)(weights + r * width));
                products<Pair>(shares, values, dim, (count + 1) / 2, dim, context, dim);
            }
#endif
            if (!pairs) {
                products<Single>(queries, keys, width, dim, width, scores, width);
                for (int r = 0; r < ROWS; r++)
                    sums[r] = soften(scores + r * width, count, width, scale, weights + r * width);
                products<Single>(shares, values, padded, count, padded, context, padded);
            }
            for (int r = 0; r < rows; r++) {
                float* row = context + r * padded;
                const float share = 1.0f / sums[r];
                for (int c = 0; c < padded; c++) row[c] *= share;
                const int64_t at = (first + r) * out_stride + channel;
                if (out) copy_out(out + at, row, dim);
                if (bytes) Quantizer{quantizer.factor + channel, quantizer.zero}.write(bytes + at, row, dim);
            }
        }
    }
};

#if defined(__AVX512F__)
// Products of few rows, where what counts is how fast the weights are read: (M, K) x (N, K)' -> (M, N), weights as they
// are in a checkpoint, row by row. Sums run along K, so that no layout is needed for pairs of bf16 or fours of int8.

inline Floats gelu(Floats x) {  // x * Phi(x), with erf to 2e-7 (Abramowitz and Stegun 7.1.26)
    const Floats z = larger(x, -x) * 0.70710678f, t = 1.0f / (1.0f + 0.3275911f * z);
    Floats p = t * 1.061405429f - 1.453152027f;
    p = p * t + 1.421413741f;
    p = p * t - 0.284496736f;
    p = (p * t + 0.254829592f) * t * exponential(-z * z);  // 1 - erf(z)
    return 0.5f * x * (x < 0.0f ? p : 2.0f - p);
}

template <class Type>
struct Dot {};  // a vector of sums, from a vector of each side

template <>
struct Dot<float> {
    typedef float Other;
    static constexpr int STEP = WIDTH;
    static Floats add(Floats sum, const float* a, const float* b) { return sum + load(a) * load(b); }
    static Floats finish(Floats sum) { return sum; }
};

#if defined(__AVX512BF16__)
template <>
struct Dot<bf16> {
    typedef bf16 Other;
    static constexpr int STEP = 2 * WIDTH;
    static Floats add(Floats sum, const bf16* a, const bf16* b) {
        return (Floats)_mm512_dpbf16_ps((__m512)sum, (__m512bh)_mm512_loadu_si512(a), (__m512bh)_mm512_loadu_si512(b));
    }
    static Floats finish(Floats sum) { return sum; }
};
#endif

#if defined(__AVX512VNNI__)
template <>
struct Dot<uint8_t> {
    typedef int8_t Other;
    static constexpr int STEP = 4 * WIDTH;
    static Floats add(Floats sum, const uint8_t* a, const int8_t* b) {
        return (Floats)_mm512_dpbusd_epi32((__m512i)sum, _mm512_loadu_si512(a), _mm512_loadu_si512(b));
    }
    static Floats finish(Floats sum) { return __builtin_convertvector((Ints)sum, Floats); }
};
#endif

// COUNT pairs of vectors -> one vector that holds the sum of each, in their order.
template <bool WHOLE, int COUNT>
inline void sum_up(Floats* parts) {
#pragma GCC unroll 8
    for (int i = 0; i < COUNT; i++) {
        const Floats low = zip_low(parts[i], parts[i + COUNT]), high = zip_high(parts[i], parts[i + COUNT]);
        parts[i] = WHOLE ? (Floats)((Ints)low + (Ints)high) : low + high;
    }
    if constexpr (COUNT > 1) sum_up<WHOLE, COUNT / 2>(parts);
}

struct Finish {
    const float *factor, *shift;  // by output: sum * factor + shift; factor may be null
    int activation;               // 0 none, 1 gelu
    int out_kind;                 // 0 fp32, 1 bf16, 2 uint8 by step and zero
    float inverse_step, zero;
    void* out;

    void write(float* row, int count, int first, int64_t at) const {
        for (int c = 0; c < count; c += WIDTH) {
            const int left = count - c;
            const __mmask16 mask = left >= WIDTH ? 0xffff : (1u << left) - 1;
            Floats y = (Floats)_mm512_maskz_loadu_ps(mask, row + c);
            if (factor) y *= (Floats)_mm512_maskz_loadu_ps(mask, factor + first + c);
            y += (Floats)_mm512_maskz_loadu_ps(mask, shift + first + c);
            _mm512_mask_storeu_ps(row + c, mask, (__m512)(activation ? gelu(y) : y));
        }
        if (out_kind == 0) copy_out((float*)out + at, row, count);
        if (out_kind == 1) copy_out((bf16*)out + at, row, count);
        if (out_kind == 2) to_bytes(row, count, (uint8_t*)out + at, [&](int) { return all(inverse_step); }, zero);
    }
};

template <class Type>
void multiply_few(const Type* x, int rows, int depth, const typename Dot<Type>::Other* weight, int outputs,
                  const Finish& finish, int threads) {
    constexpr bool WHOLE = sizeof(Type) == 1;
    const int share = round_up((outputs + threads - 1) / threads, 4);
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        const int begin = omp_get_thread_num() * share;
        const int end = begin + share < outputs ? begin + share : outputs;
        std::vector<float> sums(begin < end ? int64_t(rows) * share : 0);
        for (int n = begin; n < end; n += 4)
            for (int m = 0; m < rows; m += 4) {  // four by four; what is too many repeats the last one
                const Type* a[4];
                const typename Dot<Type>::Other* b[4];
                for (int i = 0; i < 4; i++) a[i] = x + int64_t(m + i < rows ? m + i : rows - 1) * depth;
                for (int j = 0; j < 4; j++) b[j] = weight + int64_t(n + j < end ? n + j : end - 1) * depth;
                Floats parts[16] = {};
                for (int k = 0; k < depth; k += Dot<Type>::STEP) {
                    if (m == 0)  // the weights of the next four outputs are on their way while these compute
                        for (int j = 0; j < 4; j++) _mm_prefetch((const char*)(b[j] + 4 * depth + k), _MM_HINT_T0);
                    for (int i = 0; i < 4; i++)
                        for (int j = 0; j < 4; j++)
                            parts[4 * i + j] = Dot<Type>::add(parts[4 * i + j], a[i] + k, b[j] + k);
                }
                sum_up<WHOLE, 8>(parts);
                float found[16];
                store(found, Dot<Type>::finish(parts[0]));
                for (int i = 0; i < 4 && m + i < rows; i++)  // share is a multiple of four, so that all four have a place
                    std::memcpy(sums.data() + int64_t(m + i) * share + n - begin, found + 4 * i, 16);
            }
        if (begin < end)
            for (int m = 0; m < rows; m++)
                finish.write(sums.data() + int64_t(m) * share, end - begin, begin, int64_t(m) * outputs + begin);
    }
}
#endif

}  // namespace

#define EXPORT extern "C" __attribute__((visibility("default")))

// Counted up with every change of what follows; operations.py names the one that it calls.
EXPORT int version() { return 2; }

// x + y, then LayerNorm, of rows of dim; bytes may be null.
EXPORT void add_norm(int is_bf16, const void* x, const void* y, int64_t rows, int dim, const float* gain,
                     const float* shift, float epsilon, void* out, const float* factor, float zero, uint8_t* bytes,
                     int threads) {
    const auto run = [&](auto* x, auto* y, auto* out) {
        add_norm_of([=](int64_t t) { return x + t * dim; }, [=](int64_t t) { return y + t * dim; }, rows, dim, gain,
                    shift, epsilon, out, Quantizer{factor, zero}, bytes, threads);
    };
    if (is_bf16)
        run((const bf16*)x, (const bf16*)y, (bf16*)out);
    else
        run((const float*)x, (const float*)y, (float*)out);
}

// words[ids] + positions[places], then LayerNorm.
EXPORT void embed_norm(int is_bf16, const int64_t* ids, const int64_t* places, int64_t rows, int dim, const void* words,
                       const void* positions, const float* gain, const float* shift, float epsilon, void* out,
                       const float* factor, float zero, uint8_t* bytes, int threads) {
    const auto run = [&](auto* words, auto* positions, auto* out) {
        add_norm_of([=](int64_t t) { return words + ids[t] * dim; },
                    [=](int64_t t) { return positions + places[t] * dim; }, rows, dim, gain, shift, epsilon, out,
                    Quantizer{factor, zero}, bytes, threads);
    };
    if (is_bf16)
        run((const bf16*)words, (const bf16*)positions, (bf16*)out);
    else
        run((const float*)words, (const float*)positions, (float*)out);
}

// Attention of queries [q_offsets[b], q_offsets[b + 1]) over keys [k_offsets[b], k_offsets[b + 1]) for each sequence b.
// Strides are in elements, from one row to the next; heads lie side by side in a row.
EXPORT void attend(int is_bf16, const void* q, int64_t q_stride, const void* k, int64_t k_stride, const void* v,
                   int64_t v_stride, const int64_t* q_offsets, const int64_t* k_offsets, int sequences, int heads,
                   int dim, float scale, void* out, int64_t out_stride, const float* factor, float zero,
                   uint8_t* bytes, int threads) {
    Quantizer quantizer{factor, zero};
    Attention<bf16> half{(const bf16*)q, (const bf16*)k, (const bf16*)v, q_stride, k_stride, v_stride, out_stride,
                         dim, scale, (bf16*)out, quantizer, bytes};
    Attention<float> full{(const float*)q, (const float*)k, (const float*)v, q_stride, k_stride, v_stride, out_stride,
                          dim, scale, (float*)out, quantizer, bytes};
    // Heads of a sequence share what is read into a cache, so a thread takes several where there is enough for all.
    const int64_t units = int64_t(sequences) * heads, fair = units / (int64_t(threads) * 8);
    const int chunk = int(fair < 1 ? 1 : fair > heads ? heads : fair);
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        Scratch scratch;
#pragma omp for schedule(dynamic, chunk)
        for (int64_t unit = 0; unit < units; unit++) {
            const int64_t b = unit / heads;  // a sorted batch begins with its longest
            const int channel = int(unit % heads) * dim;
            if (q_offsets[b] == q_offsets[b + 1]) continue;
            if (is_bf16)
                half.head(q_offsets[b], q_offsets[b + 1], k_offsets[b], k_offsets[b + 1], channel, scratch);
            else
                full.head(q_offsets[b], q_offsets[b + 1], k_offsets[b], k_offsets[b + 1], channel, scratch);
        }
    }
}

// Says for which inputs multiply() is there: 0 fp32, 1 bf16, 2 uint8. The depth must be a multiple of what is returned.
EXPORT int multiplies([[maybe_unused]] int kind) {
#if defined(__AVX512F__)
    if (kind == 0) return Dot<float>::STEP;
#endif
#if defined(__AVX512BF16__)
    if (kind == 1) return Dot<bf16>::STEP;
#endif
#if defined(__AVX512VNNI__)
    if (kind == 2) return Dot<uint8_t>::STEP;
#endif
    return 0;
}

// activation(x @ weight' * factor + shift) of few rows; see Finish.
EXPORT void multiply([[maybe_unused]] int kind, [[maybe_unused]] const void* x, [[maybe_unused]] int rows,
                     [[maybe_unused]] int depth, [[maybe_unused]] const void* weight, [[maybe_unused]] int outputs,
                     [[maybe_unused]] const float* factor, [[maybe_unused]] const float* shift,
                     [[maybe_unused]] int activation, [[maybe_unused]] int out_kind, [[maybe_unused]] float inverse_step,
                     [[maybe_unused]] float zero, [[maybe_unused]] void* out, [[maybe_unused]] int threads) {
#if defined(__AVX512F__)
    const Finish finish{factor, shift, activation, out_kind, inverse_step, zero, out};
    if (kind == 0) multiply_few((const float*)x, rows, depth, (const float*)weight, outputs, finish, threads);
#endif
#if defined(__AVX512BF16__)
    if (kind == 1) multiply_few((const bf16*)x, rows, depth, (const bf16*)weight, outputs, finish, threads);
#endif
#if defined(__AVX512VNNI__)
    if (kind == 2) multiply_few((const uint8_t*)x, rows, depth, (const int8_t*)weight, outputs, finish, threads);
#endif
}
