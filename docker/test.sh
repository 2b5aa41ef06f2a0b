#!/usr/bin/env bash
# Builds the image and runs the composed clinic, for real, on a machine that has neither a container engine
# running nor an image registry: an engine of its own is started, and base images are made on the spot. Every
# packet between the containers is captured, from the first on, and read for what must not be there.
#
#   docker/test.sh                  all of it; some fifteen minutes on two cores, most of them the release build
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
workload=myelin-test/workload:local
project=myelin-test
bypass=${project}_bypass
services=(ehr billing registry engine lab database reports research)
trail_lines=''

. "$repo/docker/checks.sh"
. "$repo/docker/images.sh"
. "$repo/docker/capture.sh"

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
  for package in docker.io:dockerd busybox-static:busybox debootstrap:debootstrap iproute2:ip iptables:iptables tshark:tshark; do
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
  end_captures
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

# --- the clinic ----------------------------------------------------------------------------------------

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
  inside "$1" python3 /legacy/get.py "$2"
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

start_clinic() {
  local service
  export MYELIN_IMAGE=$image WORKLOAD_IMAGE=$workload DATABASE_IMAGE=$workload BUILDER=$builder
  # Without CAP_SYS_RESOURCE not even root may raise it.
  if [ "$(ulimit -Hn)" != unlimited ] && [ "$(ulimit -Hn)" -lt 65536 ]; then
    MYELIN_NOFILE=$(ulimit -Hn)
    export MYELIN_NOFILE
  fi
  # The networks come first: the capture has begun before there is anybody who could say something.
  compose up --no-start billing registry lab reports >"$work/up.log" 2>&1 || { cat "$work/up.log"; die 'the composition cannot be made'; }
  docker network create --internal "$bypass" >/dev/null
  capture "$work/bridges.pcapng" "$engine" "$(bridge "${project}_fhir")" "$(bridge "${project}_soap")" \
    "$(bridge "${project}_hl7")" "$(bridge "${project}_sql")" "$(bridge "$bypass")"
  compose --profile refusal up --detach >"$work/up.log" 2>&1 \
    || { cat "$work/up.log"; compose logs --no-color; die 'the composition does not start'; }
  for service in "${services[@]}"; do
    until_ready 90 healthy "$service-sidecar" || { compose --profile refusal logs --no-color; die "$service-sidecar is not healthy"; }
  done
  pass 'every sidecar is healthy'
  for service in billing lab reports; do
    capture "$work/$service.pcapng" "$(of "$service" '{{.State.Pid}}')" lo
  done
}

report() { inside reports psql -h 127.0.0.1 -U clinic -f /legacy/overdue.sql postgres; }

check_requests() {
  expect 'billing, in plain HTTP, gets a patient from ehr and her insurance by SOAP' \
    '"insurance": "K123456789".*"family": "Mustermann"' get billing http://127.0.0.1:8080/invoice
  expect 'ehr gets an invoice from billing' '"invoice": "2026-1042"' get ehr http://127.0.0.1:9001/invoice
  on_record 'the access is on record, with who it was' ehr \
    '"action":"request-allowed".*spiffe://hospital.example/billing'
  on_record 'and the question, by its name' registry '"action":"request-allowed".*PRPA_IN201305UV02'
  expect "the laboratory's result is acknowledged" '^MSA\|AA\|0001' inside lab python3 /legacy/lab.py 127.0.0.1 2575
  on_record 'and on record' engine '"action":"message-allowed".*spiffe://hospital.example/lab'
  until_ready 30 report || true
  expect 'a report comes out of PostgreSQL' '2026-1042 *\| Mustermann' report
  on_record 'and who asked is on record' database '"action":"connection-allowed".*spiffe://hospital.example/reports'
}

check_denials() {
  expect 'what no route names is denied' '403' get billing http://127.0.0.1:9001/fhir/Observation/7
  on_record 'and on record' ehr '"action":"request-denied"'
  expect 'a message that is not listed is not acknowledged' 'no acknowledgement' \
    inside lab python3 /legacy/lab.py 127.0.0.1 2575 'ADT^A01'
  on_record 'and on record' engine '"action":"message-denied"'
}

check_trails() {
  local service word trails
  for service in "${services[@]}"; do
    succeeds "the trail of $service verifies" inside "$service-sidecar" /usr/bin/myelin audit verify /var/log/myelin
  done
  trails=$(for service in "${services[@]}"; do trail "$service"; done)
  for word in "${patient[@]}"; do
    if grep -qF -- "$word" <<<"$trails"; then fail "no trail says $word"; else pass "no trail says $word"; fi
  done
}

# The same programs without sidecars, in a network of their own: what they say there is in the clear.
go_past_the_sidecars() {
  local program
  for program in ehr registry engine; do
    docker run --detach --name "bare-$program" --init --network "$bypass" --volume "$repo/docker/legacy:/legacy:ro" \
      "$workload" python3 "/legacy/$program.py" 0.0.0.0 >/dev/null
  done
  succeeds 'past the sidecars: FHIR' until_ready 20 bare engine get.py http://bare-ehr:8080/fhir/Patient/42
  succeeds 'past the sidecars: SOAP' until_ready 20 bare engine pdq.py http://bare-registry:8081/pdq Mustermann
  succeeds 'past the sidecars: HL7' until_ready 20 bare ehr lab.py bare-engine 2575
}
bare() { docker exec "bare-$1" python3 "/legacy/$2" "${@:3}"; }

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

# `myelin run` is two processes: the parent, which is process 1, and the worker, which is the sidecar.
check_processes() {
  local parent worker which status
  parent=$(of ehr-sidecar '{{.State.Pid}}')
  worker=$(children "$parent")
  expect 'process 1 of the container is the parent' '^NSpid:.*[[:space:]]1$' cat "/proc/$parent/status"
  expect 'and has one child, the worker' '^[0-9]+ $' echo "$worker"
  for which in parent worker; do
    status=$(cat "/proc/${!which// /}/status")
    expect "the $which is not root" '^Uid:[[:space:]]65532[[:space:]]65532' echo "$status"
    expect 'it has no capability' '^CapEff:[[:space:]]0+$' echo "$status"
    expect 'it cannot gain any' '^NoNewPrivs:[[:space:]]1$' echo "$status"
    expect 'its system calls are filtered' '^Seccomp:[[:space:]]2$' echo "$status"
  done
  expect 'its root is read-only' '[Rr]ead-only file system' inside ehr-sidecar /usr/bin/myelin init --service x --dir /x
  expect 'there is no shell in it' 'not found|no such file' inside ehr-sidecar sh -c true
  nsenter --target "$parent" --pid sh -c 'sleep 3 & exit'
  succeeds 'an orphan becomes a child of process 1' until_ready 3 has_children "$parent" 2
  succeeds 'and is reaped when it has ended' until_ready 10 has_children "$parent" 1
}
children() { cat "/proc/$1/task/$1/children"; }
has_children() { [ "$(children "$1" | wc -w)" = "$2" ]; }

check_life() {
  local begun reloads
  succeeds 'a second up finds the authority of the first' compose up --detach
  reloads=$(loaded billing)
  docker kill --signal HUP "$(container billing-sidecar)" >/dev/null
  succeeds 'a reload is on record' until_ready 10 loaded_more billing "$reloads"
  expect 'after it, requests pass' '"family": "Mustermann"' get billing http://127.0.0.1:8080/invoice
  kill -KILL "$(children "$(of ehr-sidecar '{{.State.Pid}}')")"
  succeeds 'a worker that is killed ends the container, which starts again' until_ready 30 restarted ehr-sidecar
  succeeds 'and becomes ready' until_ready 60 healthy ehr-sidecar
  expect 'and requests pass again' '"family": "Mustermann"' get billing http://127.0.0.1:8080/invoice
  docker restart --time 40 "$(container ehr-sidecar)" >/dev/null
  succeeds 'a restarted sidecar becomes ready' until_ready 60 healthy ehr-sidecar
  expect 'and requests pass again' '"family": "Mustermann"' get billing http://127.0.0.1:8080/invoice
  # While its service is there, it would go on as the way out of that, for up to `limits.drain_timeout`.
  docker stop --time 1 "$(container ehr)" >/dev/null
  begun=$SECONDS
  docker stop --time 40 "$(container ehr-sidecar)" >/dev/null
  expect 'it stops by itself when told to' '^0$' of ehr-sidecar '{{.State.ExitCode}}'
  if [ $((SECONDS - begun)) -lt 10 ]; then pass 'at once, for its service has gone'; else fail "at once, for its service has gone (it took $((SECONDS - begun)) s)"; fi
}
loaded() { trail "$1" | grep -c '"action":"config-loaded"'; }
loaded_more() { [ "$(loaded "$1")" -gt "$2" ]; }
restarted() { [ "$(of "$1" '{{.RestartCount}}')" -gt 0 ]; }

# The configuration of examples/kubernetes, with a certificate where the manifest mounts one.
check_kubernetes() {
  local dir=$work/kubernetes worker
  mkdir -p "$dir/tls"
  chown 65532:65532 "$dir"
  cp "$repo/examples/kubernetes/base/myelin.yaml" "$dir/myelin-kubernetes.yaml"
  docker run --rm --network none --volume "$dir:/out" "$image" init --service ehr --issue ehr --dir /out >/dev/null 2>&1
  cp "$dir/ehr.crt" "$dir/tls/tls.crt"
  cp "$dir/ehr.key" "$dir/tls/tls.key"
  cp "$dir/ca.crt" "$dir/tls/ca.crt"
  chown root:65532 "$dir/tls"/* && chmod 0440 "$dir/tls"/*
  local mounts=(--volume "$dir/myelin-kubernetes.yaml:/etc/myelin/myelin.yaml:ro" --volume "$dir/tls:/etc/myelin/tls:ro"
    --tmpfs /run/myelin:uid=65532,gid=65532,mode=0700)
  succeeds 'the configuration of examples/kubernetes passes check' docker run --rm --network none "${mounts[@]}" "$image" check
  docker run --detach --name kubernetes --read-only --cap-drop ALL --network "$bypass" "${mounts[@]}" \
    --health-interval 1s --health-timeout 1s --health-retries 2 --health-start-period 0s "$image" >/dev/null
  expect 'its probe port says that it is ready' '^ready$' probe /ready
  expect 'and that it is alive' '^live$' probe /live
  expect 'and does not tell its status' '404' probe_once /status
  worker=$(children "$(docker inspect --format '{{.State.Pid}}' kubernetes)")
  succeeds 'HEALTHCHECK says that it is healthy' until_ready 20 health_is healthy
  kill -STOP "$worker"
  succeeds 'that it is not, while nothing moves in it' until_ready 30 health_is unhealthy
  kill -CONT "$worker"
  succeeds 'and that it is again' until_ready 20 health_is healthy
}
health_is() { [ "$(docker inspect --format '{{.State.Health.Status}}' kubernetes)" = "$1" ]; }

probe_once() { bare ehr get.py "http://kubernetes:9902$1"; }
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
begin "$work/workload.log" make_workload_root

step 'starting an engine'
start_engine overlay2 \
  || { tail -5 "$work/engine-overlay2.log"; echo 'no overlay2 here; trying vfs'; start_engine vfs; } \
  || { tail -20 "$work/engine-vfs.log"; die 'dockerd does not start here'; }
docker version --format '      engine {{.Server.Version}}, client {{.Client.Version}}'

step 'making base images'
finished || { tail -20 "$work/workload.log"; die 'no image for the workloads could be made'; }
import_workload
if [ -n "$binary" ]; then
  skip 'compiling in the container' "--binary $binary was asked for"
  make_prebuilt_root
else
  begin "$work/builder.log" make_builder_root
  finished || { tail -20 "$work/builder.log"; die 'no builder image could be made'; }
fi
import_builder

step 'building the image'
build_image
check_image

step 'the clinic'
start_clinic
before=$failed
check_requests
requests_failed=$((failed - before))
check_denials
check_refusals
check_processes
check_trails

step 'the wires'
go_past_the_sidecars
on_file "$work/bridges.pcapng" 'frame contains "ORU^R01"'
end_captures
check_bridges
check_control

step 'Kubernetes'
check_kubernetes

step 'reload, restart, stop'
check_life

[ "$failed" -eq 0 ] || compose --profile refusal logs --no-color --tail 30 || true
if [ "$keep" = no ]; then
  step 'taking it down'
  succeeds 'all of it goes' compose --profile refusal down --volumes
  expect 'and nothing of it is left' '^$' docker volume ls --quiet --filter "label=com.docker.compose.project=$project"
fi

printf '\n%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
[ "$requests_failed" -eq 0 ] || echo 'FAIL  the clinic did not pass its requests'
[ "$failed" -eq 0 ]
