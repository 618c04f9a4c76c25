// Calls and constants of Linux that Swift's Glibc module does not show: they need _GNU_SOURCE, are macros, or are variadic.
#pragma once
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/types.h>

int clinux_pipe2(int fds[2], int flags);
ssize_t clinux_splice(int in, int out, size_t count, unsigned flags);
int clinux_epoll_wait_ns(int epoll, struct epoll_event *events, int most, uint64_t nanoseconds);
int clinux_accept4(int fd, struct sockaddr *address, socklen_t *length, int flags);
int clinux_open(const char *path, int flags, unsigned mode);
int clinux_fcntl(int fd, int command, long argument);
int clinux_ioctl(int fd, unsigned long request, void *argument);
int clinux_prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d);
int clinux_gettid(void);
int clinux_setns(int fd, int type);
int clinux_unshare(int flags);

// A descriptor that becomes readable when the process has ended (pidfd_open(2)), or -1 with errno.
int clinux_pidfd_open(int pid, unsigned flags);

void clinux_name_thread(const char *name);

// Receives one datagram, with how long it lay in the socket in nanoseconds (by the wall clock: negative or too long when that jumped), and how many the
// socket has lost so far because nobody read it in time; both zero unless SO_TIMESTAMPNS and SO_RXQ_OVFL are set. -1 with errno.
ssize_t clinux_receive(int fd, void *buffer, size_t count, struct sockaddr_storage *from, socklen_t *length, int64_t *waited, uint32_t *lost);

// Asks the scheduler to give this thread its share of the processor in pieces of this length, and so to let it wait less for each (sched_setattr(2)).
// Its share stays the same. Linux before 6.12 takes no notice; a thread with another policy than SCHED_OTHER is left as it is. -1 with errno.
int clinux_set_slice(uint64_t nanoseconds);

// The thread's errno; a function, so that nothing runs between a call and this.
int clinux_errno(void);

// Raises RLIMIT_NOFILE to `wanted` or as far as the hard limit allows; the limit now in force, or -1 with errno.
long clinux_raise_nofile(long wanted);

// Bytes that malloc has given out, of all arenas (mallinfo2(3)).
size_t clinux_allocated(void);
// Gives free memory of all arenas back to the kernel (malloc_trim(3)).
void clinux_trim(void);

// File system type of a path (statfs f_type), or 0 when it cannot be read.
uint64_t clinux_filesystem_type(const char *path);

// Same layout as struct ucred (unix(7)).
typedef struct { int pid; unsigned uid; unsigned gid; } clinux_ucred;

enum {
    CLINUX_SPLICE_F_MOVE = 1,
    CLINUX_SPLICE_F_NONBLOCK = 2,
    CLINUX_SPLICE_F_MORE = 4,
    CLINUX_EPOLLRDHUP = 0x2000,
    CLINUX_IP_TRANSPARENT = 19,
    CLINUX_IPV6_TRANSPARENT = 75,
    CLINUX_IP_FREEBIND = 15,
    CLINUX_IP_BIND_ADDRESS_NO_PORT = 24,
    CLINUX_SO_ORIGINAL_DST = 80,
    CLINUX_SO_PEERCRED = 17,
    CLINUX_SO_PEERGROUPS = 59,
    CLINUX_SO_MARK = 36,
    CLINUX_SO_RCVBUFFORCE = 33,
    CLINUX_SO_TIMESTAMPNS = 35,
    CLINUX_SO_RXQ_OVFL = 40,
    CLINUX_F_SETPIPE_SZ = 1031,
    CLINUX_F_GETPIPE_SZ = 1032,
};
static const uint32_t CLINUX_EPOLLET = 1u << 31;
static const uint64_t CLINUX_CGROUP2_SUPER_MAGIC = 0x63677270;
