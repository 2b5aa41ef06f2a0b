# Sourced by test.sh: what crosses the wires between the containers, as dumpcap records and tshark reads it.

capturing=()

bridge() { # NETWORK: the name of its bridge, in the engine's namespace
  printf 'br-%.12s' "$(docker network inspect --format '{{.Id}}' "$1")"
}

# capture FILE PROCESS INTERFACE…: every packet, in the network namespace of that process, from now on
capture() {
  local file=$1 process=$2 interface options=()
  shift 2
  for interface in "$@"; do options+=(-i "$interface"); done
  nsenter --target "$process" --net dumpcap -q "${options[@]}" -w "$file" 2>"$file.log" &
  capturing+=("$!")
  until_ready 20 grep -q '^File: ' "$file.log" || { cat "$file.log"; die "nothing can be captured on $*"; }
}

# What was captured last is not on file at once.
on_file() { # FILE FILTER
  until_ready 30 has_packets "$1" "$2" || fail "packets that went are on file ($2)"
}
has_packets() { [ -n "$(read_packets "$1" "$2")" ]; }

end_captures() {
  local pid
  for pid in "${capturing[@]}"; do
    kill "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
  capturing=()
}

# read_packets FILE FILTER [TSHARK'S OPTION…]: a line for each packet that the filter takes
read_packets() {
  local file=$1 filter=$2
  shift 2
  tshark -n -r "$file" -Y "$filter" "$@" 2>>"$work/tshark.log"
}

# What of the patient, and of what is asked about her, crosses wires in the clear where there is no sidecar.
patient=(Mustermann MRN-4711-0815 K123456789)
markers=("${patient[@]}" PRPA_IN201305UV02 'ORU^R01' 'from invoices where due')

# What carries data and is not TLS. What is sent again was there once before, and is not dissected twice. Address resolution and
# neighbour discovery carry nothing of ours.
in_the_clear='((tcp.len > 0 && !tls && !tcp.reassembled_in && !tcp.analysis.retransmission) || !(tcp || arp || icmpv6))'

# seen TEXT FILE FILTER, unseen TEXT FILE FILTER: whether there are such packets
seen() {
  if has_packets "$2" "$3"; then pass "$1"; else fail "$1 (no packet: $3)" "$(tail -3 "$work/tshark.log")"; fi
}
unseen() {
  local found
  # A reader that fails has seen nothing either.
  found=$(read_packets "$2" "$3") || { fail "$1" "$(tail -3 "$work/tshark.log")"; return; }
  if [ -z "$found" ]; then pass "$1"; else fail "$1 (packets: $3)" "$found"; fi
}

check_bridges() {
  local file=$work/bridges.pcapng marker network wire any=''
  expect 'the capture lost no packet' '^0$' lost "$file.log"
  for marker in "${markers[@]}"; do any+="${any:+ || }frame contains \"$marker\""; done
  for network in fhir soap hl7 sql; do
    wire="frame.interface_name == \"$(bridge "${project}_$network")\""
    seen "$network: data went to and fro" "$file" "$wire && tls.record.opaque_type == 23"
    expect "$network: in TLS 1.3 and no other" '^0x0304$' versions "$file" "$wire && tls.handshake.type == 2"
    unseen "$network: nothing went in the clear" "$file" "$wire && $in_the_clear"
    unseen "$network: no word of the patient in any packet" "$file" "$wire && ($any)"
  done
}

lost() { sed -n 's|^Packets received/dropped on interface .*: [0-9]*/\([0-9]*\) .*|\1|p' "$1" | sort -u | paste -sd' '; }
versions() { read_packets "$1" "$2" -T fields -e tls.handshake.extensions.supported_version | sort -u | paste -sd' '; }

# The control: the same filters find what they look for where it does cross in the clear.
check_control() {
  local marker wire
  wire="frame.interface_name == \"$(bridge "$bypass")\""
  for marker in Mustermann MRN-4711-0815 K123456789 PRPA_IN201305UV02 'ORU^R01'; do
    seen "control: past the sidecars, the same capture sees $marker" "$work/bridges.pcapng" "$wire && frame contains \"$marker\""
  done
  seen 'control: and that it goes in the clear' "$work/bridges.pcapng" "$wire && $in_the_clear"
  for marker in Mustermann K123456789 PRPA_IN201305UV02; do
    seen "control: billing did say $marker, on its loopback" "$work/billing.pcapng" "frame contains \"$marker\""
  done
  seen 'control: lab did say ORU^R01' "$work/lab.pcapng" 'frame contains "ORU^R01"'
  seen 'control: reports did ask' "$work/reports.pcapng" 'frame contains "from invoices where due"'
  seen 'control: and was answered' "$work/reports.pcapng" 'frame contains "MRN-4711-0815"'
}
