#!/usr/bin/env bash
# Puts model servers that are not ours into a private virtual environment in the per-user cache (560 MB,
# a minute): MLServer and KServe from PyPI, which speak the Open Inference Protocol v2 and
# TensorFlow's :predict, and ONNX Runtime, by which small classes of ours let them serve the demo's model.
# For the examples external-model and dual-model and for tests; the host needs no Python.
# Idempotent: the environment is left alone while scripts/model-servers.txt, its list, is the same.
# Prints the folder. Without it tests that need a real server say SKIPPED.
#   MILLSTREAM_MODEL_SERVERS=FOLDER   uses an environment that is there (FOLDER/bin/mlserver)
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
list=$root/scripts/model-servers.txt
out=${MILLSTREAM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/millstream}/model-servers
python=${PYTHON:-python3}

fail() {
  echo "setup-model-servers: $1" >&2
  exit 1
}

if [ -n "${MILLSTREAM_MODEL_SERVERS:-}" ]; then
  [ -x "$MILLSTREAM_MODEL_SERVERS/bin/mlserver" ] \
    || fail "MILLSTREAM_MODEL_SERVERS is $MILLSTREAM_MODEL_SERVERS, which has no bin/mlserver"
  echo "$MILLSTREAM_MODEL_SERVERS"
  exit 0
fi
if cmp -s "$list" "$out/model-servers.txt"; then
  echo "$out"
  exit 0
fi
command -v "$python" >/dev/null || fail "$python is not there, so there is no model server; install Python 3.11 or newer"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
  || fail "$("$python" --version) is too old for the model servers, which need 3.11; PYTHON names another one"

echo "setup-model-servers: installing MLServer, KServe and ONNX Runtime (560 MB, from PyPI) into $out" >&2
# A virtual environment cannot be moved, so its stamp comes last, and a broken one is begun anew.
rm -rf "$out"
"$python" -m venv "$out" || fail "$python has no venv; install it (Debian: apt-get install python3-venv)"
# Bounded, so that a machine without a network does not hang.
timeout 600 "$out/bin/pip" install --quiet --disable-pip-version-check --only-binary=:all: --requirement "$list" >&2 \
  || { rm -rf "$out"; fail "pip could not install them (see above)"; }
cp "$list" "$out/model-servers.txt"
echo "$out"
