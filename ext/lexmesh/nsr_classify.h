/* Bytes to classes, sixty-four at a time, one implementation for each instruction set.
 *
 * The classes come from two table lookups by nibble, as does the search for trigrams (after Teddy, in Hyperscan):
 * a byte's low and high nibble each name the buckets whose trigram may have it at that place. What the first two places
 * found is carried to the byte where the trigram would end, over blocks too, so that nothing is read ahead. Bytes
 * above 0x7F classify as nothing; `high` tells of them.
 *
 * Each implementation X has a type lm_X_state and lm_X_begin, lm_X_classify (64 bytes to 64 classes), lm_X_mask (a bit
 * for each class whose `bits` are 0x80 - add at least; its address is aligned to 32) and lm_X_end (what was seen since
 * lm_X_begin or the last lm_X_end). */
#ifndef LEXMESH_NSR_CLASSIFY_H
#define LEXMESH_NSR_CLASSIFY_H

#include <stdint.h>
#include <string.h>

#include "text.h"

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#include <immintrin.h>
#define LM_X86_DISPATCH 1
#endif

/* Buckets of trigrams by place and nibble. Two characters have a bucket each, behind any two of ASCII: so they are found
 * at no cost, but for those behind a byte above 0x7F. */
typedef struct {
    uint8_t low[3][16], high[3][16];
} lm_trigrams;

enum { LM_WORD_BUCKETS = 0x3F, LM_EQUALS_BUCKET = 0x40, LM_QUOTE_BUCKET = 0x80 };

/* A byte's class. The greater bits first, so that a saturating addition tells digits, hex digits, letters and digits
 * and whatever can pass for a letter apart from the rest. */
enum {
    LM_DIGIT = 0x80,
    LM_A_TO_F = 0x40,
    LM_G_TO_O = 0x20,
    LM_P_TO_Z = 0x10,
    LM_CAPITAL_TO_O = 0x08, /* and @ */
    LM_CAPITAL_FROM_P = 0x04,
    LM_SIGN = 0x02,         /* ! $ + % & */
    LM_BAR = 0x01,          /* | and backslash */
    LM_CAPITALS = LM_CAPITAL_TO_O | LM_CAPITAL_FROM_P,
    LM_SIGNS = LM_SIGN | LM_BAR
};

/* What to add to a class so that bit 7 tells. */
enum { LM_IS_DIGIT = 0, LM_IS_HEX = 0x40, LM_IS_ALNUM = 0x70, LM_IS_LETTERLIKE = 0x7F };

/* What was seen in some blocks. */
typedef struct {
    int kinds, high, trigram;
    int equals, quote; /* but for those behind a byte above 0x7F */
    int hex_row; /* four hex digits at an address of the block that is a multiple of four: any eight in a row have them */
} lm_seen;

/* A class bit is the product of a set of low and a set of high nibbles. */
#define LM_CLASS_LOW                                                                                                   \
    0x9C, 0xDE, 0xDC, 0xDC, 0xDE, 0xDE, 0xDE, 0xBC, 0xBC, 0xBC, 0x3C, 0x2A, 0x29, 0x28, 0x28, 0x28
#define LM_CLASS_HIGH 0, 0, 0x02, 0x80, 0x68, 0x15, 0x60, 0x11, 0, 0, 0, 0, 0, 0, 0, 0

static const uint8_t lm_class_low[16] = {LM_CLASS_LOW};
static const uint8_t lm_class_high[16] = {LM_CLASS_HIGH};

/* The bits that any of eight bytes has. */
static inline int lm_all_bits(uint64_t bytes) {
    bytes |= bytes >> 32;
    bytes |= bytes >> 16;
    return (int)((bytes | bytes >> 8) & 0xFF);
}

static inline uint8_t lm_class_of(uint8_t c) { return lm_class_low[c & 15] & lm_class_high[c >> 4]; }

typedef struct {
    const lm_trigrams *tables;
    lm_seen seen;
    uint8_t found;
    uint8_t first, second, first_before; /* buckets at the byte before, and at the one before that */
} lm_scalar_state;

static inline uint8_t lm_bucket(const lm_trigrams *t, int place, uint8_t c) {
    return t->low[place][c & 15] & t->high[place][c >> 4];
}

static inline void lm_scalar_begin(const lm_trigrams *t, lm_scalar_state *s) {
    memset(s, 0, sizeof *s);
    s->tables = t;
    s->first = s->first_before = lm_bucket(t, 0, 0);
    s->second = lm_bucket(t, 1, 0);
}

static inline void lm_scalar_classify(lm_scalar_state *s, const uint8_t *ptr, uint8_t *kinds) {
    int row = 0;
    for (int i = 0; i < 64; i++) {
        uint8_t c = ptr[i];
        kinds[i] = lm_class_of(c);
        s->seen.kinds |= kinds[i];
        s->seen.high |= c & 0x80;
        s->found |= s->first_before & s->second & lm_bucket(s->tables, 2, c);
        s->first_before = s->first;
        s->first = lm_bucket(s->tables, 0, c);
        s->second = lm_bucket(s->tables, 1, c);
        row = kinds[i] >= LM_A_TO_F ? row + 1 : 0;
        if (i % 4 == 3) {
            s->seen.hex_row |= row == 4;
            row = 0;
        }
    }
}

static inline uint64_t lm_scalar_mask(const uint8_t *kinds, int bits, int add) {
    uint64_t mask = 0;
    for (int i = 0; i < 64; i++) mask |= (uint64_t)((kinds[i] & bits) + add >= 0x80) << i;
    return mask;
}

static inline lm_seen lm_scalar_end(lm_scalar_state *s) {
    lm_seen seen = s->seen;
    seen.trigram = s->found & LM_WORD_BUCKETS;
    seen.equals = s->found & LM_EQUALS_BUCKET;
    seen.quote = s->found & LM_QUOTE_BUCKET;
    s->found = 0;
    memset(&s->seen, 0, sizeof s->seen);
    return seen;
}

#if defined(LM_X86_DISPATCH)

#define LM_AVX2 __attribute__((target("avx2"), always_inline)) static inline

typedef struct {
    __m256i low[3], high[3], class_low, class_high;
    __m256i first, second; /* buckets of the 32 bytes before */
    __m256i kinds, highs, found, hex_rows;
} lm_avx2_state;

/* What of it changes. */
typedef struct {
    __m256i first, second, kinds, highs, found, hex_rows;
} lm_avx2_seen;

LM_AVX2 __m256i lm_twice(const uint8_t *table) {
    return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)table));
}

/* A lookup by low nibble needs no mask: the shuffle takes four bits, and zero for bytes above 0x7F. */
LM_AVX2 __m256i lm_both(__m256i low, __m256i high, __m256i bytes, __m256i top) {
    return _mm256_and_si256(_mm256_shuffle_epi8(low, bytes), _mm256_shuffle_epi8(high, top));
}

LM_AVX2 void lm_avx2_begin(const lm_trigrams *t, lm_avx2_state *s) {
    __m256i zero = _mm256_setzero_si256();
    for (int i = 0; i < 3; i++) {
        s->low[i] = lm_twice(t->low[i]);
        s->high[i] = lm_twice(t->high[i]);
    }
    s->class_low = lm_twice(lm_class_low);
    s->class_high = lm_twice(lm_class_high);
    s->first = lm_both(s->low[0], s->high[0], zero, zero);
    s->second = lm_both(s->low[1], s->high[1], zero, zero);
    s->kinds = s->highs = s->found = s->hex_rows = zero;
}

/* Bit 7 of each byte that is a hex digit. Of four in a row the greatest value is that of four hex digits. */
LM_AVX2 __m256i lm_hex_digits(__m256i kinds) {
    return _mm256_and_si256(_mm256_adds_epu8(kinds, _mm256_set1_epi8(LM_IS_HEX)), _mm256_set1_epi8((char)0x80));
}

LM_AVX2 int lm_has_hex_row(__m256i greatest) {
    __m256i four = _mm256_set1_epi32((int)0x80808080u);
    return _mm256_movemask_epi8(_mm256_cmpeq_epi32(greatest, four)) != 0;
}

LM_AVX2 void lm_avx2_half(lm_avx2_state *s, const uint8_t *ptr, uint8_t *to) {
    __m256i bytes = _mm256_loadu_si256((const __m256i *)ptr);
    __m256i top = _mm256_and_si256(_mm256_srli_epi16(bytes, 4), _mm256_set1_epi8(15));
    __m256i first = lm_both(s->low[0], s->high[0], bytes, top), second = lm_both(s->low[1], s->high[1], bytes, top);
    __m256i third = lm_both(s->low[2], s->high[2], bytes, top), kinds = lm_both(s->class_low, s->class_high, bytes, top);
    __m256i two_before = _mm256_alignr_epi8(first, _mm256_permute2x128_si256(s->first, first, 0x21), 14);
    __m256i one_before = _mm256_alignr_epi8(second, _mm256_permute2x128_si256(s->second, second, 0x21), 15);
    s->first = first;
    s->second = second;
    s->found = _mm256_or_si256(s->found, _mm256_and_si256(_mm256_and_si256(two_before, one_before), third));
    s->highs = _mm256_or_si256(s->highs, bytes);
    s->kinds = _mm256_or_si256(s->kinds, kinds);
    s->hex_rows = _mm256_max_epu32(s->hex_rows, lm_hex_digits(kinds));
    _mm256_store_si256((__m256i *)to, kinds);
}

LM_AVX2 void lm_avx2_classify(lm_avx2_state *s, const uint8_t *ptr, uint8_t *kinds) {
    lm_avx2_half(s, ptr, kinds);
    lm_avx2_half(s, ptr + 32, kinds + 32);
}

LM_AVX2 uint64_t lm_avx2_bits(__m256i low, __m256i high) {
    return (uint32_t)_mm256_movemask_epi8(low) | (uint64_t)(uint32_t)_mm256_movemask_epi8(high) << 32;
}

/* As lm_avx2_mask, of all class bits and of a block that is in registers. */
LM_AVX2 uint64_t lm_avx2_mask_of(__m256i low, __m256i high, int add) {
    if (add == 0) return lm_avx2_bits(low, high);
    return lm_avx2_bits(_mm256_adds_epu8(low, _mm256_set1_epi8((char)add)), _mm256_adds_epu8(high, _mm256_set1_epi8((char)add)));
}

LM_AVX2 uint64_t lm_avx2_mask(const uint8_t *kinds, int bits, int add) {
    __m256i of = _mm256_set1_epi8((char)bits), more = _mm256_set1_epi8((char)add);
    __m256i low = _mm256_adds_epu8(_mm256_and_si256(_mm256_load_si256((const __m256i *)kinds), of), more);
    __m256i high = _mm256_adds_epu8(_mm256_and_si256(_mm256_load_si256((const __m256i *)(kinds + 32)), of), more);
    return lm_avx2_bits(low, high);
}

LM_AVX2 uint64_t lm_avx2_stops(const uint8_t *ptr) {
    __m256i stop = _mm256_set1_epi8('.');
    __m256i low = _mm256_cmpeq_epi8(_mm256_loadu_si256((const __m256i *)ptr), stop);
    __m256i high = _mm256_cmpeq_epi8(_mm256_loadu_si256((const __m256i *)(ptr + 32)), stop);
    return lm_avx2_bits(low, high);
}

LM_AVX2 int lm_avx2_all_bits(__m256i kinds) {
    __m128i half = _mm_or_si128(_mm256_castsi256_si128(kinds), _mm256_extracti128_si256(kinds, 1));
    return lm_all_bits((uint64_t)_mm_cvtsi128_si64(_mm_or_si128(half, _mm_unpackhi_epi64(half, half))));
}

LM_AVX2 int lm_has_bucket(__m256i found, int buckets) { return !_mm256_testz_si256(found, _mm256_set1_epi8((char)buckets)); }

LM_AVX2 lm_seen lm_avx2_end(lm_avx2_state *s) {
    lm_seen seen;
    seen.kinds = lm_avx2_all_bits(s->kinds);
    seen.high = _mm256_movemask_epi8(s->highs) != 0;
    seen.trigram = lm_has_bucket(s->found, LM_WORD_BUCKETS);
    seen.equals = lm_has_bucket(s->found, LM_EQUALS_BUCKET);
    seen.quote = lm_has_bucket(s->found, LM_QUOTE_BUCKET);
    seen.hex_row = lm_has_hex_row(s->hex_rows);
    s->kinds = s->highs = s->found = s->hex_rows = _mm256_setzero_si256();
    return seen;
}

#define LM_SSSE3 __attribute__((target("ssse3"), always_inline)) static inline

typedef struct {
    __m128i low[3], high[3], class_low, class_high;
    __m128i first, second; /* buckets of the 16 bytes before */
    __m128i kinds, highs, found, hex_rows;
} lm_ssse3_state;

LM_SSSE3 __m128i lm_both128(__m128i low, __m128i high, __m128i bytes, __m128i top) {
    return _mm_and_si128(_mm_shuffle_epi8(low, bytes), _mm_shuffle_epi8(high, top));
}

LM_SSSE3 void lm_ssse3_begin(const lm_trigrams *t, lm_ssse3_state *s) {
    __m128i zero = _mm_setzero_si128();
    for (int i = 0; i < 3; i++) {
        s->low[i] = _mm_loadu_si128((const __m128i *)t->low[i]);
        s->high[i] = _mm_loadu_si128((const __m128i *)t->high[i]);
    }
    s->class_low = _mm_loadu_si128((const __m128i *)lm_class_low);
    s->class_high = _mm_loadu_si128((const __m128i *)lm_class_high);
    s->first = lm_both128(s->low[0], s->high[0], zero, zero);
    s->second = lm_both128(s->low[1], s->high[1], zero, zero);
    s->kinds = s->highs = s->found = s->hex_rows = zero;
}

LM_SSSE3 __m128i lm_hex_rows128(__m128i kinds) {
    __m128i hex = _mm_and_si128(_mm_adds_epu8(kinds, _mm_set1_epi8(LM_IS_HEX)), _mm_set1_epi8((char)0x80));
    return _mm_cmpeq_epi32(hex, _mm_set1_epi8((char)0x80));
}

LM_SSSE3 void lm_ssse3_classify(lm_ssse3_state *s, const uint8_t *ptr, uint8_t *to) {
    for (int at = 0; at < 64; at += 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(ptr + at));
        __m128i top = _mm_and_si128(_mm_srli_epi16(bytes, 4), _mm_set1_epi8(15));
        __m128i first = lm_both128(s->low[0], s->high[0], bytes, top), second = lm_both128(s->low[1], s->high[1], bytes, top);
        __m128i third = lm_both128(s->low[2], s->high[2], bytes, top), kinds = lm_both128(s->class_low, s->class_high, bytes, top);
        __m128i before = _mm_and_si128(_mm_alignr_epi8(first, s->first, 14), _mm_alignr_epi8(second, s->second, 15));
        s->first = first;
        s->second = second;
        s->found = _mm_or_si128(s->found, _mm_and_si128(before, third));
        s->highs = _mm_or_si128(s->highs, bytes);
        s->kinds = _mm_or_si128(s->kinds, kinds);
        s->hex_rows = _mm_or_si128(s->hex_rows, lm_hex_rows128(kinds));
        _mm_store_si128((__m128i *)(to + at), kinds);
    }
}

LM_SSSE3 uint64_t lm_ssse3_mask(const uint8_t *kinds, int bits, int add) {
    uint64_t mask = 0;
    for (int at = 0; at < 64; at += 16) {
        __m128i of = _mm_and_si128(_mm_load_si128((const __m128i *)(kinds + at)), _mm_set1_epi8((char)bits));
        __m128i sum = _mm_adds_epu8(of, _mm_set1_epi8((char)add));
        mask |= (uint64_t)(uint32_t)_mm_movemask_epi8(sum) << at;
    }
    return mask;
}

LM_SSSE3 int lm_ssse3_all_bits(__m128i bytes) {
    return lm_all_bits((uint64_t)_mm_cvtsi128_si64(_mm_or_si128(bytes, _mm_unpackhi_epi64(bytes, bytes))));
}

LM_SSSE3 lm_seen lm_ssse3_end(lm_ssse3_state *s) {
    lm_seen seen;
    int found = lm_ssse3_all_bits(s->found);
    seen.kinds = lm_ssse3_all_bits(s->kinds);
    seen.high = _mm_movemask_epi8(s->highs) != 0;
    seen.trigram = found & LM_WORD_BUCKETS;
    seen.equals = found & LM_EQUALS_BUCKET;
    seen.quote = found & LM_QUOTE_BUCKET;
    seen.hex_row = _mm_movemask_epi8(s->hex_rows) != 0;
    s->kinds = s->highs = s->found = s->hex_rows = _mm_setzero_si128();
    return seen;
}

#elif defined(LM_NEON)

typedef struct {
    uint8x16_t low[3], high[3], class_low, class_high;
    uint8x16_t first, second; /* buckets of the 16 bytes before */
    uint8x16_t kinds, highs, found;
    uint32x4_t hex_rows;
} lm_neon_state;

static inline uint8x16_t lm_neon_both(uint8x16_t low, uint8x16_t high, uint8x16_t bottom, uint8x16_t top) {
    return vandq_u8(vqtbl1q_u8(low, bottom), vqtbl1q_u8(high, top));
}

static inline void lm_neon_begin(const lm_trigrams *t, lm_neon_state *s) {
    uint8x16_t zero = vdupq_n_u8(0);
    for (int i = 0; i < 3; i++) {
        s->low[i] = vld1q_u8(t->low[i]);
        s->high[i] = vld1q_u8(t->high[i]);
    }
    s->class_low = vld1q_u8(lm_class_low);
    s->class_high = vld1q_u8(lm_class_high);
    s->first = lm_neon_both(s->low[0], s->high[0], zero, zero);
    s->second = lm_neon_both(s->low[1], s->high[1], zero, zero);
    s->kinds = s->highs = s->found = zero;
    s->hex_rows = vdupq_n_u32(0);
}

static inline void lm_neon_classify(lm_neon_state *s, const uint8_t *ptr, uint8_t *to) {
    for (int at = 0; at < 64; at += 16) {
        uint8x16_t bytes = vld1q_u8(ptr + at), bottom = vandq_u8(bytes, vdupq_n_u8(15)), top = vshrq_n_u8(bytes, 4);
        uint8x16_t first = lm_neon_both(s->low[0], s->high[0], bottom, top);
        uint8x16_t second = lm_neon_both(s->low[1], s->high[1], bottom, top);
        uint8x16_t third = lm_neon_both(s->low[2], s->high[2], bottom, top);
        uint8x16_t kinds = lm_neon_both(s->class_low, s->class_high, bottom, top);
        uint8x16_t before = vandq_u8(vextq_u8(s->first, first, 14), vextq_u8(s->second, second, 15));
        s->first = first;
        s->second = second;
        s->found = vorrq_u8(s->found, vandq_u8(before, third));
        s->highs = vorrq_u8(s->highs, bytes);
        s->kinds = vorrq_u8(s->kinds, kinds);
        uint8x16_t hex = vcgeq_u8(kinds, vdupq_n_u8(LM_A_TO_F));
        s->hex_rows = vorrq_u32(s->hex_rows, vceqq_u32(vreinterpretq_u32_u8(hex), vdupq_n_u32(0xFFFFFFFFu)));
        vst1q_u8(to + at, kinds);
    }
}

static inline uint64_t lm_neon_mask(const uint8_t *kinds, int bits, int add) {
    static const uint8_t weights[16] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    uint64_t mask = 0;
    for (int at = 0; at < 64; at += 16) {
        uint8x16_t of = vandq_u8(vld1q_u8(kinds + at), vdupq_n_u8((uint8_t)bits));
        uint8x16_t set = vcgeq_u8(vqaddq_u8(of, vdupq_n_u8((uint8_t)add)), vdupq_n_u8(0x80));
        uint8x16_t weighed = vandq_u8(set, vld1q_u8(weights));
        mask |= (vaddv_u8(vget_low_u8(weighed)) | (uint64_t)vaddv_u8(vget_high_u8(weighed)) << 8) << at;
    }
    return mask;
}

static inline int lm_neon_all_bits(uint8x16_t bytes) {
    uint8x8_t both = vorr_u8(vget_low_u8(bytes), vget_high_u8(bytes));
    return lm_all_bits(vget_lane_u64(vreinterpret_u64_u8(both), 0));
}

static inline lm_seen lm_neon_end(lm_neon_state *s) {
    lm_seen seen;
    int found = lm_neon_all_bits(s->found);
    seen.kinds = lm_neon_all_bits(s->kinds);
    seen.high = vmaxvq_u8(s->highs) >= 0x80;
    seen.trigram = found & LM_WORD_BUCKETS;
    seen.equals = found & LM_EQUALS_BUCKET;
    seen.quote = found & LM_QUOTE_BUCKET;
    seen.hex_row = vmaxvq_u32(s->hex_rows) != 0;
    s->kinds = s->highs = s->found = vdupq_n_u8(0);
    s->hex_rows = vdupq_n_u32(0);
    return seen;
}

#endif
#endif
