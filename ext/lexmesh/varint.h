/* Base-128 varints (protobuf encoding guide), without a branch for each byte. */
#ifndef LEXMESH_VARINT_H
#define LEXMESH_VARINT_H

#include "text.h"

/* Reads a varint of at most eight bytes out of eight that may be read. Returns its length, 0 if it is longer. */
static inline size_t lm_short_varint(const uint8_t *ptr, uint64_t *value) {
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    uint64_t word, stops;
    memcpy(&word, ptr, 8);
    stops = ~word & 0x8080808080808080ull;
    if (!stops) return 0;
    word &= stops ^ (stops - 1);
    word = (word & 0x007F007F007F007Full) | (word & 0x7F007F007F007F00ull) >> 1;
    word = (word & 0x00003FFF00003FFFull) | (word & 0x3FFF00003FFF0000ull) >> 2;
    *value = (word & 0x0FFFFFFFull) | (word & 0x0FFFFFFF00000000ull) >> 4;
    return lm_ctz64(stops) / 8 + 1;
#else
    (void)ptr;
    (void)value;
    return 0;
#endif
}

#endif
