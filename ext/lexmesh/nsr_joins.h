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
    uint64_t across[256][2];   /* the last before the edge, the first after it; all of them after a byte above 0x7F */
    uint64_t before[128][2];   /* the last two before it */
    uint64_t after[128][2];    /* the first two after it */
    uint8_t odd[256];          /* a text that begins with this byte may be JSON, or begin with something that shows nothing */
} lm_splits;

static inline void lm_set_pair(uint64_t (*pairs)[2], int a, int b) { pairs[a][b >> 6] |= (uint64_t)1 << (b & 63); }

static inline void lm_start_splits(lm_splits *s) {
    memset(s, 0, sizeof *s);
    memset(s->across[128], 0xFF, 128 * sizeof s->across[0]);
    for (int c = 0; c < 256; c++) s->odd[c] = c <= ' ' || c >= 0x7F || c == '{' || c == '[' || c == '"';
}

static inline int lm_has_pair(const uint64_t (*pairs)[2], uint8_t a, uint8_t b) { return pairs[a][b >> 6] >> (b & 63) & 1; }

/* Whether a marker might span the edge between two strings that are not empty. */
static inline int lm_may_join(const lm_splits *s, const uint8_t *left, size_t left_len, const uint8_t *right, size_t right_len) {
    uint8_t last = left[left_len - 1], first = right[0];
    if (first & 0x80) return 1;
    if (!lm_has_pair(s->across, last, first)) return 0;
    if (last & 0x80) return 1;
    if (left_len > 1 && !(left[left_len - 2] & 0x80) && !lm_has_pair(s->before, left[left_len - 2], last)) return 0;
    return right_len < 2 || (right[1] & 0x80) || lm_has_pair(s->after, first, right[1]);
}

/* Whether neither of two texts begins oddly, and no marker spans the edge between them; both may be empty. */
static inline int lm_is_plain_pair(const lm_splits *s, const uint8_t *left, size_t left_len, const uint8_t *right, size_t right_len) {
    if (left_len == 0) return right_len == 0 || !s->odd[right[0]];
    if (s->odd[left[0]]) return 0;
    return right_len == 0 || (!s->odd[right[0]] && !lm_may_join(s, left, left_len, right, right_len));
}

/* Where a text is known to hold no quotes. */
typedef struct {
    size_t from, to;
} lm_stretch;

static inline lm_stretch lm_nowhere(void) { return (lm_stretch){0, 0}; }

static inline const uint8_t *lm_find_quote(const uint8_t *text, size_t at, size_t length, lm_stretch unquoted) {
    const uint8_t *found = NULL;
    if (at < unquoted.from) found = (const uint8_t *)memchr(text + at, '"', unquoted.from - at);
    if (found) return found;
    if (at < unquoted.to) at = unquoted.to;
    found = (const uint8_t *)memchr(text + at, '"', length - at);
    return found ? found : text + length;
}

/* Whether neighbouring strings of a JSON text without backslashes might hold a marker together. */
static inline int lm_may_join_in_json(const lm_splits *s, const uint8_t *text, size_t length, lm_stretch unquoted) {
    const uint8_t *end = text + length, *before = NULL, *open, *close, *next;
    size_t before_len = 0;
    for (open = lm_find_quote(text, 0, length, unquoted); open < end;
         open = lm_find_quote(text, (size_t)(close + 1 - text), length, unquoted)) {
        close = lm_find_quote(text, (size_t)(open + 1 - text), length, unquoted);
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
