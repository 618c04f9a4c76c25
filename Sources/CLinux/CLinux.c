#define _GNU_SOURCE 1
#include <malloc.h>
#include "CLinux.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

int clinux_pipe2(int fds[2], int flags) { return pipe2(fds, flags); }
ssize_t clinux_splice(int in, int out, size_t count, unsigned flags) { return splice(in, NULL, out, NULL, count, flags); }
int clinux_epoll_wait_ns(int epoll, struct epoll_event *events, int most, uint64_t nanoseconds) {
    // Not by glibc's name for it: that came with 2.35, and RHEL 9 has 2.34.
    struct timespec time = {(time_t)(nanoseconds / 1000000000), (long)(nanoseconds % 1000000000)};
    return (int)syscall(SYS_epoll_pwait2, epoll, events, most, &time, NULL, 0);
}
int clinux_accept4(int fd, struct sockaddr *address, socklen_t *length, int flags) { return accept4(fd, address, length, flags); }
int clinux_open(const char *path, int flags, unsigned mode) { return open(path, flags, (mode_t)mode); }
int clinux_fcntl(int fd, int command, long argument) { return fcntl(fd, command, argument); }
int clinux_ioctl(int fd, unsigned long request, void *argument) { return ioctl(fd, request, argument); }
int clinux_prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d) { return prctl(option, a, b, c, d); }
int clinux_gettid(void) { return (int)syscall(SYS_gettid); }
int clinux_setns(int fd, int type) { return setns(fd, type); }
int clinux_unshare(int flags) { return unshare(flags); }
void clinux_name_thread(const char *name) { pthread_setname_np(pthread_self(), name); }

int clinux_set_slice(uint64_t nanoseconds) {
    // Not by the names of glibc or of linux/sched/types.h: some versions have both, some none. The first version of struct sched_attr.
    struct { uint32_t size, policy; uint64_t flags; int32_t nice; uint32_t priority; uint64_t runtime, deadline, period; } attr;
    if (syscall(SYS_sched_getattr, 0, &attr, sizeof attr, 0) != 0) return -1;
    if (attr.policy != SCHED_OTHER) return 0;
    attr.runtime = nanoseconds;
    attr.flags = 0;
    return (int)syscall(SYS_sched_setattr, 0, &attr, 0);
}

int clinux_errno(void) { return errno; }

long clinux_raise_nofile(long wanted) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return -1;
    if (limit.rlim_max != RLIM_INFINITY && (rlim_t)wanted > limit.rlim_max) wanted = (long)limit.rlim_max;
    limit.rlim_cur = (rlim_t)wanted;
    return setrlimit(RLIMIT_NOFILE, &limit) == 0 ? wanted : -1;
}

uint64_t clinux_filesystem_type(const char *path) {
    struct statfs info;
    return statfs(path, &info) == 0 ? (uint64_t)(unsigned)info.f_type : 0;
}

size_t clinux_allocated(void) {
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

void clinux_trim(void) { malloc_trim(0); }
