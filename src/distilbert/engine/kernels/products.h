// Matrix products x @ weight', followed by a factor and a shift for each output, the activation, and rounding to the next
// type. fp32, bf16 and int8 share one algorithm: rows are read as words of four bytes, which hold one, two or four
// numbers. Only the instruction that multiplies two words differs.
//
// A CPU without an instruction for bytes multiplies them in fp32, which was measured to be faster than widening them to 16
// bits on an AMD EPYC with AVX2. Sums of EXACT products are whole numbers below 2^24 and so exact; those of longer rows are
// added up as integers.
//
// Legend: T rows, G groups, K words of a group in a row, M outputs of a group.

#pragma once

#include "finish.h"
#include "pool.h"

namespace {

constexpr int OUTPUTS = PANEL * WIDTH;
constexpr int DEPTH = 768;            // words that are multiplied at a time, so that a panel stays in the L2 cache
constexpr int AHEAD = 3072;           // weights are prefetched so many words before they are used
constexpr int64_t BLOCK = 96 * 1024;  // words of input rows that a thread keeps in the L2 cache as well
constexpr int STEP = 8;               // words in an unrolled step, so that the CPU predicts the end of a tile
constexpr int64_t SMALL = 1 << 20;    // fewer multiplications than this are faster on one thread

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
                __builtin_prefetch(panel + k * OUTPUTS + n * WIDTH + AHEAD);
            for (int r = 0; r < ROWS; r++) {
                const float word = x[r * stride + k];
                for (int n = 0; n < PANEL; n++) s[r][n] = Word::add(s[r][n], word, columns[n]);
            }
        }
    for (int r = 0; r < ROWS; r++)
        for (int n = 0; n < PANEL; n++) sums[r][n] = s[r][n];
}

#if defined(__aarch64__)
// The same with an instruction that multiplies squares: two rows by two outputs, two words of each.
template <class Word, int ROWS>
inline void multiply_tile_in_squares(const float* x, int64_t stride, const float* panel, int depth, const float* begun,
                                     typename Word::Sum (&sums)[TILE][PANEL]) {
    typedef typename Word::Sum Sum;
    constexpr int PAIRS = (ROWS + 1) / 2;  // of rows; the last one may hold a row twice
    Sum s[PAIRS][PANEL][2] = {};
    const auto two_words = [](const float* words, bool alone) {
        return alone ? float32x2_t{*words, 0.0f} : vld1_f32(words);
    };
    for (int k = 0; k < depth; k += 2) {
        const bool alone = k + 1 == depth;
        Floats rows[PAIRS];
        for (int p = 0; p < PAIRS; p++) {
            const float *even = x + 2 * p * stride + k, *odd = 2 * p + 1 < ROWS ? even + stride : even;
            rows[p] = (Floats)vcombine_f32(two_words(even, alone), two_words(odd, alone));
        }
        for (int n = 0; n < PANEL; n++) {
            const float* words = panel + k * OUTPUTS + n * WIDTH;
            __builtin_prefetch(words + AHEAD);
            const Floats first = load(words), second = alone ? Floats{} : load(words + OUTPUTS);
            const Floats low = zip<0>(first, second), high = zip<WIDTH / 2>(first, second);
            for (int p = 0; p < PAIRS; p++) {
                s[p][n][0] = Word::add_square(s[p][n][0], rows[p], low);
                s[p][n][1] = Word::add_square(s[p][n][1], rows[p], high);
            }
        }
    }
    for (int r = 0; r < ROWS; r++)
        for (int n = 0; n < PANEL; n++) {
            const Sum *low = &s[r / 2][n][0], *high = &s[r / 2][n][1];
            const int i = r % 2 * 2;
            sums[r][n] = Sum{(*low)[i], (*low)[i + 1], (*high)[i], (*high)[i + 1]};
            if (begun) sums[r][n] += (Sum)load(begun + (r * PANEL + n) * WIDTH);
        }
}
#endif

template <class Word, int WORDS, int ROWS>
void multiply_rows(const float* x, int64_t stride, const float* panel, int depth, const float* begun, int rows,
                   typename Word::Sum (&sums)[TILE][PANEL]) {
    if constexpr (ROWS > 1)
        if (rows < ROWS) return multiply_rows<Word, WORDS, ROWS - 1>(x, stride, panel, depth, begun, rows, sums);
#if defined(__aarch64__)
    if constexpr (Word::IN_SQUARES) return multiply_tile_in_squares<Word, ROWS>(x, stride, panel, depth, begun, sums);
    else
#endif
    multiply_tile<Word, WORDS, ROWS>(x, stride, panel, depth, begun, sums);
}

// One group of a product: its part of the first row of x, its panels and its first output.
struct Group {
    const float *x, *packed;
    int first_output;
};

// Rows [r0, r1) times panels [p0, p1) of a group. A row of x begins stride words after the one before; the panels are
// (panels, words, OUTPUTS). begun is a buffer for unfinished sums.
template <class Word, int WORDS>
void multiply_part(const Group& group, int64_t stride, int64_t r0, int64_t r1, int words, int p0, int p1, int outputs,
                   const Finish<Word>& finish, std::vector<float>& begun) {
    if (words > DEPTH) begun.resize((r1 - r0 + TILE) * OUTPUTS * (p1 - p0));
    for (int k = 0; k < words; k += DEPTH) {
        const int depth = words - k < DEPTH ? words - k : DEPTH;
        const bool last = k + depth == words;
        float* kept = begun.data();
        for (int p = p0; p < p1; p++) {
            const float* panel = group.packed + (int64_t(p) * words + k) * OUTPUTS;
            alignas(64) typename Word::Sum lost[PANEL] = {};
            if constexpr (Word::SIGNED)
                for (int word = 0; word < depth; word++)
                    for (int n = 0; n < PANEL; n++)
                        lost[n] = Word::lost(lost[n], load(panel + word * OUTPUTS + n * WIDTH));
            for (int64_t row = r0; row < r1; row += TILE, kept += TILE * OUTPUTS) {
                const int rows = int(r1 - row < TILE ? r1 - row : TILE);
                // Clang forgets in templates that a Sum need not be aligned.
                alignas(64) typename Word::Sum sums[TILE][PANEL];
                multiply_rows<Word, WORDS, TILE>(group.x + row * stride + k, stride, panel, depth, k ? kept : nullptr,
                                                 rows, sums);
                if constexpr (Word::SIGNED)
                    for (int r = 0; r < rows; r++)
                        for (int n = 0; n < PANEL; n++) sums[r][n] += lost[n] << 7;
                for (int n = 0; n < PANEL; n++) {
                    const int column = p * OUTPUTS + n * WIDTH, left = outputs - column;
                    if (left <= 0) break;
                    if (last)
                        finish(&sums[0][n], rows, row, group.first_output + column, left);
                    else
                        for (int r = 0; r < rows; r++) store(kept + (r * PANEL + n) * WIDTH, (Floats)sums[r][n]);
                }
            }
        }
    }
}

#if !defined(MULTIPLIES_BYTES)
constexpr int EXACT = 512;  // * 255 * 127 < 2^24

// Writes depth features of a panel of int8, from feature k on, as floats (depth, OUTPUTS).
inline void spread(const float* panel, int k, int depth, float* to) {
    for (const float* word = panel + k / 4 * OUTPUTS; word < panel + (k + depth) / 4 * OUTPUTS; word += OUTPUTS)
        for (int byte = 0; byte < 4; byte++, to += OUTPUTS)
            for (int n = 0; n < OUTPUTS; n += WIDTH) {
                const Ints numbers = (Ints)load(word + n) << (24 - 8 * byte) >> 24;
                store(to + n, __builtin_convertvector(numbers, Floats));
            }
}

// As multiply_part(), of panels in int8; the rows of x are in fp32 already.
template <int WORDS>
void multiply_bytes(const Group& group, int64_t stride, int64_t r0, int64_t r1, int words, int p0, int p1, int outputs,
                    const Finish<Single>& finish, std::vector<float>& begun) {
    const int features = words * 4;
    alignas(64) float panel[EXACT * OUTPUTS];
    if (features > EXACT) begun.resize((r1 - r0 + TILE) * OUTPUTS);
    for (int p = p0; p < p1; p++)
        for (int k = 0; k < features; k += EXACT) {
            const int depth = features - k < EXACT ? features - k : EXACT;
            spread(group.packed + int64_t(p) * words * OUTPUTS, k, depth, panel);
            int32_t* total = (int32_t*)begun.data();
            for (int64_t row = r0; row < r1; row += TILE, total += TILE * OUTPUTS) {
                const int rows = int(r1 - row < TILE ? r1 - row : TILE);
                alignas(64) Floats sums[TILE][PANEL];
                multiply_rows<Single, WORDS, TILE>(group.x + row * stride + k, stride, panel, depth, nullptr, rows,
                                                   sums);
                if (features > EXACT)
                    for (int r = 0; r < rows; r++)
                        for (int n = 0; n < PANEL; n++) {
                            float* place = (float*)total + (r * PANEL + n) * WIDTH;
                            Ints sum = __builtin_convertvector(sums[r][n], Ints);
                            if (k) sum += (Ints)load(place);
                            store(place, (Floats)sum);
                            sums[r][n] = __builtin_convertvector(sum, Floats);
                        }
                if (k + depth < features) continue;
                for (int n = 0; n < PANEL; n++) {
                    const int column = p * OUTPUTS + n * WIDTH, left = outputs - column;
                    if (left > 0) finish(&sums[0][n], rows, row, group.first_output + column, left);
                }
            }
        }
}
#endif

// part multiplies a block of rows with some panels, as multiply_part() does, best in multiples of so many rows; width is
// the number of fp32 or packed words of a group in a row of x.
template <class Word, class Part>
void multiply_all(const float* x, int64_t rows, int groups, int width, int words, const float* packed, int outputs,
                  const Finish<Word>& finish, int threads, int multiple, const Part& part) {
    const int panels = (outputs + OUTPUTS - 1) / OUTPUTS;
    if (rows * width * outputs * groups < SMALL) threads = 1;
    int64_t block = BLOCK / (width < DEPTH ? width : DEPTH);
    if (block > 256) block = 256;
    int64_t blocks = (rows + block - 1) / block;
    if (blocks) block = round_up(int((rows + blocks - 1) / blocks), multiple);  // about equal
    blocks = (rows + block - 1) / block;
    int at_once = int(groups * blocks * panels / (threads * 16));  // panels that a thread takes
    at_once = at_once < 1 ? 1 : at_once > panels ? panels : at_once;
    const int shares = (panels + at_once - 1) / at_once;
    share(groups * blocks * shares, 1, threads, [&](Units& units) {
        std::vector<float> begun;
        for (int64_t unit; units.take(unit);) {
            const int g = int(unit / (blocks * shares));
            const int64_t first = unit / shares % blocks * block, end = first + block < rows ? first + block : rows;
            const int p0 = int(unit % shares) * at_once, p1 = p0 + at_once < panels ? p0 + at_once : panels;
            const Group group{x + int64_t(g) * width, packed + int64_t(g) * panels * words * OUTPUTS, g * outputs};
            part(group, int64_t(groups) * width, first, end, words, p0, p1, outputs, finish, begun);
        }
    });
}

}  // namespace
