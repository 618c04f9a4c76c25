/* The server: every connection gets back what it sends. */
#define _GNU_SOURCE
#include "load.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CAPACITY = 65536 };

/* What a connection has not taken yet; it sends nothing more until then. */
struct rest {
    char *bytes;
    size_t from, to;
};

static struct rest *rests;
static size_t descriptors;
static char buffer[CAPACITY];

static void end(int fd) {
    free(rests[fd].bytes);
    rests[fd] = (struct rest){0};
    close(fd);
}

/* False: the connection is broken. */
static bool send_rest(int fd) {
    struct rest *rest = &rests[fd];
    while (rest->from < rest->to) {
        ssize_t count = send(fd, rest->bytes + rest->from, rest->to - rest->from, MSG_NOSIGNAL);
        if (count < 0) return errno == EAGAIN;
        rest->from += (size_t)count;
    }
    free(rest->bytes);
    *rest = (struct rest){0};
    return true;
}

static void serve(int fd) {
    if (rests[fd].bytes && !send_rest(fd)) return end(fd);
    while (!rests[fd].bytes) {
        ssize_t count = recv(fd, buffer, sizeof buffer, 0);
        if (count < 0 && errno == EAGAIN) return;
        if (count <= 0) return end(fd);
        ssize_t sent = send(fd, buffer, (size_t)count, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN) return end(fd);
        if (sent < 0) sent = 0;
        if (sent < count) {
            rests[fd] = (struct rest){.bytes = malloc((size_t)(count - sent)), .to = (size_t)(count - sent)};
            if (!rests[fd].bytes) return end(fd);
            memcpy(rests[fd].bytes, buffer + sent, rests[fd].to);
        } else if ((size_t)count < sizeof buffer) {
            return;
        }
    }
}

static void accept_all(int listener, int poll) {
    static const int on = 1;
    for (;;) {
        int fd = accept4(listener, 0, 0, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) return;
        struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.fd = fd};
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        if ((size_t)fd >= descriptors || epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event) < 0) close(fd);
    }
}

noreturn void echo(const struct options *options) {
    static const int on = 1;
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    descriptors = limit.rlim_cur;
    rests = calloc(descriptors, sizeof *rests);
    int poll = epoll_create1(EPOLL_CLOEXEC), listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (!rests || bind(listener, (const struct sockaddr *)&options->address, sizeof options->address) < 0 || listen(listener, 4096) < 0)
        fail("the server's port");
    struct epoll_event events[256] = {{.events = EPOLLIN, .data.fd = listener}};
    if (epoll_ctl(poll, EPOLL_CTL_ADD, listener, events) < 0) fail("epoll_ctl");
    for (;;) {
        int count = epoll_wait(poll, events, 256, -1);
        for (int at = 0; at < count; at++) {
            if (events[at].data.fd == listener) accept_all(listener, poll);
            else serve(events[at].data.fd);
        }
    }
}
