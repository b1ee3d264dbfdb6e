/* Proves that no stage of the scanner can find anything in a text, or says which might.
 *
 * One pass, 64 bytes a step. Each proof errs only towards "might": what trips goes to the slow path, which decides.
 * The figures that it relies on (seven separators at most between spaced letters, six characters of base64, eight of
 * hex) are those of _nsr_fold and _nsr_blob. */
#ifndef LEXMESH_NSR_PREFILTER_H
#define LEXMESH_NSR_PREFILTER_H

#include "nsr_classify.h"

enum {
    LM_TRIP_WORD = 1,   /* three letters of a marker, in a row */
    LM_TRIP_HIGH = 2,   /* a byte above 0x7F */
    LM_TRIP_ESCAPE = 4, /* backslash, percent sign, ampersand */
    LM_TRIP_SPACED = 8, /* letters that stand alone, a few separators apart */
    LM_TRIP_BASE64 = 16,
    LM_TRIP_HEX = 32,
    LM_TRIP_ALL = 63
};

#if defined(_MSC_VER)
#define LM_RARE static __declspec(noinline)
#else
#define LM_RARE static __attribute__((noinline, unused))
#endif

enum { LM_SPACED_GAP = 8, LM_MIN_BASE64 = 6, LM_MIN_HEX = 8 };

typedef struct {
    lm_trigrams trigrams;
    int spaced; /* letters of the shortest marker, at least three */
} lm_prefilter_tables;

/* Letters that stand alone, counted as long as they follow each other closely. */
typedef struct {
    uint64_t alone; /* of the block before */
    size_t last;
    int count;
} lm_spaced;

typedef struct {
    const uint8_t *text;
    size_t length;
    int quotes_end; /* whether a quote ends a string: the text is raw JSON */
    int wanted;     /* letters in a row that trip */
    lm_spaced plain, symbolic;
    uint64_t alnum, either, digit; /* of the block before; either: alphanumeric or symbolic */
    int upper_open, digit_open; /* the run of base64 that goes on has a capital, a digit */
    int trips;
} lm_state;

static inline unsigned lm_lowest(uint64_t bits) {
#if defined(_MSC_VER)
    unsigned long at;
    _BitScanForward64(&at, bits);
    return (unsigned)at;
#else
    return (unsigned)__builtin_ctzll(bits);
#endif
}

static inline unsigned lm_leading_zeros(uint64_t bits) {
#if defined(_MSC_VER)
    unsigned long at;
    _BitScanReverse64(&at, bits);
    return 63 - (unsigned)at;
#else
    return (unsigned)__builtin_clzll(bits);
#endif
}

static inline int lm_close(const lm_state *s, size_t from, size_t to) {
    if (to - from > LM_SPACED_GAP) return 0;
    if (s->quotes_end)
        for (size_t at = from + 1; at < to; at++)
            if (s->text[at] == '"') return 0;
    return 1;
}

/* Bit i of a block's `alone` stands for byte i - 1: only then is the byte after it known. */
static inline uint64_t lm_alone(uint64_t alnum, uint64_t block_before) {
    return (alnum << 1 | block_before >> 63) & ~alnum & ~(alnum << 2 | block_before >> 62);
}

LM_RARE void lm_count_spaced(lm_state *s, lm_spaced *of, uint64_t alone, size_t base) {
    for (; alone; alone &= alone - 1) {
        size_t at = base + lm_lowest(alone) - 1;
        of->count = of->count && lm_close(s, of->last, at) ? of->count + 1 : 1;
        of->last = at;
        if (of->count >= s->wanted) s->trips |= LM_TRIP_SPACED;
    }
}

static inline void lm_spaced_step(lm_state *s, lm_spaced *of, uint64_t alone, size_t base) {
    if ((alone & (alone - 1)) || (alone && of->alone))
        lm_count_spaced(s, of, alone, base);
    else if (alone) {
        of->count = 1;
        of->last = base + 62 - lm_leading_zeros(alone);
    }
    of->alone = alone;
}

static inline int lm_base64_char(uint8_t c) {
    return (lm_class_of(c) & LM_ALNUM) || c == '+' || c == '/' || c == '-' || c == '_';
}

static inline int lm_hex_char(uint8_t c) { return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f'); }

static inline int lm_hex_digit_of_text(uint8_t c) { return c >= '2' && c <= '7'; }

/* Whether `least` or more characters of a kind stand in a row around `at`. */
static inline int lm_long_run(const lm_state *s, size_t at, size_t least, int (*belongs)(uint8_t)) {
    size_t first = at, last = at;
    while (first > 0 && at - first < least && belongs(s->text[first - 1])) first--;
    while (last < s->length && last - at < least && belongs(s->text[last])) last++;
    return last - first >= least;
}

/* The characters of either base64 alphabet among 64 at `ptr`. */
static inline uint64_t lm_base64_mask(const uint8_t *ptr, uint64_t alnum) {
#if defined(LM_SSE2)
    for (int at = 0; at < 64; at += 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(ptr + at));
        __m128i found = _mm_or_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('+')), _mm_cmpeq_epi8(bytes, _mm_set1_epi8('-')));
        found = _mm_or_si128(found, _mm_cmpeq_epi8(bytes, _mm_set1_epi8('/')));
        found = _mm_or_si128(found, _mm_cmpeq_epi8(bytes, _mm_set1_epi8('_')));
        alnum |= (uint64_t)(uint32_t)_mm_movemask_epi8(found) << at;
    }
#else
    for (int i = 0; i < 64; i++) alnum |= (uint64_t)lm_base64_char(ptr[i]) << i;
#endif
    return alnum;
}

/* A capital right after a letter or digit, or with a digit in the same run. */
LM_RARE void lm_base64_step(lm_state *s, uint64_t upper, uint64_t digit, uint64_t alnum, const uint8_t *ptr, size_t base) {
    uint64_t run;
    uint64_t found = upper & (alnum << 1 | s->alnum >> 63);
    run = lm_base64_mask(ptr, alnum);
    uint64_t capitals = upper | (run & (uint64_t)s->upper_open), digits = digit | (run & (uint64_t)s->digit_open);
    /* a carry runs from the lowest capital of a run to the run's end, and so marks what follows it */
    uint64_t after_upper = ((run ^ (run + capitals)) | capitals) & run, after_digit = ((run ^ (run + digits)) | digits) & run;
    found |= (after_upper & digits) | (after_digit & capitals);
    s->upper_open = (int)(after_upper >> 63);
    s->digit_open = (int)(after_digit >> 63);
    for (; found && !(s->trips & LM_TRIP_BASE64); found &= found - 1)
        if (lm_long_run(s, base + lm_lowest(found), LM_MIN_BASE64, lm_base64_char)) s->trips |= LM_TRIP_BASE64;
}

LM_RARE void lm_look_for_hex(lm_state *s, uint64_t mixed, uint64_t text, size_t base) {
    for (; text; text &= text - 1) {
        const uint8_t *at = s->text + base + lm_lowest(text);
        if (lm_hex_digit_of_text(at[0]) && lm_hex_digit_of_text(at[-2]) && lm_hex_digit_of_text(at[-4]) &&
            lm_hex_digit_of_text(at[-6]))
            mixed |= text & -text;
    }
    for (; mixed && !(s->trips & LM_TRIP_HEX); mixed &= mixed - 1)
        if (lm_long_run(s, base + lm_lowest(mixed), LM_MIN_HEX, lm_hex_char)) s->trips |= LM_TRIP_HEX;
}

/* Digits and letters side by side, or, where there are only digits, four of 2 to 7 two apart (see _nsr_blob). */
static inline void lm_hex_step(lm_state *s, uint64_t digit, uint64_t alnum, size_t base) {
    uint64_t letter = alnum & ~digit, letter_before = letter << 1 | (s->alnum & ~s->digit) >> 63;
    uint64_t mixed = (digit & letter_before) | (letter & (digit << 1 | s->digit >> 63));
    uint64_t two = digit << 2 | s->digit >> 62, four = digit << 4 | s->digit >> 60, six = digit << 6 | s->digit >> 58;
    uint64_t text = digit & two & four & six;
    if (mixed | text) lm_look_for_hex(s, mixed, text, base);
}

static inline void lm_step(lm_state *s, const lm_block *block, const uint8_t *ptr, size_t base) {
    uint64_t alnum = block->alnum, upper = alnum & ~block->bit5, either = alnum | block->symbolic;
    uint64_t alone = lm_alone(alnum, s->alnum), alone_either = lm_alone(either, s->either);
    lm_spaced_step(s, &s->plain, alone, base);
    lm_spaced_step(s, &s->symbolic, alone_either, base);
    if (upper | (uint64_t)s->upper_open) {
        if (!(s->trips & LM_TRIP_BASE64)) lm_base64_step(s, upper, block->digit, alnum, ptr, base);
    } else
        s->digit_open = 1;
    if ((block->digit | s->digit) && !(s->trips & LM_TRIP_HEX)) lm_hex_step(s, block->digit, alnum, base);
    s->alnum = alnum;
    s->either = either;
    s->digit = block->digit;
}

static inline void lm_note(lm_state *s, int kinds, int high, int trigram) {
    if (kinds & LM_ESCAPES) s->trips |= LM_TRIP_ESCAPE;
    if (high) s->trips |= LM_TRIP_HIGH;
    if (trigram) s->trips |= LM_TRIP_WORD;
}

/* Field by field: a memset's narrow stores would stall the wide loads of a copy. */
static inline void lm_begin(lm_state *s, const lm_prefilter_tables *t, const uint8_t *text, size_t length, int quotes_end) {
    s->text = text;
    s->length = length;
    s->quotes_end = quotes_end;
    s->wanted = t->spaced;
    s->plain.alone = s->symbolic.alone = 0;
    s->plain.last = s->symbolic.last = 0;
    s->plain.count = s->symbolic.count = 0;
    s->alnum = s->either = s->digit = 0;
    s->upper_open = s->digit_open = s->trips = 0;
}

/* The end of a text, padded with zeros: a block needs two bytes after it, and the last letter its neighbour. Where
 * the page goes on, vectors read on instead; what lies behind the text can trip at most the slow path. */
#define LM_TAIL 132

LM_RARE void lm_copy_tail(uint8_t *tail, const uint8_t *text, size_t left) {
    memset(tail, 0, LM_TAIL);
    memcpy(tail, text, left);
}

#define LM_PREFILTER(name, attributes, prepare, classify, last_is_safe, last, finish)                                  \
    attributes static int name(const lm_prefilter_tables *t, const uint8_t *text, size_t length, int quotes_end) {     \
        lm_state s;                                                                                                    \
        lm_block block;                                                                                                \
        size_t at = 0;                                                                                                 \
        lm_begin(&s, t, text, length, quotes_end);                                                                     \
        prepare;                                                                                                       \
        for (; length - at >= 66 || (length - at >= 64 && last_is_safe(text + at)); at += 64) {                        \
            const uint8_t *ptr = text + at;                                                                            \
            classify;                                                                                                  \
            lm_step(&s, &block, ptr, at);                                                                              \
        }                                                                                                              \
        size_t left = length - at;                                                                                     \
        if (left < 64 && last_is_safe(text + at)) {                                                                    \
            const uint8_t *ptr = text + at;                                                                            \
            last;                                                                                                      \
            lm_step(&s, &block, ptr, at);                                                                              \
        } else {                                                                                                       \
            uint8_t tail[LM_TAIL];                                                                                     \
            lm_copy_tail(tail, text + at, left);                                                                       \
            for (size_t from = 0; from <= left; from += 64) {                                                          \
                const uint8_t *ptr = tail + from;                                                                      \
                classify;                                                                                              \
                lm_step(&s, &block, ptr, at + from);                                                                   \
            }                                                                                                          \
        }                                                                                                              \
        finish;                                                                                                        \
        return s.trips;                                                                                                \
    }

#define lm_never(ptr) 0
#define LM_NO_PREPARE (void)0
#define LM_CLASSIFY_NOTED(classify) classify(&t->trigrams, ptr, &block), lm_note(&s, block.kinds, block.high, block.trigram)

LM_PREFILTER(lm_prefilter_scalar, , LM_NO_PREPARE, LM_CLASSIFY_NOTED(lm_classify_scalar), lm_never,
             (void)0, (void)0)

#if defined(LM_X86_DISPATCH)

LM_PREFILTER(lm_prefilter_ssse3, __attribute__((target("ssse3"))), LM_NO_PREPARE, LM_CLASSIFY_NOTED(lm_classify_ssse3),
             lm_never, (void)0, (void)0)

LM_PREFILTER(lm_prefilter_avx2, __attribute__((target("avx2,bmi,popcnt"))),
             lm_avx2_tables v; lm_avx2_seen seen; lm_avx2_load(&t->trigrams, &v);
             seen.kinds = seen.high = seen.trigram = _mm256_setzero_si256(), lm_avx2_block(&v, ptr, &seen, &block), lm_within_page,
             lm_avx2_last(&v, ptr, left, &seen, &block),
             lm_note(&s, _mm256_testz_si256(seen.kinds, _mm256_set1_epi8(LM_ESCAPES)) ? 0 : LM_ESCAPES,
                     _mm256_movemask_epi8(seen.high), !_mm256_testz_si256(seen.trigram, seen.trigram)))

#elif defined(LM_NEON)
LM_PREFILTER(lm_prefilter_neon, , LM_NO_PREPARE, LM_CLASSIFY_NOTED(lm_classify_neon), lm_never, (void)0,
             (void)0)
#endif

typedef int (*lm_prefilter_fn)(const lm_prefilter_tables *, const uint8_t *, size_t, int);

/* The fastest implementation that this processor has; `most` caps it: 0 scalar, 1 128 bits, 2 whatever there is. */
static inline lm_prefilter_fn lm_choose_prefilter(int most) {
#if defined(LM_X86_DISPATCH)
    __builtin_cpu_init();
    if (most >= 2 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi")) return lm_prefilter_avx2;
    if (most >= 1 && __builtin_cpu_supports("ssse3")) return lm_prefilter_ssse3;
#elif defined(LM_NEON)
    if (most >= 1) return lm_prefilter_neon;
#endif
    (void)most;
    return lm_prefilter_scalar;
}

#endif
