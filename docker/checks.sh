# Sourced by scripts that check from outside: what they print, and how they wait.

passed=0 failed=0 skipped=0

step() { printf '\n== %s  [%ds]\n' "$1" "$SECONDS"; }
pass() { passed=$((passed + 1)); printf 'ok    %s\n' "$1"; }
fail() { failed=$((failed + 1)); printf 'FAIL  %s\n' "$1"; [ -z "${2-}" ] || printf '%s\n' "$2" | cut -c 1-400 | sed 's/^/      | /'; }
skip() { skipped=$((skipped + 1)); printf '!!!!  SKIPPED: %s\n!!!!  because: %s\n' "$1" "$2"; }
die() { printf 'FAIL  %s\n' "$1" >&2; exit 1; }

# expect TEXT PATTERN COMMAND…: what the command prints, to either stream, matches; its exit code is its own.
expect() {
  local text=$1 pattern=$2 out
  shift 2
  out=$("$@" 2>&1) || true
  if grep -qE -- "$pattern" <<<"$out"; then pass "$text"; else fail "$text (wanted: $pattern)" "${out:-(nothing)}"; fi
}

# succeeds TEXT COMMAND…: the exit code alone.
succeeds() {
  local text=$1 out
  shift
  if out=$("$@" 2>&1); then pass "$text"; else fail "$text" "$out"; fi
}

# until_ready SECONDS COMMAND…
until_ready() {
  local until=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$until" ] || return 1
    sleep 0.5
  done
}
