/* Sixty-four blocks at once with AVX2, for long texts.
 *
 * What is bound by shuffles and stores (looking up) and what is bound by other operations (searching what was looked up)
 * share one loop, a few blocks apart: a load that spans two stores waits until both have reached the cache. What is done on
 * the masks of blocks is done on four at a time. */
#ifndef LEXMESH_NSR_AVX2_CHUNK_H
#define LEXMESH_NSR_AVX2_CHUNK_H

#include "nsr_runs.h"

enum { LM_CHUNK = 64 /* blocks */, LM_ROW = 64 * LM_CHUNK + 32, LM_AHEAD = 8 /* blocks that are looked up before one is searched */ };

#if defined(LM_X86_DISPATCH)

/* Buckets by place, each row 32 bytes into its own space: those of the two bytes before stand there. Of masks, the first
 * four are of the blocks before. */
typedef struct {
    LM_ALIGNED uint8_t bucket[3][LM_ROW];
    LM_ALIGNED uint64_t alnum[LM_CHUNK + 4], alone[LM_CHUNK + 4], start[LM_CHUNK + 4], going_on[LM_CHUNK + 4];
} lm_avx2_space;

LM_AVX2 void lm_avx2_fill(const lm_avx2_state *s, const uint8_t *ptr, uint8_t *kinds, uint8_t *buckets) {
    __m256i bytes = _mm256_loadu_si256((const __m256i *)ptr);
    __m256i top = _mm256_and_si256(_mm256_srli_epi16(bytes, 4), _mm256_set1_epi8(15));
    _mm256_store_si256((__m256i *)kinds, lm_both(s->class_low, s->class_high, bytes, top));
    _mm256_store_si256((__m256i *)buckets, lm_both(s->low[0], s->high[0], bytes, top));
    _mm256_store_si256((__m256i *)(buckets + LM_ROW), lm_both(s->low[1], s->high[1], bytes, top));
    _mm256_store_si256((__m256i *)(buckets + 2 * LM_ROW), lm_both(s->low[2], s->high[2], bytes, top));
}

/* The buckets of which a trigram ends at each byte. */
LM_AVX2 __m256i lm_avx2_found(const uint8_t *buckets) {
    __m256i found = _mm256_and_si256(_mm256_loadu_si256((const __m256i *)(buckets - 2)),
                                     _mm256_loadu_si256((const __m256i *)(buckets + LM_ROW - 1)));
    return _mm256_and_si256(found, _mm256_load_si256((const __m256i *)(buckets + 2 * LM_ROW)));
}

/* Where a number starts: bit 7 of each byte. */
LM_AVX2 __m256i lm_avx2_starts(const uint8_t *kinds) {
    return _mm256_andnot_si256(_mm256_loadu_si256((const __m256i *)(kinds - 1)), _mm256_load_si256((const __m256i *)kinds));
}

/* Which of them go on with another: no full stop stands before. */
LM_AVX2 __m256i lm_avx2_going_on(const uint8_t *ptr, __m256i starts) {
    __m256i stop = _mm256_cmpeq_epi8(_mm256_loadu_si256((const __m256i *)(ptr - 1)), _mm256_set1_epi8('.'));
    return _mm256_andnot_si256(stop, starts);
}

LM_AVX2 void lm_avx2_search_block(lm_avx2_seen *seen, const uint8_t *ptr, const uint8_t *kinds, const uint8_t *buckets,
                                  lm_avx2_space *space, size_t i) {
    __m256i low = _mm256_loadu_si256((const __m256i *)ptr), high = _mm256_loadu_si256((const __m256i *)(ptr + 32));
    __m256i kind = _mm256_load_si256((const __m256i *)kinds), kind2 = _mm256_load_si256((const __m256i *)(kinds + 32));
    __m256i found = _mm256_or_si256(lm_avx2_found(buckets), lm_avx2_found(buckets + 32));
    seen->found = _mm256_or_si256(seen->found, found);
    seen->highs = _mm256_or_si256(seen->highs, _mm256_or_si256(low, high));
    seen->kinds = _mm256_or_si256(seen->kinds, _mm256_or_si256(kind, kind2));
    seen->hex_rows = _mm256_max_epu32(seen->hex_rows, _mm256_max_epu32(lm_hex_digits(kind), lm_hex_digits(kind2)));
    space->alnum[4 + i] = lm_avx2_mask_of(kind, kind2, LM_IS_ALNUM);
    __m256i starts = lm_avx2_starts(kinds), starts2 = lm_avx2_starts(kinds + 32);
    space->start[4 + i] = lm_avx2_bits(starts, starts2);
    space->going_on[4 + i] = lm_avx2_bits(lm_avx2_going_on(ptr, starts), lm_avx2_going_on(ptr + 32, starts2));
}

LM_AVX2 void lm_avx2_search_all(const lm_avx2_state *s, lm_avx2_seen *seen, const uint8_t *ptr, uint8_t *kinds,
                                lm_avx2_space *space) {
    uint8_t *buckets = space->bucket[0] + 32;
    for (size_t at = 0; at < 64 * LM_AHEAD; at += 32) lm_avx2_fill(s, ptr + at, kinds + at, buckets + at);
    for (size_t i = 0, at = 0; i < LM_CHUNK - LM_AHEAD; i++, at += 64) {
        size_t ahead = at + 64 * LM_AHEAD;
        lm_avx2_fill(s, ptr + ahead, kinds + ahead, buckets + ahead);
        lm_avx2_search_block(seen, ptr + at, kinds + at, buckets + at, space, i);
        lm_avx2_fill(s, ptr + ahead + 32, kinds + ahead + 32, buckets + ahead + 32);
    }
    for (size_t i = LM_CHUNK - LM_AHEAD; i < LM_CHUNK; i++)
        lm_avx2_search_block(seen, ptr + 64 * i, kinds + 64 * i, buckets + 64 * i, space, i);
}

/* -- on the masks of four blocks at a time, as the functions of the same names without a four ------------------------ */

LM_AVX2 __m256i lm_load4(const uint64_t *masks) { return _mm256_loadu_si256((const __m256i *)masks); }

LM_AVX2 __m256i lm_shifted4(const uint64_t *masks, int by) {
    return _mm256_or_si256(_mm256_slli_epi64(lm_load4(masks), by), _mm256_srli_epi64(lm_load4(masks - 1), 64 - by));
}

LM_AVX2 __m256i lm_alone4(const uint64_t *letters) {
    __m256i after_letter = _mm256_andnot_si256(lm_load4(letters), lm_shifted4(letters, 1));
    return _mm256_andnot_si256(lm_shifted4(letters, 2), after_letter);
}

LM_AVX2 __m256i lm_eight_above4(__m256i bits) {
    bits = _mm256_or_si256(bits, _mm256_slli_epi64(bits, 1));
    bits = _mm256_or_si256(bits, _mm256_slli_epi64(bits, 2));
    return _mm256_slli_epi64(_mm256_or_si256(bits, _mm256_slli_epi64(bits, 4)), 1);
}

LM_AVX2 __m256i lm_close_together4(const uint64_t *alone) {
    __m256i here = lm_load4(alone), edge = _mm256_srli_epi64(lm_load4(alone - 1), 56);
    edge = _mm256_srli_epi64(_mm256_sub_epi64(_mm256_setzero_si256(), edge), 56);
    return _mm256_and_si256(here, _mm256_or_si256(lm_eight_above4(here), edge));
}

LM_AVX2 __m256i lm_near4(const uint64_t *start, const uint64_t *going_on) {
    __m256i here = lm_load4(start), next = lm_load4(going_on);
    __m256i before = _mm256_srli_epi64(lm_load4(start - 1), 64 - LM_NUMBERS_NEAR);
    __m256i none_before = _mm256_cmpeq_epi64(before, _mm256_setzero_si256());
    __m256i over_edge = _mm256_andnot_si256(none_before, _mm256_slli_epi64(next, 64 - LM_NUMBERS_NEAR));
    here = _mm256_and_si256(here, _mm256_add_epi64(here, _mm256_set1_epi64x(-1)));
    return _mm256_or_si256(_mm256_and_si256(next, here), over_edge);
}

/* Fills `alone`; whether letters stand alone close together. Trips where numbers start near each other. */
LM_AVX2 int lm_avx2_masks(lm_job *job, lm_avx2_space *space, lm_letters *letters, lm_numbers *numbers) {
    __m256i close = _mm256_setzero_si256(), near = close;
    space->alnum[3] = letters->alnum;
    space->alone[3] = letters->alone;
    space->start[3] = numbers->start;
    for (size_t i = 4; i < LM_CHUNK + 4; i += 4)
        _mm256_store_si256((__m256i *)(space->alone + i), lm_alone4(space->alnum + i));
    for (size_t i = 4; i < LM_CHUNK + 4; i += 4) {
        close = _mm256_or_si256(close, lm_close_together4(space->alone + i));
        near = _mm256_or_si256(near, lm_near4(space->start + i, space->going_on + i));
    }
    letters->alnum = space->alnum[LM_CHUNK + 3];
    letters->alone = space->alone[LM_CHUNK + 3];
    numbers->start = space->start[LM_CHUNK + 3];
    if (!_mm256_testz_si256(near, near)) job->trips |= LM_TRIP_CODES;
    return !_mm256_testz_si256(close, close);
}

__attribute__((target("avx2,bmi"), noinline)) static void
lm_avx2_chunk_of(lm_job *job, const lm_trigrams *tables, lm_avx2_seen *seen, const uint8_t *ptr, uint8_t *kinds, size_t base,
                 lm_letters *letters, lm_numbers *numbers) {
    lm_avx2_state s;
    lm_avx2_space space;
    lm_avx2_seen found = *seen;
    uint64_t alone_before = letters->alone;
    lm_avx2_begin(tables, &s);
    _mm256_store_si256((__m256i *)space.bucket[0], found.first);
    _mm256_store_si256((__m256i *)space.bucket[1], found.second);
    lm_avx2_search_all(&s, &found, ptr, kinds, &space);
    found.first = _mm256_load_si256((const __m256i *)(space.bucket[0] + 64 * LM_CHUNK));
    found.second = _mm256_load_si256((const __m256i *)(space.bucket[1] + 64 * LM_CHUNK));
    *seen = found;
    numbers->digit = lm_avx2_mask(kinds + 64 * (LM_CHUNK - 1), 0xFF, LM_IS_DIGIT);
    numbers->stop = lm_avx2_stops(ptr + 64 * (LM_CHUNK - 1));
    if (lm_avx2_masks(job, &space, letters, numbers)) lm_follow_all(job, space.alone + 4, alone_before, LM_CHUNK, base);
}

/* Leaves `s` as lm_avx2_classify of the same blocks would; a byte and its class stand before them. What a pointer leads to
 * has to be in memory, so the other function gets a copy, and `s` can stay in registers. */
LM_AVX2 void lm_avx2_chunk(lm_job *job, const lm_trigrams *tables, lm_avx2_state *s, const uint8_t *ptr, uint8_t *kinds,
                           size_t base, lm_letters *before, lm_numbers *numbers) {
    lm_numbers near = *numbers;
    lm_avx2_seen seen = {s->first, s->second, s->kinds, s->highs, s->found, s->hex_rows};
    lm_letters letters = *before;
    lm_avx2_chunk_of(job, tables, &seen, ptr, kinds, base, &letters, &near);
    s->first = seen.first;
    s->second = seen.second;
    s->kinds = seen.kinds;
    s->highs = seen.highs;
    s->found = seen.found;
    s->hex_rows = seen.hex_rows;
    *before = letters;
    *numbers = near;
}

#endif
#endif
