#!/usr/bin/env bash
# Everything worth knowing about a GPU in eight minutes; see bench/cuda.py.
#
#   bash bench/cuda.sh [--model FOLDER] [--out FILE]
#
# For a bare machine without a network, put the wheels of missing packages into a folder and name it in WHEELS: they are
# installed beside those that the machine has. torch must be there.
set -euo pipefail
cd "$(dirname "$0")/.."
export PYTHONPATH="$PWD:$PWD/bench" PYTHONUNBUFFERED=1
if [ -n "${WHEELS:-}" ]; then
    packages=$(mktemp -d)
    python3 -m pip install --quiet --no-index --no-deps --no-compile --target "$packages" "$WHEELS"/*.whl
    export PYTHONPATH="$packages:$PYTHONPATH"
fi
python3 -c 'import torch; assert torch.cuda.is_available(), "no CUDA device: rehearse with bench/cuda.py --device cpu --tiny"'
exec timeout 480 python3 bench/cuda.py "$@"
