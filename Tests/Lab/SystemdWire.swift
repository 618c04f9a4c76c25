import Glibc

/// A box with Weft, a network card and another host behind it, and a counter of plaintext on the wire between the two.
enum SystemdWire {
    static let server = "192.0.2.9"
    static let port = 9080

    /// `wire0`, the way to everywhere, whose other end is in a network namespace `far` of the box.
    static func makeNetwork(_ box: SystemdBox) throws {
        try box.must(
            """
            set -e
            ip netns add far
            ip link add wire0 type veth peer name wire1 netns far
            # No link-local address: its route would appear at some later moment.
            ip link set wire0 addrgenmode none && ip -n far link set wire1 addrgenmode none
            ip address add 192.0.2.1/24 dev wire0 && ip link set wire0 up && ip route add default via \(server)
            ip -n far address add \(server)/24 dev wire1 && ip -n far link set wire1 up && ip -n far link set lo up
            # Both ends have seen the link before the first packet.
            for _ in $(seq 50); do [ "$(cat /sys/class/net/wire0/operstate)" = up ] && break; sleep 0.05; done
            """)
    }

    /// Counts SYNs that leave through `wire0`: `plain` are those without Weft's mark, which a captured process must never cause.
    static func makeCounters(_ box: SystemdBox) throws {
        try box.must(
            """
            nft -f - <<'END'
            table inet wiretap {
                counter plain { }
                counter marked { }
                chain wire {
                    type filter hook postrouting priority 300;
                    oifname "wire0" tcp dport \(port) tcp flags & (syn | ack) == syn meta mark & 0x3000 != 0x1000 counter name plain
                    oifname "wire0" tcp dport \(port) tcp flags & (syn | ack) == syn meta mark & 0x3000 == 0x1000 counter name marked
                }
            }
            END
            """)
    }

    static func packets(_ box: SystemdBox, _ counter: String) throws -> Int {
        let text = try box.must("nft list counter inet wiretap \(counter) | awk '/packets/ { print $2 }'").trimmed
        guard let number = Int(text) else { throw SystemdBox.Failure(description: text) }
        return number
    }

    /// The mesh of one node, a server on the far host, and the program of `source` as /usr/local/bin/peer.
    static func start(_ box: SystemdBox) throws {
        guard let package = SystemdBox.packageFiles().first else { throw SystemdBox.Failure(description: "no package") }
        try makeNetwork(box)
        try makeCounters(box)
        let file = box.share + "/peer.c"
        guard let stream = fopen(file, "w") else { throw SystemdBox.Failure(description: file) }
        fputs(source, stream)
        fclose(stream)
        let built = try SystemdBox.Process.run(["cc", "-O1", "-static", "-o", box.share + "/peer", file])
        guard built.status == 0 else { throw SystemdBox.Failure(description: built.text) }
        try box.must("install -m 0755 /srv/weft/peer /usr/local/bin/peer; systemd-run -q --unit=far -p NetworkNamespacePath=/run/netns/far /usr/local/bin/peer serve \(server) \(port)")
        try box.wait("peer first \(server) \(port)")
        try box.must("dpkg -i \(try box.bring(package)); weft init lab.example")
        try box.wait("weft status --output json | grep -q '\"ready\"'")
    }

    /// A server that says one byte, and clients that wait for it: a connection counts when the byte came, since the kernel accepts for a stopped agent.
    private static let source = """
        #define _GNU_SOURCE
        #include <arpa/inet.h>
        #include <errno.h>
        #include <stdio.h>
        #include <stdlib.h>
        #include <string.h>
        #include <sys/socket.h>
        #include <sys/time.h>
        #include <time.h>
        #include <unistd.h>

        static const char *once(struct sockaddr_in *to, int milliseconds) {
            int fd = socket(AF_INET, SOCK_STREAM, 0);
            struct timeval limit = {milliseconds / 1000, milliseconds % 1000 * 1000};
            setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
            setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
            char byte;
            const char *result = "ok";
            if (connect(fd, (struct sockaddr *)to, sizeof *to) != 0)
                result = errno == ECONNREFUSED ? "refused" : errno == EINPROGRESS ? "timeout" : strerror(errno);
            else {
                ssize_t count = read(fd, &byte, 1);
                if (count != 1) result = count == 0 ? "closed" : errno == EAGAIN ? "timeout" : errno == ECONNRESET ? "reset" : strerror(errno);
            }
            close(fd);
            return result;
        }

        int main(int count, char **words) {
            struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(atoi(words[3]))};
            inet_pton(AF_INET, words[2], &to.sin_addr);
            if (strcmp(words[1], "first") == 0) {
                const char *result = once(&to, 5000);
                if (strcmp(result, "ok") != 0) puts(result);
                return strcmp(result, "ok") != 0;
            }
            if (strcmp(words[1], "load") == 0) {
                setvbuf(stdout, NULL, _IOLBF, 0);
                for (int child = 0; child < 3 && fork() != 0; child++) {}
                for (;;) {
                    struct timespec now;
                    const char *result = once(&to, 500);
                    clock_gettime(CLOCK_REALTIME, &now);
                    printf("%lld %s\\n", (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000, result);
                    usleep(20000);
                }
            }
            int yes = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
            setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
            if (bind(fd, (struct sockaddr *)&to, sizeof to) != 0 || listen(fd, 1024) != 0) return 1;
            for (;;) {
                int peer = accept(fd, NULL, NULL);
                if (peer < 0) continue;
                send(peer, "k", 1, MSG_NOSIGNAL);
                close(peer);
            }
        }
        """
}
