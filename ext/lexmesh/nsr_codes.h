/* Proves that a text holds no characters by their numbers and no quoted-printable, or says that it might.
 *
 * Such a number holds a digit that follows none, and so does the next one, at most LM_NUMBERS_APART bytes later. */
#ifndef LEXMESH_NSR_CODES_H
#define LEXMESH_NSR_CODES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "text.h"

enum { LM_NUMBERS = 1, LM_EQUALS = 2, LM_NUMBERS_APART = 40 };

typedef struct {
    const uint8_t *text;
    size_t length, last;
    int found, kinds, digit_before;
} lm_code_search;

static inline int lm_is_hex_digit(uint8_t c) { return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f'); }

static inline void lm_note_number(lm_code_search *s, size_t at) {
    if (at > 0 && s->text[at - 1] == '.') {
        s->found = 0;
        return;
    }
    if (s->found && at - s->last <= LM_NUMBERS_APART) s->kinds |= LM_NUMBERS;
    s->found = 1;
    s->last = at;
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

#define LM_CODES_PAD 16

/* Whether lm_code_kinds need be asked. `text` is followed by LM_CODES_PAD bytes that may be read. */
static inline int lm_may_hold_codes(const uint8_t *text, size_t length) {
    uint32_t digits, equals, starts, before = 0, seen = 0, found = 0;
    for (size_t at = 0; at < length; at += 16) {
        lm_codes_masks(text + at, &digits, &equals);
        starts = digits & ~(digits << 1 | before);
        before = digits >> 15;
        found |= equals | (starts & (starts - 1)) | (seen ? starts : 0);
        seen |= starts;
    }
    return found != 0;
}

static inline int lm_code_kinds(const uint8_t *text, size_t length) {
    lm_code_search s = {text, length, 0, 0, 0, 0};
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
    return s.kinds;
}

#endif
