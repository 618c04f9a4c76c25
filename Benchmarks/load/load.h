/* The load program of the benchmarks: what iperf3 and wrk cannot do. One file for each mode, shared parts in stream.c, latency.c and clock.c. */
#ifndef LOAD_H
#define LOAD_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdnoreturn.h>

/* --- clock.c */

/* Nanoseconds of the monotonic clock. */
uint64_t now(void);
/* Waits for events, at most until `deadline`; to the microsecond, which a number of milliseconds cannot. */
struct epoll_event;
int wait_events(int poll, struct epoll_event *events, int capacity, uint64_t deadline);

#define SECOND 1000000000ull

/* --- stream.c: one connection to an echo server */

#define LARGEST_MESSAGE 65521u

/* Counts are bytes since the connection began. What is sent at each offset is fixed, so that every byte that comes back can be compared. */
struct stream {
    int fd;             /* -1: closed */
    unsigned seed;      /* streams of one program carry different bytes */
    uint64_t due;       /* bytes that are to be sent so far */
    uint64_t sent;
    uint64_t received;
    uint64_t since;     /* when the message under way began; the mode's own */
};

enum progress { STREAM_WAITS, STREAM_COMPLETE, STREAM_FAILED };

void stream_prepare(void);
struct stream *streams_new(unsigned count);
/* Begins to connect and watches the socket, edge-triggered, under `index`. False: errno says why. */
bool stream_open(struct stream *stream, const struct sockaddr_in *to, int poll, unsigned index);
/* Sends what is due and takes what has come. COMPLETE: everything due was sent and came back. Ends the program when other bytes come back. */
enum progress stream_move(struct stream *stream);
void stream_close(struct stream *stream);

/* --- latency.c: a histogram with steps of 1 % */

struct latency;
struct latency *latency_new(void);
void latency_add(struct latency *latency, uint64_t nanoseconds);
/* The value below which the share lies, in microseconds. */
double latency_at(const struct latency *latency, double share);

/* --- main.c */

struct options {
    struct sockaddr_in address;
    unsigned connections;
    double seconds;
    unsigned size;      /* of a message */
    unsigned rate;      /* messages a second */
};

struct outcome {
    uint64_t count;     /* messages or connections that were complete */
    uint64_t errors;    /* connections that broke */
    double seconds;
    struct latency *latency;
};

noreturn void fail(const char *what);
void report(const struct outcome *outcome);

/* --- the modes */

noreturn void echo(const struct options *options);
void requests(const struct options *options);
void connects(const struct options *options);
void paced(const struct options *options);
void hold(const struct options *options);

#endif
