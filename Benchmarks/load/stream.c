#define _GNU_SOURCE
#include "load.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* The bytes repeat after a prime number of them, so that no message looks like the one before it. Twice in a row: no message wraps. */
static unsigned char pattern[2 * LARGEST_MESSAGE];
static unsigned char scratch[LARGEST_MESSAGE];

void stream_prepare(void) {
    uint32_t state = 1;
    for (unsigned at = 0; at < LARGEST_MESSAGE; at++) {
        state = state * 1664525u + 1013904223u;
        pattern[at] = pattern[at + LARGEST_MESSAGE] = (unsigned char)(state >> 24);
    }
}

struct stream *streams_new(unsigned count) {
    struct stream *streams = calloc(count, sizeof *streams);
    if (!streams) fail("calloc");
    return streams;
}

static const unsigned char *bytes_at(const struct stream *stream, uint64_t offset) {
    return pattern + (offset + stream->seed * 7919ull) % LARGEST_MESSAGE;
}

bool stream_open(struct stream *stream, const struct sockaddr_in *to, int poll, unsigned index) {
    static const int on = 1;
    *stream = (struct stream){.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), .seed = index};
    if (stream->fd < 0) return false;
    setsockopt(stream->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.u32 = index};
    if ((connect(stream->fd, (const struct sockaddr *)to, sizeof *to) < 0 && errno != EINPROGRESS) ||
        epoll_ctl(poll, EPOLL_CTL_ADD, stream->fd, &event) < 0) {
        stream_close(stream);
        return false;
    }
    return true;
}

static bool would_block(void) { return errno == EAGAIN || errno == ENOTCONN || errno == EINTR; }

static bool send_due(struct stream *stream) {
    while (stream->sent < stream->due) {
        uint64_t left = stream->due - stream->sent;
        size_t part = left < LARGEST_MESSAGE ? left : LARGEST_MESSAGE;
        ssize_t count = send(stream->fd, bytes_at(stream, stream->sent), part, MSG_NOSIGNAL);
        if (count < 0) return would_block();
        stream->sent += (uint64_t)count;
    }
    return true;
}

static bool take(struct stream *stream) {
    while (stream->received < stream->due) {
        ssize_t count = recv(stream->fd, scratch, sizeof scratch, 0);
        if (count < 0) return would_block();
        if (count == 0) return false;
        if (stream->received + (uint64_t)count > stream->sent || memcmp(scratch, bytes_at(stream, stream->received), (size_t)count) != 0) {
            fprintf(stderr, "load: other bytes came back than were sent\n");
            exit(3);
        }
        stream->received += (uint64_t)count;
        /* Less than was asked for: there is nothing more, and asking again would be a call for nothing. */
        if ((size_t)count < sizeof scratch) return true;
    }
    return true;
}

enum progress stream_move(struct stream *stream) {
    if (!send_due(stream) || !take(stream)) return STREAM_FAILED;
    return stream->received == stream->due ? STREAM_COMPLETE : STREAM_WAITS;
}

void stream_close(struct stream *stream) {
    if (stream->fd >= 0) close(stream->fd);
    stream->fd = -1;
}
