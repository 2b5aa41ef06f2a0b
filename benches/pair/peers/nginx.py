"""nginx: worker processes with `reuseport`; an HTTP/1.1 keep-alive pool of 64 between the sidecars."""
from . import SERVER_NAME, SUITE, Peer

MODULE = "/usr/lib/nginx/modules/ngx_stream_module.so"


class Nginx(Peer):
    name, modes, command = "nginx", ("l4", "l7"), "nginx"
    install = "Debian nginx-light libnginx-mod-stream"

    def start(self, side):
        egress = side.role == "egress"
        certs = side.certs
        if egress:
            listen = f"listen 127.0.0.1:{side.listen} reuseport;"
            tls = f"""proxy_ssl_certificate {certs}/client.crt; proxy_ssl_certificate_key {certs}/client.key;
    proxy_ssl_trusted_certificate {certs}/ca.crt; proxy_ssl_verify on; proxy_ssl_name {SERVER_NAME};
    proxy_ssl_server_name on; proxy_ssl_protocols TLSv1.3; proxy_ssl_conf_command Ciphersuites {SUITE};
    proxy_ssl_session_reuse off;"""
        else:
            listen = f"listen 127.0.0.1:{side.listen} ssl reuseport;"
            tls = f"""ssl_certificate {certs}/server.crt; ssl_certificate_key {certs}/server.key;
    ssl_client_certificate {certs}/ca.crt; ssl_verify_client on; ssl_protocols TLSv1.3; ssl_ecdh_curve X25519;
    ssl_conf_command Ciphersuites {SUITE}; ssl_session_tickets off; ssl_session_cache off;"""
        if side.mode == "l4":
            load, body = f"load_module {MODULE};", f"""stream {{ server {{ {listen} {tls}
    proxy_pass 127.0.0.1:{side.connect}; proxy_timeout 1h; tcp_nodelay on; {'proxy_ssl on;' if egress else ''} }} }}"""
        else:
            load, body = "", f"""http {{ access_log off; keepalive_requests 100000000; keepalive_timeout 1h;
  {temporary(side.directory)}
  upstream next {{ server 127.0.0.1:{side.connect}; keepalive 64; keepalive_requests 100000000; }}
  server {{ {listen} {tls}
    location / {{ proxy_pass {'https' if egress else 'http'}://next; proxy_http_version 1.1; proxy_set_header Connection ""; }} }} }}"""
        conf = f"""{load} daemon off; worker_processes {side.threads}; worker_rlimit_nofile 20000;
pid {side.directory}/pid; error_log {side.directory}/error.log error;
events {{ worker_connections 12000; }}
{body}
"""
        return command(self.binary, side.directory, side.write("nginx.conf", conf))


def command(binary, directory, conf):
    """Runs nginx with all its files in `directory`."""
    return [binary, "-p", directory, "-e", f"{directory}/error.log", "-c", conf]


def temporary(directory):
    """Its directories for temporary files."""
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    return " ".join(f"{kind}_temp_path {directory}/{kind};" for kind in kinds)
