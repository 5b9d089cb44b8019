#!/usr/bin/env bash
# MLServer with the fraud model, on loopback, in the foreground. `scripts/setup-model-servers.sh` installs
# it, once.
#
#   serve.sh [PORT]     default 8080; it takes the two ports behind it too (MLServer's gRPC and metrics)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
port=${1:-8080}
servers=$("$root/scripts/setup-model-servers.sh")
# MLServer listens at every address of the machine unless told otherwise.
export MLSERVER_HOST=127.0.0.1 MLSERVER_HTTP_PORT=$port MLSERVER_GRPC_PORT=$((port + 1)) MLSERVER_METRICS_PORT=$((port + 2))
export PYTHONDONTWRITEBYTECODE=1
exec "$servers/bin/mlserver" start "$here"
