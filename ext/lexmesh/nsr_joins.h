/* Proves that no marker can be split over two neighbouring strings, or says that one might be.
 *
 * Four characters tell: the two before the edge and the two after it. Each table is a bitmap of pairs of ASCII bytes. */
#ifndef LEXMESH_NSR_JOINS_H
#define LEXMESH_NSR_JOINS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "text.h"

typedef struct {
    uint8_t across[128][16];   /* the last before the edge, the first after it */
    uint8_t before[128][16];   /* the last two before it */
    uint8_t after[128][16];    /* the first two after it */
} lm_splits;

static inline void lm_set_pair(uint8_t (*pairs)[16], int a, int b) { pairs[a][b >> 3] |= (uint8_t)(1 << (b & 7)); }

static inline int lm_has_pair(const uint8_t (*pairs)[16], uint8_t a, uint8_t b) { return pairs[a][b >> 3] >> (b & 7) & 1; }

/* Whether a marker might span the edge between two strings that are not empty. */
static inline int lm_may_join(const lm_splits *s, const uint8_t *left, size_t left_len, const uint8_t *right, size_t right_len) {
    uint8_t last = left[left_len - 1], first = right[0];
    if ((last | first) & 0x80) return 1;
    if (!lm_has_pair(s->across, last, first)) return 0;
    if (left_len > 1 && !(left[left_len - 2] & 0x80) && !lm_has_pair(s->before, left[left_len - 2], last)) return 0;
    return right_len < 2 || (right[1] & 0x80) || lm_has_pair(s->after, first, right[1]);
}

static inline const uint8_t *lm_find_quote(const uint8_t *at, const uint8_t *end) {
    const uint8_t *found = (const uint8_t *)memchr(at, '"', (size_t)(end - at));
    return found ? found : end;
}

/* Whether neighbouring strings of a JSON text without backslashes might hold a marker together. */
static inline int lm_may_join_in_json(const lm_splits *s, const uint8_t *text, size_t length) {
    const uint8_t *end = text + length, *before = NULL, *open, *close, *next;
    size_t before_len = 0;
    for (open = lm_find_quote(text, end); open < end; open = lm_find_quote(close + 1, end)) {
        close = lm_find_quote(open + 1, end);
        if (close >= end) return 0;
        next = close + 1;
        while (next < end && (*next == ' ' || *next == '\n' || *next == '\r' || *next == '\t')) next++;
        size_t size = (size_t)(close - open) - 1;
        int is_key = next < end && *next == ':';
        if (size && before && !is_key && lm_may_join(s, before, before_len, open + 1, size)) return 1;
        if (size) before = open + 1, before_len = size;
        else if (is_key) before = NULL;
    }
    return 0;
}

#endif
