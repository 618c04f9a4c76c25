"""HAProxy as Debian packages it."""

from contenders import SERVICES, Peer, version_line
from hosts import run


class HAProxy(Peer):
    name = "haproxy"
    ports = 9300
    suffix = "cfg"
    settings = (
        "`mode tcp`, two threads. `tune.bufsize 65536` and `splice-request`, `splice-response`: of all its settings the least CPU time for bulk. "
        "TLS 1.3 with AES-128-GCM, which costs less than its default, AES-256. Its session cache and tickets stay on: nearly every handshake is a resumed one, which costs "
        "a third less. Access log: `option tcplog` to a file.")
    globals = "tune.bufsize 65536"
    defaults = "option splice-request\n    option splice-response"

    @staticmethod
    def version():
        return version_line(run("haproxy", "-v")).split()[2]

    def command(self, path):
        return "haproxy", "-db", "-f", path

    def configuration(self, role, log):
        listen = {"plain": self.plain, "near": self.outgoing, "far": self.incoming}[role]
        return f"""global
    nbthread 2
    maxconn {self.capacity(role)}
    maxpipes 64
    log stdout format raw local0
    {self.globals}
defaults
    mode tcp
    log global
    option tcplog
    timeout connect 5s
    timeout client 1h
    timeout server 1h
    {self.defaults}
""" + "".join(f"listen {service}\n    bind {bind}\n    server upstream {server}\n" for service in SERVICES for bind, server in [listen(service)])

    def plain(self, service):
        return f"127.0.0.1:{self.port(self.PLAIN, service)}", f"127.0.0.1:{self.upstream(service)}"

    def outgoing(self, service):
        return f"127.0.0.1:{self.port(self.PAIR, service)}", f"{self.far.address}:{self.port(self.TLS, service)} {self.tls('near')} sni str(far) verifyhost far"

    def incoming(self, service):
        return f"{self.far.address}:{self.port(self.TLS, service)} {self.tls('far')}", f"127.0.0.1:{self.upstream(service)}"

    def tls(self, name):
        at = self.place.certificates
        return f"ssl crt {at}/{name}.pem ca-file {at}/ca.crt verify required ssl-min-ver TLSv1.3 ciphersuites TLS_AES_128_GCM_SHA256"


class HAProxyDefault(HAProxy):
    name = "haproxy-default"
    ports = 9320
    settings = "The same without `tune.bufsize` and splice: 16 KiB buffers."
    globals = defaults = ""
