/* The sender: numbered copies of one unit, several to a write, never more than the window ahead of the slowest. */
#ifndef OUTGOING_H
#define OUTGOING_H
#include <errno.h>
#include <sys/socket.h>
#include "options.h"
#include "sequence.h"

struct sender {
    uint8_t *buffer;        /* `chunk` copies of the unit */
    size_t len, written;    /* bytes of it in use, and gone */
    uint64_t sent;          /* messages, put into the buffer at least */
};

static struct sender new_sender(const struct options *o)
{
    struct sender s = {0};
    s.buffer = malloc(o->chunk * o->unit.len);
    if (!s.buffer) fail("out of memory");
    for (uint64_t i = 0; i < o->chunk; i++) memcpy(s.buffer + i * o->unit.len, o->unit.at, o->unit.len);
    return s;
}

/* Numbers the next units, as many as `allowed` messages make. */
static void fill(const struct options *o, struct sender *s, uint64_t allowed)
{
    uint64_t units = allowed / o->unit_messages;
    if (units > o->chunk) units = o->chunk;
    for (uint64_t i = 0; i < units; i++) {
        uint8_t *at = s->buffer + i * o->unit.len + o->unit_seq_at;
        for (uint64_t j = 0; j < o->unit_messages; j++, at += o->unit_stride)
            put_sequence(at, o->first + s->sent++, o->varint, o->unit_xor);
    }
    s->len = units * o->unit.len;
    s->written = 0;
}

/* Writes what is in the buffer; returns whether all of it is gone. */
static int write_out(const struct options *o, struct sender *s)
{
    while (s->written < s->len) {
        ssize_t n = send(o->publisher, s->buffer + s->written, s->len - s->written, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EAGAIN) return 0;
        if (n < 0) fail("the publisher's connection broke after %llu messages", (unsigned long long)s->sent);
        s->written += (size_t)n;
    }
    return 1;
}

/* Throws away what the server tells the publisher: receipts, pings. */
static void drain_publisher(const struct options *o)
{
    static uint8_t rubbish[65536];
    while (recv(o->publisher, rubbish, sizeof rubbish, MSG_DONTWAIT) == (ssize_t)sizeof rubbish) {}
}
#endif
