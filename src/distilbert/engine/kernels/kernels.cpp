// The engine's kernels for packed tokens: embeddings and residual sums with LayerNorm, attention within each sequence, and
// matrix products. They read and write fp32 or bf16 and sum in fp32. Where the next product is in int8, they write uint8
// as well, or instead. One source serves every instruction set; little but the width of a vector differs.
// kernel_library.py calls these functions, and operations.py holds their plain twins.

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(__linux__)
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include <memory>

#include "attention.h"
#include "products.h"
#include "rows.h"
#include "tiles.h"

#define EXPORT extern "C" __attribute__((visibility("default")))

// Increase with every change of these functions, together with VERSION in kernel_library.py.
EXPORT int version() { return 8; }

// Asks the system for the registers of AMX, which no program has by itself, and says whether it granted them.
inline bool may_use_tiles() {
#if defined(__x86_64__) && defined(__linux__)
    constexpr long PERMIT = 0x1023, TILE_DATA = 18;  // ARCH_REQ_XCOMP_PERM
    return syscall(SYS_arch_prctl, PERMIT, TILE_DATA) == 0;
#else
    return false;
#endif
}

// Returns which libraries this CPU can run, a bit for each name in kernel_library.py's order. The library that is compiled
// for every CPU is asked.
EXPORT int runnable() {
    int bits = 0;
#if defined(__aarch64__) && defined(__linux__)
    const unsigned long first = getauxval(AT_HWCAP), second = getauxval(AT_HWCAP2);
    const bool dotprod = first >> 20 & 1, squares = second >> 13 & 1 && second >> 14 & 1;  // I8MM and BF16
    bits = dotprod | (dotprod && squares) << 1;
#elif defined(__x86_64__)
    // Not __builtin_cpu_supports(), which always says no in a library that zig links.
    unsigned a, b, c, d, low, high;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c >> 27 & 1)) return 0;  // the system saves no wide registers
    const bool fma = c >> 12 & 1;
    asm("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return 0;
    const bool avx2 = (low & 0x6) == 0x6 && fma && b >> 3 & 1 && b >> 5 & 1 && b >> 8 & 1;  // with BMI1 and BMI2
    const unsigned parts = 1u << 16 | 1u << 17 | 1u << 28 | 1u << 30 | 1u << 31;            // F, DQ, CD, BW and VL
    const bool avx512 = avx2 && (low & 0xe6) == 0xe6 && (b & parts) == parts;
    const bool vnni = avx512 && c >> 11 & 1;
    const bool tiles = (low & 0x60000) == 0x60000 && d >> 22 & 1 && d >> 24 & 1 && d >> 25 & 1;  // of bf16 and int8
    if (!__get_cpuid_count(7, 1, &a, &b, &c, &d)) a = 0;
    const bool pairs = vnni && a >> 5 & 1;
    bits = avx2 | (avx2 && a >> 4 & 1) << 1 | avx512 << 2 | vnni << 3 | pairs << 4;
    if (pairs && tiles && may_use_tiles()) bits |= 1 << 5;
#endif
    return bits;
}

// LayerNorm(x + y) of rows of dim. The result in uint8 goes to bytes, unless that is null.
EXPORT void add_norm(int is_bf16, const void* x, const void* y, int64_t rows, int dim, const float* gain,
                     const float* shift, float epsilon, void* out, const float* factor, float zero, uint8_t* bytes,
                     int threads) {
    const auto run = [&](auto* x, auto* y, auto* out) {
        add_norm_of([=](int64_t t) { return x + t * dim; }, [=](int64_t t) { return y + t * dim; }, rows, dim, gain,
                    shift, epsilon, out, {{factor, zero}, bytes}, threads, [](int64_t, float) {});
    };
    if (is_bf16)
        run((const bf16*)x, (const bf16*)y, (bf16*)out);
    else
        run((const float*)x, (const float*)y, (float*)out);
}

// LayerNorm(words[ids] + positions[places]).
EXPORT void embed_norm(int is_bf16, const int64_t* ids, const int64_t* places, int64_t rows, int dim, const void* words,
                       const void* positions, const float* gain, const float* shift, float epsilon, void* out,
                       const float* factor, float zero, uint8_t* bytes, int threads) {
    const auto run = [&](auto* words, auto* positions, auto* out) {
        add_norm_of([=](int64_t t) { return words + ids[t] * dim; },
                    [=](int64_t t) { return positions + places[t] * dim; }, rows, dim, gain, shift, epsilon,
                    out, {{factor, zero}, bytes}, threads, [](int64_t, float) {});
    };
    if (is_bf16)
        run((const bf16*)words, (const bf16*)positions, (bf16*)out);
    else
        run((const float*)words, (const float*)positions, (float*)out);
}

// The same, and the projections of the first block: (word_parts[slots] + position_parts[places]) * scale + width_shift,
// where scale is one over LayerNorm's deviation of the row.
EXPORT void embed_project(int is_bf16, const int64_t* ids, const int64_t* slots, const int64_t* places, int64_t rows,
                          int dim, int width, const void* words, const void* positions, const void* word_parts,
                          const void* position_parts, const float* gain, const float* shift, float epsilon,
                          const float* width_shift, void* out, void* projected, int threads) {
    const auto run = [&](auto* words, auto* positions, auto* word_parts, auto* position_parts, auto* out,
                         auto* projected) {
        add_norm_of([=](int64_t t) { return words + ids[t] * dim; },
                    [=](int64_t t) { return positions + places[t] * dim; }, rows, dim, gain, shift, epsilon,
                    out, {}, threads, [=](int64_t t, float scale) {
                        scaled_sum(word_parts + slots[t] * width, position_parts + places[t] * width, scale,
                                   width_shift, width, projected + t * width,
                                   word_parts + slots[t + 1 < rows ? t + 1 : t] * width);
                    });
    };
    if (is_bf16)
        run((const bf16*)words, (const bf16*)positions, (const bf16*)word_parts, (const bf16*)position_parts,
            (bf16*)out, (bf16*)projected);
    else
        run((const float*)words, (const float*)positions, (const float*)word_parts, (const float*)position_parts,
            (float*)out, (float*)projected);
}

// Attention of queries [q_offsets[b], q_offsets[b + 1]) to keys [k_offsets[b], k_offsets[b + 1]) for each sequence b.
// Strides are elements from one row to the next. The heads lie side by side in a row.
EXPORT void attend(int is_bf16, const void* q, int64_t q_stride, const void* k, int64_t k_stride, const void* v,
                   int64_t v_stride, const int64_t* q_offsets, const int64_t* k_offsets, int sequences, int heads,
                   int dim, float scale, void* out, int64_t out_stride, const float* factor, float zero,
                   uint8_t* bytes, int threads) {
    Quantizer quantizer{factor, zero};
    Attention<bf16> half{(const bf16*)q, (const bf16*)k, (const bf16*)v, q_stride, k_stride, v_stride, out_stride,
                         dim, scale, (bf16*)out, quantizer, bytes};
    Attention<float> full{(const float*)q, (const float*)k, (const float*)v, q_stride, k_stride, v_stride, out_stride,
                          dim, scale, (float*)out, quantizer, bytes};
    // Heads of a sequence share cache lines, so a thread takes several heads if there is enough work for all threads.
    const int64_t units = int64_t(sequences) * heads, fair = units / (int64_t(threads) * 8);
    const int chunk = int(fair < 1 ? 1 : fair > heads ? heads : fair);
    share(units, chunk, threads, [&](Units& taken) {
        Scratch scratch;
        for (int64_t unit; taken.take(unit);) {
            const int64_t b = unit / heads;  // batches are sorted, the longest sequence first
            const int channel = int(unit % heads) * dim;
            if (q_offsets[b] == q_offsets[b + 1]) continue;
            if (is_bf16)
                half.head(q_offsets[b], q_offsets[b + 1], k_offsets[b], k_offsets[b + 1], channel, scratch);
            else
                full.head(q_offsets[b], q_offsets[b + 1], k_offsets[b], k_offsets[b + 1], channel, scratch);
        }
    });
}

// Returns the number of outputs in a panel of packed weights.
EXPORT int panel_outputs() { return OUTPUTS; }

// Returns how many numbers of a type (see Type) a word of multiply() holds, or 0 if multiply() does not take the type.
// A row must be a whole number of words.
EXPORT int multiplies(int type) {
#if defined(MULTIPLIES_PAIRS) || defined(MULTIPLIES_TILES)
    if (type == BF16) return 2;
#endif
    return type == FP32 ? 1 : type == UINT8 ? 4 : 0;
}

// activation(x @ weight' * factor + shift). A row has so many groups of depth numbers, each with a weight of its own;
// packed is (groups, panels, words, OUTPUTS), see products.h.
EXPORT void multiply(int type, const void* x, int64_t rows, int groups, int depth, const float* packed, int outputs,
                     const float* factor, const float* shift, int activation, int out_type, float inverse_step,
                     float zero, void* out, int threads) {
    const auto prepare = [&](auto& finish) {
        finish.factor = factor;
        finish.shift = shift;
        finish.activation = activation;
        finish.type = out_type;
        finish.inverse_step = inverse_step;
        finish.zero = zero;
        finish.out = out;
        finish.stride = int64_t(groups) * outputs;
        finish.prepare();
    };
    const auto run = [&](auto word, int multiple, auto part) {
        Finish<decltype(word)> finish{};
        prepare(finish);
        const int words = depth / multiplies(type);
        multiply_all((const float*)x, rows, groups, words, words, packed, outputs, finish, threads, multiple, part);
    };
    const auto run_words = [&](auto word) {
        typedef decltype(word) Word;
        run(word, TILE, depth / multiplies(type) % STEP ? multiply_part<Word, 1> : multiply_part<Word, STEP>);
    };
    if (type == FP32) return run_words(Single());
#if defined(MULTIPLIES_TILES)
    if (type == BF16) return run(Single(), 2 * SIDE, multiply_tiles<Single>);
    run(Whole(), 2 * SIDE, multiply_tiles<Whole>);
#else
#if defined(MULTIPLIES_PAIRS)
    if (type == BF16) return run_words(Pair());
#endif
#if defined(MULTIPLIES_BYTES)
    run_words(Four());
#else
    const int64_t width = int64_t(groups) * depth;
    const std::unique_ptr<float[]> wide(new float[rows * width]);
    share(rows, rows / (threads * 4), rows * width < (1 << 16) ? 1 : threads, [&](Units& units) {
        for (int64_t t; units.take(t);) {
            const uint8_t* from = (const uint8_t*)x + t * width;
            float* to = wide.get() + t * width;
            for (int64_t k = 0; k < width; k++) to[k] = from[k];
        }
    });
    Finish<Single> finish{};
    prepare(finish);
    multiply_all(wide.get(), rows, groups, depth, depth / 4, packed, outputs, finish, threads, TILE,
                 depth % STEP ? multiply_bytes<1> : multiply_bytes<STEP>);
#endif
#endif
}
