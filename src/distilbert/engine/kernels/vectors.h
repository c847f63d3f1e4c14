// Vectors as wide as the instruction set allows, and the operations on them that all kernels share.

#pragma once

#include <cfloat>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace {

#if defined(__AVX512F__)
constexpr int WIDTH = 16;
#elif defined(__AVX__)
constexpr int WIDTH = 8;
#else
constexpr int WIDTH = 4;
#endif

typedef float Floats __attribute__((vector_size(WIDTH * 4), aligned(4)));
typedef int32_t Ints __attribute__((vector_size(WIDTH * 4), aligned(4)));
typedef uint16_t Halves __attribute__((vector_size(WIDTH * 2), aligned(2)));
typedef uint8_t Bytes __attribute__((vector_size(WIDTH), aligned(1)));
typedef uint16_t bf16;

inline int round_up(int n, int step) { return (n + step - 1) / step * step; }

inline Floats all(float x) { return Floats{} + x; }

inline Floats load(const float* p) { return *reinterpret_cast<const Floats*>(p); }

inline Ints widen(const uint16_t* p) {
#if defined(__AVX512F__)
    return (Ints)_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i*)p));  // GCC 12 makes two of the line below
#endif
    return __builtin_convertvector(*reinterpret_cast<const Halves*>(p), Ints);
}

inline Floats load(const bf16* p) { return (Floats)(widen(p) << 16); }  // bf16 is the upper half of the bits of fp32

inline void store(float* p, Floats x) { *reinterpret_cast<Floats*>(p) = x; }

inline Halves halves(Floats x) {  // rounds to the nearest bf16, ties to even
#if defined(__AVX512BF16__)
    return (Halves)_mm512_cvtneps_pbh((__m512)x);
#elif defined(__ARM_FEATURE_BF16_VECTOR_ARITHMETIC)
    return (Halves)vreinterpret_u16_bf16(vcvt_bf16_f32((float32x4_t)x));
#endif
    Ints bits = (Ints)x;
    bits += 0x7fff + ((bits >> 16) & 1);
    return __builtin_convertvector(bits >> 16, Halves);
}

inline void store(bf16* p, Floats x) { *reinterpret_cast<Halves*>(p) = halves(x); }

inline float one(const float* p) { return *p; }

inline float one(const bf16* p) {
    uint32_t bits = uint32_t(*p) << 16;
    float x;
    std::memcpy(&x, &bits, 4);
    return x;
}

#if defined(__AVX512F__)  // GCC 12 makes two instructions of the lines below
inline Floats smaller(Floats a, Floats b) { return (Floats)_mm512_min_ps((__m512)a, (__m512)b); }
inline Floats larger(Floats a, Floats b) { return (Floats)_mm512_max_ps((__m512)a, (__m512)b); }
#else
inline Floats smaller(Floats a, Floats b) { return a < b ? a : b; }
inline Floats larger(Floats a, Floats b) { return a > b ? a : b; }
#endif

inline float sum(Floats x) {
#if defined(__AVX512F__)
    return _mm512_reduce_add_ps((__m512)x);
#else
    float total = 0;
    for (int i = 0; i < WIDTH; i++) total += x[i];
    return total;
#endif
}

inline float maximum(Floats x) {
#if defined(__AVX512F__)
    return _mm512_reduce_max_ps((__m512)x);
#else
    float best = x[0];
    for (int i = 1; i < WIDTH; i++) best = best < x[i] ? x[i] : best;
    return best;
#endif
}

// 2^x for x <= 0: the integer part goes into the exponent, the rest through a polynomial. The relative error is 1e-7, and
// 1e-4 if ROUGH.
template <bool ROUGH>
inline Floats power_of_two(Floats x) {
#if defined(__AVX512F__)
    const Floats whole = (Floats)_mm512_roundscale_ps((__m512)x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
#else
    x = larger(all(-126.0f), x);  // in this order a NaN stays one
    const Floats whole = x + 12582912.0f - 12582912.0f;
#endif
    const Floats r = x - whole;
    Floats p;
    if (ROUGH) {
        p = r * 5.5171652604e-2f + 2.4261112093e-1f;
        p = (p * r + 6.9326098850e-1f) * r + 9.9992807369e-1f;
    } else {
        p = r * 1.5345810311e-4f + 1.3399931206e-3f;
        p = p * r + 9.6184889634e-3f;
        p = p * r + 5.5503287770e-2f;
        p = p * r + 2.4022646891e-1f;
        p = (p * r + 6.9314720574e-1f) * r + 1.0f;
    }
#if defined(__AVX512F__)
    return (Floats)_mm512_scalef_ps((__m512)p, (__m512)whole);
#else
    return p * (Floats)((__builtin_convertvector(whole, Ints) + 127) << 23);
#endif
}

inline Bytes bytes(Floats x) {  // rounds to the nearest integer from 0 to 255
    x = larger(x, all(0.0f));
#if defined(__AVX512F__)
    return (Bytes)_mm512_cvtusepi32_epi8(_mm512_cvtps_epu32((__m512)x));
#endif
    x = smaller(x, all(255.0f)) + 8388608.0f;  // the low bits are the integer
    return __builtin_convertvector((Ints)x & 255, Bytes);
}

inline void store(uint8_t* p, Floats x) { *reinterpret_cast<Bytes*>(p) = bytes(x); }

// Loads and stores for the end of a row, where fewer numbers are left than a vector has; a load fills up with zeros.
template <class Type>
inline Floats load(const Type* p, int left) {
    if (left >= WIDTH) return load(p);
    Floats x{};
    for (int i = 0; i < left; i++) x[i] = one(p + i);
    return x;
}

template <class Type>
inline void store(Type* p, Floats x, int left) {
    if (left >= WIDTH) return store(p, x);
    Type row[WIDTH];
    store(row, x);
    std::memcpy(p, row, left * sizeof(Type));
}

// Turns a row into uint8 for an int8 product, with a factor for each channel.
struct Quantizer {
    const float* factor;
    float zero;
    // Writes a vector of the row from column c on, of which so many columns are left.
    void write(uint8_t* row, Floats x, int c, int left) const {
        store(row + c, x * load(factor + c, left) + zero, left);
    }
};

template <class To, class From>
void copy(To* to, const From* from, int count) {
    for (int c = 0; c < count; c += WIDTH) store(to + c, load(from + c, count - c), count - c);
}

// The step of a transposition of WIDTH rows: each round zips the upper half of the rows with the lower one.
#if defined(__clang__) || __GNUC__ >= 12
#define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#endif
template <int FIRST>  // 0 for the lower halves of both, WIDTH / 2 for the upper ones
inline Floats zip(Floats a, Floats b) {
#if !defined(SHUFFLE)
    Floats z;
    for (int i = 0; i < WIDTH; i++) z[i] = i % 2 ? b[FIRST + i / 2] : a[FIRST + i / 2];
    return z;
#elif defined(__AVX512F__)
    return SHUFFLE(a, b, FIRST, FIRST + 16, FIRST + 1, FIRST + 17, FIRST + 2, FIRST + 18, FIRST + 3, FIRST + 19,
                   FIRST + 4, FIRST + 20, FIRST + 5, FIRST + 21, FIRST + 6, FIRST + 22, FIRST + 7, FIRST + 23);
#elif defined(__AVX__)
    return SHUFFLE(a, b, FIRST, FIRST + 8, FIRST + 1, FIRST + 9, FIRST + 2, FIRST + 10, FIRST + 3, FIRST + 11);
#else
    return SHUFFLE(a, b, FIRST, FIRST + 4, FIRST + 1, FIRST + 5);
#endif
}

// What a word of four bytes holds, and how one instruction multiplies two of them: a number; a pair of bf16 whose two
// products are added; or four bytes.
struct AnyWord {
    // Whether add_square() multiplies two words of two rows with two words of two outputs: its sums are (2, 2).
    static constexpr bool IN_SQUARES = false;
    // Whether add() takes the bytes of a row as signed: 128 less. lost() sums the weights that are missing 128 times.
    static constexpr bool SIGNED = false;
};

struct Single : AnyWord {
    typedef Floats Sum;
    static Floats add(Floats sum, float a, Floats b) { return sum + a * b; }
    static Floats numbers(Floats sum) { return sum; }
};

#if defined(__AVX512BF16__)
#define MULTIPLIES_PAIRS
struct Pair : AnyWord {
    typedef __m512 Sum;
    static Sum add(Sum sum, float a, Floats b) {
        return _mm512_dpbf16_ps(sum, (__m512bh)_mm512_set1_ps(a), (__m512bh)b);
    }
    static Floats numbers(Sum sum) { return (Floats)sum; }
};
#elif defined(__ARM_FEATURE_BF16_VECTOR_ARITHMETIC)
#define MULTIPLIES_PAIRS
struct Pair : AnyWord {
    static constexpr bool IN_SQUARES = true;
    typedef Floats Sum;
    static bfloat16x8_t pairs(Floats words) { return vreinterpretq_bf16_f32((float32x4_t)words); }
    static Sum add(Sum sum, float a, Floats b) { return (Sum)vbfdotq_f32((float32x4_t)sum, pairs((Floats)vdupq_n_f32(a)), pairs(b)); }
    static Sum add_square(Sum sum, Floats rows, Floats outputs) {
        return (Sum)vbfmmlaq_f32((float32x4_t)sum, pairs(rows), pairs(outputs));
    }
    static Floats numbers(Sum sum) { return sum; }
};
#endif

#if defined(__AVX512VNNI__) || defined(__AVXVNNI__) || defined(__ARM_FEATURE_DOTPROD)
#define MULTIPLIES_BYTES
#endif

#if defined(__AVX512VNNI__)
struct Four : AnyWord {  // uint8 times int8, summed as integers
    typedef __m512i Sum;
    static Sum add(Sum sum, float a, Floats b) {
        // For the intrinsic, GCC 12 moves every sum to another register and back.
        asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(_mm512_set1_ps(a)), "v"(b));
        return sum;
    }
    static Floats numbers(Sum sum) { return (Floats)_mm512_cvtepi32_ps(sum); }
};
#elif defined(__AVXVNNI__)
struct Four : AnyWord {
    typedef __m256i Sum;
    static Sum add(Sum sum, float a, Floats b) {
        return _mm256_dpbusd_avx_epi32(sum, (__m256i)_mm256_set1_ps(a), (__m256i)b);
    }
    static Floats numbers(Sum sum) { return __builtin_convertvector((Ints)sum, Floats); }
};
#elif defined(__ARM_FEATURE_MATMUL_INT8)
struct Four : AnyWord {
    static constexpr bool IN_SQUARES = true;
    typedef Ints Sum;
    static Sum add_square(Sum sum, Floats rows, Floats outputs) {
        return (Sum)vusmmlaq_s32((int32x4_t)sum, (uint8x16_t)rows, (int8x16_t)outputs);
    }
    static Floats numbers(Sum sum) { return __builtin_convertvector(sum, Floats); }
};
#elif defined(__ARM_FEATURE_DOTPROD)
struct Four : AnyWord {
    static constexpr bool SIGNED = true;
    typedef Ints Sum;
    static Sum add(Sum sum, float a, Floats b) {
        const int8x16_t row = veorq_s8((int8x16_t)vdupq_n_f32(a), vdupq_n_s8(-128));
        return (Sum)vdotq_s32((int32x4_t)sum, row, (int8x16_t)b);
    }
    static Sum lost(Sum sum, Floats outputs) {
        return (Sum)vdotq_s32((int32x4_t)sum, vdupq_n_s8(1), (int8x16_t)outputs);
    }
    static Floats numbers(Sum sum) { return __builtin_convertvector(sum, Floats); }
};
#endif

}  // namespace
