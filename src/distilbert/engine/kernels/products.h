// Matrix products x @ weight', followed by a factor and a shift for each output, GELU, and rounding to the next type.
// fp32, bf16 and int8 share one algorithm: rows are read as words of four bytes, which hold one, two or four numbers.
// Only the instruction that multiplies two words differs.
//
// Legend: T rows, K words in a row, M outputs.

#pragma once

#include "finish.h"

#if defined(__AVX512F__)
namespace {

constexpr int OUTPUTS = PANEL * WIDTH;
constexpr int DEPTH = 768;            // words that are multiplied at a time, so that a panel stays in the L2 cache
constexpr int AHEAD = 3072;           // weights are prefetched so many words before they are used
constexpr int64_t BLOCK = 96 * 1024;  // words of input rows that a thread keeps in the L2 cache as well
constexpr int STEP = 8;               // words in an unrolled step, so that the CPU predicts the end of a tile
constexpr int64_t SMALL = 1 << 20;    // fewer multiplications than this are faster on one thread

#if defined(__AVX512VNNI__)
struct Four {  // uint8 times int8, summed as integers
    typedef __m512i Sum;
    static Sum add(Sum sum, float a, Floats b) {
        // For the intrinsic, GCC 12 moves every sum to another register and back.
        asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(_mm512_set1_ps(a)), "v"(b));
        return sum;
    }
    static Floats numbers(Sum sum) { return (Floats)_mm512_cvtepi32_ps(sum); }
};
#endif

// The sums of ROWS rows and a panel of outputs over depth words, a multiple of WORDS. begun holds the sums of the words
// before, or is null.
template <class Word, int WORDS, int ROWS>
inline void multiply_tile(const float* x, int64_t stride, const float* panel, int depth, const float* begun,
                          typename Word::Sum (&sums)[TILE][PANEL]) {
    typedef typename Word::Sum Sum;
    Sum s[ROWS][PANEL];
    for (int r = 0; r < ROWS; r++)
        for (int n = 0; n < PANEL; n++) s[r][n] = begun ? (Sum)load(begun + (r * PANEL + n) * WIDTH) : Sum{};
    for (int first = 0; first < depth; first += WORDS)
#pragma GCC unroll 8
        for (int k = first; k < first + WORDS; k++) {
            Floats columns[PANEL];
            for (int n = 0; n < PANEL; n++) columns[n] = load(panel + k * OUTPUTS + n * WIDTH);
            for (int n = 0; n < PANEL; n++)  // fetch the next weights meanwhile
                _mm_prefetch((const char*)(panel + k * OUTPUTS + n * WIDTH + AHEAD), _MM_HINT_T0);
            for (int r = 0; r < ROWS; r++) {
                const float word = x[r * stride + k];
                for (int n = 0; n < PANEL; n++) s[r][n] = Word::add(s[r][n], word, columns[n]);
            }
        }
    for (int r = 0; r < ROWS; r++)
        for (int n = 0; n < PANEL; n++) sums[r][n] = s[r][n];
}

template <class Word, int WORDS>
void multiply_rows(const float* x, int64_t stride, const float* panel, int depth, const float* begun, int rows,
                   typename Word::Sum (&sums)[TILE][PANEL]) {
    switch (rows) {
        case 1: return multiply_tile<Word, WORDS, 1>(x, stride, panel, depth, begun, sums);
        case 2: return multiply_tile<Word, WORDS, 2>(x, stride, panel, depth, begun, sums);
        case 3: return multiply_tile<Word, WORDS, 3>(x, stride, panel, depth, begun, sums);
        case 4: return multiply_tile<Word, WORDS, 4>(x, stride, panel, depth, begun, sums);
        case 5: return multiply_tile<Word, WORDS, 5>(x, stride, panel, depth, begun, sums);
        case 6: return multiply_tile<Word, WORDS, 6>(x, stride, panel, depth, begun, sums);
        case 7: return multiply_tile<Word, WORDS, 7>(x, stride, panel, depth, begun, sums);
        default: return multiply_tile<Word, WORDS, TILE>(x, stride, panel, depth, begun, sums);
    }
}

// Rows [r0, r1) of x times panels [p0, p1). packed is (panels, K, OUTPUTS); begun is a buffer for unfinished sums.
template <class Word, int WORDS>
void multiply_part(const float* x, int64_t r0, int64_t r1, int words, const float* packed, int p0, int p1, int outputs,
                   const Finish<Word>& finish, std::vector<float>& begun) {
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
                multiply_rows<Word, WORDS>(x + row * words + k, words, panel, depth, k ? kept : nullptr, rows, sums);
                for (int n = 0; n < PANEL; n++) {
                    const int column = p * OUTPUTS + n * WIDTH, left = outputs - column;
                    if (left <= 0) break;
                    if (last)
                        finish(&sums[0][n], rows, row, column, left < WIDTH ? (1u << left) - 1 : 0xffff);
                    else
                        for (int r = 0; r < rows; r++) store(kept + (r * PANEL + n) * WIDTH, (Floats)sums[r][n]);
                }
            }
        }
    }
}

template <class Word>
void multiply_all(const float* x, int64_t rows, int words, const float* packed, int outputs,
                  const Finish<Word>& finish, int threads) {
    const int panels = (outputs + OUTPUTS - 1) / OUTPUTS;
    if (rows * words * outputs < SMALL) threads = 1;
    int64_t block = BLOCK / (words < DEPTH ? words : DEPTH);
    if (block > 256) block = 256;
    int64_t blocks = (rows + block - 1) / block;
    if (blocks) block = ((rows + blocks - 1) / blocks + TILE - 1) / TILE * TILE;  // about equal, and of whole tiles
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
            const auto part = words % STEP ? multiply_part<Word, 1> : multiply_part<Word, STEP>;
            part(x, first, end, words, packed, p0, p1, outputs, finish, begun);
        }
    }
}

}  // namespace
#endif
