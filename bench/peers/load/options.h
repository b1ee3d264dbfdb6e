/* What a run is told on its command line, as name=value. */
#ifndef OPTIONS_H
#define OPTIONS_H
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum mode { FIXED, BATCH, REPLY };  /* how deliveries are framed; see incoming.h */

struct text { uint8_t *at; size_t len; };

struct options {
    int publisher;              /* file descriptor, connected, past its handshake */
    int *subscribers;           /* the same for each receiver; may hold the publisher itself */
    size_t subscriber_count;
    struct text unit;           /* what is sent over and over: one frame or command, of `unit_messages` messages */
    uint64_t unit_messages;
    size_t unit_seq_at, unit_stride;    /* where the first sequence number stands, and how far on the next */
    uint8_t unit_xor;           /* masks the numbers: RFC 6455 section 5.3 with four equal bytes */
    struct text expect;         /* one delivery */
    size_t expect_seq_at;
    struct text noise;          /* what may stand between deliveries */
    enum mode mode;
    int varint;                 /* numbers are four-byte varints, else nine digits */
    uint64_t first, count;      /* sequence numbers */
    uint64_t window;            /* messages that may be on the way to the slowest subscriber */
    uint64_t chunk;             /* units in one write */
    double rate;                /* messages a second; 0: as fast as the window allows */
    double seconds;             /* sending ends after this time even if `count` is not reached; 0: never */
};

__attribute__((format(printf, 1, 2), noreturn)) static void fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("load: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

static struct text file_text(const char *path)
{
    FILE *file = fopen(path, "rb");
    struct text found = {0};
    if (!file) fail("cannot read %s", path);
    fseek(file, 0, SEEK_END);
    found.len = (size_t)ftell(file);
    rewind(file);
    found.at = malloc(found.len + 1);
    if (!found.at || fread(found.at, 1, found.len, file) != found.len) fail("cannot read %s", path);
    found.at[found.len] = 0;
    fclose(file);
    return found;
}

static void read_subscribers(struct options *o, const char *path)
{
    struct text list = file_text(path);
    char *at = (char *)list.at, *end;
    o->subscribers = malloc((list.len + 1) * sizeof(int));
    if (!o->subscribers) fail("out of memory");
    for (long fd = strtol(at, &end, 10); end != at; fd = strtol(at, &end, 10)) {
        o->subscribers[o->subscriber_count++] = (int)fd;
        at = end;
    }
    free(list.at);
}

static enum mode mode_named(const char *name)
{
    return !strcmp(name, "fixed") ? FIXED : !strcmp(name, "batch") ? BATCH : REPLY;
}

static void set_option(struct options *o, const char *name, const char *value)
{
    if (!strcmp(name, "publisher")) o->publisher = atoi(value);
    else if (!strcmp(name, "subscribers")) read_subscribers(o, value);
    else if (!strcmp(name, "unit")) o->unit = file_text(value);
    else if (!strcmp(name, "unit_messages")) o->unit_messages = strtoull(value, NULL, 10);
    else if (!strcmp(name, "unit_seq_at")) o->unit_seq_at = strtoull(value, NULL, 10);
    else if (!strcmp(name, "unit_stride")) o->unit_stride = strtoull(value, NULL, 10);
    else if (!strcmp(name, "unit_xor")) o->unit_xor = (uint8_t)atoi(value);
    else if (!strcmp(name, "expect")) o->expect = file_text(value);
    else if (!strcmp(name, "expect_seq_at")) o->expect_seq_at = strtoull(value, NULL, 10);
    else if (!strcmp(name, "noise")) o->noise = file_text(value);
    else if (!strcmp(name, "mode")) o->mode = mode_named(value);
    else if (!strcmp(name, "varint")) o->varint = atoi(value);
    else if (!strcmp(name, "first")) o->first = strtoull(value, NULL, 10);
    else if (!strcmp(name, "count")) o->count = strtoull(value, NULL, 10);
    else if (!strcmp(name, "window")) o->window = strtoull(value, NULL, 10);
    else if (!strcmp(name, "chunk")) o->chunk = strtoull(value, NULL, 10);
    else if (!strcmp(name, "rate")) o->rate = atof(value);
    else if (!strcmp(name, "seconds")) o->seconds = atof(value);
    else fail("no option %s", name);
}

static struct options read_options(int count, char **arguments)
{
    struct options o = {0};
    for (int i = 1; i < count; i++) {
        char *value = strchr(arguments[i], '=');
        if (!value) fail("%s is not name=value", arguments[i]);
        *value = 0;
        set_option(&o, arguments[i], value + 1);
    }
    return o;
}
#endif
