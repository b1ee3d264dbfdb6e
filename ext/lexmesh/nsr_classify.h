/* Sixty-four bytes to bit masks, one implementation for each instruction set.
 *
 * The classes come from two table lookups by nibble, as does the search for trigrams (after Teddy, in Hyperscan):
 * a byte's low and high nibble each name the buckets whose trigram may have it at that place. Bytes above 0x7F
 * classify as nothing; the caller looks at `high`. All of them read 66 bytes. */
#ifndef LEXMESH_NSR_CLASSIFY_H
#define LEXMESH_NSR_CLASSIFY_H

#include <stdint.h>
#include <string.h>

#include "text.h"

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#include <immintrin.h>
#define LM_X86_DISPATCH 1
#endif

/* Buckets of trigrams by place and nibble. */
typedef struct {
    uint8_t low[3][16], high[3][16];
} lm_trigrams;

typedef struct {
    uint64_t alnum, digit, bit5; /* bit5: of the byte itself; set in lower case and in digits */
    uint64_t symbolic;           /* punctuation that can pass for a letter; only if `kinds` has LM_SYMBOLIC */
    uint8_t kinds;               /* classes seen, or'ed */
    uint8_t high, trigram;       /* not zero if a byte was above 0x7F, if a trigram was found */
} lm_block;

enum {
    LM_LETTER_AO = 0x80, LM_LETTER_PZ = 0x40, LM_DIGIT = 0x20, LM_ALNUM = 0xE0,
    LM_PERCENT_AND = 0x10, LM_BACKSLASH = 0x08, LM_ESCAPES = 0x18, LM_SYMBOLIC = 0x07
};

/* A class bit is the product of a set of low and a set of high nibbles. */
#define LM_CLASS_LOW                                                                                                    \
    0x60 | 0x04, 0xE0 | 0x02, 0xE0, 0xE0, 0xE0 | 0x02, 0xE0 | 0x10, 0xE0 | 0x10, 0xE0, 0xE0, 0xE0, 0xC0, 0x80 | 0x02,    \
        0x80 | 0x08 | 0x01, 0x80, 0x80, 0x80
#define LM_CLASS_HIGH 0, 0, 0x10 | 0x02, 0x20, 0x80 | 0x04, 0x40 | 0x08, 0x80, 0x40 | 0x01, 0, 0, 0, 0, 0, 0, 0, 0

static const uint8_t lm_class_low[16] = {LM_CLASS_LOW};
static const uint8_t lm_class_high[16] = {LM_CLASS_HIGH};

static inline uint8_t lm_class_of(uint8_t c) { return lm_class_low[c & 15] & lm_class_high[c >> 4]; }

static inline void lm_classify_scalar(const lm_trigrams *t, const uint8_t *ptr, lm_block *out) {
    memset(out, 0, sizeof *out);
    for (int i = 0; i < 64; i++) {
        uint8_t c = ptr[i], kind = lm_class_of(c), second = ptr[i + 1], third = ptr[i + 2];
        out->alnum |= (uint64_t)((kind & LM_ALNUM) != 0) << i;
        out->digit |= (uint64_t)((kind & LM_DIGIT) != 0) << i;
        out->symbolic |= (uint64_t)((kind & LM_SYMBOLIC) != 0) << i;
        out->bit5 |= (uint64_t)(c >> 5 & 1) << i;
        out->kinds |= kind;
        out->high |= c & 0x80;
        out->trigram |= t->low[0][c & 15] & t->high[0][c >> 4] & t->low[1][second & 15] & t->high[1][second >> 4] &
                        t->low[2][third & 15] & t->high[2][third >> 4];
    }
}

#if defined(LM_X86_DISPATCH)

/* Address sanitizer knows objects, not pages: an instrumented build copies the end of a text instead. */
#if defined(__SANITIZE_ADDRESS__)
#define LM_OVERREAD 0
#else
#define LM_OVERREAD 1
#endif

#define LM_AVX2 __attribute__((target("avx2"), always_inline)) static inline

LM_AVX2 __m256i lm_twice(const uint8_t *table) {
    return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)table));
}

/* A lookup by low nibble needs no mask: the shuffle takes four bits, and zero for bytes above 0x7F. */
LM_AVX2 __m256i lm_both(__m256i low, __m256i high, __m256i bytes) {
    __m256i top = _mm256_and_si256(_mm256_srli_epi16(bytes, 4), _mm256_set1_epi8(15));
    return _mm256_and_si256(_mm256_shuffle_epi8(low, bytes), _mm256_shuffle_epi8(high, top));
}

typedef struct {
    __m256i low[3], high[3], class_low, class_high;
} lm_avx2_tables;

LM_AVX2 void lm_avx2_load(const lm_trigrams *t, lm_avx2_tables *v) {
    for (int i = 0; i < 3; i++) {
        v->low[i] = lm_twice(t->low[i]);
        v->high[i] = lm_twice(t->high[i]);
    }
    v->class_low = lm_twice(lm_class_low);
    v->class_high = lm_twice(lm_class_high);
}

typedef struct {
    __m256i kinds, high, trigram;
} lm_avx2_seen;

LM_AVX2 uint32_t lm_avx2_half(const lm_avx2_tables *v, __m256i first, __m256i second, __m256i third, lm_avx2_seen *seen,
                              uint32_t *digit, uint32_t *bit5, __m256i *kinds) {
    __m256i found = _mm256_and_si256(lm_both(v->low[0], v->high[0], first), lm_both(v->low[1], v->high[1], second));
    found = _mm256_and_si256(found, lm_both(v->low[2], v->high[2], third));
    *kinds = lm_both(v->class_low, v->class_high, first);
    seen->kinds = _mm256_or_si256(seen->kinds, *kinds);
    seen->high = _mm256_or_si256(seen->high, first);
    seen->trigram = _mm256_or_si256(seen->trigram, found);
    *digit = (uint32_t)_mm256_movemask_epi8(_mm256_slli_epi16(*kinds, 2));
    *bit5 = (uint32_t)_mm256_movemask_epi8(_mm256_slli_epi16(first, 2));
    __m256i other = _mm256_cmpeq_epi8(_mm256_and_si256(*kinds, _mm256_set1_epi8((char)LM_ALNUM)), _mm256_setzero_si256());
    return ~(uint32_t)_mm256_movemask_epi8(other);
}

LM_AVX2 uint32_t lm_avx2_symbolic(__m256i kinds) {
    __m256i none = _mm256_cmpeq_epi8(_mm256_and_si256(kinds, _mm256_set1_epi8(LM_SYMBOLIC)), _mm256_setzero_si256());
    return ~(uint32_t)_mm256_movemask_epi8(none);
}

LM_AVX2 __m256i lm_load32(const uint8_t *ptr) { return _mm256_loadu_si256((const __m256i *)ptr); }

/* 32 bytes of which only the first `left` count (it may be negative); the rest read as zero. */
LM_AVX2 __m256i lm_load_part(const uint8_t *ptr, int left) {
    static const int8_t places[32] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15,
                                      16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31};
    __m256i counts = _mm256_cmpgt_epi8(_mm256_set1_epi8((char)left), lm_load32((const uint8_t *)places));
    return _mm256_and_si256(counts, _mm256_loadu_si256((const __m256i *)ptr));
}

typedef struct {
    __m256i first, second, third;
} lm_avx2_bytes;

LM_AVX2 void lm_avx2_masks(const lm_avx2_tables *v, const lm_avx2_bytes bytes[2], lm_avx2_seen *seen, lm_block *out) {
    uint32_t digit[2], bit5[2];
    __m256i kinds[2];
    uint64_t low = lm_avx2_half(v, bytes[0].first, bytes[0].second, bytes[0].third, seen, &digit[0], &bit5[0], &kinds[0]);
    uint64_t high = lm_avx2_half(v, bytes[1].first, bytes[1].second, bytes[1].third, seen, &digit[1], &bit5[1], &kinds[1]);
    out->alnum = low | high << 32;
    out->digit = digit[0] | (uint64_t)digit[1] << 32;
    out->bit5 = bit5[0] | (uint64_t)bit5[1] << 32;
    out->symbolic = 0;
    if (!_mm256_testz_si256(_mm256_or_si256(kinds[0], kinds[1]), _mm256_set1_epi8(LM_SYMBOLIC)))
        out->symbolic = lm_avx2_symbolic(kinds[0]) | (uint64_t)lm_avx2_symbolic(kinds[1]) << 32;
}

LM_AVX2 void lm_avx2_block(const lm_avx2_tables *v, const uint8_t *ptr, lm_avx2_seen *seen, lm_block *out) {
    lm_avx2_bytes bytes[2];
    for (int i = 0; i < 2; i++) {
        bytes[i].first = lm_load32(ptr + 32 * i);
        bytes[i].second = lm_load32(ptr + 32 * i + 1);
        bytes[i].third = lm_load32(ptr + 32 * i + 2);
    }
    lm_avx2_masks(v, bytes, seen, out);
}

/* The last bytes of a text, fewer than 64: what lies behind them in the same page is read but not looked at. */
LM_AVX2 void lm_avx2_last(const lm_avx2_tables *v, const uint8_t *ptr, size_t left, lm_avx2_seen *seen, lm_block *out) {
    lm_avx2_bytes bytes[2];
    for (int i = 0; i < 2; i++) {
        bytes[i].first = lm_load_part(ptr + 32 * i, (int)left - 32 * i);
        bytes[i].second = lm_load_part(ptr + 32 * i + 1, (int)left - 32 * i - 1);
        bytes[i].third = lm_load_part(ptr + 32 * i + 2, (int)left - 32 * i - 2);
    }
    lm_avx2_masks(v, bytes, seen, out);
}

static inline int lm_within_page(const uint8_t *ptr) { return LM_OVERREAD && ((uintptr_t)ptr & 4095) <= 4096 - 66; }

#define LM_SSSE3 __attribute__((target("ssse3"), always_inline)) static inline

LM_SSSE3 __m128i lm_both128(const uint8_t *low, const uint8_t *high, __m128i bytes) {
    __m128i top = _mm_and_si128(_mm_srli_epi16(bytes, 4), _mm_set1_epi8(15));
    return _mm_and_si128(_mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)low), bytes),
                         _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)high), top));
}

LM_SSSE3 uint32_t lm_nonzero128(__m128i bytes, int bits) {
    __m128i none = _mm_cmpeq_epi8(_mm_and_si128(bytes, _mm_set1_epi8((char)bits)), _mm_setzero_si128());
    return ~(uint32_t)_mm_movemask_epi8(none) & 0xFFFF;
}

LM_SSSE3 void lm_classify_ssse3(const lm_trigrams *t, const uint8_t *ptr, lm_block *out) {
    __m128i all = _mm_setzero_si128(), high = all, trigram = all;
    out->alnum = out->digit = out->bit5 = out->symbolic = 0;
    for (int at = 0; at < 64; at += 16) {
        __m128i first = _mm_loadu_si128((const __m128i *)(ptr + at));
        __m128i second = _mm_loadu_si128((const __m128i *)(ptr + at + 1));
        __m128i third = _mm_loadu_si128((const __m128i *)(ptr + at + 2));
        __m128i found = _mm_and_si128(lm_both128(t->low[0], t->high[0], first), lm_both128(t->low[1], t->high[1], second));
        __m128i kinds = lm_both128(lm_class_low, lm_class_high, first);
        trigram = _mm_or_si128(trigram, _mm_and_si128(found, lm_both128(t->low[2], t->high[2], third)));
        high = _mm_or_si128(high, first);
        all = _mm_or_si128(all, kinds);
        out->alnum |= (uint64_t)lm_nonzero128(kinds, LM_ALNUM) << at;
        out->symbolic |= (uint64_t)lm_nonzero128(kinds, LM_SYMBOLIC) << at;
        out->digit |= (uint64_t)(uint32_t)_mm_movemask_epi8(_mm_slli_epi16(kinds, 2)) << at;
        out->bit5 |= (uint64_t)(uint32_t)_mm_movemask_epi8(_mm_slli_epi16(first, 2)) << at;
    }
    out->high = _mm_movemask_epi8(high) != 0;
    out->trigram = lm_nonzero128(trigram, 0xFF) != 0;
    out->kinds = lm_nonzero128(all, LM_ESCAPES) ? LM_ESCAPES : 0;
}

#elif defined(LM_NEON)

static inline uint8x16_t lm_neon_both(const uint8_t *low, const uint8_t *high, uint8x16_t bytes) {
    return vandq_u8(vqtbl1q_u8(vld1q_u8(low), vandq_u8(bytes, vdupq_n_u8(15))), vqtbl1q_u8(vld1q_u8(high), vshrq_n_u8(bytes, 4)));
}

static inline uint64_t lm_neon_mask(uint8x16_t set) {
    static const uint8_t weights[16] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    uint8x16_t bits = vandq_u8(set, vld1q_u8(weights));
    return vaddv_u8(vget_low_u8(bits)) | (uint64_t)vaddv_u8(vget_high_u8(bits)) << 8;
}

static inline void lm_classify_neon(const lm_trigrams *t, const uint8_t *ptr, lm_block *out) {
    uint8x16_t all = vdupq_n_u8(0), high = all, trigram = all;
    out->alnum = out->digit = out->bit5 = out->symbolic = 0;
    for (int at = 0; at < 64; at += 16) {
        uint8x16_t first = vld1q_u8(ptr + at);
        uint8x16_t found = vandq_u8(lm_neon_both(t->low[0], t->high[0], first),
                                    lm_neon_both(t->low[1], t->high[1], vld1q_u8(ptr + at + 1)));
        uint8x16_t kinds = lm_neon_both(lm_class_low, lm_class_high, first);
        trigram = vorrq_u8(trigram, vandq_u8(found, lm_neon_both(t->low[2], t->high[2], vld1q_u8(ptr + at + 2))));
        high = vorrq_u8(high, first);
        all = vorrq_u8(all, kinds);
        out->alnum |= lm_neon_mask(vtstq_u8(kinds, vdupq_n_u8(LM_ALNUM))) << at;
        out->symbolic |= lm_neon_mask(vtstq_u8(kinds, vdupq_n_u8(LM_SYMBOLIC))) << at;
        out->digit |= lm_neon_mask(vtstq_u8(kinds, vdupq_n_u8(LM_DIGIT))) << at;
        out->bit5 |= lm_neon_mask(vtstq_u8(first, vdupq_n_u8(0x20))) << at;
    }
    out->high = vmaxvq_u8(high) & 0x80;
    out->trigram = vmaxvq_u8(trigram);
    out->kinds = vmaxvq_u8(vandq_u8(all, vdupq_n_u8(LM_ESCAPES)));
}

#endif
#endif
