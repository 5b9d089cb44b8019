#!/usr/bin/env bash
# Runs a command beside the model server: starts it at a free port, waits until the model is ready, sets
# MODEL_URL, and stops it when the command is done.
#
#   with-server.sh LOG COMMAND…
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
log=$1
shift
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$here/../../../scripts/setup-model-servers.sh" >/dev/null
"$here/serve.sh" "$port" > "$log" 2>&1 &
server=$!
trap 'kill $server 2>/dev/null || true; wait $server 2>/dev/null || true' EXIT
ready() {
  python3 - "http://127.0.0.1:$port/v2/models/fraud/ready" <<'P' 2>/dev/null
import sys, urllib.request
urllib.request.urlopen(sys.argv[1], timeout=2)
P
}
for _ in $(seq 300); do
  ready && break
  kill -0 $server 2>/dev/null || { echo "the model server ended; its log is $log:" >&2; tail -n 20 "$log" >&2; exit 1; }
  sleep 0.1
done
ready || { echo "the model server is not ready after 30 s; its log is $log" >&2; exit 1; }
export MODEL_URL=http://127.0.0.1:$port
echo "MLServer serves the model \`fraud\` at $MODEL_URL" >&2
"$@"
