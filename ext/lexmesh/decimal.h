/* Decimals to doubles, rounded correctly (IEEE 754, to nearest, ties to even). */
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
