/* Proves that a text holds no characters by their numbers and no quoted-printable, or says that it might.
 *
 * Of numbers in a row, all but those of letters alone (`be`, `cafe`) hold a digit: only what stands around digits is
 * looked at. What bounds numbers, and the gaps between them, is that of _nsr_codes, whatever their base. */
#ifndef LEXMESH_NSR_CODES_H
#define LEXMESH_NSR_CODES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "text.h"

enum { LM_NUMBERS = 1, LM_EQUALS = 2 };

/* Of characters by their numbers. */
enum {
    LM_CODES_LEAST = 2,      /* numbers in a row */
    LM_CODES_BYTES = 4,      /* that they stand for, together */
    LM_CODE_DIGITS = 8,
    LM_CODE_LENGTH = 10,     /* with a `0x` */
    LM_CODES_GAP = 24,       /* bytes between two numbers: an indented list */
    LM_CODES_SIGNS = 4       /* of them no white space */
};

typedef struct {
    const uint8_t *text;
    size_t length;
    size_t end;       /* of the last number in a row */
    size_t seen;      /* what stands before has been looked at */
    unsigned count;   /* numbers in a row, 0 outside of one */
    unsigned bytes;   /* that they stand for at most */
    int kinds, digit_before;
} lm_code_search;

static inline int lm_is_digit(uint8_t c) { return (uint8_t)(c - '0') < 10; }

static inline int lm_is_hex_digit(uint8_t c) { return lm_is_digit(c) || (uint8_t)((c | 0x20) - 'a') < 6; }

static inline int lm_is_alnum(uint8_t c) { return lm_is_digit(c) || (uint8_t)((c | 0x20) - 'a') < 26; }

static inline size_t lm_alnum_end(const lm_code_search *s, size_t at) {
    while (at < s->length && lm_is_alnum(s->text[at])) at++;
    return at;
}

/* The bytes that a number may stand for, in whatever base it is; 0 if it is none. */
static inline unsigned lm_code_bytes(const uint8_t *digits, size_t length) {
    size_t hex = 0, decimal = 0;
    if (length > LM_CODE_LENGTH) return 0;
    if (length > 2 && digits[0] == '0' && ((digits[1] | 0x20) == 'x' || (digits[1] | 0x20) == 'o')) {
        if ((digits[1] | 0x20) == 'o') return length == 5;
        digits += 2;
        length -= 2;
    }
    while (hex < length && lm_is_hex_digit(digits[hex])) hex++;
    while (decimal < length && lm_is_digit(digits[decimal])) decimal++;
    if (hex == length && length % 2 == 0 && length <= LM_CODE_DIGITS) return (unsigned)length / 2;
    return decimal == length && length >= 2 && length <= 4;
}

/* Where the next number or word in a row may begin after one that ends at `at`; 0 if none does. */
static inline size_t lm_code_gap_end(const lm_code_search *s, size_t at) {
    size_t first = at;
    int signs = 0;
    for (; at < s->length && at - first <= LM_CODES_GAP; at++) {
        uint8_t c = s->text[at];
        if ((c | 0x20) == 'u' && at + 1 < s->length && s->text[at + 1] == '+') {
            at++;
            continue;
        }
        if (lm_is_alnum(c)) break;
        if (c == '.' || c >= 0x80) return 0;
        signs += c != ' ' && c != '\n' && c != '\r' && c != '\t';
    }
    return at >= s->length || at - first > LM_CODES_GAP || at == first || signs > LM_CODES_SIGNS ? 0 : at;
}

static inline void lm_add_code(lm_code_search *s, unsigned bytes, size_t end) {
    s->count++;
    s->bytes += bytes;
    s->end = end;
    if (s->count >= LM_CODES_LEAST && s->bytes >= LM_CODES_BYTES) s->kinds |= LM_NUMBERS;
}

/* Goes on with a row over numbers that are letters alone; whether it leads to what begins at `first`. */
static inline int lm_code_leads_to(lm_code_search *s, size_t first) {
    while (s->count) {
        size_t next = lm_code_gap_end(s, s->end), last;
        if (next == first) return 1;
        if (next == 0 || next > first) break;
        last = lm_alnum_end(s, next);
        unsigned bytes = lm_code_bytes(s->text + next, last - next);
        if (bytes == 0) break;
        lm_add_code(s, bytes, last);
    }
    return 0;
}

/* Whether a number of letters alone may stand right before. */
static inline int lm_code_of_letters_before(const lm_code_search *s, size_t first) {
    size_t last = first, at;
    while (last > 0 && first - last <= LM_CODES_GAP && !lm_is_alnum(s->text[last - 1])) {
        if (s->text[--last] == '.') return 0;
        if (last > 0 && s->text[last] == '+' && (s->text[last - 1] | 0x20) == 'u') last--;
    }
    for (at = last; at > 0 && last - at <= LM_CODE_DIGITS && lm_is_alnum(s->text[at - 1]); at--)
        if (!lm_is_hex_digit(s->text[at - 1])) return 0;
    return at < last && (last - at) % 2 == 0;
}

/* Looks at the number with the digit at `at`, which follows none. */
static inline void lm_note_number(lm_code_search *s, size_t at) {
    if (at < s->seen) return;
    size_t first = at;
    while (first > 0 && at - first <= LM_CODE_LENGTH && lm_is_alnum(s->text[first - 1])) first--;
    s->seen = lm_alnum_end(s, at);
    unsigned bytes = lm_code_bytes(s->text + first, s->seen - first);
    if (!lm_code_leads_to(s, first)) {
        s->count = lm_code_of_letters_before(s, first) ? LM_CODES_LEAST - 1 : 0;
        s->bytes = s->count ? LM_CODES_BYTES : 0;
    }
    if (bytes)
        lm_add_code(s, bytes, s->seen);
    else
        s->count = 0;
}

static inline void lm_note_equals(lm_code_search *s, size_t at) {
    if (at + 2 >= s->length) {
        if (at + 1 < s->length && s->text[at + 1] == '\n') s->kinds |= LM_EQUALS;
        return;
    }
    uint8_t after = s->text[at + 1];
    if (after == ' ' || after == '\t' || after == '\r' || after == '\n' ||
        (lm_is_hex_digit(after) && lm_is_hex_digit(s->text[at + 2])))
        s->kinds |= LM_EQUALS;
}

/* Sixteen bits each: which of the bytes from `base` on are digits, which equals signs. */
static inline void lm_codes_step(lm_code_search *s, uint32_t digits, uint32_t equals, size_t base) {
    uint32_t starts = digits & ~(digits << 1 | (uint32_t)s->digit_before);
    s->digit_before = (int)(digits >> 15 & 1);
    for (; starts; starts &= starts - 1) lm_note_number(s, base + lm_ctz32(starts));
    for (; equals; equals &= equals - 1) lm_note_equals(s, base + lm_ctz32(equals));
}

static inline void lm_codes_masks(const uint8_t *at, uint32_t *digits, uint32_t *equals) {
#if defined(LM_SSE2)
    __m128i bytes = _mm_loadu_si128((const __m128i *)at);
    __m128i shifted = _mm_add_epi8(bytes, _mm_set1_epi8((char)(128 - '0')));
    *digits = (uint32_t)_mm_movemask_epi8(_mm_cmplt_epi8(shifted, _mm_set1_epi8((char)(128 + 10))));
    *equals = (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('=')));
#else
    *digits = *equals = 0;
    for (int i = 0; i < 16; i++) {
        *digits |= (uint32_t)((uint8_t)(at[i] - '0') < 10) << i;
        *equals |= (uint32_t)(at[i] == '=') << i;
    }
#endif
}

static inline int lm_code_kinds(const uint8_t *text, size_t length) {
    lm_code_search s = {text, length, 0, 0, 0, 0, 0, 0};
    uint32_t digits, equals;
    size_t at = 0;
    for (; length - at >= 16 && s.kinds != (LM_NUMBERS | LM_EQUALS); at += 16) {
        lm_codes_masks(text + at, &digits, &equals);
        if (digits | equals) lm_codes_step(&s, digits, equals, at);
        else s.digit_before = 0;
    }
    if (at < length && length - at < 16) {
        uint8_t tail[16] = {0};
        memcpy(tail, text + at, length - at);
        lm_codes_masks(tail, &digits, &equals);
        lm_codes_step(&s, digits, equals, at);
    }
    lm_code_leads_to(&s, length);
    return s.kinds;
}

#endif
