#!/usr/bin/env bash
# Builds the Debian package, and prints where it is.
#
#   examples/debian/build.sh                  from the source
#   examples/debian/build.sh --binary FILE    with FILE, a myelin for this machine, in place of compiling one
#
# Needs cargo-deb (`cargo install --locked cargo-deb`) and dpkg-dev. The same source makes the same bytes: times are the
# last commit's, or SOURCE_DATE_EPOCH. Run it on the oldest release of Debian on which the package is to be installed.
set -euo pipefail
cd "$(dirname "$0")/../.."

target=${CARGO_TARGET_DIR:-target}
case ${1-} in
  '') cargo build --release --locked --bin myelin >&2 ;;
  --binary)
    # Another target directory, so that what was built stays as it is.
    binary=$(realpath "${2:?--binary wants a file}") target=$(mktemp -d)
    trap 'rm -rf "$target"' EXIT
    install -D -m 0755 "$binary" "$target/release/myelin"
    ;;
  *) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0" >&2; exit 2 ;;
esac
myelin=$target/release/myelin

SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH CARGO_TARGET_DIR=$target

# Where Cargo.toml looks for what is made here.
assets=target/debian-assets
rm -rf $assets
mkdir -p $assets/completions
"$myelin" man $assets/man
"$myelin" completions bash >$assets/completions/myelin.bash
"$myelin" completions zsh >$assets/completions/_myelin
"$myelin" completions fish >$assets/completions/myelin.fish
version=$("$myelin" --version | cut -d ' ' -f 2)
cat >$assets/changelog <<CHANGELOG
myelin ($version-1) unstable; urgency=medium

  * See /usr/share/doc/myelin/changelog.gz.

 -- Myelin developers <developers@myelin.invalid>  $(date --utc --date "@$SOURCE_DATE_EPOCH" -R)
CHANGELOG

out=${DEB_DIR:-target/debian}
mkdir -p "$out"
cargo deb --no-build --quiet --output "$out/"
