/* A relay that looks at nothing: what the kernel takes for the same bytes, and so the least that any relay takes.

   Connections that send SUB get all that others send. Argument: the port to listen on at 127.0.0.1.
*/
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { EVENTS = 64, READ_BYTES = 65536, MOST_SUBSCRIBERS = 64 };   /* the gateway's reads are of that size */

static int subscribers[MOST_SUBSCRIBERS];
static int subscriber_count;

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static int listening(uint16_t port)
{
    int sock = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    if (bind(sock, (struct sockaddr *)&address, sizeof address) || listen(sock, 16)) fail("listen");
    return sock;
}

static void write_all(int fd, const uint8_t *at, size_t left)
{
    while (left) {
        ssize_t sent = send(fd, at, left, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0) {
            struct pollfd writable = {.fd = fd, .events = POLLOUT};
            if (errno != EAGAIN) return;
            poll(&writable, 1, -1);
            continue;
        }
        at += sent;
        left -= (size_t)sent;
    }
}

static void leave(int fd)
{
    for (int i = 0; i < subscriber_count; i++)
        if (subscribers[i] == fd) subscribers[i--] = subscribers[--subscriber_count];
    close(fd);
}

static void serve(int fd)
{
    static uint8_t buffer[READ_BYTES];
    ssize_t got = recv(fd, buffer, sizeof buffer, 0);
    if (got <= 0) {
        leave(fd);
    } else if (got == 3 && !memcmp(buffer, "SUB", 3)) {
        if (subscriber_count == MOST_SUBSCRIBERS) fail("too many subscribers");
        subscribers[subscriber_count++] = fd;
        write_all(fd, (const uint8_t *)"OK", 2);
    } else {
        for (int i = 0; i < subscriber_count; i++) write_all(subscribers[i], buffer, (size_t)got);
    }
}

int main(int count, char **arguments)
{
    struct epoll_event ready[EVENTS], event = {.events = EPOLLIN};
    int door = listening((uint16_t)(count > 1 ? atoi(arguments[1]) : 0)), epoll = epoll_create1(0), on = 1;
    event.data.fd = door;
    epoll_ctl(epoll, EPOLL_CTL_ADD, door, &event);
    for (;;) {
        int found = epoll_wait(epoll, ready, EVENTS, -1);
        for (int i = 0; i < found; i++) {
            if (ready[i].data.fd != door) {
                serve(ready[i].data.fd);
                continue;
            }
            event.data.fd = accept(door, NULL, NULL);
            setsockopt(event.data.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
            epoll_ctl(epoll, EPOLL_CTL_ADD, event.data.fd, &event);
        }
    }
}
