#!/usr/bin/env bash
# Puts an S3 server for tests into the per-user cache and prints the path of its program: versitygw,
# a gateway that keeps objects in a folder. It speaks the conditional writes that checkpoint storage
# stands on (`If-None-Match: *`), and is one program without a service behind it. Built by Go from
# its module proxy, which takes some minutes once; it is no part of Millstream itself.
#   MILLSTREAM_S3_SERVER=/path/to/versitygw   uses one that is there
# Without Go it fails, and tests that need the server are skipped, loudly.
set -euo pipefail
version=v1.8.0
module=github.com/versity/versitygw/cmd/versitygw
out=${MILLSTREAM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/millstream}/s3
program=$out/versitygw

if [ -n "${MILLSTREAM_S3_SERVER:-}" ]; then
  [ -x "$MILLSTREAM_S3_SERVER" ] || { echo "setup-s3: MILLSTREAM_S3_SERVER is $MILLSTREAM_S3_SERVER, which is no program" >&2; exit 1; }
  echo "$MILLSTREAM_S3_SERVER"
  exit 0
fi
if [ -x "$program" ] && [ "$(cat "$out/.stamp" 2>/dev/null)" = "$version" ]; then
  echo "$program"
  exit 0
fi
command -v go >/dev/null || { echo "setup-s3: go is not there, so there is no S3 server to test with; install Go 1.24 or newer" >&2; exit 1; }

echo "setup-s3: building versitygw $version into $out (some minutes, once)" >&2
new=$out.new.$$
# The modules are read-only and of no use afterwards.
trap 'chmod -R u+w "$new" 2>/dev/null || true; rm -rf "$new"' EXIT
mkdir -p "$new"
# One job at a time: it is built beside other things.
( cd "$new" && env GOPATH="$new/modules" GOCACHE="$new/cache" GOBIN="$new/bin" GOFLAGS= GOWORK=off CGO_ENABLED=0 \
    nice -n 10 go install -p 1 -trimpath -ldflags='-s -w' "$module@$version" >"$new/log" 2>&1 ) \
  || { tail -n 20 "$new/log" >&2; echo "setup-s3: versitygw $version could not be built (see above)" >&2; exit 1; }
mkdir -p "$out"
mv "$new/bin/versitygw" "$program.$$"
mv "$program.$$" "$program"
echo "$version" > "$out/.stamp"
echo "$program"
