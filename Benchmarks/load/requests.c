/* Each connection sends a message, waits until it has come back, and sends the next. */
#include "load.h"

#include <sys/epoll.h>

static void next(struct stream *stream, unsigned size) {
    stream->due += size;
    stream->since = now();
}

void requests(const struct options *options) {
    struct stream *streams = streams_new(options->connections);
    struct outcome outcome = {.latency = latency_new()};
    int poll = epoll_create1(EPOLL_CLOEXEC);
    uint64_t start = now(), end = start + (uint64_t)(options->seconds * SECOND);
    for (unsigned index = 0; index < options->connections; index++) {
        if (!stream_open(&streams[index], &options->address, poll, index)) fail("connect");
        next(&streams[index], options->size);
    }
    unsigned open = options->connections;
    struct epoll_event events[256];
    while (open > 0 && now() < end) {
        int count = wait_events(poll, events, 256, end);
        for (int at = 0; at < count; at++) {
            struct stream *stream = &streams[events[at].data.u32];
            enum progress progress = stream_move(stream);
            if (progress == STREAM_COMPLETE) {
                latency_add(outcome.latency, now() - stream->since);
                outcome.count++;
                next(stream, options->size);
                /* The first half of the next one: its answer is a wake-up of its own. */
                progress = stream_move(stream);
            }
            if (progress == STREAM_FAILED) {
                stream_close(stream);
                outcome.errors++;
                open--;
            }
        }
    }
    outcome.seconds = (double)(now() - start) / SECOND;
    report(&outcome);
}
