/* Decimals: numbers to digits; digits to doubles, rounded correctly (IEEE 754, to nearest, ties to even). */
#ifndef LEXMESH_DECIMAL_H
#define LEXMESH_DECIMAL_H

#include <math.h>

#include "text.h"

#define LM_MOST_DECIMALS 19

static const uint64_t lm_tens[LM_MOST_DECIMALS + 1] = {
    1ull, 10ull, 100ull, 1000ull, 10000ull, 100000ull, 1000000ull, 10000000ull, 100000000ull, 1000000000ull,
    10000000000ull, 100000000000ull, 1000000000000ull, 10000000000000ull, 100000000000000ull, 1000000000000000ull,
    10000000000000000ull, 100000000000000000ull, 1000000000000000000ull, 10000000000000000000ull,
};

/* How many digits a number has; 0 has none. */
static inline int lm_width(uint64_t value) {
#if defined(__GNUC__)
    int width = (64 - __builtin_clzll(value | 1)) * 1233 >> 12; /* 1233 / 4096: log10(2) */
    return width + (value >= lm_tens[width]);
#else
    int width = 0;
    while (width < 20 && value >= lm_tens[width]) width++;
    return width;
#endif
}

/* Writes the digits of a number, two a division. */
static inline uint8_t *lm_put_decimal(uint8_t *to, uint64_t value) {
    static const char pairs[] =
        "0001020304050607080910111213141516171819202122232425262728293031323334353637383940414243444546474849"
        "5051525354555657585960616263646566676869707172737475767778798081828384858687888990919293949596979899";
    if (value < 10) {
        *to = (uint8_t)('0' + value);
        return to + 1;
    }
    uint8_t *end = to + lm_width(value), *at = end;
    for (; value >= 10; value /= 100) {
        at -= 2;
        memcpy(at, pairs + 2 * (value % 100), 2);
    }
    if (at > to) *to = (uint8_t)('0' + value);
    return end;
}

/* Sets digits / 10**decimals; 0 if that takes more than is at hand. */
static inline int lm_decimal(uint64_t digits, unsigned decimals, double *value) {
    if (decimals > LM_MOST_DECIMALS) return 0;
    if (digits <= 1ull << 53) { /* both are exact doubles, up to 10**22, so their quotient is rounded once */
        *value = (double)digits / (double)lm_tens[decimals];
        return 1;
    }
#if defined(__SIZEOF_INT128__)
    /* 63 or 64 bits of the quotient of both, their top bits set; what remains only has to break a tie. */
    int up = __builtin_clzll(digits), down = __builtin_clzll(lm_tens[decimals]);
    __uint128_t numerator = (__uint128_t)(digits << up) << 63;
    uint64_t divisor = lm_tens[decimals] << down;
    uint64_t quotient = (uint64_t)(numerator / divisor);
    if (quotient * (__uint128_t)divisor != numerator) quotient |= 1;
    *value = ldexp((double)quotient, down - up - 63);
    return 1;
#else
    return 0;
#endif
}

#endif
