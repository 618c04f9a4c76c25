/* The programs of the capture benchmark: a relay that is captured into, a server, and a client.
 *
 *   capture relay MODE PORT [options]     MODE: conntrack | sockopt | tproxy
 *     --own MARK      SO_MARK of every socket of the relay       --spoof MARK    show the client's address, with this mark
 *     --same-port     with --spoof: the client's port too        --any           listen on every address, not on loopback only
 *     --virtual V4 V6 where connections to 240.240.0.0/16 and fd77:6566:7400::/48 go
 *     --keepalive S   keepalive probes to both ends              --log           one line for each accepted connection
 *     --ports LOW HIGH   with --spoof: the relay chooses the port itself, one after the other
 *   capture serve echo|sink|name PORT
 *   capture client connect|request UNITS ADDRESS COUNT PORT | bulk BYTES ADDRESS COUNT PORT      COUNT addresses from ADDRESS on
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SO_ORIGINAL_DST 80
#define STATUS_DNAT 0x20
#define SCRATCH 65536
#define LISTENER 2

typedef struct sockaddr_storage Address;
typedef struct { char *data; size_t length, offset; int eof, shut; } Direction;
typedef struct Flow { int fd[2], connected, dead; Direction way[2]; struct Flow *next; } Flow;
enum Mode { CONNTRACK, SOCKOPT, TPROXY };

static struct {
    enum Mode mode;
    uint16_t port;
    uint32_t own, spoof;
    int low, high;
    int same_port, any, keepalive, log, has_virtual;
    Address virtual4, virtual6;
} settings;

static void die(const char *what) { perror(what); exit(1); }
static socklen_t size_of(const Address *a) { return a->ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6); }
static uint16_t port_of(const Address *a) { return ntohs(a->ss_family == AF_INET ? ((struct sockaddr_in *)a)->sin_port : ((struct sockaddr_in6 *)a)->sin6_port); }
static void set_port(Address *a, uint16_t port) {
    if (a->ss_family == AF_INET) ((struct sockaddr_in *)a)->sin_port = htons(port); else ((struct sockaddr_in6 *)a)->sin6_port = htons(port);
}
static void *bytes_of(const Address *a, size_t *length) {
    *length = a->ss_family == AF_INET ? 4 : 16;
    return a->ss_family == AF_INET ? (void *)&((struct sockaddr_in *)a)->sin_addr : (void *)&((struct sockaddr_in6 *)a)->sin6_addr;
}
static Address parse(const char *text, uint16_t port) {
    Address a = {0};
    a.ss_family = strchr(text, ':') ? AF_INET6 : AF_INET;
    size_t length;
    if (inet_pton(a.ss_family, text, bytes_of(&a, &length)) != 1) { fprintf(stderr, "not an address: %s\n", text); exit(2); }
    set_port(&a, port);
    return a;
}
/* "address port", IPv4-mapped ones as IPv4. */
static void print(const Address *a, char *out, size_t size) {
    char text[INET6_ADDRSTRLEN];
    size_t length;
    uint8_t *bytes = bytes_of(a, &length);
    if (length == 16 && IN6_IS_ADDR_V4MAPPED((struct in6_addr *)bytes)) inet_ntop(AF_INET, bytes + 12, text, sizeof text);
    else inet_ntop(a->ss_family, bytes, text, sizeof text);
    snprintf(out, size, "%s %u", text, port_of(a));
}
static int same(const Address *a, const Address *b) {
    size_t n, m;
    void *x = bytes_of(a, &n), *y = bytes_of(b, &m);
    return n == m && memcmp(x, y, n) == 0 && port_of(a) == port_of(b);
}
static void option(int fd, int level, int name, int value, const char *what) { if (setsockopt(fd, level, name, &value, sizeof value)) die(what); }
static void transparent(int fd, int family) {
    option(fd, family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6, family == AF_INET ? IP_TRANSPARENT : IPV6_TRANSPARENT, 1, "IP_TRANSPARENT");
}

/* ---- original destination by ctnetlink: one request and one answer, by the tuple that this end sends ---- */

static uint8_t *put(uint8_t *at, uint16_t type, const void *data, size_t length) {
    struct nlattr head = {(uint16_t)(NLA_HDRLEN + length), type};
    memcpy(at, &head, sizeof head);
    memcpy(at + NLA_HDRLEN, data, length);
    return at + NLA_HDRLEN + NLA_ALIGN(length);
}
static void end_nest(uint8_t *start, uint8_t *end, uint16_t type) {
    struct nlattr head = {(uint16_t)(end - start), type | NLA_F_NESTED};
    memcpy(start, &head, sizeof head);
}
static struct nlattr *find(uint8_t *from, size_t length, int type) {
    for (size_t at = 0; at + NLA_HDRLEN <= length;) {
        struct nlattr *a = (struct nlattr *)(from + at);
        if (a->nla_len < NLA_HDRLEN) break;
        if ((a->nla_type & NLA_TYPE_MASK) == type) return a;
        at += NLA_ALIGN(a->nla_len);
    }
    return NULL;
}
static uint8_t *payload(struct nlattr *a) { return (uint8_t *)a + NLA_HDRLEN; }
static struct nlattr *inner(struct nlattr *a, int type) { return a ? find(payload(a), a->nla_len - NLA_HDRLEN, type) : NULL; }

static int look_up(int netlink, const Address *peer, const Address *local, Address *source, Address *destination, uint32_t *status) {
    static __thread uint32_t sequence;
    uint8_t buffer[2048] = {0};
    struct nlmsghdr *head = (struct nlmsghdr *)buffer;
    struct nfgenmsg *family = NLMSG_DATA(head);
    family->nfgen_family = (uint8_t)peer->ss_family;
    uint8_t *tuple = buffer + NLMSG_HDRLEN + NLMSG_ALIGN(sizeof *family), *ip = tuple + NLA_HDRLEN, *at = ip + NLA_HDRLEN;
    size_t length;
    int v4 = peer->ss_family == AF_INET;
    void *from = bytes_of(local, &length);
    at = put(at, v4 ? CTA_IP_V4_SRC : CTA_IP_V6_SRC, from, length);
    at = put(at, v4 ? CTA_IP_V4_DST : CTA_IP_V6_DST, bytes_of(peer, &length), length);
    end_nest(ip, at, CTA_TUPLE_IP);
    uint8_t *ports = at, tcp = IPPROTO_TCP;
    uint16_t near = htons(port_of(local)), far = htons(port_of(peer));
    at = put(ports + NLA_HDRLEN, CTA_PROTO_NUM, &tcp, 1);
    at = put(at, CTA_PROTO_SRC_PORT, &near, 2);
    at = put(at, CTA_PROTO_DST_PORT, &far, 2);
    end_nest(ports, at, CTA_TUPLE_PROTO);
    end_nest(tuple, at, CTA_TUPLE_REPLY);
    head->nlmsg_len = (uint32_t)(at - buffer);
    head->nlmsg_type = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET;
    head->nlmsg_flags = NLM_F_REQUEST;
    head->nlmsg_seq = ++sequence;
    if (send(netlink, buffer, head->nlmsg_len, 0) < 0) return -1;
    ssize_t got = recv(netlink, buffer, sizeof buffer, 0);
    if (got < (ssize_t)NLMSG_HDRLEN || head->nlmsg_type == NLMSG_ERROR) return -1;
    uint8_t *body = buffer + NLMSG_HDRLEN + NLMSG_ALIGN(sizeof *family);
    size_t rest = head->nlmsg_len - (size_t)(body - buffer);
    struct nlattr *original = find(body, rest, CTA_TUPLE_ORIG), *state = find(body, rest, CTA_STATUS);
    struct nlattr *addresses = inner(original, CTA_TUPLE_IP), *numbers = inner(original, CTA_TUPLE_PROTO);
    struct nlattr *a = inner(addresses, v4 ? CTA_IP_V4_SRC : CTA_IP_V6_SRC), *b = inner(addresses, v4 ? CTA_IP_V4_DST : CTA_IP_V6_DST);
    struct nlattr *p = inner(numbers, CTA_PROTO_SRC_PORT), *q = inner(numbers, CTA_PROTO_DST_PORT);
    if (!a || !b || !p || !q || !state) return -1;
    *source = *destination = *peer;
    memcpy(bytes_of(source, &length), payload(a), length);
    memcpy(bytes_of(destination, &length), payload(b), length);
    set_port(source, ntohs(*(uint16_t *)payload(p)));
    set_port(destination, ntohs(*(uint16_t *)payload(q)));
    *status = ntohl(*(uint32_t *)payload(state));
    return 0;
}

/* ---- relay ---- */

typedef struct { int fd; Address address; } Listener;

static Listener listener(const char *address) {
    Listener l = {.address = parse(address, settings.port)};
    int family = l.address.ss_family;
    l.fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    option(l.fd, SOL_SOCKET, SO_REUSEADDR, 1, "SO_REUSEADDR");
    option(l.fd, SOL_SOCKET, SO_REUSEPORT, 1, "SO_REUSEPORT");
    if (family == AF_INET6) option(l.fd, IPPROTO_IPV6, IPV6_V6ONLY, 1, "IPV6_V6ONLY");
    if (settings.own) option(l.fd, SOL_SOCKET, SO_MARK, (int)settings.own, "SO_MARK");
    if (settings.mode == TPROXY) transparent(l.fd, family);
    if (bind(l.fd, (struct sockaddr *)&l.address, size_of(&l.address)) || listen(l.fd, 4096)) die("listen");
    return l;
}

static int is_virtual(const Address *a) {
    size_t length;
    static const uint8_t v4[] = {240, 240}, v6[] = {0xfd, 0x77, 0x65, 0x66, 0x74, 0};
    void *bytes = bytes_of(a, &length);
    return length == 4 ? !memcmp(bytes, v4, sizeof v4) : !memcmp(bytes, v6, sizeof v6);
}

static int original(int netlink, int fd, const Listener *l, const Address *peer, Address *source, Address *destination) {
    socklen_t size = sizeof *destination;
    Address local = l->address;
    *source = *peer;
    if (settings.mode == TPROXY) {
        if (getsockname(fd, (struct sockaddr *)destination, &size)) return -1;
        /* Nobody asked for a destination: the connection was made to the relay itself. */
        return port_of(destination) == settings.port ? -1 : 0;
    }
    if (settings.any && getsockname(fd, (struct sockaddr *)&local, &size)) return -1;
    if (settings.mode == SOCKOPT) {
        size = sizeof *destination;
        int level = peer->ss_family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6;
        if (getsockopt(fd, level, SO_ORIGINAL_DST, destination, &size)) return -1;
    } else {
        uint32_t status = 0;
        if (look_up(netlink, peer, &local, source, destination, &status) || !(status & STATUS_DNAT)) return -1;
    }
    return same(destination, &local) ? -1 : 0;
}

static void keep_alive(int fd) {
    if (!settings.keepalive) return;
    option(fd, SOL_SOCKET, SO_KEEPALIVE, 1, "SO_KEEPALIVE");
    option(fd, IPPROTO_TCP, TCP_KEEPIDLE, settings.keepalive, "TCP_KEEPIDLE");
    option(fd, IPPROTO_TCP, TCP_KEEPINTVL, settings.keepalive, "TCP_KEEPINTVL");
}

static int dial(const Address *to, const Address *source) {
    int fd = socket(to->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    size_t length, other;
    void *shown = bytes_of(source, &length), *target = bytes_of(to, &other);
    int spoofs = settings.spoof && memcmp(shown, target, length) != 0;
    uint32_t mark = spoofs ? settings.spoof : settings.own;
    if (mark) option(fd, SOL_SOCKET, SO_MARK, (int)mark, "SO_MARK");
    option(fd, IPPROTO_TCP, TCP_NODELAY, 1, "TCP_NODELAY");
    keep_alive(fd);
    if (spoofs) {
        Address from = *source;
        transparent(fd, to->ss_family);
        if (settings.same_port || settings.high) {
            static atomic_uint turn;
            if (settings.high) set_port(&from, (uint16_t)((unsigned)settings.low + atomic_fetch_add(&turn, 1) % (unsigned)(settings.high - settings.low + 1)));
            option(fd, SOL_SOCKET, SO_REUSEADDR, 1, "SO_REUSEADDR");
        } else {
            set_port(&from, 0);
            option(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1, "IP_BIND_ADDRESS_NO_PORT");
        }
        if (bind(fd, (struct sockaddr *)&from, size_of(&from))) { close(fd); return -1; }
    }
    if (connect(fd, (const struct sockaddr *)to, size_of(to)) && errno != EINPROGRESS) { close(fd); return -1; }
    return fd;
}

static void cut(Flow *f) {
    struct linger now = {1, 0};
    for (int i = 0; i < 2; i++) setsockopt(f->fd[i], SOL_SOCKET, SO_LINGER, &now, sizeof now);
    f->dead = 1;
}
/* Moves what there is from one end to the other. */
static void move(Flow *f, int from, char *scratch) {
    Direction *d = &f->way[from];
    while (!f->dead) {
        while (d->offset < d->length) {
            ssize_t n = write(f->fd[!from], d->data + d->offset, d->length - d->offset);
            if (n < 0) { if (errno != EAGAIN) cut(f); return; }
            d->offset += (size_t)n;
        }
        if (d->data) { free(d->data); d->data = NULL; d->length = d->offset = 0; }
        if (d->eof) { if (!d->shut) { shutdown(f->fd[!from], SHUT_WR); d->shut = 1; } return; }
        ssize_t got = read(f->fd[from], scratch, SCRATCH);
        if (got < 0) { if (errno != EAGAIN) cut(f); return; }
        if (got == 0) { d->eof = 1; continue; }
        ssize_t n = write(f->fd[!from], scratch, (size_t)got);
        if (n < 0) { if (errno != EAGAIN) { cut(f); return; } n = 0; }
        if (n < got) {
            d->length = (size_t)(got - n);
            d->data = malloc(d->length);
            memcpy(d->data, scratch + n, d->length);
        }
    }
}

static void watch(int epoll, int fd, uint32_t events, uintptr_t tag) {
    struct epoll_event e = {events, {.ptr = (void *)tag}};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e)) die("epoll_ctl");
}

static void take(int epoll, int netlink, Listener *l) {
    for (;;) {
        Address peer, source, destination;
        socklen_t size = sizeof peer;
        int fd = accept4(l->fd, (struct sockaddr *)&peer, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) return;
        option(fd, IPPROTO_TCP, TCP_NODELAY, 1, "TCP_NODELAY");
        keep_alive(fd);
        int found = original(netlink, fd, l, &peer, &source, &destination);
        if (settings.log) {
            char a[80], b[80], c[80], line[300];
            print(&peer, a, sizeof a);
            print(&source, b, sizeof b);
            print(&destination, c, sizeof c);
            int n = found ? snprintf(line, sizeof line, "refused %s\n", a) : snprintf(line, sizeof line, "%s %s %s\n", a, b, c);
            if (write(1, line, (size_t)n) < 0) die("log");
        }
        if (found) { close(fd); continue; }
        if (settings.has_virtual && is_virtual(&destination)) {
            uint16_t port = port_of(&destination);
            destination = destination.ss_family == AF_INET ? settings.virtual4 : settings.virtual6;
            set_port(&destination, port);
        }
        int server = dial(&destination, &source);
        if (server < 0) { close(fd); continue; }
        Flow *f = calloc(1, sizeof *f);
        f->fd[0] = fd;
        f->fd[1] = server;
        watch(epoll, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, (uintptr_t)f);
        watch(epoll, server, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, (uintptr_t)f | 1);
    }
}

static void *work(void *unused) {
    (void)unused;
    char *scratch = malloc(SCRATCH);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    int netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
    Listener listeners[2] = {listener(settings.any ? "0.0.0.0" : "127.0.0.1"), listener(settings.any ? "::" : "::1")};
    for (uintptr_t i = 0; i < 2; i++) watch(epoll, listeners[i].fd, EPOLLIN | EPOLLET, LISTENER | i << 2);
    struct epoll_event events[256];
    for (;;) {
        int count = epoll_wait(epoll, events, 256, -1);
        Flow *gone = NULL;
        for (int i = 0; i < count; i++) {
            uintptr_t tag = (uintptr_t)events[i].data.ptr;
            if (tag < 16) { take(epoll, netlink, &listeners[tag >> 2]); continue; }
            Flow *f = (Flow *)(tag & ~(uintptr_t)1);
            if (f->dead) continue;
            if (!f->connected) {
                if (!(tag & 1) || !(events[i].events & (EPOLLOUT | EPOLLERR | EPOLLHUP))) continue;
                int error = 0;
                socklen_t size = sizeof error;
                getsockopt(f->fd[1], SOL_SOCKET, SO_ERROR, &error, &size);
                if (error) cut(f);
                f->connected = 1;
            }
            if (!f->dead && (events[i].events & EPOLLERR)) cut(f);
            move(f, 0, scratch);
            move(f, 1, scratch);
            if (f->dead || (f->way[0].shut && f->way[1].shut)) {
                f->dead = 1;
                close(f->fd[0]);
                close(f->fd[1]);
                free(f->way[0].data);
                free(f->way[1].data);
                f->next = gone;
                gone = f;
            }
        }
        /* An event of the same batch may still point to them. */
        while (gone) { Flow *next = gone->next; free(gone); gone = next; }
    }
    return NULL;
}

static int relay(int count, char **arg) {
    if (count < 2) return 2;
    settings.mode = !strcmp(arg[0], "tproxy") ? TPROXY : !strcmp(arg[0], "sockopt") ? SOCKOPT : CONNTRACK;
    settings.port = (uint16_t)atoi(arg[1]);
    for (int i = 2; i < count; i++) {
        if (!strcmp(arg[i], "--same-port")) settings.same_port = 1;
        else if (!strcmp(arg[i], "--any")) settings.any = 1;
        else if (!strcmp(arg[i], "--log")) settings.log = 1;
        else if (!strcmp(arg[i], "--own") && i + 1 < count) settings.own = (uint32_t)strtoul(arg[++i], NULL, 0);
        else if (!strcmp(arg[i], "--spoof") && i + 1 < count) settings.spoof = (uint32_t)strtoul(arg[++i], NULL, 0);
        else if (!strcmp(arg[i], "--ports") && i + 2 < count) {
            settings.low = atoi(arg[++i]);
            settings.high = atoi(arg[++i]);
        }
        else if (!strcmp(arg[i], "--keepalive") && i + 1 < count) settings.keepalive = atoi(arg[++i]);
        else if (!strcmp(arg[i], "--virtual") && i + 2 < count) {
            settings.has_virtual = 1;
            settings.virtual4 = parse(arg[++i], 0);
            settings.virtual6 = parse(arg[++i], 0);
        } else { fprintf(stderr, "unknown option %s\n", arg[i]); return 2; }
    }
    pthread_t other;
    if (pthread_create(&other, NULL, work, NULL)) die("pthread_create");
    work(NULL);
    return 0;
}

/* ---- server ---- */

static int serve(int count, char **arg) {
    if (count < 2) return 2;
    int sinks = !strcmp(arg[0], "sink"), names = !strcmp(arg[0], "name");
    Address any = parse("::", (uint16_t)atoi(arg[1]));
    int l = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), epoll = epoll_create1(EPOLL_CLOEXEC);
    option(l, SOL_SOCKET, SO_REUSEADDR, 1, "SO_REUSEADDR");
    option(l, IPPROTO_IPV6, IPV6_V6ONLY, 0, "IPV6_V6ONLY");
    if (bind(l, (struct sockaddr *)&any, size_of(&any)) || listen(l, 4096)) die("listen");
    watch(epoll, l, EPOLLIN, (uintptr_t)l);
    static char data[1 << 18];
    struct epoll_event events[256];
    for (;;) {
        int n = epoll_wait(epoll, events, 256, -1);
        for (int i = 0; i < n; i++) {
            int fd = (int)(uintptr_t)events[i].data.ptr;
            if (fd == l) {
                int c;
                while ((c = accept4(l, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
                    option(c, IPPROTO_TCP, TCP_NODELAY, 1, "TCP_NODELAY");
                    watch(epoll, c, EPOLLIN, (uintptr_t)c);
                }
                continue;
            }
            ssize_t got = read(fd, data, sizeof data);
            if (got < 0 && errno == EAGAIN) continue;
            if (got <= 0) { close(fd); continue; }
            if (sinks) continue;
            if (names) {
                Address here, there;
                socklen_t a = sizeof here, b = sizeof there;
                if (getsockname(fd, (struct sockaddr *)&here, &a) || getpeername(fd, (struct sockaddr *)&there, &b)) { close(fd); continue; }
                char x[80], y[80];
                print(&here, x, sizeof x);
                print(&there, y, sizeof y);
                got = snprintf(data, sizeof data, "%s %s\n", x, y);
            }
            if (write(fd, data, (size_t)got) != got) close(fd);
        }
    }
}

/* ---- client ---- */

static Address targets[65536];
static long failures;

static int reach(const Address *to) {
    int fd = socket(to->ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct timeval limit = {3, 0};
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    option(fd, IPPROTO_TCP, TCP_NODELAY, 1, "TCP_NODELAY");
    if (connect(fd, (const struct sockaddr *)to, size_of(to))) { failures++; close(fd); return -1; }
    return fd;
}
static void say(int fd) { char message[64] = "ping"; if (fd >= 0 && write(fd, message, sizeof message) != sizeof message) failures++; }
static void hear(int fd) { char message[64]; if (fd >= 0 && recv(fd, message, sizeof message, MSG_WAITALL) != sizeof message) failures++; }

static int client(int count, char **arg) {
    if (count < 5) return 2;
    long units = atol(arg[1]), done = 0;
    int many = atoi(arg[3]), fds[16];
    if (many < 1 || many > 65536) return 2;
    for (int i = 0; i < many; i++) {
        size_t length;
        uint32_t last;
        targets[i] = parse(arg[2], (uint16_t)atoi(arg[4]));
        uint8_t *bytes = bytes_of(&targets[i], &length);
        memcpy(&last, bytes + length - 4, 4);
        last = htonl(ntohl(last) + (uint32_t)i);
        memcpy(bytes + length - 4, &last, 4);
    }
    struct timespec start, end, cpu;
    clock_gettime(CLOCK_MONOTONIC, &start);
    if (!strcmp(arg[0], "connect")) {
        for (; done < units && failures < 20; done += 16) {
            for (int i = 0; i < 16; i++) fds[i] = reach(&targets[(done + i) % many]);
            for (int i = 0; i < 16; i++) say(fds[i]);
            for (int i = 0; i < 16; i++) hear(fds[i]);
            for (int i = 0; i < 16; i++) if (fds[i] >= 0) close(fds[i]);
        }
    } else if (!strcmp(arg[0], "request")) {
        for (int i = 0; i < 16; i++) fds[i] = reach(&targets[i % many]);
        for (; done < units && failures < 20; done += 16) {
            for (int i = 0; i < 16; i++) say(fds[i]);
            for (int i = 0; i < 16; i++) hear(fds[i]);
        }
    } else {
        static char block[1 << 18];
        int fd = reach(&targets[0]);
        while (fd >= 0 && done < units) {
            ssize_t n = write(fd, block, sizeof block);
            if (n <= 0) { failures++; break; }
            done += n;
        }
        shutdown(fd, SHUT_WR);
        if (fd < 0 || read(fd, block, 1) != 0) failures++;
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    printf("{\"units\": %ld, \"failures\": %ld, \"wall\": %.6f, \"cpu\": %.6f}\n", done, failures,
        (double)(end.tv_sec - start.tv_sec) + (double)(end.tv_nsec - start.tv_nsec) / 1e9, (double)cpu.tv_sec + (double)cpu.tv_nsec / 1e9);
    return 0;
}

int main(int count, char **arg) {
    signal(SIGPIPE, SIG_IGN);
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    int result = 2;
    if (count > 1 && !strcmp(arg[1], "relay")) result = relay(count - 2, arg + 2);
    if (count > 1 && !strcmp(arg[1], "serve")) result = serve(count - 2, arg + 2);
    if (count > 1 && !strcmp(arg[1], "client")) result = client(count - 2, arg + 2);
    if (result == 2) fprintf(stderr, "usage: see the head of capture.c\n");
    return result;
}
