/* RFC 6455 framing: headers and masking for frames that go out. */
#ifndef LEXMESH_FRAME_H
#define LEXMESH_FRAME_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

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

/* Masks in place (section 5.3), eight bytes a step. */
static inline void lm_frame_mask(uint8_t *data, size_t length, uint32_t mask) {
    uint64_t wide = (uint64_t)mask << 32 | mask, word;
    size_t at = 0;
    for (; at + 8 <= length; at += 8) {
        memcpy(&word, data + at, 8);
        word ^= wide;
        memcpy(data + at, &word, 8);
    }
    for (; at < length; at++) data[at] ^= ((const uint8_t *)&mask)[at & 3];
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
