#!/usr/bin/env bash
# Finds or makes a Rust toolchain that builds plugins (wasm32-wasip2), and prints two lines on
# stdout: the cargo to call and the rustc to hand it as RUSTC. What it does goes to stderr.
#
#   1. The ordinary rustc already has the target: that one.
#   2. rustup can add the target: rustup's.
#   3. Else, on Debian, a private sysroot in the per-user cache: the distribution packages a rustc
#      that knows the target but no standard library for it, so that is built once (about a minute).
#
# Idempotent, and fast (well under a second) once a way was found. A failed attempt of rustup is not
# repeated while the private sysroot is up to date.
#   MILLSTREAM_WASM_TOOLCHAIN=rustup|private   forces 2 or 3 (default: auto)
set -euo pipefail

target=wasm32-wasip2
cache=${MILLSTREAM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/millstream}
sysroot=$cache/wasm-toolchain
way=${MILLSTREAM_WASM_TOOLCHAIN:-auto}
# rustc and cargo of the distribution, whatever stands before them in PATH.
system_rustc=/usr/bin/rustc
system_cargo=/usr/bin/cargo
# Why each: rustc-web and cargo-web are a current compiler and its cargo; rust-web-src is the source
# of std; rust-web-llvm has wasm-component-ld, which turns a module into a component; lld-22 is the
# wasm linker behind it; wasi-libc is the C library that std stands on.
packages=(rustc-web cargo-web rust-web-src rust-web-llvm lld-22 wasi-libc)

say() { echo "setup-wasm-toolchain: $*" >&2; }
die() { say "$*"; exit 1; }

has_target() {
  local libdir
  libdir=$("$1" --print target-libdir --target "$target" 2>/dev/null) || return 1
  compgen -G "$libdir/libstd-*.rlib" >/dev/null
}

use_default() {
  command -v rustc >/dev/null && command -v cargo >/dev/null && has_target rustc || return 1
  printf '%s\n%s\n' "$(command -v cargo)" "$(command -v rustc)"
}

add_with_rustup() {
  command -v rustup >/dev/null || return 1
  say "adding $target to the Rust toolchain with rustup"
  # Without a network this must not hang: one try, half a minute (the target is some 20 MB).
  RUSTUP_MAX_RETRIES=0 timeout 30 rustup target add "$target" >&2 || { say "rustup could not add it"; return 1; }
  use_default
}

version_of() { dpkg-query -W -f='${db:Status-Status} ${Version}\n' "$1" 2>/dev/null | sed -n 's/^installed //p'; }

# What the private sysroot was made from; empty while a package is missing. The last number is the
# version of the steps below.
stamp() {
  local package version out=""
  for package in "${packages[@]}"; do
    version=$(version_of "$package")
    [ -n "$version" ] || return 0
    out+="$package $version / "
  done
  echo "${out}steps 1"
}

use_private() {
  [ -f "$sysroot/.stamp" ] && [ "$(cat "$sysroot/.stamp")" = "$(stamp)" ] || return 1
  printf '%s\n%s\n' "$system_cargo" "$sysroot/bin/rustc"
}

install_packages() {
  local missing=() package
  for package in "${packages[@]}"; do [ -n "$(version_of "$package")" ] || missing+=("$package"); done
  [ ${#missing[@]} -gt 0 ] || return 0
  say "installing ${missing[*]} (the compiler, linker and libraries for $target)"
  local as_root=()
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || die "root rights are needed: run 'apt-get install ${missing[*]}' as root, then start again"
    as_root=(sudo)
  fi
  # An out-of-date list may still name packages that can be had: let the installation decide.
  "${as_root[@]}" apt-get update -qq >&2 || true
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2 \
    || die "apt-get could not install ${missing[*]}; with rustup, 'rustup target add $target' does as well"
}

build_private() {
  command -v dpkg-query >/dev/null && command -v apt-get >/dev/null \
    || die "no Rust toolchain with $target: install rustup (https://rustup.rs) and run 'rustup target add $target'"
  install_packages
  local host work="$sysroot.new.$$"
  host=$("$system_rustc" -vV | sed -n 's/^host: //p')
  say "building the standard library for $target once into $sysroot"
  trap 'rm -rf "$work"' EXIT
  local lib=$work/lib/rustlib/$target/lib tools=$work/lib/rustlib/$host/bin
  mkdir -p "$lib/self-contained" "$tools/gcc-ld" "$work/bin"
  # Host std and tools are links into /usr, which stays as it is.
  ln -s "/usr/lib/rustlib/$host/lib" "$work/lib/rustlib/$host/lib"
  ln -s /usr/lib/rustlib/src "$work/lib/rustlib/src"
  ln -s "/usr/lib/rustlib/$host/bin/wasm-component-ld" "$tools/wasm-component-ld"
  ln -s "/usr/lib/rustlib/$host/bin/rust-objcopy" "$tools/rust-objcopy"
  ln -s /usr/bin/rust-lld "$tools/rust-lld"
  ln -s /usr/bin/rust-lld "$tools/gcc-ld/wasm-ld"
  ln -s /usr/bin/rust-lld "$tools/gcc-ld/ld.lld"
  # The target's specification looks for libc and the start files here.
  cp /usr/lib/wasm32-wasi/*.o /usr/lib/wasm32-wasi/*.a "$lib/self-contained/"
  # The wrapper finds its sysroot from its own place, so that the folder can be renamed when done;
  # wasm-component-ld looks for wasm-ld in PATH.
  cat > "$work/bin/rustc" <<W
#!/bin/sh
root=\$(dirname "\$(dirname "\$(readlink -f "\$0")")")
PATH="\$root/lib/rustlib/$host/bin/gcc-ld:\$root/lib/rustlib/$host/bin:\$PATH"; export PATH
exec $system_rustc --sysroot "\$root" "\$@"
W
  chmod +x "$work/bin/rustc"
  mkdir -p "$work/std/src"
  : > "$work/std/src/lib.rs"
  printf '[package]\nname = "std-build"\nversion = "0.0.0"\nedition = "2024"\n[workspace]\n' > "$work/std/Cargo.toml"
  # Bitcode lets plugins be linked with fat LTO across std.
  ( cd "$work/std" && env -u RUSTUP_TOOLCHAIN -u CARGO_ENCODED_RUSTFLAGS RUSTC_BOOTSTRAP=1 RUSTC="$work/bin/rustc" \
      RUSTFLAGS="-Cembed-bitcode=yes" CARGO_TARGET_DIR="$work/std/target" CARGO_PROFILE_RELEASE_DEBUG=0 \
      "$system_cargo" build --quiet --release --target "$target" -Zbuild-std=std,panic_abort >&2 ) \
    || die "the standard library for $target did not build (see above)"
  find "$work/std/target/$target/release" -name 'lib*.rlib' ! -name 'libstd_build*' -exec cp {} "$lib/" \;
  rm -rf "$work/std"
  stamp > "$work/.stamp"
  rm -rf "$sysroot"
  mv "$work" "$sysroot"
  trap - EXIT
  use_private || die "the sysroot at $sysroot does not hold after its build; remove it and start again"
}

case $way in
  auto) use_default || use_private || add_with_rustup || build_private ;;
  rustup) use_default || add_with_rustup || die "rustup cannot provide $target here" ;;
  private) use_private || build_private ;;
  *) die "MILLSTREAM_WASM_TOOLCHAIN is '$way'; it can be auto, rustup or private" ;;
esac
