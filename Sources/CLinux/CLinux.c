#define _GNU_SOURCE 1
#include <malloc.h>
#include "CLinux.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <time.h>
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
int clinux_pidfd_open(int pid, unsigned flags) { return (int)syscall(SYS_pidfd_open, pid, flags); }
int clinux_gettid(void) { return (int)syscall(SYS_gettid); }
int clinux_setns(int fd, int type) { return setns(fd, type); }
int clinux_unshare(int flags) { return unshare(flags); }
void clinux_name_thread(const char *name) { pthread_setname_np(pthread_self(), name); }

ssize_t clinux_receive(int fd, void *buffer, size_t count, struct sockaddr_storage *from, socklen_t *length, int64_t *waited, uint32_t *lost) {
    _Alignas(struct cmsghdr) char control[128];
    struct iovec part = {buffer, count};
    struct msghdr message = {from, sizeof *from, &part, 1, control, sizeof control, 0};
    *waited = 0;
    *lost = 0;
    ssize_t result = recvmsg(fd, &message, 0);
    if (result < 0) return result;
    *length = message.msg_namelen;
    for (struct cmsghdr *item = CMSG_FIRSTHDR(&message); item; item = CMSG_NXTHDR(&message, item)) {
        if (item->cmsg_level != SOL_SOCKET) continue;
        if (item->cmsg_type == SO_TIMESTAMPNS) {
            struct timespec now, then;
            memcpy(&then, CMSG_DATA(item), sizeof then);
            clock_gettime(CLOCK_REALTIME, &now);
            *waited = (int64_t)(now.tv_sec - then.tv_sec) * 1000000000 + (now.tv_nsec - then.tv_nsec);
        } else if (item->cmsg_type == SO_RXQ_OVFL) {
            memcpy(lost, CMSG_DATA(item), sizeof *lost);
        }
    }
    return result;
}

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
