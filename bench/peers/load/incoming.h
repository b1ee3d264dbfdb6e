/* Receivers: every delivery is compared byte for byte, and must come in order, once, none left out.

   FIXED  deliveries follow each other, each like the example but for its number
   BATCH  WebSocket frames, each a protobuf Batch of one or more deliveries like the example
   REPLY  WebSocket frames of any length; each must hold the number of the request that it answers
*/
#ifndef INCOMING_H
#define INCOMING_H
#include <errno.h>
#include <sys/socket.h>
#include "options.h"
#include "sequence.h"

enum { READ_BYTES = 262144, CARRY_BYTES = 4096 };

struct receiver {
    int fd;
    uint64_t received;      /* messages */
    size_t frame_left;      /* bytes of the open batch frame that are still to come */
    uint8_t *carry;         /* the beginning of a delivery that a read broke off */
    size_t carried;
};

static void check_delivery(const struct options *o, const struct receiver *r, const uint8_t *at)
{
    size_t after = o->expect_seq_at + (size_t)sequence_size(o->varint);
    uint64_t seq = get_sequence(at + o->expect_seq_at, o->varint);
    if (memcmp(at, o->expect.at, o->expect_seq_at) || memcmp(at + after, o->expect.at + after, o->expect.len - after))
        fail("delivery %llu on descriptor %d is not what was sent: %.*s", (unsigned long long)r->received, r->fd,
             (int)o->expect.len, at);
    if (seq != o->first + r->received)
        fail("descriptor %d got message %llu, not %llu", r->fd, (unsigned long long)seq,
             (unsigned long long)(o->first + r->received));
}

/* Each of these takes what it can from [at, at+len) and returns how many bytes that were. */

static size_t take_fixed(const struct options *o, struct receiver *r, const uint8_t *at, size_t len)
{
    size_t used = 0;
    while (len - used >= o->expect.len) {
        if (o->noise.len && !memcmp(at + used, o->noise.at, o->noise.len)) {
            used += o->noise.len;
            continue;
        }
        check_delivery(o, r, at + used);
        r->received++;
        used += o->expect.len;
    }
    if (o->noise.len && len - used == o->noise.len && !memcmp(at + used, o->noise.at, o->noise.len))
        used = len;
    return used;
}

/* Size of a WebSocket header (RFC 6455, section 5.2), 0 if it is not all there; the payload's size goes to `size`. */
static size_t frame_header(const uint8_t *at, size_t len, size_t *size)
{
    size_t more = len < 2 ? 0 : at[1] < 126 ? 0 : at[1] == 126 ? 2 : 8;
    if (len < 2 || len < 2 + more) return 0;
    if (at[1] & 0x80) fail("a masked frame from a server");
    *size = more ? 0 : at[1];
    for (size_t i = 0; i < more; i++) *size = *size << 8 | at[2 + i];
    return 2 + more;
}

static size_t take_batch(const struct options *o, struct receiver *r, const uint8_t *at, size_t len)
{
    size_t used = 0;
    for (;;) {
        if (!r->frame_left) {
            size_t header = frame_header(at + used, len - used, &r->frame_left);
            if (!header) return used;
            if (at[used] != 0x82) fail("opcode %d in place of a batch", at[used] & 15);
            used += header;
        }
        if (len - used < o->expect.len) return used;
        if (r->frame_left < o->expect.len) fail("a batch frame ends within a message");
        check_delivery(o, r, at + used);
        r->received++;
        r->frame_left -= o->expect.len;
        used += o->expect.len;
    }
}

static size_t take_reply(const struct options *o, struct receiver *r, const uint8_t *at, size_t len)
{
    size_t used = 0, size = 0, header;
    uint8_t digits[DIGITS];
    while ((header = frame_header(at + used, len - used, &size)) && len - used >= header + size) {
        put_sequence(digits, o->first + r->received, 0, 0);
        if (!memmem(at + used + header, size, digits, DIGITS))
            fail("not the answer to request %llu: %.*s", (unsigned long long)(o->first + r->received), (int)size,
                 at + used + header);
        r->received++;
        used += header + size;
    }
    return used;
}

/* Reads once; returns whether there may be more. */
static int receive(const struct options *o, struct receiver *r)
{
    static uint8_t buffer[CARRY_BYTES + READ_BYTES];
    size_t used, len;
    ssize_t got;
    memcpy(buffer, r->carry, r->carried);
    got = recv(r->fd, buffer + r->carried, READ_BYTES, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
    if (got <= 0) fail("descriptor %d was closed after %llu messages", r->fd, (unsigned long long)r->received);
    len = r->carried + (size_t)got;
    used = (o->mode == FIXED ? take_fixed : o->mode == BATCH ? take_batch : take_reply)(o, r, buffer, len);
    r->carried = len - used;
    if (r->carried > CARRY_BYTES) fail("a delivery of more than %d bytes", CARRY_BYTES);
    if (r->carried && !r->carry && !(r->carry = malloc(CARRY_BYTES))) fail("out of memory");
    memcpy(r->carry, buffer + used, r->carried);
    return got == READ_BYTES;
}
#endif
