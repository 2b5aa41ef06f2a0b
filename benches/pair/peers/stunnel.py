"""stunnel: a thread per connection, no worker count to set."""
from . import SERVER_NAME, SUITE, Peer


class Stunnel(Peer):
    name, command, install = "stunnel", "stunnel4", "Debian stunnel4"
    version = ("-version",)

    def start(self, side):
        egress = side.role == "egress"
        conf = f"""foreground = yes
pid =
debug = 3
output = {side.directory}/stunnel.log
socket = l:TCP_NODELAY=1
socket = r:TCP_NODELAY=1
[pair]
client = {'yes' if egress else 'no'}
accept = 127.0.0.1:{side.listen}
connect = 127.0.0.1:{side.connect}
cert = {side.certs}/{side.name}.crt
key = {side.certs}/{side.name}.key
CAfile = {side.certs}/ca.crt
verifyChain = yes
sslVersionMin = TLSv1.3
ciphersuites = {SUITE}
curves = X25519
sessionResume = no
{f'checkHost = {SERVER_NAME}' if egress else ''}
{f'sni = {SERVER_NAME}' if egress else ''}
"""
        return [self.binary, side.write("stunnel.conf", conf)]
