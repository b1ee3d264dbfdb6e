/* What the prefilter looks for in the classes of a block: letters that stand alone, runs of base64 and of hex.
 *
 * The common case of each is a few operations on masks; whatever might be something is looked at again, byte by byte, in
 * a function of its own that walks a bounded way from there, so that the whole stays linear. */
#ifndef LEXMESH_NSR_RUNS_H
#define LEXMESH_NSR_RUNS_H

#include "nsr_classify.h"

enum {
    LM_TRIP_WORD = 1,   /* three letters of a marker, in a row */
    LM_TRIP_HIGH = 2,   /* a byte above 0x7F */
    LM_TRIP_ESCAPE = 4, /* backslash, percent sign, ampersand */
    LM_TRIP_SPACED = 8, /* letters that stand alone, a few separators apart */
    LM_TRIP_BASE64 = 16,
    LM_TRIP_HEX = 32,
    LM_TRIP_CODES = 64, /* characters by their numbers; an equals sign, as in quoted-printable */
    LM_TRIP_ALL = 127
};

enum { LM_NUMBERS_NEAR = 40 /* bytes from the start of one number to the next, if both are characters */ };

enum { LM_SPACED_GAP = 8, LM_MAX_SPACED = 32, LM_MIN_BASE64 = 6, LM_MIN_HEX = 8 };

#if defined(_MSC_VER)
#define LM_RARE static __declspec(noinline)
#define LM_ALIGNED __declspec(align(32))
#else
#define LM_ALIGNED __attribute__((aligned(32)))
#define LM_RARE static __attribute__((noinline, unused))
#endif

typedef struct {
    const uint8_t *text;
    size_t length;
    size_t quotes_from; /* from here on the text is raw JSON, in which a quote ends a string */
    int wanted;         /* letters in a row that trip */
    int trips;
} lm_job;

static inline unsigned lm_lowest(uint64_t bits) {
#if defined(_MSC_VER)
    unsigned long at;
    _BitScanForward64(&at, bits);
    return (unsigned)at;
#else
    return (unsigned)__builtin_ctzll(bits);
#endif
}

/* Each bit also at the one to eight places above it; bits past the block are lost. */
static inline uint64_t lm_eight_above(uint64_t bits) {
    bits |= bits << 1;
    bits |= bits << 2;
    return (bits | bits << 4) << 1;
}

static inline uint64_t lm_eight_below(uint64_t bits) {
    bits |= bits >> 1;
    bits |= bits >> 2;
    return (bits | bits >> 4) >> 1;
}

/* A mask moved up by `by` places, with the top of the block before. */
static inline uint64_t lm_shifted(uint64_t mask, uint64_t before, int by) { return mask << by | before >> (64 - by); }

/* The characters among 64 at `ptr` that are one of four. */
static inline uint64_t lm_any_of(const uint8_t *ptr, char a, char b, char c, char d) {
    uint64_t mask = 0;
#if defined(LM_SSE2)
    for (int at = 0; at < 64; at += 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(ptr + at));
        __m128i found = _mm_or_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8(a)), _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b)));
        found = _mm_or_si128(found, _mm_cmpeq_epi8(bytes, _mm_set1_epi8(c)));
        found = _mm_or_si128(found, _mm_cmpeq_epi8(bytes, _mm_set1_epi8(d)));
        mask |= (uint64_t)(uint32_t)_mm_movemask_epi8(found) << at;
    }
#else
    for (int i = 0; i < 64; i++) {
        char byte = (char)ptr[i];
        mask |= (uint64_t)(byte == a || byte == b || byte == c || byte == d) << i;
    }
#endif
    return mask;
}

/* -- letters that stand alone ----------------------------------------------------------------------------------- */

/* Of the block before. */
typedef struct {
    uint64_t alnum, alone;
} lm_letters;

/* Bit i of a block's mask of lone letters stands for byte i - 1: only then is the byte after it known. */
static inline uint64_t lm_alone(uint64_t letters, uint64_t before) {
    return lm_shifted(letters, before, 1) & ~letters & ~lm_shifted(letters, before, 2);
}

/* Lone letters with another one eight places before them at most; over the edge between blocks, fifteen. */
static inline uint64_t lm_close_together(uint64_t alone, uint64_t alone_before) {
    return alone & (lm_eight_above(alone) | (0 - (alone_before >> 56)) >> 56);
}

static inline int lm_letterlike(uint8_t c) { return lm_class_of(c) && c != '%' && c != '&' && c != '\\'; }

static inline int lm_alphanumeric(uint8_t c) { return lm_class_of(c) >= LM_P_TO_Z; }

/* Which of the two bytes before `base`, the last bits of a block's mask, begin an escape. */
static inline uint64_t lm_escapes_before(const lm_job *job, size_t base) {
    uint64_t mask = 0;
    for (size_t back = 1; back <= 2 && back <= base && base <= job->length; back++) {
        uint8_t c = job->text[base - back];
        if (c == '%' || c == '&' || c == '\\') mask |= (uint64_t)1 << (64 - back);
    }
    return mask;
}

/* Counts the lone letters that lead to the one at `at`, each close to the next. */
static inline void lm_count_back(lm_job *job, size_t at, size_t floor, int (*is_letter)(uint8_t)) {
    const uint8_t *text = job->text;
    size_t last = at;
    int count = 1;
    while (at-- > floor && last - at <= LM_SPACED_GAP) {
        if (text[at] == '"' && at >= job->quotes_from) {
            count = 0;
        } else if (is_letter(text[at]) && !is_letter(text[at + 1]) && (at == 0 || !is_letter(text[at - 1]))) {
            last = at;
            if (++count >= job->wanted) {
                job->trips |= LM_TRIP_SPACED;
                return;
            }
        }
    }
}

/* Only from the last of letters that are close together, but over quotes: so no stretch is walked twice. */
LM_RARE void lm_follow_letters(lm_job *job, uint64_t close, size_t base) {
    if (job->wanted > LM_MAX_SPACED) return;
    size_t reach = (size_t)LM_SPACED_GAP * (size_t)(job->wanted + 1), floor = base > reach && base <= job->length ? base - reach : 0;
    uint64_t ends = close & ~lm_eight_below(close);
    for (; ends && !(job->trips & LM_TRIP_SPACED); ends &= ends - 1) {
        size_t at = base + lm_lowest(ends) - 1;
        lm_count_back(job, at, floor, lm_alphanumeric);
        if (!(job->trips & LM_TRIP_SPACED)) lm_count_back(job, at, floor, lm_letterlike);
    }
}

LM_RARE void lm_follow_all(lm_job *job, const uint64_t *alone, uint64_t before, size_t blocks, size_t base) {
    for (size_t i = 0; i < blocks && !(job->trips & LM_TRIP_SPACED); i++) {
        uint64_t close = lm_close_together(alone[i], before);
        if (close) lm_follow_letters(job, close, base + 64 * i);
        before = alone[i];
    }
}

/* -- runs ---------------------------------------------------------------------------------------------------------- */

static inline int lm_base64_char(uint8_t c) { return lm_alphanumeric(c) || c == '+' || c == '/' || c == '-' || c == '_'; }

static inline int lm_hex_char(uint8_t c) { return lm_class_of(c) >= LM_A_TO_F; }

static inline int lm_hex_digit_of_text(uint8_t c) { return c >= '2' && c <= '7'; }

/* Whether `least` or more characters of a kind stand in a row around `at`. */
static inline int lm_long_run(const lm_job *job, size_t at, size_t least, int (*belongs)(uint8_t)) {
    size_t first = at, last = at;
    while (first > 0 && at - first < least && belongs(job->text[first - 1])) first--;
    while (last < job->length && last - at < least && belongs(job->text[last])) last++;
    return last - first >= least;
}

/* What is known of the base64 run that the block before ended in. */
typedef struct {
    int upper, digit; /* it has a capital, a digit */
    uint64_t alnum;
} lm_open_run;

/* A capital right after a letter or digit, or with a digit in the same run. */
LM_RARE void lm_look_for_base64(lm_job *job, lm_open_run *open, uint64_t upper, uint64_t digit, uint64_t alnum,
                                const uint8_t *ptr, size_t base) {
    uint64_t found = upper & lm_shifted(alnum, open->alnum, 1), run = alnum | lm_any_of(ptr, '+', '/', '-', '_');
    uint64_t capitals = upper | (run & (uint64_t)open->upper), digits = digit | (run & (uint64_t)open->digit);
    /* a carry runs from the lowest capital of a run to the run's end, and so marks what follows it */
    uint64_t after_upper = ((run ^ (run + capitals)) | capitals) & run, after_digit = ((run ^ (run + digits)) | digits) & run;
    found |= (after_upper & digits) | (after_digit & capitals);
    open->upper = (int)(after_upper >> 63);
    open->digit = (int)(after_digit >> 63);
    open->alnum = alnum;
    for (; found && !(job->trips & LM_TRIP_BASE64); found &= found - 1)
        if (lm_long_run(job, base + lm_lowest(found), LM_MIN_BASE64, lm_base64_char)) job->trips |= LM_TRIP_BASE64;
}

/* Where eight or more of a mask stand in a row: a bit at the eighth and each one after it. */
static inline uint64_t lm_eight_in_a_row(uint64_t mask, uint64_t before) {
    uint64_t two = mask & lm_shifted(mask, before, 1), two_before = before & before << 1;
    uint64_t four = two & lm_shifted(two, two_before, 2), four_before = two_before & two_before << 2;
    return four & lm_shifted(four, four_before, 4);
}

typedef struct {
    uint64_t digit, hex;
} lm_hex_block;

/* Digits and letters side by side, or, where there are only digits, four of 2 to 7 two apart (see _nsr_blob). */
LM_RARE void lm_look_for_hex(lm_job *job, lm_hex_block now, lm_hex_block before, size_t base) {
    uint64_t letter = now.hex & ~now.digit, letter_before = before.hex & ~before.digit;
    uint64_t mixed = (now.digit & lm_shifted(letter, letter_before, 1)) | (letter & lm_shifted(now.digit, before.digit, 1));
    uint64_t text = now.digit & lm_shifted(now.digit, before.digit, 2) & lm_shifted(now.digit, before.digit, 4) &
                    lm_shifted(now.digit, before.digit, 6);
    for (; text; text &= text - 1) {
        const uint8_t *at = job->text + (base + lm_lowest(text));
        if (lm_hex_digit_of_text(at[0]) && lm_hex_digit_of_text(at[-2]) && lm_hex_digit_of_text(at[-4]) &&
            lm_hex_digit_of_text(at[-6]))
            mixed |= text & -text;
    }
    for (; mixed && !(job->trips & LM_TRIP_HEX); mixed &= mixed - 1)
        if (lm_long_run(job, base + lm_lowest(mixed), LM_MIN_HEX, lm_hex_char)) job->trips |= LM_TRIP_HEX;
}

/* A run may have become long enough only here: then what stands before the block's edge counts as well. */
LM_RARE void lm_look_for_hex_around(lm_job *job, lm_hex_block now, lm_hex_block before, size_t base) {
    static const uint64_t edge = ~(uint64_t)0 << (64 - LM_MIN_HEX);
    lm_hex_block none = {0, 0}, last = {before.digit & edge, before.hex & edge};
    if (base && last.hex) lm_look_for_hex(job, last, none, base - 64);
    lm_look_for_hex(job, now, before, base);
}

/* -- numbers ------------------------------------------------------------------------------------------------------- */

/* Of the block before: its digits, its full stops, where its numbers start. */
typedef struct {
    uint64_t digit, stop, start;
} lm_numbers;

/* Not zero if a number may start near another one before it. What stands behind a full stop goes on with none (it is a
 * fraction, or part of an address), but others may go on with it. */
static inline uint64_t lm_near(uint64_t start, uint64_t going_on, uint64_t start_before) {
    uint64_t over_edge = start_before >> (64 - LM_NUMBERS_NEAR) ? going_on << (64 - LM_NUMBERS_NEAR) : 0;
    return (going_on & start & (start - 1)) | over_edge;
}

static inline uint64_t lm_numbers_near(lm_numbers *before, uint64_t digit, uint64_t stop) {
    uint64_t start = digit & ~lm_shifted(digit, before->digit, 1), going_on = start & ~lm_shifted(stop, before->stop, 1);
    uint64_t near = lm_near(start, going_on, before->start);
    before->digit = digit;
    before->stop = stop;
    before->start = start;
    return near;
}

#endif
