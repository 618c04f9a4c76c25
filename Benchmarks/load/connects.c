/* Connect, one message there and back, close; a fixed number of connections is under way at any time. */
#include "load.h"

#include <sys/epoll.h>

void connects(const struct options *options) {
    struct stream *streams = streams_new(options->connections);
    struct outcome outcome = {.latency = latency_new()};
    int poll = epoll_create1(EPOLL_CLOEXEC);
    uint64_t start = now(), end = start + (uint64_t)(options->seconds * SECOND);
    /* After the end nothing begins, and what is under way has another second. */
    uint64_t last = end + SECOND;
    unsigned open = 0;
    struct epoll_event events[256];
    for (unsigned index = 0; index < options->connections; index++) streams[index].fd = -1;
    while (now() < last) {
        uint64_t time = now();
        for (unsigned index = 0; time < end && index < options->connections; index++) {
            struct stream *stream = &streams[index];
            if (stream->fd >= 0) continue;
            if (!stream_open(stream, &options->address, poll, index)) fail("connect");
            stream->due = options->size;
            stream->since = now();
            open++;
        }
        if (open == 0) break;
        int count = wait_events(poll, events, 256, time < end ? end : last);
        for (int at = 0; at < count; at++) {
            struct stream *stream = &streams[events[at].data.u32];
            enum progress progress = stream_move(stream);
            if (progress == STREAM_WAITS) continue;
            if (progress == STREAM_COMPLETE) {
                latency_add(outcome.latency, now() - stream->since);
                outcome.count++;
            } else {
                outcome.errors++;
            }
            stream_close(stream);
            open--;
        }
    }
    outcome.errors += open;
    outcome.seconds = (double)(now() - start) / SECOND;
    report(&outcome);
}
