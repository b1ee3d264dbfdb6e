/* A short text with AVX2: first what the tables say, kept on the stack, then what is found in that, so that neither loop
 * has more vectors in use than there are registers. */
#ifndef LEXMESH_NSR_AVX2_SHORT_H
#define LEXMESH_NSR_AVX2_SHORT_H

#include "nsr_runs.h"

enum { LM_SHORT = 40 /* blocks */ };

#if defined(LM_X86_DISPATCH)

enum { LM_SHORT_ROW = 64 * LM_SHORT + 32 };

/* Buckets by place, each row 32 bytes into its own space: those of the edge before the text stand there. */
typedef struct {
    LM_ALIGNED uint8_t bucket[3][LM_SHORT_ROW];
} lm_avx2_buckets;

LM_AVX2 void lm_avx2_look_up(const lm_trigrams *t, const uint8_t *text, size_t size, uint8_t *kinds, lm_avx2_buckets *to,
                             lm_avx2_seen *seen) {
    lm_avx2_state s;
    lm_avx2_begin(t, &s);
    _mm256_store_si256((__m256i *)to->bucket[0], s.first);
    _mm256_store_si256((__m256i *)to->bucket[1], s.second);
    for (size_t at = 0; at < size; at += 32) {
        __m256i bytes = _mm256_loadu_si256((const __m256i *)(text + at));
        __m256i top = _mm256_and_si256(_mm256_srli_epi16(bytes, 4), _mm256_set1_epi8(15));
        __m256i kind = lm_both(s.class_low, s.class_high, bytes, top);
        _mm256_store_si256((__m256i *)(kinds + at), kind);
        _mm256_store_si256((__m256i *)(to->bucket[0] + 32 + at), lm_both(s.low[0], s.high[0], bytes, top));
        _mm256_store_si256((__m256i *)(to->bucket[1] + 32 + at), lm_both(s.low[1], s.high[1], bytes, top));
        _mm256_store_si256((__m256i *)(to->bucket[2] + 32 + at), lm_both(s.low[2], s.high[2], bytes, top));
        seen->highs = _mm256_or_si256(seen->highs, bytes);
        seen->kinds = _mm256_or_si256(seen->kinds, kind);
    }
    _mm256_store_si256((__m256i *)(kinds + size), _mm256_setzero_si256());
}

LM_AVX2 void lm_avx2_search(size_t size, const uint8_t *kinds, const lm_avx2_buckets *of, lm_avx2_seen *seen) {
    for (size_t at = 0; at < size; at += 32) {
        __m256i found = _mm256_and_si256(_mm256_loadu_si256((const __m256i *)(of->bucket[0] + 30 + at)),
                                         _mm256_loadu_si256((const __m256i *)(of->bucket[1] + 31 + at)));
        found = _mm256_and_si256(found, _mm256_load_si256((const __m256i *)(of->bucket[2] + 32 + at)));
        seen->found = _mm256_or_si256(seen->found, found);
        __m256i digits = lm_hex_digits(_mm256_load_si256((const __m256i *)(kinds + at)));
        seen->hex_rows = _mm256_max_epu32(seen->hex_rows, digits);
    }
}

LM_AVX2 void lm_avx2_lone_letters_of(lm_job *job, const uint8_t *kinds, size_t size) {
    uint64_t before = 0, alone_before = 0;
    for (size_t at = 0; at < size; at += 64) {
        uint64_t alnum = lm_avx2_mask_of(_mm256_load_si256((const __m256i *)(kinds + at)),
                                         _mm256_load_si256((const __m256i *)(kinds + at + 32)), LM_IS_ALNUM);
        uint64_t alone = lm_alone(alnum, before);
        if (alone && lm_close_together(alone, alone_before) && !(job->trips & LM_TRIP_SPACED))
            lm_follow_letters(job, lm_close_together(alone, alone_before), at);
        before = alnum;
        alone_before = alone;
    }
}

/* Does what lm_avx2_begin, _blocks and _end do, for `length` bytes that zeros follow, of which it reads half blocks. */
LM_AVX2 lm_seen lm_avx2_short_blocks(lm_job *job, const lm_trigrams *t, const uint8_t *text, uint8_t *kinds, size_t length) {
    __m256i zero = _mm256_setzero_si256(), rare = _mm256_set1_epi8(LM_SIGNS | LM_CAPITALS);
    lm_avx2_buckets buckets;
    lm_avx2_seen found = {zero, zero, zero, zero, zero, zero};
    size_t size = 32 * (length / 32 + 1);
    lm_avx2_look_up(t, text, size, kinds, &buckets, &found);
    lm_avx2_lone_letters_of(job, kinds, size);
    lm_avx2_search(size, kinds, &buckets, &found);
    lm_seen seen;
    seen.kinds = _mm256_movemask_epi8(found.kinds) ? LM_DIGIT : 0;
    if (!_mm256_testz_si256(found.kinds, rare)) seen.kinds = lm_avx2_all_bits(found.kinds);
    seen.high = _mm256_movemask_epi8(found.highs) != 0;
    seen.trigram = lm_has_bucket(found.found, LM_WORD_BUCKETS);
    seen.equals = lm_has_bucket(found.found, LM_EQUALS_BUCKET);
    seen.quote = lm_has_bucket(found.found, LM_QUOTE_BUCKET);
    seen.hex_row = lm_has_hex_row(found.hex_rows);
    return seen;
}

#endif
#endif
