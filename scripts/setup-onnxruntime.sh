#!/usr/bin/env bash
# Puts the ONNX Runtime library into the per-user cache, where the host looks for it.
# It comes out of the wheel on PyPI: the one package of it that every platform has and that carries
# no headers, no Python of its own and no build step. The wheel's Python side is not installed.
# ONNXRUNTIME_GPU=1 takes the CUDA build with its provider libraries instead; `[models] library`
# can point at any other build.
# Idempotent: a stamp names the build that is there. Prints the library's path.
set -euo pipefail
# 1.24 is the oldest that the host accepts (the api-24 feature of the ort crate); this one is tested.
version=${ONNXRUNTIME_VERSION:-1.31.1}
package=onnxruntime
[ "${ONNXRUNTIME_GPU:-0}" = 1 ] && package=onnxruntime-gpu
out=${MILLSTREAM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/millstream}/onnxruntime
library=$out/libonnxruntime.so

fail() {
  echo "setup-onnxruntime: $1" >&2
  echo "  or set MILLSTREAM_ONNXRUNTIME to a libonnxruntime.so >= 1.24 that is there already" >&2
  exit 1
}

if [ -f "$library" ] && [ "$(cat "$out/.stamp" 2>/dev/null)" = "$package $version" ]; then
  echo "$library"
  exit 0
fi

python=${PYTHON:-python3}
command -v "$python" >/dev/null || fail "$python is not there; install Python 3 (Debian: apt-get install python3 python3-pip)"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if ! "$python" -m pip --version >/dev/null 2>&1; then
  # Debian's python3 comes without pip, but a virtual environment brings one.
  "$python" -m venv "$work/venv" >/dev/null 2>&1 \
    || fail "$python has neither pip nor venv; install one (Debian: apt-get install python3-pip)"
  python=$work/venv/bin/python
fi

echo "fetching $package $version from PyPI for its shared library, into $out" >&2
# The library does not depend on the Python that asks: a fixed tag finds a wheel for old and new ones.
"$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
  --implementation cp --python-version 3.12 --abi cp312 --dest "$work/wheel" "$package==$version" >&2 \
  || fail "pip could not download $package $version for $(uname -s) $(uname -m) (see above)"

# Everything lands in a folder of its own and is then renamed, so that a broken run leaves the old one.
new=$out.new.$$
trap 'rm -rf "$work" "$new"' EXIT
mkdir -p "$new"
"$python" - "$work"/wheel/*.whl "$new" <<'P' || fail "the wheel of $package $version has no shared library in it"
import pathlib, re, sys, zipfile

wheel, out = sys.argv[1], pathlib.Path(sys.argv[2])
found = False
with zipfile.ZipFile(wheel) as archive:
    for name in archive.namelist():
        base = name.rsplit("/", 1)[-1]
        if re.fullmatch(r"libonnxruntime(\.so(\.[0-9.]+)?|(\.[0-9.]+)?\.dylib)", base):
            target, found = "libonnxruntime.so", True
        elif re.fullmatch(r"libonnxruntime_providers_\w+\.(so|dylib)", base):
            target = base
        elif base in ("LICENSE", "ThirdPartyNotices.txt"):
            target = base
        else:
            continue
        (out / target).write_bytes(archive.read(name))
sys.exit(0 if found else 1)
P
echo "$package $version" > "$new/.stamp"
rm -rf "$out"
# A second run at the same time may have been faster; a plain mv would move into its folder.
"$python" -c 'import os, sys; os.rename(*sys.argv[1:])' "$new" "$out" 2>/dev/null || [ -f "$library" ] \
  || fail "cannot move $new to $out"
echo "$library"
