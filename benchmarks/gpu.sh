#!/bin/sh
# All that a GPU can be asked in eight minutes; see benchmarks/gpu/__main__.py. On a machine without one:
#   benchmarks/gpu.sh --tiny
set -eu
cd "$(dirname "$0")/.."
export PYTHONUNBUFFERED=1 CUBLAS_WORKSPACE_CONFIG=:4096:8
exec "${PYTHON:-python3}" -m benchmarks.gpu "$@"
