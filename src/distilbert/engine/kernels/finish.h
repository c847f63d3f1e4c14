// The end of a product: a factor and a shift for each output, the activation, and the type of the result.

#pragma once

#include "vectors.h"

namespace {

// A tile of rows and a panel of vectors of outputs: their sums fill the registers.
#if defined(__AVX512F__)
constexpr int TILE = 8, PANEL = 3;
#elif defined(__aarch64__)
constexpr int TILE = 6, PANEL = 4;
#else
constexpr int TILE = 6, PANEL = 2;
#endif

enum Activation { NONE, GELU, GELU_TANH, RELU, SILU, TANH };

inline Floats gelu(Floats x) {  // x * Phi(x), with an error of erf of 2e-7 (Abramowitz and Stegun 7.1.26)
    const Floats z = larger(x, -x) * 0.70710678f, t = 1.0f / (1.0f + 0.3275911f * z);
    Floats p = t * 1.061405429f - 1.453152027f;
    p = p * t + 1.421413741f;
    p = p * t - 0.284496736f;
    p = (p * t + 0.254829592f) * t * power_of_two<false>(z * z * -1.44269504f);  // 1 - erf(z)
    return 0.5f * x * (x < 0.0f ? p : 2.0f - p);
}

inline Floats rough_gelu(Floats x) {  // error 2e-4: a polynomial for Phi, fitted so that it is 0 at -4 and 1 at 4
    x = larger(all(-4.0f), x);  // in this order a NaN stays one
    const Floats z = smaller(all(4.0f), x), u = z * z;
    Floats p = u * 2.2587637640e-8f - 1.5887952928e-6f;
    p = p * u + 4.7763192569e-5f;
    p = p * u - 8.1218003511e-4f;
    p = p * u + 8.7636506942e-3f;
    p = p * u - 6.4554311673e-2f;
    p = p * u + 3.9787018204e-1f;
    return x * (p * z + 0.5f);
}

template <bool ROUGH>
inline Floats sigmoid(Floats x) {
    const Floats small = power_of_two<ROUGH>(larger(x, -x) * -1.44269504f);  // of the side where it cannot overflow
    return (x < 0.0f ? small : all(1.0f)) / (1.0f + small);
}

// Applies an activation to so many vectors. ROUGH is for results that are rounded to less than fp32.
template <bool ROUGH>
inline void activate(int activation, Floats* vectors, int count) {
    const auto each = [&](auto function) {
        for (int i = 0; i < count; i++) vectors[i] = function(vectors[i]);
    };
    switch (activation) {
        case GELU: return each([](Floats x) { return ROUGH ? rough_gelu(x) : gelu(x); });
        case GELU_TANH:
            return each([](Floats x) { return x * sigmoid<ROUGH>(x * (x * x * 0.0713548163f + 1.59576912f)); });
        case RELU: return each([](Floats x) { return x < 0.0f ? Floats{} : x; });
        case SILU: return each([](Floats x) { return x * sigmoid<ROUGH>(x); });
        case TANH: return each([](Floats x) { return 2.0f * sigmoid<ROUGH>(2.0f * x) - 1.0f; });
    }
}

#if defined(__AVX512F__)
// GELU of a result in uint8, with an error of 1e-3: max(x, 0) - |x| * Phi(-|x|). The second term is a line on each of 32
// pieces of |x| from 0 to 4. Numbers are fixed-point, 16 bits wide, in steps of the result. They have as many bits behind
// the point as leave room for 255 steps and for x = 4.
class ByteGelu {
    static constexpr int PIECES = 32;
    static constexpr float END = 4, PIECE = END / PIECES;
    int bits;
    int16_t to_piece, zero, slope[PIECES], start[PIECES];

    static float taken(int halves) {  // the second term, at the end of so many half pieces
        static const std::vector<float> values = [] {
            std::vector<float> values;
            for (int i = 0; i <= 2 * PIECES; i++) {
                const float x = i * PIECE / 2;
                values.push_back(x * 0.5f * std::erfc(x * 0.70710678f));
            }
            return values;
        }();
        return values[halves];
    }

    __m512i round(__m512i x) const {
        const __m512i size = _mm512_abs_epi16(x);
        const __m512i piece = _mm512_min_epu16(_mm512_mulhi_epu16(size, _mm512_set1_epi16(to_piece)),
                                               _mm512_set1_epi16(PIECES - 1));
        const __m512i rise = _mm512_mulhrs_epi16(size, _mm512_permutexvar_epi16(piece, _mm512_loadu_si512(slope)));
        const __m512i line = _mm512_add_epi16(rise, _mm512_permutexvar_epi16(piece, _mm512_loadu_si512(start)));
        const __m512i y = _mm512_sub_epi16(_mm512_max_epi16(x, _mm512_setzero_si512()), line);
        return _mm512_srai_epi16(_mm512_adds_epi16(y, _mm512_set1_epi16(zero)), bits);
    }

public:
    float scale;  // of the fixed-point numbers: 1.0 is so many

    ByteGelu() = default;

    // Says whether 16 bits are enough: at least 3 bits must be left behind the point, and no number may overflow.
    static bool fits(float inverse_step, float zero_point) {
        return inverse_step > 0 && END * inverse_step * 8 <= INT16_MAX && zero_point >= 0 && zero_point <= 255;
    }

    ByteGelu(float inverse_step, float zero_point) : bits(7) {
        while (END * inverse_step * (1 << bits) > INT16_MAX) bits--;
        scale = inverse_step * (1 << bits);
        to_piece = int16_t(uint16_t(std::fmin(65536 / PIECE / scale, 65535.0f)));
        zero = int16_t((zero_point + 0.5f) * (1 << bits));  // plus a half, to round when bits are cut off
        for (int i = 0; i < PIECES - 1; i++) {
            const float first = taken(2 * i), middle = taken(2 * i + 1), last = taken(2 * i + 2);
            const float rise = (last - first) / PIECE, bow = middle - (first + last) / 2;
            slope[i] = int16_t(std::lrint(rise * 32768));
            start[i] = int16_t(std::lrint((first + bow / 2 - i * PIECE * rise) * scale));
        }
        slope[PIECES - 1] = start[PIECES - 1] = 0;  // from 4 on
    }

    // Four vectors of integers -> four times 16 bytes. Numbers beyond 32 bits, 65,000 times the range of the result, count
    // as the lowest integer.
    __m512i operator()(const __m512i (&x)[4]) const {
        const __m512i first = round(_mm512_packs_epi32(x[0], x[1])), last = round(_mm512_packs_epi32(x[2], x[3]));
        const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
        return _mm512_permutexvar_epi32(order, _mm512_packus_epi16(first, last));
    }
};

#endif

enum Type { FP32, BF16, UINT8 };

// Turns the sums of a tile into results.
template <class Word>
struct Finish {
    typedef typename Word::Sum Sum;
    const float *factor, *shift;  // by output; factor may be null
    int activation;
    int type;
    float inverse_step, zero;  // of a result in uint8
    void* out;
    int64_t stride;  // elements from one row of out to the next
#if defined(__AVX512F__)
    bool in_bytes;  // whether to use byte_gelu
    ByteGelu byte_gelu;
#endif

    void prepare() {
#if defined(__AVX512F__)
        in_bytes = activation == GELU && type == UINT8 && factor && ByteGelu::fits(inverse_step, zero);
        if (in_bytes) byte_gelu = ByteGelu(inverse_step, zero);
#endif
    }

    template <class Type>
    void write(const Floats* results, int rows, int64_t row, int column, int left) const {
        Type* to = (Type*)out + row * stride + column;
        for (int r = 0; r < rows; r++, to += stride) store(to, results[r], left);
    }

#if defined(__AVX512F__)
    void write_byte_gelu(const Sum* sums, int rows, int64_t row, int column, int left) const {
        const __mmask16 mask = left < WIDTH ? (1u << left) - 1 : 0xffff;
        const ByteGelu round = byte_gelu;
        const Floats times = (Floats)_mm512_maskz_loadu_ps(mask, factor + column) * round.scale;
        const Floats plus = (Floats)_mm512_maskz_loadu_ps(mask, shift + column) * round.scale;
        const int64_t pitch = stride;
        uint8_t* to = (uint8_t*)out + row * pitch + column;
        for (int r = 0; r < rows; r += 4, to += 4 * pitch) {
            __m512i y[4];
            for (int i = 0; i < 4; i++) {
                const Sum sum = sums[(r + i < rows ? r + i : r) * PANEL];
                y[i] = _mm512_cvtps_epi32((__m512)(Word::numbers(sum) * times + plus));
            }
            const __m512i rounded = round(y);
            _mm_mask_storeu_epi8(to, mask, _mm512_castsi512_si128(rounded));
            if (r + 1 < rows) _mm_mask_storeu_epi8(to + pitch, mask, _mm512_extracti32x4_epi32(rounded, 1));
            if (r + 2 < rows) _mm_mask_storeu_epi8(to + 2 * pitch, mask, _mm512_extracti32x4_epi32(rounded, 2));
            if (r + 3 < rows) _mm_mask_storeu_epi8(to + 3 * pitch, mask, _mm512_extracti32x4_epi32(rounded, 3));
        }
    }

#endif

    // Writes a vector of outputs of so many rows, of which so many outputs are left. sums is that of the first row; those
    // of the next rows follow PANEL vectors apart. The members are copied to locals first: a store might change members,
    // as far as the compiler knows, but not registers.
    void operator()(const Sum* sums, int rows, int64_t row, int column, int left) const {
#if defined(__AVX512F__)
        if (in_bytes) return write_byte_gelu(sums, rows, row, column, left);
#endif
        const Floats times = factor ? load(factor + column, left) : all(1.0f), plus = load(shift + column, left);
        Floats results[TILE];
        for (int r = 0; r < rows; r++) results[r] = Word::numbers(sums[r * PANEL]) * times + plus;
        if (type == FP32) {
            activate<false>(activation, results, rows);
            return write<float>(results, rows, row, column, left);
        }
        activate<true>(activation, results, rows);
        if (type == BF16) return write<bf16>(results, rows, row, column, left);
        const Floats steps = all(inverse_step), start = all(zero);
        for (int r = 0; r < rows; r++) results[r] = results[r] * steps + start;
        write<uint8_t>(results, rows, row, column, left);
    }
};

}  // namespace
