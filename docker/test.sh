#!/usr/bin/env bash
# Builds the image and runs the composed pair, for real, on a machine that has neither a container engine
# running nor an image registry: an engine of its own is started, and base images are made on the spot.
#
#   docker/test.sh                  all of it; some ten minutes on two cores, most of them the release build
#   docker/test.sh --binary FILE    puts FILE, a static myelin, into the image instead of compiling one
#   docker/test.sh --keep           leaves engine and containers running, and says how to reach and end them
#
# Needs root and Debian's packages; what is missing is installed. The engine lives in a network and a mount
# namespace of its own, so that neither its bridges nor its mounts are seen outside. Nothing is sent to any
# other machine but by apt, debootstrap and cargo, to their registries.
set -euo pipefail

repo=$(cd "$(dirname "$0")/.." && pwd)
image=myelin:test
builder=myelin-test/builder:local
workload=myelin-test/busybox:local
project=myelin-test
trail_lines=''

. "$repo/docker/checks.sh"

# Starts what takes long, in a process group of its own: a signal to this script is heard at once, and ends
# all of it. `finished` waits for it.
begin() { # LOG COMMAND…
  local log=$1
  shift
  set -m
  "$@" >"$log" 2>&1 &
  making=$!
  set +m
}
finished() {
  local status=0
  wait "$making" || status=$?
  making=''
  return "$status"
}

# --- the engine ----------------------------------------------------------------------------------------

install_missing() {
  local package missing=()
  for package in docker.io:dockerd busybox-static:busybox debootstrap:debootstrap iproute2:ip iptables:iptables; do
    command -v "${package#*:}" >/dev/null || missing+=("${package%:*}")
  done
  docker compose version >/dev/null 2>&1 || command -v docker-compose >/dev/null || missing+=(docker-compose)
  [ ${#missing[@]} -eq 0 ] && return
  step "installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  { apt-get update && apt-get install -y --no-install-recommends "${missing[@]}"; } >"$work/apt.log" 2>&1 \
    || { tail -20 "$work/apt.log"; die "apt-get could not install ${missing[*]}"; }
}

# start_engine STORAGE: `unshare` becomes `dockerd`, so that `engine` is its process id.
start_engine() {
  unshare --net --mount --propagation private sh -c 'ip link set lo up && exec "$@"' engine \
    dockerd --host "$DOCKER_HOST" --data-root "$work/data-$1" --exec-root "$work/exec" \
    --pidfile "$work/engine.pid" --storage-driver "$1" --iptables=false --ip6tables=false \
    >"$work/engine-$1.log" 2>&1 &
  engine=$!
  until_ready 60 docker info && return
  stop_engine
  return 1
}

stop_engine() {
  [ -n "$engine" ] || return 0
  kill "$engine" 2>/dev/null || true
  wait "$engine" 2>/dev/null || true
  engine=''
}

finish() {
  local status=$?
  trap - EXIT INT TERM
  if [ -n "$making" ]; then
    kill -- "-$making" 2>/dev/null || true
    wait "$making" 2>/dev/null || true
  fi
  if [ "$keep" = yes ] && [ -n "$engine" ]; then
    printf '\nLeft running: export DOCKER_HOST=%s\nTo end it:    kill %s; tail --pid %s -f /dev/null; rm -rf %s\n' \
      "$DOCKER_HOST" "$engine" "$engine" "$work"
    disown "$engine"
    exit "$status"
  fi
  if [ -n "$engine" ]; then
    docker ps --quiet | xargs --no-run-if-empty docker rm --force >/dev/null 2>&1 || true
  fi
  stop_engine
  rm -rf "$work"
  exit "$status"
}

# --- images without a registry -------------------------------------------------------------------------

# A workload's base: a static busybox, as in the image of that name.
make_workload_image() {
  local root=$work/busybox applet
  mkdir -p "$root/bin"
  cp "$(command -v busybox)" "$root/bin/busybox"
  for applet in $(busybox --list); do
    [ "$applet" = busybox ] || ln -s busybox "$root/bin/$applet"
  done
  tar -C "$root" -c . | docker import - "$workload" >/dev/null
}

# Debian with a C compiler, this machine's Rust toolchain, and the source of every dependency. It stands in
# for `rust:1.95-bookworm`, and lets the build run without a network.
make_builder_root() {
  local root=$work/builder host sysroot
  host=$(cd "$repo" && rustc -vV | sed -n 's/^host: //p')
  sysroot=$(cd "$repo" && rustc --print sysroot)
  unshare --mount --propagation private debootstrap --variant=minbase --include=gcc,libc6-dev \
    bookworm "$root" "${DEBIAN_MIRROR:-http://deb.debian.org/debian}"
  rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/usr/share/{doc,locale,man}
  mkdir -p "$root/usr/local/lib/rustlib" "$root/usr/local/cargo"
  cp -a "$sysroot"/bin/{cargo,rustc} "$root/usr/local/bin/"
  cp -a "$sysroot"/lib/*.so* "$root/usr/local/lib/"
  cp -a "$sysroot/lib/rustlib/$host" "$root/usr/local/lib/rustlib/"
  (cd "$repo" && cargo vendor --locked --versioned-dirs "$root/usr/local/vendor")
  cat >"$root/usr/local/cargo/config.toml" <<'CONFIG'
[source.crates-io]
replace-with = "vendored"
[source.vendored]
directory = "/usr/local/vendor"
[net]
offline = true
CONFIG
}

# Commands named rustc and cargo that "compile" the given binary: the rest of the Dockerfile is as ever.
make_prebuilt_root() {
  local root=$work/builder
  mkdir -p "$root/usr/local/bin" "$root/usr/local/cargo" "$root/tmp"
  cp -a "$work/busybox/bin" "$root/bin"
  cp "$binary" "$root/myelin"
  printf '#!/bin/sh\necho host: prebuilt\n' >"$root/usr/local/bin/rustc"
  cat >"$root/usr/local/bin/cargo" <<'CARGO'
#!/bin/sh
mkdir -p "$CARGO_TARGET_DIR/prebuilt/release" && cp /myelin "$CARGO_TARGET_DIR/prebuilt/release/myelin"
CARGO
  chmod 0755 "$root"/usr/local/bin/* "$root/myelin"
}

import_builder() {
  tar -C "$work/builder" -c . \
    | docker import --change 'ENV CARGO_HOME=/usr/local/cargo' \
      --change 'ENV PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin' - "$builder" >/dev/null
  rm -rf "$work/builder"
}

build_image() {
  local revision
  revision=$(git -C "$repo" rev-parse HEAD 2>/dev/null || echo unknown)
  # The classic builder, because BuildKit is a plugin that not every client has; both make the same image.
  begin "$work/build.log" env DOCKER_BUILDKIT=0 timeout 1500 docker build --network none \
    --file "$repo/docker/Dockerfile" --tag "$image" \
    --build-arg BUILDER="$builder" --build-arg REVISION="$revision" "$repo"
  finished || { tail -40 "$work/build.log"; die 'the Dockerfile does not build'; }
  pass "the Dockerfile builds without a network"
}

# --- the pair ------------------------------------------------------------------------------------------

compose() {
  if docker compose version >/dev/null 2>&1; then
    docker compose --project-name "$project" --file "$repo/docker/compose.yaml" "$@"
  else
    docker-compose --project-name "$project" --file "$repo/docker/compose.yaml" "$@"
  fi
}

# By label, which both generations of compose put: a question to compose itself takes a second each.
container() { # SERVICE
  docker ps --all --quiet --filter "label=com.docker.compose.project=$project" \
    --filter "label=com.docker.compose.service=$1"
}

inside() { # SERVICE COMMAND…
  local id
  id=$(container "$1")
  shift
  timeout 30 docker exec "$id" "$@"
}

of() { docker inspect --format "$2" "$(container "$1")"; }
healthy() { [ "$(of "$1" '{{.State.Health.Status}}')" = healthy ]; }
get() { # SERVICE URL
  inside "$1" wget -q -O - "$2"
}

# The trail of a sidecar as it is now; the sidecar's own image has nothing to read it with.
trail() {
  docker run --rm --network none --user 65532:65532 --volume "${project}_$1-audit:/trail:ro" "$workload" \
    sh -c 'cat /trail/*.jsonl'
}

recorded() { # SERVICE PATTERN
  trail_lines=$(trail "$1") && grep -qE -- "$2" <<<"$trail_lines"
}

on_record() { # TEXT SERVICE PATTERN
  if until_ready 10 recorded "$2" "$3"; then pass "$1"; else fail "$1 (wanted: $3)" "$trail_lines"; fi
}

check_image() {
  local files
  expect 'the image runs, and says what it is' '^myelin [0-9]' docker run --rm --read-only "$image" --version
  expect 'its user is a number, and not root' '^65532:65532$' docker inspect --format '{{.Config.User}}' "$image"
  expect 'it stops by SIGTERM' '^SIGTERM$' docker inspect --format '{{.Config.StopSignal}}' "$image"
  expect 'it asks itself for its health' 'myelin healthcheck' docker inspect --format '{{.Config.Healthcheck.Test}}' "$image"
  expect 'it sets the tunable of glibc' 'x86_rep_movsb_threshold' docker inspect --format '{{.Config.Env}}' "$image"
  files=$(docker create "$image") && docker export "$files" | tar -tv >"$work/files" && docker rm "$files" >/dev/null
  # What the engine itself puts into every container is no part of the image.
  files=$(grep '^-' "$work/files" | grep -vE ' (\.dockerenv|etc/(hostname|hosts|resolv\.conf)|dev/console)$')
  expect 'it holds the binary, and no other file' '^-rwxr-xr-x root/root .* usr/bin/myelin$' echo "$files"
  expect 'one file in all' '^1$' wc -l <<<"$files"
  printf '      size: %s bytes\n' "$(docker inspect --format '{{.Size}}' "$image")"
  expect "its volumes are the user's alone" "^drwx------ 65532/65532 .* var/lib/myelin/authority/\$" cat "$work/files"
  expect "the trail's as well" "^drwx------ 65532/65532 .* var/log/myelin/\$" cat "$work/files"
}

start_pair() {
  export MYELIN_IMAGE=$image WORKLOAD_IMAGE=$workload BUILDER=$builder
  # Without CAP_SYS_RESOURCE not even root may raise it.
  if [ "$(ulimit -Hn)" != unlimited ] && [ "$(ulimit -Hn)" -lt 65536 ]; then
    MYELIN_NOFILE=$(ulimit -Hn)
    export MYELIN_NOFILE
  fi
  compose --profile refusal up --detach >"$work/up.log" 2>&1 \
    || { cat "$work/up.log"; compose logs --no-color; die 'the composition does not start'; }
  for service in ehr billing research; do
    until_ready 60 healthy "$service-sidecar" || { compose --profile refusal logs --no-color; die "$service-sidecar is not healthy"; }
  done
  pass 'every sidecar is healthy'
}

check_requests() {
  expect 'billing, in plain HTTP, gets a patient from ehr' '"family":"Example"' \
    get billing http://127.0.0.1:8080/cgi-bin/invoice
  expect 'ehr gets an invoice from billing' '"invoice":"2026-1042"' \
    get ehr http://127.0.0.1:9001/cgi-bin/invoice
  on_record 'the access is on record, with who it was' ehr \
    '"action":"request-allowed".*spiffe://hospital.example/billing'
  expect 'what no route names is denied' '403' get billing http://127.0.0.1:9001/fhir/Observation/7
  on_record 'and on record' ehr '"action":"request-denied"'
}

check_refusals() {
  local pid address
  expect 'research, whom nobody listed, gets nothing' '502' get research http://127.0.0.1:9001/fhir/Patient/42
  on_record 'and is on record by its name' ehr '"action":"connection-denied".*spiffe://hospital.example/research'
  expect 'the workload cannot be reached past its sidecar' '[Cc]onnection refused' get research http://ehr:8080/fhir/Patient/42
  expect "nor can the sidecar's administration" '[Cc]onnection refused' get research http://ehr:9901/status
  if ! command -v nsenter >/dev/null || ! command -v curl >/dev/null; then
    skip 'a client without a certificate' 'curl or nsenter is not installed'
    return
  fi
  pid=$(of research '{{.State.Pid}}')
  address=$(of ehr '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}')
  expect 'the port for mutual TLS can, but not by curl without a certificate' 'certificate' \
    nsenter --target "$pid" --net curl -sS -k --max-time 10 "https://$address:8443/fhir/Patient/42"
  on_record 'which is on record' ehr '"action":"connection-refused".*"reason":"no_certificate"'
}

check_confinement() {
  local status
  status=$(cat "/proc/$(of ehr-sidecar '{{.State.Pid}}')/status")
  expect 'the sidecar is not root' '^Uid:[[:space:]]65532[[:space:]]65532' echo "$status"
  expect 'it has no capability' '^CapEff:[[:space:]]0+$' echo "$status"
  expect 'it cannot gain any' '^NoNewPrivs:[[:space:]]1$' echo "$status"
  expect 'its system calls are filtered' '^Seccomp:[[:space:]]2$' echo "$status"
  expect 'its root is read-only' '[Rr]ead-only file system' inside ehr-sidecar /usr/bin/myelin init --service x --dir /x
  expect 'there is no shell in it' 'not found|no such file' inside ehr-sidecar sh -c true
  succeeds 'the trail verifies' inside ehr-sidecar /usr/bin/myelin audit verify /var/log/myelin
}

check_life() {
  local begun
  succeeds 'a second up finds the authority of the first' compose up --detach
  docker kill --signal HUP "$(container billing-sidecar)" >/dev/null
  expect 'after a reload, requests pass' '"family":"Example"' get billing http://127.0.0.1:8080/cgi-bin/invoice
  docker restart --time 40 "$(container ehr-sidecar)" >/dev/null
  succeeds 'a restarted sidecar becomes ready' until_ready 60 healthy ehr-sidecar
  expect 'and requests pass again' '"family":"Example"' get billing http://127.0.0.1:8080/cgi-bin/invoice
  begun=$SECONDS
  docker stop --time 40 "$(container ehr-sidecar)" >/dev/null
  expect 'it stops by itself when told to' '^0$' of ehr-sidecar '{{.State.ExitCode}}'
  if [ $((SECONDS - begun)) -lt 10 ]; then pass 'at once'; else fail "at once (it took $((SECONDS - begun)) s)"; fi
}

# The configuration of examples/kubernetes, with a certificate where the manifest mounts one.
check_kubernetes() {
  local dir=$work/kubernetes
  mkdir -p "$dir/tls"
  chown 65532:65532 "$dir"
  cp "$repo/examples/kubernetes/base/myelin.yaml" "$dir/myelin-kubernetes.yaml"
  docker run --rm --network none --volume "$dir:/out" "$image" init --service ehr --issue ehr --dir /out >/dev/null 2>&1
  cp "$dir/ehr.crt" "$dir/tls/tls.crt"
  cp "$dir/ehr.key" "$dir/tls/tls.key"
  cp "$dir/ca.crt" "$dir/tls/ca.crt"
  chown root:65532 "$dir/tls"/* && chmod 0440 "$dir/tls"/*
  local mounts=(--volume "$dir/myelin-kubernetes.yaml:/etc/myelin/myelin.yaml:ro" --volume "$dir/tls:/etc/myelin/tls:ro")
  succeeds 'the configuration of examples/kubernetes passes check' docker run --rm --network none "${mounts[@]}" "$image" check
  docker run --detach --name kubernetes --read-only --cap-drop ALL --network "${project}_clinic" "${mounts[@]}" "$image" >/dev/null
  expect 'its probe port says that it is ready' '^ready$' probe /ready
  expect 'and that it is alive' '^live$' probe /live
  expect 'and does not tell its status' '404' probe_once /status
}

probe_once() { inside billing wget -q -O - "http://kubernetes:9902$1"; }
probe() {
  until_ready 20 probe_once "$1" || true
  probe_once "$1"
}

# --- all of it -----------------------------------------------------------------------------------------

binary='' keep=no engine='' making=''
while [ $# -gt 0 ]; do
  case $1 in
    --binary) binary=${2:?--binary wants a file}; shift 2 ;;
    --keep) keep=yes; shift ;;
    *) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0"; exit 2 ;;
  esac
done
[ "$(id -u)" -eq 0 ] || die 'this script must be root: it starts a container engine'

work=$(mktemp -d "${TMPDIR:-/tmp}/myelin-docker.XXXXXX")
export DOCKER_HOST=unix://$work/engine.sock DOCKER_CONFIG=$work/client
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

install_missing
if [ -z "$binary" ]; then
  begin "$work/builder.log" make_builder_root
fi

step 'starting an engine'
start_engine overlay2 \
  || { tail -5 "$work/engine-overlay2.log"; echo 'no overlay2 here; trying vfs'; start_engine vfs; } \
  || { tail -20 "$work/engine-vfs.log"; die 'dockerd does not start here'; }
docker version --format '      engine {{.Server.Version}}, client {{.Client.Version}}'
make_workload_image

step 'making a builder image'
if [ -n "$binary" ]; then
  skip 'compiling in the container' "--binary $binary was asked for"
  make_prebuilt_root
else
  finished || { tail -20 "$work/builder.log"; die 'no builder image could be made'; }
fi
import_builder

step 'building the image'
build_image
check_image

step 'the pair'
start_pair
check_requests
requests_failed=$failed
check_refusals
check_confinement

step 'Kubernetes'
check_kubernetes

step 'reload, restart, stop'
check_life

[ "$failed" -eq 0 ] || compose --profile refusal logs --no-color --tail 30 || true
printf '\n%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
[ "$requests_failed" -eq 0 ] || echo 'FAIL  the pair did not pass its requests'
[ "$failed" -eq 0 ]
