/* Sixty-four blocks at once with AVX2, for long texts: what does not need a shuffle is loaded or done on four masks at a
 * time, since the two ports that shuffle are what bounds the loop over blocks. */
#ifndef LEXMESH_NSR_AVX2_CHUNK_H
#define LEXMESH_NSR_AVX2_CHUNK_H

#include "nsr_runs.h"

enum { LM_CHUNK = 64 /* blocks */, LM_ROW = 64 * LM_CHUNK + 32 };

#if defined(LM_X86_DISPATCH)

/* Buckets by place, each row 32 bytes into its own space: those of the two bytes before stand there. */
typedef struct {
    LM_ALIGNED uint8_t bucket[3][LM_ROW];
    LM_ALIGNED uint64_t alnum[LM_CHUNK + 4], alone[LM_CHUNK + 4];
    LM_ALIGNED uint64_t digit[LM_CHUNK + 4], stop[LM_CHUNK + 4], start[LM_CHUNK + 4];
} lm_avx2_space;

LM_AVX2 void lm_avx2_fill_half(lm_avx2_state *s, const uint8_t *ptr, uint8_t *kinds, uint8_t *buckets) {
    __m256i bytes = _mm256_loadu_si256((const __m256i *)ptr);
    __m256i top = _mm256_and_si256(_mm256_srli_epi16(bytes, 4), _mm256_set1_epi8(15));
    __m256i kind = lm_both(s->class_low, s->class_high, bytes, top);
    s->highs = _mm256_or_si256(s->highs, bytes);
    s->equals = _mm256_or_si256(s->equals, _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8('=')));
    s->kinds = _mm256_or_si256(s->kinds, kind);
    _mm256_store_si256((__m256i *)kinds, kind);
    _mm256_store_si256((__m256i *)buckets, lm_both(s->low[0], s->high[0], bytes, top));
    _mm256_store_si256((__m256i *)(buckets + LM_ROW), lm_both(s->low[1], s->high[1], bytes, top));
    _mm256_store_si256((__m256i *)(buckets + 2 * LM_ROW), lm_both(s->low[2], s->high[2], bytes, top));
}

LM_AVX2 void lm_avx2_fill(lm_avx2_state *s, const uint8_t *ptr, uint8_t *kinds, lm_avx2_space *space) {
    for (size_t i = 0; i < LM_CHUNK; i++) {
        lm_avx2_fill_half(s, ptr + 64 * i, kinds + 64 * i, space->bucket[0] + 32 + 64 * i);
        lm_avx2_fill_half(s, ptr + 64 * i + 32, kinds + 64 * i + 32, space->bucket[0] + 64 + 64 * i);
        space->alnum[4 + i] = lm_avx2_mask(kinds + 64 * i, 0xFF, LM_IS_ALNUM);
        space->digit[4 + i] = lm_avx2_mask(kinds + 64 * i, 0xFF, LM_IS_DIGIT);
        space->stop[4 + i] = lm_avx2_stops(ptr + 64 * i);
    }
}

LM_AVX2 void lm_avx2_find(lm_avx2_state *s, const uint8_t *kinds, const lm_avx2_space *space) {
    for (size_t at = 0; at < 64 * LM_CHUNK; at += 32) {
        __m256i found = _mm256_and_si256(_mm256_loadu_si256((const __m256i *)(space->bucket[0] + 30 + at)),
                                         _mm256_loadu_si256((const __m256i *)(space->bucket[1] + 31 + at)));
        found = _mm256_and_si256(found, _mm256_load_si256((const __m256i *)(space->bucket[2] + 32 + at)));
        s->trigrams = _mm256_or_si256(s->trigrams, found);
        s->hex_rows = _mm256_or_si256(s->hex_rows, lm_hex_rows(_mm256_load_si256((const __m256i *)(kinds + at))));
    }
}

LM_AVX2 uint64_t lm_avx2_lone_letters(lm_avx2_space *space, const lm_letters *before) {
    uint64_t any = 0;
    space->alnum[3] = before->alnum;
    space->alone[3] = before->alone;
    for (size_t i = 4; i < LM_CHUNK + 4; i++) space->alone[i] = lm_alone(space->alnum[i], space->alnum[i - 1]);
    for (size_t i = 4; i < LM_CHUNK + 4; i++) any |= lm_close_together(space->alone[i], space->alone[i - 1]);
    return any;
}

/* As lm_numbers_near, of all blocks at once. */
LM_AVX2 uint64_t lm_avx2_numbers_of(lm_avx2_space *space, lm_numbers *before) {
    uint64_t any = 0;
    space->digit[3] = before->digit;
    space->stop[3] = before->stop;
    space->start[3] = before->start;
    for (size_t i = 4; i < LM_CHUNK + 4; i++)
        space->start[i] = lm_starts(space->digit[i], space->digit[i - 1], space->stop[i], space->stop[i - 1]);
    for (size_t i = 4; i < LM_CHUNK + 4; i++) any |= lm_near(space->start[i], space->start[i - 1]);
    before->digit = space->digit[LM_CHUNK + 3];
    before->stop = space->stop[LM_CHUNK + 3];
    before->start = space->start[LM_CHUNK + 3];
    return any;
}

__attribute__((target("avx2,bmi"), noinline)) static void
lm_avx2_chunk_of(lm_job *job, const lm_trigrams *tables, lm_avx2_seen *seen, const uint8_t *ptr, uint8_t *kinds, size_t base,
                 lm_letters *before, lm_numbers *numbers) {
    lm_avx2_state s;
    lm_avx2_space space;
    uint64_t any, alone_before = before->alone;
    lm_avx2_begin(tables, &s);
    _mm256_store_si256((__m256i *)space.bucket[0], seen->first);
    _mm256_store_si256((__m256i *)space.bucket[1], seen->second);
    lm_avx2_fill(&s, ptr, kinds, &space);
    lm_avx2_find(&s, kinds, &space);
    seen->first = _mm256_load_si256((const __m256i *)(space.bucket[0] + 64 * LM_CHUNK));
    seen->second = _mm256_load_si256((const __m256i *)(space.bucket[1] + 64 * LM_CHUNK));
    seen->highs = _mm256_or_si256(seen->highs, s.highs);
    seen->kinds = _mm256_or_si256(seen->kinds, s.kinds);
    seen->trigrams = _mm256_or_si256(seen->trigrams, s.trigrams);
    seen->hex_rows = _mm256_or_si256(seen->hex_rows, s.hex_rows);
    seen->equals = _mm256_or_si256(seen->equals, s.equals);
    any = lm_avx2_lone_letters(&space, before);
    if (lm_avx2_numbers_of(&space, numbers)) job->trips |= LM_TRIP_CODES;
    before->alnum = space.alnum[LM_CHUNK + 3];
    before->alone = space.alone[LM_CHUNK + 3];
    if (any) lm_follow_all(job, space.alone + 4, alone_before, LM_CHUNK, base);
}

/* Leaves `s` as lm_avx2_classify of the same blocks would. What a pointer leads to has to be in memory, so the other
 * function gets a copy, and `s` can stay in registers. */
LM_AVX2 void lm_avx2_chunk(lm_job *job, const lm_trigrams *tables, lm_avx2_state *s, const uint8_t *ptr, uint8_t *kinds,
                           size_t base, lm_letters *before, lm_numbers *numbers) {
    lm_numbers near = *numbers;
    lm_avx2_seen seen = {s->first, s->second, s->kinds, s->highs, s->trigrams, s->hex_rows, s->equals};
    lm_letters letters = *before;
    lm_avx2_chunk_of(job, tables, &seen, ptr, kinds, base, &letters, &near);
    s->first = seen.first;
    s->second = seen.second;
    s->kinds = seen.kinds;
    s->highs = seen.highs;
    s->trigrams = seen.trigrams;
    s->hex_rows = seen.hex_rows;
    s->equals = seen.equals;
    *before = letters;
    *numbers = near;
}

#endif
#endif
