/* RFC 6455 framing: headers and masking, of frames that go out and of frames that come in. */
#ifndef LEXMESH_FRAME_H
#define LEXMESH_FRAME_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "text.h"

#define LM_FRAME_MAX_HEADER 14

/* Bytes of a header for a payload of this length (section 5.2). */
static inline size_t lm_frame_header_size(uint64_t length, int masked) {
    return (length < 126 ? 2 : length < 65536 ? 4 : 10) + (masked ? 4 : 0);
}

/* Writes the header of one unfragmented frame; the mask is four bytes in memory order. Returns its size. */
static inline size_t lm_frame_header(uint8_t *out, uint8_t opcode, uint64_t length, int masked, uint32_t mask) {
    size_t at = 2;
    out[0] = (uint8_t)(0x80 | opcode);
    if (length < 126) {
        out[1] = (uint8_t)length;
    } else if (length < 65536) {
        out[1] = 126;
        out[2] = (uint8_t)(length >> 8);
        out[3] = (uint8_t)length;
        at = 4;
    } else {
        out[1] = 127;
        for (int i = 0; i < 8; i++) out[2 + i] = (uint8_t)(length >> (56 - 8 * i));
        at = 10;
    }
    if (masked) {
        out[1] |= 0x80;
        memcpy(out + at, &mask, 4);
        at += 4;
    }
    return at;
}

/* Masks in place (section 5.3), 64 bytes a step where there are vectors, then eight, then one. */
static inline void lm_frame_mask(uint8_t *data, size_t length, uint32_t mask) {
    uint64_t wide = (uint64_t)mask << 32 | mask, word;
    size_t at = 0;
#if defined(LM_SSE2)
    __m128i vector = _mm_set1_epi32((int)mask);
    for (; at + 64 <= length; at += 64) {
        __m128i *block = (__m128i *)(data + at);
        __m128i a = _mm_loadu_si128(block), b = _mm_loadu_si128(block + 1);
        __m128i c = _mm_loadu_si128(block + 2), d = _mm_loadu_si128(block + 3);
        _mm_storeu_si128(block, _mm_xor_si128(a, vector));
        _mm_storeu_si128(block + 1, _mm_xor_si128(b, vector));
        _mm_storeu_si128(block + 2, _mm_xor_si128(c, vector));
        _mm_storeu_si128(block + 3, _mm_xor_si128(d, vector));
    }
#endif
    for (; at + 8 <= length; at += 8) {
        memcpy(&word, data + at, 8);
        word ^= wide;
        memcpy(data + at, &word, 8);
    }
    for (; at < length; at++) data[at] ^= ((const uint8_t *)&mask)[at & 3];
}

enum { LM_FRAME_INCOMPLETE = 0, LM_FRAME_VIOLATION = -1 };

/* A frame that came in, its payload still as it was sent. */
typedef struct {
    uint8_t first; /* FIN, RSV1 to RSV3, opcode */
    uint32_t mask; /* four bytes in memory order */
    uint64_t length;
} lm_frame;

/* Reads a header (section 5.2), which must be masked or must not be. Returns its size or one of the above. */
static inline int lm_read_frame_header(const uint8_t *at, size_t available, int masked, lm_frame *frame) {
    int size = 2;
    frame->mask = 0;
    frame->length = 0;
    if (available < 2) return LM_FRAME_INCOMPLETE;
    uint8_t opcode = at[0] & 15, flag = at[1] & 0x7F;
    frame->first = at[0];
    frame->length = flag;
    if (opcode > 10 || (opcode > 2 && opcode < 8)) return LM_FRAME_VIOLATION;
    if ((at[1] >> 7) != masked) return LM_FRAME_VIOLATION;
    if (opcode > 7 && (flag > 125 || !(at[0] & 0x80))) return LM_FRAME_VIOLATION;
    if (flag == 126) {
        size = 4;
        if (available < 4) return LM_FRAME_INCOMPLETE;
        frame->length = (uint64_t)at[2] << 8 | at[3];
        if (frame->length < 126) return LM_FRAME_VIOLATION;
    } else if (flag == 127) {
        size = 10;
        if (available < 10) return LM_FRAME_INCOMPLETE;
        frame->length = 0;
        for (int i = 2; i < 10; i++) frame->length = frame->length << 8 | at[i];
        if (frame->length < 65536 || frame->length >> 63) return LM_FRAME_VIOLATION;
    }
    if (masked) {
        if (available < (size_t)size + 4) return LM_FRAME_INCOMPLETE;
        memcpy(&frame->mask, at + size, 4);
        size += 4;
    }
    return size;
}

/* xorshift64* (Marsaglia 2003; Vigna 2016), seeded by the operating system at import. */
static uint64_t lm_mask_state = 88172645463325252ull;

static inline void lm_seed_masks(uint64_t seed) { lm_mask_state = seed ? seed : 1; }

static inline uint32_t lm_next_mask(void) {
    lm_mask_state ^= lm_mask_state >> 12;
    lm_mask_state ^= lm_mask_state << 25;
    lm_mask_state ^= lm_mask_state >> 27;
    return (uint32_t)((lm_mask_state * 2685821657736338717ull) >> 32);
}

#endif
