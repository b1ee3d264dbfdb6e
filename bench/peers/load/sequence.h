/* Sequence numbers as they stand in messages: always of one width, so that all messages have one length. */
#ifndef SEQUENCE_H
#define SEQUENCE_H
#include <stdint.h>

enum { DIGITS = 9, VARINT_BYTES = 4 };  /* 100000000 to 268435455 fits both */

static void put_sequence(uint8_t *at, uint64_t seq, int varint, uint8_t mask)
{
    if (varint)
        for (int i = 0; i < VARINT_BYTES; i++, seq >>= 7)
            at[i] = (uint8_t)((seq & 0x7F) | (i < VARINT_BYTES - 1 ? 0x80 : 0)) ^ mask;
    else
        for (int i = DIGITS - 1; i >= 0; i--, seq /= 10)
            at[i] = (uint8_t)('0' + seq % 10) ^ mask;
}

static uint64_t get_sequence(const uint8_t *at, int varint)
{
    uint64_t seq = 0;
    if (varint)
        for (int i = VARINT_BYTES - 1; i >= 0; i--) seq = seq << 7 | (at[i] & 0x7F);
    else
        for (int i = 0; i < DIGITS; i++) seq = seq * 10 + (uint64_t)(at[i] - '0');
    return seq;
}

static int sequence_size(int varint)
{
    return varint ? VARINT_BYTES : DIGITS;
}
#endif
