/* Proves that no stage of the scanner can find anything in a text, or says which might.
 *
 * One pass, 64 bytes a step. Each proof errs only towards "might": what trips goes to the slow path, which decides.
 * The figures that it relies on (seven separators at most between spaced letters, six characters of base64, eight of
 * hex) are those of _nsr_fold and _nsr_blob. */
#ifndef LEXMESH_NSR_PREFILTER_H
#define LEXMESH_NSR_PREFILTER_H

#include "nsr_avx2_chunk.h"
#include "nsr_avx2_short.h"
#include "nsr_joins.h"

/* Whether what lies behind a text on the same page may be read. Address sanitizer knows objects, not pages. */
#if defined(__SANITIZE_ADDRESS__)
enum { LM_MAY_OVERREAD = 0 };
#else
enum { LM_MAY_OVERREAD = 1 };
#endif

typedef struct {
    lm_trigrams trigrams;
    int spaced; /* letters of the shortest marker, at least three, and LM_MAX_SPACED at most unless none can be set apart */
} lm_prefilter_tables;

LM_RARE void lm_look_for_escapes(lm_job *job, const uint8_t *ptr, size_t blocks) {
    for (size_t i = 0; i < blocks && !(job->trips & LM_TRIP_ESCAPE); i++)
        if (lm_any_of(ptr + 64 * i, '%', '&', '\\', '\\')) job->trips |= LM_TRIP_ESCAPE;
}

#define LM_SET scalar
#define LM_TARGET
#include "nsr_prefilter_body.h"

#if defined(LM_X86_DISPATCH)
#define LM_SET ssse3
#define LM_TARGET __attribute__((target("ssse3")))
#include "nsr_prefilter_body.h"
#define LM_CHUNKS
#define LM_SET avx2
#define LM_TARGET __attribute__((target("avx2,bmi")))
#include "nsr_prefilter_body.h"
#elif defined(LM_NEON)
#define LM_SET neon
#define LM_TARGET
#include "nsr_prefilter_body.h"
#endif

/* For any text, of which `quotes_from` on is raw JSON, and which may tell where it holds no quotes (unless it trips with
 * LM_TRIP_HIGH); and for one of less than 64 * LM_SHORT bytes that 64 zeros follow,
 * of which only what stands before `codes_to` is searched for numbers. Both return LM_TRIP_ bits. */
typedef struct {
    int (*run)(const lm_prefilter_tables *, const uint8_t *, size_t length, size_t quotes_from, lm_stretch *unquoted);
    int (*run_short)(const lm_prefilter_tables *, const uint8_t *, size_t length, size_t quotes_from, size_t codes_to);
} lm_prefilter;

/* The fastest implementation that this processor has; `most` caps it: 0 scalar, 1 128 bits, 2 whatever there is. */
static inline lm_prefilter lm_choose_prefilter(int most) {
    lm_prefilter chosen = {lm_scalar_prefilter, lm_scalar_prefilter_short};
#if defined(LM_X86_DISPATCH)
    __builtin_cpu_init();
    if (most >= 2 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi")) {
        chosen.run = lm_avx2_prefilter;
        chosen.run_short = lm_avx2_prefilter_short;
    } else if (most >= 1 && __builtin_cpu_supports("ssse3")) {
        chosen.run = lm_ssse3_prefilter;
        chosen.run_short = lm_ssse3_prefilter_short;
    }
#elif defined(LM_NEON)
    if (most >= 1) {
        chosen.run = lm_neon_prefilter;
        chosen.run_short = lm_neon_prefilter_short;
    }
#endif
    (void)most;
    return chosen;
}

#endif
