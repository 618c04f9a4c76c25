#define _GNU_SOURCE
#include "load.h"

#include <errno.h>
#include <sys/epoll.h>
#include <time.h>

uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * SECOND + (uint64_t)time.tv_nsec;
}

int wait_events(int poll, struct epoll_event *events, int capacity, uint64_t deadline) {
    uint64_t time = now(), left = deadline > time ? deadline - time : 0;
    struct timespec timeout = {.tv_sec = (time_t)(left / SECOND), .tv_nsec = (long)(left % SECOND)};
    int count = epoll_pwait2(poll, events, capacity, &timeout, 0);
    if (count < 0 && errno != EINTR) fail("epoll_pwait2");
    return count < 0 ? 0 : count;
}
