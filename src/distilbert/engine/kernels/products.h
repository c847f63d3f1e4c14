// Matrix products x @ weight' with what follows them: factors and shifts by output, GELU, rounding to the next type.
// One algorithm for fp32, bf16 and int8: rows are read as words of four bytes, which hold one, two or four numbers, and
// only the instruction that multiplies two words differs.
//
// Legend: T rows, K words of a row, M outputs.

#pragma once

#include "vectors.h"

#if defined(__AVX512F__)
namespace {

constexpr int TILE = 8;               // rows and
constexpr int PANEL = 3;              // vectors of outputs whose sums fill the registers
constexpr int OUTPUTS = PANEL * WIDTH;
constexpr int DEPTH = 768;            // words that are multiplied in one go, so that a panel stays in the second cache
constexpr int AHEAD = 3072;           // words that the weights are fetched before they are used
constexpr int64_t BLOCK = 96 * 1024;  // words of the rows that a thread holds there as well
constexpr int64_t SMALL = 1 << 20;    // multiplications below which waking other threads takes longer than they save

#if defined(__AVX512VNNI__)
struct Four {  // uint8 times int8, summed as whole numbers
    typedef __m512i Sum;
    static Sum add(Sum sum, float a, Floats b) {
        // Not by its intrinsic, for which GCC 12 moves every sum to another register and back.
        asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(_mm512_set1_ps(a)), "v"(b));
        return sum;
    }
    static Floats finish(Sum sum) { return (Floats)_mm512_cvtepi32_ps(sum); }
};
#endif

inline Floats gelu(Floats x) {  // x * Phi(x), with erf to 2e-7 (Abramowitz and Stegun 7.1.26)
    const Floats z = larger(x, -x) * 0.70710678f, t = 1.0f / (1.0f + 0.3275911f * z);
    Floats p = t * 1.061405429f - 1.453152027f;
    p = p * t + 1.421413741f;
    p = p * t - 0.284496736f;
    p = (p * t + 0.254829592f) * t * power_of_two<false>(z * z * -1.44269504f);  // 1 - erf(z)
    return 0.5f * x * (x < 0.0f ? p : 2.0f - p);
}

inline Floats rough_gelu(Floats x) {  // to 2e-4: a polynomial for Phi, fitted so that it is 0 at -4 and 1 at 4
    x = larger(x, all(-4.0f));
    const Floats z = smaller(x, all(4.0f)), u = z * z;
    Floats p = u * 2.2587637640e-8f - 1.5887952928e-6f;
    p = p * u + 4.7763192569e-5f;
    p = p * u - 8.1218003511e-4f;
    p = p * u + 8.7636506942e-3f;
    p = p * u - 6.4554311673e-2f;
    p = p * u + 3.9787018204e-1f;
    return x * (p * z + 0.5f);
}

enum Type { FP32, BF16, UINT8 };

// What becomes of the sums of a row: sum * factor + shift (factor may be null), GELU, and the type of the result.
struct Finish {
    const float *factor, *shift;
    int gelu;
    int type;
    float inverse_step, zero;  // of uint8
    void* out;
    int64_t stride;  // of its rows

    // A vector of outputs of so many rows; what is told apart at compile time is not asked for each of them.
    template <int TYPE, bool GELU>
    void write(const Floats* sums, int rows, int64_t row, int column, __mmask16 mask) const {
        const Floats times = factor ? (Floats)_mm512_maskz_loadu_ps(mask, factor + column) : all(1.0f);
        const Floats plus = (Floats)_mm512_maskz_loadu_ps(mask, shift + column);
        for (int r = 0; r < rows; r++) {
            Floats y = sums[r] * times + plus;
            if (GELU) y = TYPE == FP32 ? ::gelu(y) : rough_gelu(y);
            const int64_t at = (row + r) * stride + column;
            if (TYPE == FP32) _mm512_mask_storeu_ps((float*)out + at, mask, (__m512)y);
            if (TYPE == BF16) _mm256_mask_storeu_epi16((bf16*)out + at, mask, (__m256i)halves(y));
            if (TYPE == UINT8) _mm_mask_storeu_epi8((uint8_t*)out + at, mask, (__m128i)bytes(y * inverse_step + zero));
        }
    }

    void write(const Floats* sums, int rows, int64_t row, int column, __mmask16 mask) const {
        if (gelu) {
            if (type == FP32) return write<FP32, true>(sums, rows, row, column, mask);
            if (type == BF16) return write<BF16, true>(sums, rows, row, column, mask);
            return write<UINT8, true>(sums, rows, row, column, mask);
        }
        if (type == FP32) return write<FP32, false>(sums, rows, row, column, mask);
        if (type == BF16) return write<BF16, false>(sums, rows, row, column, mask);
        return write<UINT8, false>(sums, rows, row, column, mask);
    }
};

// The sums of ROWS rows and a panel of outputs over some depth; begun holds what was summed before, or is null.
template <class Word, int ROWS>
inline void multiply_tile(const float* x, int64_t stride, const float* panel, int depth, const float* begun,
                          typename Word::Sum (&sums)[TILE][PANEL]) {
    typedef typename Word::Sum Sum;
    Sum s[ROWS][PANEL];
    for (int r = 0; r < ROWS; r++)
        for (int n = 0; n < PANEL; n++) s[r][n] = begun ? (Sum)load(begun + (r * PANEL + n) * WIDTH) : Sum{};
    for (int k = 0; k < depth; k++) {
        Floats columns[PANEL];
        for (int n = 0; n < PANEL; n++) columns[n] = load(panel + k * OUTPUTS + n * WIDTH);
        for (int n = 0; n < PANEL; n++)  // the weights are on their way while these are multiplied
            _mm_prefetch((const char*)(panel + k * OUTPUTS + n * WIDTH + AHEAD), _MM_HINT_T0);
        for (int r = 0; r < ROWS; r++) {
            const float word = x[r * stride + k];
            for (int n = 0; n < PANEL; n++) s[r][n] = Word::add(s[r][n], word, columns[n]);
        }
    }
    for (int r = 0; r < ROWS; r++)
        for (int n = 0; n < PANEL; n++) sums[r][n] = s[r][n];
}

template <class Word>
void multiply_rows(const float* x, int64_t stride, const float* panel, int depth, const float* begun, int rows,
                   typename Word::Sum (&sums)[TILE][PANEL]) {
    switch (rows) {
        case 1: return multiply_tile<Word, 1>(x, stride, panel, depth, begun, sums);
        case 2: return multiply_tile<Word, 2>(x, stride, panel, depth, begun, sums);
        case 3: return multiply_tile<Word, 3>(x, stride, panel, depth, begun, sums);
        case 4: return multiply_tile<Word, 4>(x, stride, panel, depth, begun, sums);
        case 5: return multiply_tile<Word, 5>(x, stride, panel, depth, begun, sums);
        case 6: return multiply_tile<Word, 6>(x, stride, panel, depth, begun, sums);
        case 7: return multiply_tile<Word, 7>(x, stride, panel, depth, begun, sums);
        default: return multiply_tile<Word, TILE>(x, stride, panel, depth, begun, sums);
    }
}

// Rows [r0, r1) of x times panels [p0, p1). packed is (panels, K, OUTPUTS); begun is room for what is not finished.
template <class Word>
void multiply_part(const float* x, int64_t r0, int64_t r1, int words, const float* packed, int p0, int p1, int outputs,
                   const Finish& finish, std::vector<float>& begun) {
    if (words > DEPTH) begun.resize((r1 - r0 + TILE) * OUTPUTS * (p1 - p0));
    for (int k = 0; k < words; k += DEPTH) {
        const int depth = words - k < DEPTH ? words - k : DEPTH;
        const bool last = k + depth == words;
        float* kept = begun.data();
        for (int p = p0; p < p1; p++) {
            const float* panel = packed + (int64_t(p) * words + k) * OUTPUTS;
            for (int64_t row = r0; row < r1; row += TILE, kept += TILE * OUTPUTS) {
                const int rows = int(r1 - row < TILE ? r1 - row : TILE);
                typename Word::Sum sums[TILE][PANEL];
                multiply_rows<Word>(x + row * words + k, words, panel, depth, k ? kept : nullptr, rows, sums);
                for (int n = 0; n < PANEL; n++) {
                    const int column = p * OUTPUTS + n * WIDTH, left = outputs - column;
                    if (left <= 0) break;
                    Floats finished[TILE];
                    for (int r = 0; r < rows; r++) {
                        finished[r] = Word::finish(sums[r][n]);
                        if (!last) store(kept + (r * PANEL + n) * WIDTH, (Floats)sums[r][n]);
                    }
                    if (last) finish.write(finished, rows, row, column, left < WIDTH ? (1u << left) - 1 : 0xffff);
                }
            }
        }
    }
}

template <class Word>
void multiply_all(const float* x, int64_t rows, int words, const float* packed, int outputs, const Finish& finish,
                  int threads) {
    const int panels = (outputs + OUTPUTS - 1) / OUTPUTS;
    if (rows * words * outputs < SMALL) threads = 1;
    int64_t block = BLOCK / (words < DEPTH ? words : DEPTH);
    if (block > 256) block = 256;
    int64_t blocks = (rows + block - 1) / block;
    if (blocks) block = ((rows + blocks - 1) / blocks + TILE - 1) / TILE * TILE;  // about equal ones, of whole tiles
    blocks = (rows + block - 1) / block;
    int group = int(blocks * panels / (threads * 16));
    group = group < 1 ? 1 : group > panels ? panels : group;
    const int groups = (panels + group - 1) / group;
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        std::vector<float> begun;
#pragma omp for schedule(dynamic, 1)
        for (int64_t unit = 0; unit < blocks * groups; unit++) {
            const int64_t first = unit / groups * block, end = first + block < rows ? first + block : rows;
            const int p0 = int(unit % groups) * group, p1 = p0 + group < panels ? p0 + group : panels;
            multiply_part<Word>(x, first, end, words, packed, p0, p1, outputs, finish, begun);
        }
    }
}

}  // namespace
#endif
