/* Messages at a fixed rate, whether the ones before have come back or not. Latency counts from when a message should have been sent, so
   that a proxy that stalls is charged for all that waited. */
#include "load.h"

#include <sys/epoll.h>
#include <sys/prctl.h>

void paced(const struct options *options) {
    struct stream *streams = streams_new(options->connections);
    struct outcome outcome = {.latency = latency_new()};
    int poll = epoll_create1(EPOLL_CLOEXEC);
    uint64_t total = (uint64_t)(options->seconds * options->rate), scheduled = 0;
    /* The kernel may otherwise sleep 50 microseconds longer than asked. */
    prctl(PR_SET_TIMERSLACK, 1);
    for (unsigned index = 0; index < options->connections; index++)
        if (!stream_open(&streams[index], &options->address, poll, index)) fail("connect");
    /* The connections, and the tunnels behind them, are made before the clock starts. */
    uint64_t start = now() + SECOND / 2, last = start + (uint64_t)((options->seconds + 2) * SECOND);
    struct epoll_event events[256];
    while (outcome.count < total && now() < last) {
        uint64_t time = now();
        while (scheduled < total && start + scheduled * SECOND / options->rate <= time) {
            /* Message number n belongs to connection n modulo their number, as its message n divided by it. */
            struct stream *stream = &streams[scheduled % options->connections];
            scheduled++;
            if (stream->fd < 0) continue;
            stream->due += options->size;
            if (stream_move(stream) == STREAM_FAILED) {
                stream_close(stream);
                outcome.errors++;
            }
        }
        uint64_t next = scheduled < total ? start + scheduled * SECOND / options->rate : last;
        int count = wait_events(poll, events, 256, next);
        for (int at = 0; at < count; at++) {
            unsigned index = events[at].data.u32;
            struct stream *stream = &streams[index];
            if (stream->fd < 0) continue;
            if (stream_move(stream) == STREAM_FAILED) {
                stream_close(stream);
                outcome.errors++;
                continue;
            }
            uint64_t arrived = now();
            /* `since` counts this connection's messages that were seen complete. */
            while ((stream->since + 1) * options->size <= stream->received) {
                uint64_t number = stream->since * options->connections + index;
                latency_add(outcome.latency, arrived - (start + number * SECOND / options->rate));
                stream->since++;
                outcome.count++;
            }
        }
    }
    outcome.errors += total - outcome.count;
    outcome.seconds = options->seconds;
    report(&outcome);
}
