"""HAProxy: HTTP/1.1 keep-alive pool between the sidecars (`http-reuse safe`, its default)."""
from . import SERVER_NAME, SUITE, Peer


class Haproxy(Peer):
    name, modes, command, install = "haproxy", ("l4", "l7"), "haproxy", "Debian haproxy"

    def start(self, side):
        tls = (f"ssl crt {side.certs}/{side.name}.pem ca-file {side.certs}/ca.crt verify required "
               f"ssl-min-ver TLSv1.3 ciphersuites {SUITE} no-tls-tickets")
        bind, server = f"127.0.0.1:{side.listen}", f"127.0.0.1:{side.connect}"
        if side.role == "egress":
            server += f" {tls} verifyhost {SERVER_NAME} sni str({SERVER_NAME}) no-ssl-reuse"
        else:
            bind += f" {tls} curves X25519"
        conf = f"""global
    nbthread {side.threads}
    maxconn 9000
    tune.ssl.cachesize 0
defaults
    mode {'tcp' if side.mode == 'l4' else 'http'}
    timeout connect 5s
    timeout client 1h
    timeout server 1h
    maxconn 9000
frontend pair
    bind {bind}
    default_backend next
backend next
    server next {server}
"""
        return [self.binary, "-q", "-db", "-f", side.write("haproxy.cfg", conf)]
