# Sourced by test.sh: base images without a registry, and the image itself.

# Debian as `debootstrap` makes it; what the workloads and the compiler need comes on top.
make_debian() { # DIRECTORY
  unshare --mount --propagation private debootstrap --variant=minbase \
    bookworm "$1" "${DEBIAN_MIRROR:-http://deb.debian.org/debian}"
  # Debian starts what it installs, and makes a database: neither is wanted here.
  printf '#!/bin/sh\nexit 101\n' >"$1/usr/sbin/policy-rc.d"
  chmod 0755 "$1/usr/sbin/policy-rc.d"
  install -D /dev/stdin "$1/etc/postgresql-common/createcluster.conf" <<<'create_main_cluster = false'
}

add() { # DIRECTORY PACKAGE…
  local root=$1
  shift
  DEBIAN_FRONTEND=noninteractive chroot "$root" apt-get install -y --no-install-recommends "$@"
  rm -rf "$root"/var/cache/apt/* "$root"/usr/share/{doc,locale,man}
}

# One image stands in for both `python:3-slim` and `postgres:17`.
make_workload_root() {
  make_debian "$work/debian"
  [ -n "$binary" ] || cp -a "$work/debian" "$work/builder"
  add "$work/debian" python3 postgresql
}

import_workload() {
  local programs
  programs=$(cd "$work/debian" && echo usr/lib/postgresql/*/bin)
  tar -C "$work/debian" --exclude ./var/lib/apt/lists -c . \
    | docker import --change "ENV PATH=/$programs:/usr/bin:/bin:/usr/sbin:/sbin" - "$workload" >/dev/null
  rm -rf "$work/debian"
}

# Debian with a C compiler, this machine's Rust toolchain, and the source of every dependency. It stands in
# for `rust:1.95-bookworm`, and lets the build run without a network.
make_builder_root() {
  local root=$work/builder host sysroot
  host=$(cd "$repo" && rustc -vV | sed -n 's/^host: //p')
  sysroot=$(cd "$repo" && rustc --print sysroot)
  add "$root" gcc libc6-dev
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
  local root=$work/builder applet
  mkdir -p "$root/usr/local/bin" "$root/usr/local/cargo" "$root/tmp" "$root/bin"
  cp "$(command -v busybox)" "$root/bin/busybox"
  for applet in $(busybox --list); do
    [ "$applet" = busybox ] || ln -s busybox "$root/bin/$applet"
  done
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

revision() { git -C "$repo" rev-parse HEAD 2>/dev/null || echo unknown; }

build_image() {
  # The classic builder, because BuildKit is a plugin that not every client has; both make the same image.
  begin "$work/build.log" env DOCKER_BUILDKIT=0 timeout 1500 docker build --network none \
    --file "$repo/docker/Dockerfile" --tag "$image" \
    --build-arg BUILDER="$builder" --build-arg REVISION="$(revision)" "$repo"
  finished || { tail -40 "$work/build.log"; die 'the Dockerfile does not build'; }
  pass "the Dockerfile builds without a network"
}

check_image() {
  local files size
  expect 'the image runs, and says what it is' '^myelin [0-9]' docker run --rm --read-only "$image" --version
  expect 'its user is a number, and not root' '^65532:65532$' docker inspect --format '{{.Config.User}}' "$image"
  expect 'it stops by SIGTERM' '^SIGTERM$' docker inspect --format '{{.Config.StopSignal}}' "$image"
  expect 'it asks itself for its health' 'myelin healthcheck' docker inspect --format '{{.Config.Healthcheck.Test}}' "$image"
  expect 'it sets the tunable of glibc' 'x86_rep_movsb_threshold' docker inspect --format '{{.Config.Env}}' "$image"
  expect 'it says which revision it is' "image.revision:$(revision)" docker inspect --format '{{.Config.Labels}}' "$image"
  files=$(docker create "$image") && docker export "$files" | tar -tv >"$work/files" && docker rm "$files" >/dev/null
  # What the engine itself puts into every container is no part of the image.
  files=$(grep '^-' "$work/files" | grep -vE ' (\.dockerenv|etc/(hostname|hosts|resolv\.conf)|dev/console)$')
  expect 'it holds the binary, and no other file' '^-rwxr-xr-x root/root .* usr/bin/myelin$' echo "$files"
  expect 'one file in all' '^1$' wc -l <<<"$files"
  size=$(docker inspect --format '{{.Size}}' "$image")
  # So that it does not grow unseen; the goal is 25 MB.
  if [ "$size" -lt 30000000 ]; then pass "it is below 30 MB ($size bytes)"; else fail "it is below 30 MB ($size bytes)"; fi
  expect "its volumes are the user's alone" "^drwx------ 65532/65532 .* var/lib/myelin/authority/\$" cat "$work/files"
  expect "the trail's as well" "^drwx------ 65532/65532 .* var/log/myelin/\$" cat "$work/files"
}
