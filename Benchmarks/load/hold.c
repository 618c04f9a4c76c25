/* Opens connections, sends a message through each, and holds them open and idle until the standard input ends. */
#include "load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { UNDER_WAY = 64 };

void hold(const struct options *options) {
    struct stream *streams = streams_new(options->connections);
    struct outcome outcome = {.latency = latency_new()};
    int poll = epoll_create1(EPOLL_CLOEXEC);
    uint64_t start = now(), last = start + (uint64_t)(options->seconds * SECOND);
    unsigned opened = 0;
    struct epoll_event events[256];
    while (outcome.count + outcome.errors < options->connections && now() < last) {
        while (opened < options->connections && opened - outcome.count - outcome.errors < UNDER_WAY) {
            struct stream *stream = &streams[opened];
            if (!stream_open(stream, &options->address, poll, opened)) fail("connect");
            stream->due = options->size;
            stream->since = now();
            opened++;
        }
        int count = wait_events(poll, events, 256, last);
        for (int at = 0; at < count; at++) {
            struct stream *stream = &streams[events[at].data.u32];
            if (stream->since == 0) continue;
            enum progress progress = stream_move(stream);
            if (progress == STREAM_WAITS) continue;
            if (progress == STREAM_COMPLETE) {
                latency_add(outcome.latency, now() - stream->since);
                outcome.count++;
            } else {
                stream_close(stream);
                outcome.errors++;
            }
            stream->since = 0;
        }
    }
    outcome.seconds = (double)(now() - start) / SECOND;
    report(&outcome);
    char byte;
    while (read(STDIN_FILENO, &byte, 1) > 0) {}
    for (unsigned index = 0; index < opened; index++) {
        /* Whoever closes idle connections holds none, and their memory would be counted for nothing. */
        if (streams[index].fd >= 0 && (recv(streams[index].fd, &byte, 1, MSG_PEEK) == 0 || errno != EAGAIN)) {
            fprintf(stderr, "load: an idle connection was closed\n");
            exit(4);
        }
    }
}
