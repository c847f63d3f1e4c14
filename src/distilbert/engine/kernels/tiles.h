// Matrix products on AMX, which multiplies whole tiles: 16 rows of 16 words by 16 words of 16 outputs. Two tiles of rows
// meet two tiles of outputs, so that each tile that is loaded is used twice. The weights are laid out as for all other
// kernels.
//
// With EMULATED_TILES, plain C++ stands for the instructions, so that everything around them is tested on any CPU.

#pragma once

#include <type_traits>

#include "products.h"

#if defined(EMULATED_TILES) || (defined(__AMX_INT8__) && defined(__AMX_BF16__))
#define MULTIPLIES_TILES

namespace {

constexpr int SIDE = 16;                  // of a tile: rows, words in a row, outputs
constexpr int STRIPS = OUTPUTS / SIDE;    // of a panel
static_assert(OUTPUTS % SIDE == 0);

#if defined(EMULATED_TILES)
typedef float Emulated[SIDE][SIDE];

inline Emulated& emulated(int tile) {
    static thread_local Emulated tiles[8];
    return tiles[tile];
}

inline void emulated_load(int tile, const void* from, int64_t stride) {
    for (int r = 0; r < SIDE; r++) std::memcpy(emulated(tile)[r], (const char*)from + r * stride, sizeof(float) * SIDE);
}

inline void emulated_store(int tile, void* to, int64_t stride) {
    for (int r = 0; r < SIDE; r++) std::memcpy((char*)to + r * stride, emulated(tile)[r], sizeof(float) * SIDE);
}

inline int32_t bytes_multiplied(int32_t sum, float a, float b) {
    uint8_t x[4];
    int8_t y[4];
    std::memcpy(x, &a, 4);
    std::memcpy(y, &b, 4);
    for (int i = 0; i < 4; i++) sum += x[i] * y[i];
    return sum;
}

inline float pairs_multiplied(float sum, float a, float b) {
    bf16 x[2], y[2];
    std::memcpy(x, &a, 4);
    std::memcpy(y, &b, 4);
    for (int i = 0; i < 2; i++) sum += one(x + i) * one(y + i);
    return sum;
}

template <class Number, class Multiply>
inline void emulated_product(int sums, int rows, int outputs, const Multiply& multiply) {
    Number total[SIDE][SIDE];
    std::memcpy(total, emulated(sums), sizeof(total));
    for (int r = 0; r < SIDE; r++)
        for (int k = 0; k < SIDE; k++)
            for (int n = 0; n < SIDE; n++)
                total[r][n] = multiply(total[r][n], emulated(rows)[r][k], emulated(outputs)[k][n]);
    std::memcpy(emulated(sums), total, sizeof(total));
}

inline void begin_tiles() {}
inline void end_tiles() {}
#define LOAD_TILE(tile, from, stride) emulated_load(tile, from, stride)
#define STORE_TILE(tile, to, stride) emulated_store(tile, to, stride)
#define CLEAR_TILE(tile) std::memset(emulated(tile), 0, sizeof(Emulated))
#define MULTIPLY_BYTE_TILES(sums, rows, outputs) emulated_product<int32_t>(sums, rows, outputs, bytes_multiplied)
#define MULTIPLY_PAIR_TILES(sums, rows, outputs) emulated_product<float>(sums, rows, outputs, pairs_multiplied)
#else
inline void begin_tiles() {
    alignas(64) const struct {
        uint8_t palette = 1, first_row = 0, reserved[14] = {};
        uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
        uint8_t rows[16] = {SIDE, SIDE, SIDE, SIDE, SIDE, SIDE, SIDE, SIDE};
    } shape;
    _tile_loadconfig(&shape);
}
inline void end_tiles() { _tile_release(); }
// Numbers of tiles are part of the instructions, so these are macros.
#define LOAD_TILE(tile, from, stride) _tile_loadd(tile, from, stride)
#define STORE_TILE(tile, to, stride) _tile_stored(tile, to, stride)
#define CLEAR_TILE(tile) _tile_zero(tile)
#define MULTIPLY_BYTE_TILES(sums, rows, outputs) _tile_dpbusd(sums, rows, outputs)
#define MULTIPLY_PAIR_TILES(sums, rows, outputs) _tile_dpbf16ps(sums, rows, outputs)
#endif

#define MULTIPLY_TILES(sums, rows, outputs) \
    if constexpr (std::is_same_v<Word, Whole>) MULTIPLY_BYTE_TILES(sums, rows, outputs); \
    else MULTIPLY_PAIR_TILES(sums, rows, outputs)

struct Whole {  // sums of products of bytes
    typedef Ints Sum;
    static Floats numbers(Sum sum) { return __builtin_convertvector(sum, Floats); }
};

typedef float Square[SIDE][SIDE];

// Where tiles are read from: words that lie stride words apart.
struct Source {
    const float* from;
    int64_t stride;
};

// Copies so many rows of so many words into a square that is filled up with zeros, and returns it as a source.
inline Source in_square(const Source& source, int rows, int words, Square& square) {
    std::memset(square, 0, sizeof(Square));
    for (int r = 0; r < rows; r++) std::memcpy(square[r], source.from + r * source.stride, sizeof(float) * words);
    return {&square[0][0], SIDE};
}

// The sums of up to two tiles of rows and one or two strips of outputs over all words. Word is Whole for bytes, else
// Single for pairs of bf16.
template <class Word>
inline void multiply_squares(const Source& x, int rows, const Source (&outputs)[2], int strips, int words,
                             Square (&sums)[2][2]) {
    const bool second_rows = rows > SIDE, second_strip = strips > 1;
    CLEAR_TILE(0);
    CLEAR_TILE(1);
    CLEAR_TILE(2);
    CLEAR_TILE(3);
    for (int k = 0; k < words; k += SIDE) {
        const int depth = words - k < SIDE ? words - k : SIDE;
        const int first = rows < SIDE ? rows : SIDE;
        Square copies[4];
        // A tile reads 16 rows of 16 words; where fewer are left, it reads a copy.
        const auto part = [&](const Source& source, int count, int width, Square& copy) {
            return count < SIDE || width < SIDE ? in_square(source, count, width, copy) : source;
        };
        const Source a = part({x.from + k, x.stride}, first, depth, copies[0]);
        const Source b = part({outputs[0].from + k * outputs[0].stride, outputs[0].stride}, depth, SIDE, copies[1]);
        LOAD_TILE(4, a.from, a.stride * 4);
        LOAD_TILE(6, b.from, b.stride * 4);
        MULTIPLY_TILES(0, 4, 6);
        if (second_strip) {
            const Source d = part({outputs[1].from + k * outputs[1].stride, outputs[1].stride}, depth, SIDE, copies[2]);
            LOAD_TILE(7, d.from, d.stride * 4);
            MULTIPLY_TILES(1, 4, 7);
        }
        if (second_rows) {
            const Source c = part({x.from + SIDE * x.stride + k, x.stride}, rows - SIDE, depth, copies[3]);
            LOAD_TILE(5, c.from, c.stride * 4);
            MULTIPLY_TILES(2, 5, 6);
            if (second_strip) {
                MULTIPLY_TILES(3, 5, 7);
            }
        }
    }
    STORE_TILE(0, sums[0][0], SIDE * 4);
    STORE_TILE(1, sums[0][1], SIDE * 4);
    STORE_TILE(2, sums[1][0], SIDE * 4);
    STORE_TILE(3, sums[1][1], SIDE * 4);
}

// Writes the results of a square of sums.
template <class Word>
void finish_square(const Square& sums, int rows, int64_t row, int column, int outputs, int first_output,
                   const Finish<Word>& finish) {
    for (int r = 0; r < rows; r += TILE)
        for (int n = 0; n < SIDE && column + n < outputs; n += WIDTH) {
            const int count = rows - r < TILE ? rows - r : TILE;
            alignas(64) typename Word::Sum part[TILE][PANEL];
            for (int i = 0; i < count; i++) part[i][0] = (typename Word::Sum)load(&sums[r + i][n]);
            finish(&part[0][0], count, row + r, first_output + column + n, outputs - column - n);
        }
}

// As multiply_part().
template <class Word>
void multiply_tiles(const Group& group, int64_t stride, int64_t r0, int64_t r1, int words, int p0, int p1, int outputs,
                    const Finish<Word>& finish, std::vector<float>&) {
    const auto strip_of = [&](int strip) {
        return Source{group.packed + int64_t(strip / STRIPS) * words * OUTPUTS + strip % STRIPS * SIDE, OUTPUTS};
    };
    begin_tiles();
    const int end = p1 * STRIPS * SIDE < outputs ? p1 * STRIPS : (outputs + SIDE - 1) / SIDE;
    for (int strip = p0 * STRIPS; strip < end; strip += 2) {
        const int strips = end - strip < 2 ? 1 : 2;
        const Source sources[2] = {strip_of(strip), strip_of(strip + strips - 1)};
        for (int64_t row = r0; row < r1; row += 2 * SIDE) {
            const int rows = int(r1 - row < 2 * SIDE ? r1 - row : 2 * SIDE);
            alignas(64) Square sums[2][2];
            multiply_squares<Word>({group.x + row * stride, stride}, rows, sources, strips, words, sums);
            for (int half = 0; half * SIDE < rows; half++)
                for (int n = 0; n < strips; n++)
                    finish_square(sums[half][n], rows - half * SIDE < SIDE ? rows - half * SIDE : SIDE,
                                  row + half * SIDE, (strip + n) * SIDE, outputs, group.first_output, finish);
        }
    }
    end_tiles();
}

}  // namespace
#endif
