/* The prefilter for one instruction set; included once for each, with LM_SET its name and LM_TARGET its attribute.
 *
 * The blocks are classified some at a time; each kind of run then has a loop of its own over their classes, which is
 * skipped where what it needs was not seen: neither the vectors of the first loop nor the masks of the others leave
 * the registers. */

#define LM_NAME2(a, b, c) a##b##c
#define LM_NAME1(a, b, c) LM_NAME2(a, b, c)
#define LM_OF(what) LM_NAME1(lm_, LM_SET, what)
#if defined(LM_CHUNKS)
#define LM_STOPS(ptr) LM_OF(_stops)(ptr)
#else
#define LM_STOPS(ptr) lm_any_of((ptr), '.', '.', '.', '.')
#endif
#define LM_MASK(block, add) LM_OF(_mask)((block), 0xFF, (add))

/* Letters that stand alone, where punctuation that can pass for a letter is one. */
LM_TARGET LM_RARE void LM_OF(_letterlike)(lm_job *job, const uint8_t *kinds, const uint8_t *ptr, size_t blocks, size_t base) {
    uint64_t before = LM_MASK(kinds - 64, LM_IS_LETTERLIKE) & ~lm_escapes_before(job, base), alone_before = ~(uint64_t)0;
    for (size_t i = 0; i < blocks && !(job->trips & LM_TRIP_SPACED); i++) {
        uint64_t letters = LM_MASK(kinds + 64 * i, LM_IS_LETTERLIKE) & ~lm_any_of(ptr + 64 * i, '%', '&', '\\', '\\');
        uint64_t alone = lm_alone(letters, before), close = lm_close_together(alone, alone_before);
        if (close) lm_follow_letters(job, close, base + 64 * i);
        before = letters;
        alone_before = alone;
    }
}

LM_TARGET LM_RARE void LM_OF(_base64)(lm_job *job, lm_open_run *open, const uint8_t *kinds, const uint8_t *ptr, size_t blocks,
                                      size_t base) {
    open->alnum = LM_MASK(kinds - 64, LM_IS_ALNUM);
    for (size_t i = 0; i < blocks && !(job->trips & LM_TRIP_BASE64); i++) {
        const uint8_t *block = kinds + 64 * i;
        uint64_t alnum = LM_MASK(block, LM_IS_ALNUM), upper = LM_OF(_mask)(block, LM_CAPITALS, 0x7F) & alnum;
        lm_look_for_base64(job, open, upper, LM_MASK(block, LM_IS_DIGIT), alnum, ptr + 64 * i, base + 64 * i);
    }
}

LM_TARGET LM_RARE void LM_OF(_hex)(lm_job *job, const uint8_t *kinds, size_t blocks, size_t base) {
    uint64_t hex_before = LM_MASK(kinds - 64, LM_IS_HEX);
    for (size_t i = 0; i < blocks && !(job->trips & LM_TRIP_HEX); i++) {
        const uint8_t *block = kinds + 64 * i;
        uint64_t hex = LM_MASK(block, LM_IS_HEX);
        if (lm_eight_in_a_row(hex, hex_before)) {
            lm_hex_block now = {LM_MASK(block, LM_IS_DIGIT), hex}, before = {LM_MASK(block - 64, LM_IS_DIGIT), hex_before};
            lm_look_for_hex_around(job, now, before, base + 64 * i);
        }
        hex_before = hex;
    }
}

/* Classifies some blocks and looks for letters that stand alone. */
LM_TARGET static inline void LM_OF(_blocks)(lm_job *job, LM_OF(_state) *state, const uint8_t *ptr, uint8_t *kinds,
                                            size_t blocks, size_t base, lm_letters *before) {
    uint64_t alnum_before = before->alnum, alone_before = before->alone;
    for (size_t i = 0; i < blocks; i++) {
        LM_OF(_classify)(state, ptr + 64 * i, kinds + 64 * i);
        uint64_t alnum = LM_MASK(kinds + 64 * i, LM_IS_ALNUM), alone = lm_alone(alnum, alnum_before);
        uint64_t close = lm_close_together(alone, alone_before);
        if (close && !(job->trips & LM_TRIP_SPACED)) lm_follow_letters(job, close, base + 64 * i);
        alnum_before = alnum;
        alone_before = alone;
    }
    before->alnum = alnum_before;
    before->alone = alone_before;
}

/* Not zero if numbers may start near each other among the first bytes; where there is no `ptr`, full stops are none. */
LM_TARGET static inline uint64_t LM_OF(_near)(lm_numbers *before, const uint8_t *kinds, const uint8_t *ptr, size_t length) {
    uint64_t near = 0;
    for (size_t at = 0; at < length; at += 64) {
        uint64_t digit = LM_MASK(kinds + at, LM_IS_DIGIT);
        if (length - at < 64) digit &= ((uint64_t)1 << (length - at)) - 1;
        near |= lm_numbers_near(before, digit, ptr ? LM_STOPS(ptr + at) : 0);
    }
    return near;
}

/* Looks for numbers near each other among the first bytes: full stops only where digits are near each other. */
LM_TARGET static inline void LM_OF(_numbers)(lm_job *job, lm_numbers *numbers, const uint8_t *kinds, const uint8_t *ptr,
                                             size_t length) {
    lm_numbers without_stops = *numbers;
    if (!LM_OF(_near)(&without_stops, kinds, NULL, length))
        *numbers = without_stops;
    else if (LM_OF(_near)(numbers, kinds, ptr, length))
        job->trips |= LM_TRIP_CODES;
}

/* A short text that zeros follow: one chunk, and nothing to carry over to another. */
LM_TARGET static int LM_OF(_prefilter_short)(const lm_prefilter_tables *t, const uint8_t *text, size_t length,
                                             size_t quotes_from, size_t codes_to) {
    lm_job job = {text, length, quotes_from, t->spaced, 0};
    LM_ALIGNED uint8_t space[64 * (LM_SHORT + 1) + 32];
    lm_open_run open = {0, 0, 0};
    size_t blocks = length / 64 + 1;
#if defined(LM_CHUNKS)
    lm_seen seen = LM_OF(_short_blocks)(&job, &t->trigrams, text, space + 64, length);
#else
    LM_OF(_state) state;
    lm_letters letters = {0, 0};
    LM_OF(_begin)(&t->trigrams, &state);
    LM_OF(_blocks)(&job, &state, text, space + 64, blocks, 0, &letters);
    lm_seen seen = LM_OF(_end)(&state);
#endif
    if (seen.high) job.trips |= LM_TRIP_HIGH;
    if (seen.trigram) job.trips |= LM_TRIP_WORD;
    if (seen.equals) job.trips |= LM_TRIP_CODES;
    if (seen.kinds & LM_DIGIT) {
        lm_numbers numbers = {0, 0, 0};
        LM_OF(_numbers)(&job, &numbers, space + 64, text, codes_to);
    }
    if (!(seen.kinds & (LM_SIGNS | LM_CAPITALS)) && !((seen.kinds & LM_DIGIT) && seen.hex_row)) return job.trips;
    memset(space, 0, 64);
    if (seen.kinds & LM_SIGNS) lm_look_for_escapes(&job, text, blocks);
    if (seen.kinds & (LM_SIGNS | LM_CAPITALS)) LM_OF(_letterlike)(&job, space + 64, text, blocks, 0);
    if ((seen.kinds & LM_DIGIT) && seen.hex_row) LM_OF(_hex)(&job, space + 64, blocks, 0);
    if (seen.kinds & LM_CAPITALS) LM_OF(_base64)(&job, &open, space + 64, text, blocks, 0);
    return job.trips;
}

LM_TARGET static int LM_OF(_prefilter)(const lm_prefilter_tables *t, const uint8_t *text, size_t length, size_t quotes_from,
                                       lm_stretch *unquoted) {
    lm_job job = {text, length, quotes_from, t->spaced, 0};
    LM_OF(_state) state;
    LM_ALIGNED uint8_t space[64 * (LM_CHUNK + 1)];
    LM_ALIGNED uint8_t edge[64];
    uint8_t *kinds = space + 64;
    lm_open_run open = {0, 0, 0};
    lm_letters letters = {0, 0};
    lm_numbers numbers = {0, 0, 0};
    lm_stretch quiet = {0, 0}, longest = quiet;
    int letterlike_before = 0, digit_before = 0, row_before = 0;
    LM_OF(_begin)(&t->trigrams, &state);
    memset(space, 0, 64);
#if defined(LM_CHUNKS)
    size_t ahead = length < 64 * (LM_CHUNK + 2) ? 0 : (size_t)((uintptr_t)text & 63); /* loads over two cache lines take longer */
#else
    size_t ahead = 0;
#endif
    for (size_t at = 0, blocks; at <= ahead + length; at += 64 * blocks) {
        size_t base = at - ahead, left = ahead + length - at; /* for the first block below 0, by as much as `ahead` */
        const uint8_t *ptr = edge;
        blocks = left / 64;
        if (blocks == 0 || (ahead && at == 0)) { /* the end, with zeros after it; the beginning, with zeros before it */
            size_t unused = at ? 0 : ahead, size = left < 64 ? left : 64;
            memset(edge, 0, 64);
            if (size > unused) memcpy(edge + unused, text + (base + unused), size - unused);
            blocks = 1;
        } else {
            ptr = text + base;
        }
        if (blocks > LM_CHUNK) blocks = LM_CHUNK;
        int counted = 0; /* the numbers */
#if defined(LM_CHUNKS)
        if (at == 0) blocks = 1; /* a chunk looks at what stands before it */
        if ((counted = blocks == LM_CHUNK))
            LM_OF(_chunk)(&job, &t->trigrams, &state, ptr, kinds, base, &letters, &numbers);
        else
#endif
            LM_OF(_blocks)(&job, &state, ptr, kinds, blocks, base, &letters);
        lm_seen seen = LM_OF(_end)(&state);
        int letterlike = seen.kinds & (LM_SIGNS | LM_CAPITALS), digit = seen.kinds & LM_DIGIT;
        if (seen.high) job.trips |= LM_TRIP_HIGH;
        if (seen.trigram) job.trips |= LM_TRIP_WORD;
        if (seen.equals) job.trips |= LM_TRIP_CODES;
        quiet.to = base + 64 * blocks < length ? base + 64 * blocks : length;
        if (seen.quote)
            quiet.from = quiet.to;
        else if (quiet.to - quiet.from > longest.to - longest.from)
            longest = quiet;
        if (!counted && digit)
            LM_OF(_numbers)(&job, &numbers, kinds, ptr, 64 * blocks);
        else if (!digit)
            numbers.digit = numbers.stop = numbers.start = 0;
        if (seen.kinds & LM_SIGNS) lm_look_for_escapes(&job, ptr, blocks);
        if (letterlike | letterlike_before) LM_OF(_letterlike)(&job, kinds, ptr, blocks, base);
        if ((digit | digit_before) && (seen.hex_row | row_before)) LM_OF(_hex)(&job, kinds, blocks, base);
        if ((seen.kinds & LM_CAPITALS) || open.upper)
            LM_OF(_base64)(&job, &open, kinds, ptr, blocks, base);
        else
            open.digit = 1;
        letterlike_before = letterlike;
        digit_before = digit;
        row_before = seen.hex_row;
        memcpy(space, kinds + 64 * (blocks - 1), 64);
    }
    if (unquoted) *unquoted = longest;
    return job.trips;
}

#undef LM_MASK
#undef LM_STOPS
#undef LM_OF
#undef LM_NAME1
#undef LM_NAME2
#undef LM_SET
#undef LM_TARGET
#undef LM_CHUNKS
