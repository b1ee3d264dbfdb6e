/* One publisher and its subscribers on raw sockets, in one thread: so cheap that the server is what is measured.

   Prints one JSON object when every subscriber has every message; exits 1 with a line on stderr when one is lost,
   changed, doubled or late. Descriptors are inherited, connected and subscribed.
*/
#define _GNU_SOURCE     /* memmem */
#include "incoming.h"
#include "outgoing.h"
#include <sys/epoll.h>
#include <time.h>

enum { EVENTS = 512, STALL_SECONDS = 20 };

struct run {
    struct options o;
    struct sender sender;
    struct receiver *receivers;
    size_t finished;            /* receivers that have everything */
    uint64_t slowest;           /* messages that all have, when last looked */
    int epoll, blocked;         /* blocked: the publisher's socket takes no more */
    int ended;                  /* nothing more will be sent */
    uint64_t started, last_progress;    /* ns */
    uint64_t *sent_at;          /* ns, by message; with a window of one only */
    uint64_t *round_trips;      /* ns */
};

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void watch(struct run *r, int fd, uint32_t events, size_t index, int operation)
{
    struct epoll_event event = {.events = events, .data.u64 = index};
    if (epoll_ctl(r->epoll, operation, fd, &event)) fail("descriptor %d cannot be watched", fd);
}

static void set_up(struct run *r)
{
    struct options *o = &r->o;
    int publisher_receives = 0;
    r->sender = new_sender(o);
    r->receivers = calloc(o->subscriber_count, sizeof *r->receivers);
    if (o->window == 1 && (!(r->sent_at = calloc(o->count, 8)) || !(r->round_trips = calloc(o->count, 8))))
        fail("out of memory");
    r->epoll = epoll_create1(0);
    for (size_t i = 0; i < o->subscriber_count; i++) {
        r->receivers[i].fd = o->subscribers[i];
        publisher_receives |= o->subscribers[i] == o->publisher;
        watch(r, o->subscribers[i], EPOLLIN, i, EPOLL_CTL_ADD);
    }
    if (!publisher_receives) watch(r, o->publisher, EPOLLIN, o->subscriber_count, EPOLL_CTL_ADD);
}

static uint64_t slowest(struct run *r)
{
    uint64_t least = UINT64_MAX;
    for (size_t i = 0; i < r->o.subscriber_count; i++)
        if (r->receivers[i].received < least) least = r->receivers[i].received;
    return least;
}

/* How many messages may be sent now. */
static uint64_t allowance(struct run *r)
{
    const struct options *o = &r->o;
    uint64_t limit = o->count;
    double elapsed = (double)(now_ns() - r->started) / 1e9;
    if (o->seconds > 0 && elapsed >= o->seconds) {
        r->ended = 1;
        return 0;
    }
    if (r->sender.sent + o->unit_messages > r->slowest + o->window) r->slowest = slowest(r);
    if (r->slowest + o->window < limit) limit = r->slowest + o->window;
    if (o->rate > 0 && (uint64_t)(elapsed * o->rate) < limit) limit = (uint64_t)(elapsed * o->rate);
    return limit > r->sender.sent ? limit - r->sender.sent : 0;
}

static void send_more(struct run *r)
{
    while (!r->blocked && !r->ended) {
        uint64_t allowed = allowance(r), before = r->sender.sent;
        if (allowed < r->o.unit_messages) return;
        fill(&r->o, &r->sender, allowed);
        if (r->sent_at) r->sent_at[before] = now_ns();
        r->ended = r->sender.sent >= r->o.count;
        if (!write_out(&r->o, &r->sender)) {
            r->blocked = 1;
            watch(r, r->o.publisher, EPOLLIN | EPOLLOUT, r->o.subscriber_count, EPOLL_CTL_MOD);
        }
    }
}

static void publisher_ready(struct run *r, uint32_t events)
{
    if (events & EPOLLIN) drain_publisher(&r->o);
    if (r->blocked && write_out(&r->o, &r->sender)) {
        r->blocked = 0;
        watch(r, r->o.publisher, EPOLLIN, r->o.subscriber_count, EPOLL_CTL_MOD);
    }
}

static void subscriber_ready(struct run *r, struct receiver *receiver)
{
    uint64_t before = receiver->received;
    while (receive(&r->o, receiver)) {}
    if (receiver->received == before) return;
    r->last_progress = now_ns();
    if (r->round_trips)
        for (uint64_t i = before; i < receiver->received; i++) r->round_trips[i] = r->last_progress - r->sent_at[i];
}

/* Whether every receiver has all that was sent. */
static int complete(struct run *r)
{
    if (!r->ended || r->blocked) return 0;
    while (r->finished < r->o.subscriber_count && r->receivers[r->finished].received >= r->sender.sent) r->finished++;
    return r->finished == r->o.subscriber_count;
}

static void relay(struct run *r)
{
    struct epoll_event ready[EVENTS];
    r->started = r->last_progress = now_ns();
    send_more(r);
    while (!complete(r)) {
        int count = epoll_wait(r->epoll, ready, EVENTS, r->o.rate > 0 ? 1 : 1000);
        for (int i = 0; i < count; i++) {
            if (ready[i].data.u64 == r->o.subscriber_count) publisher_ready(r, ready[i].events);
            else subscriber_ready(r, &r->receivers[ready[i].data.u64]);
        }
        send_more(r);
        if (now_ns() - r->last_progress > STALL_SECONDS * 1000000000ull)
            fail("nothing came for %d s: %llu sent, the slowest subscriber has %llu", STALL_SECONDS,
                 (unsigned long long)r->sender.sent, (unsigned long long)slowest(r));
    }
}

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void report(struct run *r)
{
    uint64_t n = r->sender.sent;
    printf("{\"messages\": %llu, \"elapsed_ns\": %llu", (unsigned long long)n,
           (unsigned long long)(r->last_progress - r->started));
    if (r->round_trips && n) {
        qsort(r->round_trips, n, 8, by_size);
        printf(", \"p50_ns\": %llu, \"p99_ns\": %llu, \"max_ns\": %llu", (unsigned long long)r->round_trips[n / 2],
               (unsigned long long)r->round_trips[n * 99 / 100], (unsigned long long)r->round_trips[n - 1]);
    }
    puts("}");
}

int main(int count, char **arguments)
{
    struct run r = {.o = read_options(count, arguments)};
    set_up(&r);
    relay(&r);
    report(&r);
    return 0;
}
