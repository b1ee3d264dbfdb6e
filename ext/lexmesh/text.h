/* Byte classification for text: UTF-8 validity, the plain run of a JSON string, and a keyed hash.
 *
 * Sixteen bytes a step where the target has SSE2 or NEON (both are baseline on their 64-bit targets),
 * one byte a step elsewhere. Functions read only [ptr, ptr + length), or beyond it only what lies on the same page. */
#ifndef LEXMESH_TEXT_H
#define LEXMESH_TEXT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__SSE2__) || defined(_M_X64)
#include <emmintrin.h>
#define LM_SSE2 1
#elif defined(__aarch64__)
#include <arm_neon.h>
#define LM_NEON 1
#endif

#if defined(_MSC_VER)
#include <intrin.h>
static inline unsigned lm_ctz32(uint32_t bits) { unsigned long at; _BitScanForward(&at, bits); return (unsigned)at; }
static inline unsigned lm_ctz64(uint64_t bits) { unsigned long at; _BitScanForward64(&at, bits); return (unsigned)at; }
#else
static inline unsigned lm_ctz32(uint32_t bits) { return (unsigned)__builtin_ctz(bits); }
static inline unsigned lm_ctz64(uint64_t bits) { return (unsigned)__builtin_ctzll(bits); }
#endif

/* Bits set where a byte ends the plain run of a JSON string: control, quote, backslash, non-ASCII. */
#if defined(LM_SSE2)
static inline uint32_t lm_special16(const uint8_t *ptr) {
    __m128i block = _mm_loadu_si128((const __m128i *)ptr);
    /* signed compare: bytes >= 0x80 are negative, so "< 0x20" also finds them */
    __m128i hit = _mm_cmplt_epi8(block, _mm_set1_epi8(0x20));
    hit = _mm_or_si128(hit, _mm_cmpeq_epi8(block, _mm_set1_epi8('"')));
    hit = _mm_or_si128(hit, _mm_cmpeq_epi8(block, _mm_set1_epi8('\\')));
    return (uint32_t)_mm_movemask_epi8(hit);
}
static inline uint32_t lm_high16(const uint8_t *ptr) {
    return (uint32_t)_mm_movemask_epi8(_mm_loadu_si128((const __m128i *)ptr));
}
#elif defined(LM_NEON)
static inline uint64_t lm_nibbles(uint8x16_t hit) {
    return vget_lane_u64(vreinterpret_u64_u8(vshrn_n_u16(vreinterpretq_u16_u8(hit), 4)), 0);
}
static inline uint64_t lm_special16n(const uint8_t *ptr) {
    uint8x16_t block = vld1q_u8(ptr);
    uint8x16_t hit = vcltq_s8(vreinterpretq_s8_u8(block), vdupq_n_s8(0x20));
    hit = vorrq_u8(hit, vceqq_u8(block, vdupq_n_u8('"')));
    hit = vorrq_u8(hit, vceqq_u8(block, vdupq_n_u8('\\')));
    return lm_nibbles(hit);
}
static inline uint64_t lm_high16n(const uint8_t *ptr) {
    return lm_nibbles(vcgeq_u8(vld1q_u8(ptr), vdupq_n_u8(0x80)));
}
#endif

static inline int lm_is_plain(uint8_t c) { return c >= 0x20 && c < 0x80 && c != '"' && c != '\\'; }

/* Whether so many bytes at ptr lie on one page: then a text that begins there may be read beyond its end. Address
 * sanitizer knows objects, not pages. */
#if defined(__SANITIZE_ADDRESS__)
static inline int lm_may_overread(const uint8_t *ptr, size_t size) { (void)ptr; (void)size; return 0; }
#else
static inline int lm_may_overread(const uint8_t *ptr, size_t size) { return ((uintptr_t)ptr & 4095) <= 4096 - size; }
#endif

#if defined(__GNUC__)
#define LM_OUT_OF_LINE static __attribute__((noinline, unused))
#else
#define LM_OUT_OF_LINE static
#endif

LM_OUT_OF_LINE size_t lm_plain_rest(const uint8_t *ptr, size_t length, size_t at) {
#if defined(LM_SSE2)
    for (; at + 32 <= length; at += 32) {
        uint32_t hit = lm_special16(ptr + at) | lm_special16(ptr + at + 16) << 16;
        if (hit) return at + lm_ctz32(hit);
    }
    for (; at + 16 <= length; at += 16) {
        uint32_t hit = lm_special16(ptr + at);
        if (hit) return at + lm_ctz32(hit);
    }
    if (at < length && lm_may_overread(ptr + at, 16)) {
        uint32_t hit = lm_special16(ptr + at) & ((1u << (length - at)) - 1);
        return hit ? at + lm_ctz32(hit) : length;
    }
#elif defined(LM_NEON)
    for (; at + 16 <= length; at += 16) {
        uint64_t hit = lm_special16n(ptr + at);
        if (hit) return at + ((unsigned)__builtin_ctzll(hit) >> 2);
    }
#endif
    while (at < length && lm_is_plain(ptr[at])) at++;
    return at;
}

/* Length of the prefix made only of printable ASCII other than quote and backslash. */
static inline size_t lm_plain_prefix(const uint8_t *ptr, size_t length) {
#if defined(LM_SSE2)
    if (length >= 16) { /* most texts end here */
        uint32_t hit = lm_special16(ptr);
        if (hit) return lm_ctz32(hit);
        return lm_plain_rest(ptr, length, 16);
    }
#endif
    return lm_plain_rest(ptr, length, 0);
}

/* Copies a text that mostly is short, and up to sixteen bytes of anything behind it: there must be room. */
static inline uint8_t *lm_put_short(uint8_t *to, const uint8_t *ptr, size_t length) {
    if (length == 0) return to;
#if defined(LM_SSE2)
    if (length <= 16 && lm_may_overread(ptr, 16)) {
        _mm_storeu_si128((__m128i *)to, _mm_loadu_si128((const __m128i *)ptr));
        return to + length;
    }
    if (length > 16 && length <= 32) {
        __m128i last = _mm_loadu_si128((const __m128i *)(ptr + length - 16));
        _mm_storeu_si128((__m128i *)to, _mm_loadu_si128((const __m128i *)ptr));
        _mm_storeu_si128((__m128i *)(to + length - 16), last);
        return to + length;
    }
#endif
    memcpy(to, ptr, length);
    return to + length;
}

/* Copies the plain prefix of a text, and up to sixteen bytes of anything behind it; returns its length. */
static inline size_t lm_put_plain(uint8_t *to, const uint8_t *ptr, size_t length) {
#if defined(LM_SSE2)
    if (length && length <= 16 && lm_may_overread(ptr, 16)) {
        uint32_t hit = lm_special16(ptr) | 1u << length;
        _mm_storeu_si128((__m128i *)to, _mm_loadu_si128((const __m128i *)ptr));
        return lm_ctz32(hit);
    }
#endif
    size_t run = lm_plain_prefix(ptr, length);
    memcpy(to, ptr, run);
    return run;
}

/* Whether a text is ASCII tokens between dots, without spaces, controls, '*' and '>'; 0 is no proof of the contrary. */
static inline int lm_is_plain_subject(const uint8_t *ptr, size_t length) {
#if defined(LM_SSE2)
    uint32_t edge = 1; /* the byte before was a dot, or there was none */
    for (size_t at = 0; at < length; at += 16) {
        uint32_t within = length - at < 16 ? (1u << (length - at)) - 1 : 0xFFFF;
        if (within != 0xFFFF && !lm_may_overread(ptr + at, 16)) return 0;
        __m128i block = _mm_loadu_si128((const __m128i *)(ptr + at));
        __m128i bad = _mm_cmplt_epi8(block, _mm_set1_epi8(0x21)); /* signed: bytes >= 0x80 too */
        bad = _mm_or_si128(bad, _mm_cmpeq_epi8(block, _mm_set1_epi8(0x7F)));
        bad = _mm_or_si128(bad, _mm_cmpeq_epi8(block, _mm_set1_epi8('*')));
        bad = _mm_or_si128(bad, _mm_cmpeq_epi8(block, _mm_set1_epi8('>')));
        uint32_t dots = (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(block, _mm_set1_epi8('.'))) & within;
        if (((uint32_t)_mm_movemask_epi8(bad) & within) | (dots & (dots << 1 | edge))) return 0;
        edge = dots >> 15;
    }
    return length > 0 && ptr[length - 1] != '.';
#else
    (void)ptr;
    (void)length;
    return 0;
#endif
}

/* Length of one well-formed UTF-8 sequence at ptr, 0 if there is none (Unicode 15, table 3-7). */
static inline size_t lm_utf8_step(const uint8_t *ptr, size_t length) {
    uint8_t lead = ptr[0];
    if (lead < 0x80) return 1;
    if (lead < 0xC2) return 0;
    if (lead < 0xE0) return length >= 2 && (ptr[1] & 0xC0) == 0x80 ? 2 : 0;
    if (lead < 0xF0) {
        uint8_t low = lead == 0xE0 ? 0xA0 : 0x80, high = lead == 0xED ? 0x9F : 0xBF;
        return length >= 3 && ptr[1] >= low && ptr[1] <= high && (ptr[2] & 0xC0) == 0x80 ? 3 : 0;
    }
    if (lead < 0xF5) {
        uint8_t low = lead == 0xF0 ? 0x90 : 0x80, high = lead == 0xF4 ? 0x8F : 0xBF;
        return length >= 4 && ptr[1] >= low && ptr[1] <= high && (ptr[2] & 0xC0) == 0x80 && (ptr[3] & 0xC0) == 0x80 ? 4
                                                                                                                  : 0;
    }
    return 0;
}

/* Whether `length` bytes, no whole character, are the beginning of one; so are none. */
static inline int lm_utf8_begins(const uint8_t *ptr, size_t length) {
    if (length == 0) return 1;
    uint8_t lead = ptr[0];
    size_t whole = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
    if (lead < 0xC2 || length >= whole) return 0;
    uint8_t least = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    uint8_t completed[4] = {lead, length > 1 ? ptr[1] : least, length > 2 ? ptr[2] : 0x80, 0x80};
    return lm_utf8_step(completed, whole) == whole;
}

/* Whether a short text is ASCII; 0 is no proof of the contrary. */
static inline int lm_is_short_ascii(const uint8_t *ptr, size_t length) {
    if (length == 0) return 1;
#if defined(LM_SSE2)
    if (length <= 16 && lm_may_overread(ptr, 16)) return (lm_high16(ptr) & ((2u << (length - 1)) - 1)) == 0;
#endif
    return 0;
}

/* Length of the longest prefix that is well-formed UTF-8 and ends at a character. */
static inline size_t lm_utf8_valid_prefix(const uint8_t *ptr, size_t length) {
    size_t at = 0;
    while (at < length) {
#if defined(LM_SSE2)
        while (at + 16 <= length) {
            uint32_t high = lm_high16(ptr + at);
            if (high) { at += lm_ctz32(high); break; }
            at += 16;
        }
        if (at < length && length - at < 16 && lm_may_overread(ptr + at, 16)) {
            uint32_t high = lm_high16(ptr + at) & ((1u << (length - at)) - 1);
            if (!high) return length;
            at += lm_ctz32(high);
        }
#elif defined(LM_NEON)
        while (at + 16 <= length) {
            uint64_t high = lm_high16n(ptr + at);
            if (high) { at += (unsigned)__builtin_ctzll(high) >> 2; break; }
            at += 16;
        }
#endif
        if (at >= length) break;
        size_t step = lm_utf8_step(ptr + at, length - at);
        if (!step) return at;
        at += step;
    }
    return at;
}

/* Keyed per process, so that a peer cannot aim for collisions in our tables (the key is set once, at import). */
static uint64_t lm_hash_key = 0x9E3779B97F4A7C15ull;

static inline void lm_set_hash_key(uint64_t key) { lm_hash_key = key | 1; }

static inline uint64_t lm_mix(uint64_t a, uint64_t b) {
#if defined(__SIZEOF_INT128__)
    __uint128_t product = (__uint128_t)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
#else
    uint64_t x = (a ^ (a >> 32)) * (b | 1);
    return x ^ (x >> 29);
#endif
}

/* One to eight bytes as a word that no other text of that length gives. */
static inline uint64_t lm_load64(const uint8_t *ptr, size_t length) {
    uint64_t word;
    uint32_t low, high;
    if (length >= 8) {
        memcpy(&word, ptr, 8);
        return word;
    }
    if (length < 4) return ptr[0] | (uint64_t)ptr[length / 2] << 8 | (uint64_t)ptr[length - 1] << 16;
    memcpy(&low, ptr, 4);
    memcpy(&high, ptr + length - 4, 4);
    return (uint64_t)high << 32 | low;
}

/* The first eight bytes of a text, zeros behind a shorter one. */
static inline uint64_t lm_first8(const uint8_t *ptr, size_t length) {
    uint64_t word = 0;
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    if (length && length < 8 && lm_may_overread(ptr, 8)) {
        memcpy(&word, ptr, 8);
        return word & ((1ull << length * 8) - 1);
    }
#endif
    if (length >= 8) memcpy(&word, ptr, 8);
    else if (length) memcpy(&word, ptr, length);
    return word;
}

/* Whether two texts of one length, mostly a short one, are the same. */
static inline int lm_same_short(const uint8_t *a, const uint8_t *b, size_t length) {
    uint64_t x[2], y[2];
    if (length < 8) return lm_first8(a, length) == lm_first8(b, length);
    if (length <= 16) {
        memcpy(x, a, 8);
        memcpy(y, b, 8);
        memcpy(x + 1, a + length - 8, 8);
        memcpy(y + 1, b + length - 8, 8);
        return x[0] == y[0] && x[1] == y[1];
    }
#if defined(LM_SSE2)
    if (length <= 32) {
        __m128i first = _mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)a), _mm_loadu_si128((const __m128i *)b));
        const uint8_t *p = a + length - 16, *q = b + length - 16;
        __m128i last = _mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)p), _mm_loadu_si128((const __m128i *)q));
        return _mm_movemask_epi8(_mm_and_si128(first, last)) == 0xFFFF;
    }
#endif
    return memcmp(a, b, length) == 0;
}

/* Whether sixteen bytes begin with `length` bytes of sixteen others. */
static inline int lm_begins16(const uint8_t *ptr, const uint8_t *expected, size_t length) {
#if defined(LM_SSE2)
    __m128i block = _mm_loadu_si128((const __m128i *)ptr);
    __m128i same = _mm_cmpeq_epi8(block, _mm_loadu_si128((const __m128i *)expected));
    return lm_ctz32(~(uint32_t)_mm_movemask_epi8(same)) >= length;
#else
    return length <= 16 && memcmp(ptr, expected, length) == 0;
#endif
}

/* Whether a text begins with another of at most sixteen bytes, which stands where sixteen may be read. */
static inline int lm_begins(const uint8_t *ptr, size_t available, const uint8_t *expected, size_t length) {
    if (length > available) return 0;
    if (available >= 16 || lm_may_overread(ptr, 16)) return lm_begins16(ptr, expected, length);
    return length <= 16 && memcmp(ptr, expected, length) == 0;
}

/* Folded multiply over 8-byte words, in the manner of wyhash (Wang Yi, public domain). */
static inline uint64_t lm_hash(const uint8_t *ptr, size_t length) {
    uint64_t state = lm_hash_key ^ length;
    while (length > 8) {
        state = lm_mix(state ^ lm_load64(ptr, 8), 0xA0761D6478BD642Full);
        ptr += 8;
        length -= 8;
    }
    if (length) state = lm_mix(state ^ lm_load64(ptr, length), 0xE7037ED1A0B428DBull);
    return lm_mix(state, lm_hash_key);
}

/* How many decimal digits a text begins with. */
static inline size_t lm_digits(const uint8_t *ptr, size_t length) {
    size_t at = 0;
#if defined(LM_SSE2)
    if (length >= 16 || (length && lm_may_overread(ptr, 16))) {
        __m128i block = _mm_loadu_si128((const __m128i *)ptr); /* signed: bytes >= 0x80 are below '0' */
        __m128i other = _mm_or_si128(_mm_cmplt_epi8(block, _mm_set1_epi8('0')), _mm_cmpgt_epi8(block, _mm_set1_epi8('9')));
        at = lm_ctz32((uint32_t)_mm_movemask_epi8(other) | 0x10000u);
        if (at > length) at = length;
        if (at < 16) return at;
    }
#endif
    while (at < length && ptr[at] >= '0' && ptr[at] <= '9') at++;
    return at;
}

/* Whether eight bytes are decimal digits, and what they say (Lemire and Mula, "Parsing numbers eight at a time"). */
static inline int lm_eight_digits(const uint8_t *ptr, uint64_t *value) {
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    uint64_t word;
    memcpy(&word, ptr, 8);
    if (((word & 0xF0F0F0F0F0F0F0F0ull) | ((word + 0x0606060606060606ull) & 0xF0F0F0F0F0F0F0F0ull) >> 4) != 0x3333333333333333ull)
        return 0;
    word -= 0x3030303030303030ull;
    word = word * 10 + (word >> 8);
    *value = ((word & 0x000000FF000000FFull) * 0x000F424000000064ull
              + ((word >> 16) & 0x000000FF000000FFull) * 0x0000271000000001ull) >> 32;
    return 1;
#else
    uint64_t sum = 0;
    for (int i = 0; i < 8; i++) {
        if (ptr[i] < '0' || ptr[i] > '9') return 0;
        sum = sum * 10 + ptr[i] - '0';
    }
    *value = sum;
    return 1;
#endif
}

#endif
