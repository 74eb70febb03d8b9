#!/usr/bin/env bash
# tools/dist_test.sh CONFIG CHECKPOINT RANKS [arguments of test.py]
# One rank a GPU; without GPUs the ranks share the CPUs. Several machines: NNODES, NODE_RANK,
# MASTER_ADDR and PORT in the environment.
set -euo pipefail
if (($# < 3)); then
    sed -n '2,4s/^# //p' "$0" >&2
    exit 2
fi
CONFIG=$1
CHECKPOINT=$2
RANKS=$3
TOOLS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

PYTHONPATH="$TOOLS/..:${PYTHONPATH:-}" "${PYTHON:-python}" -m torch.distributed.run \
    --nnodes="${NNODES:-1}" \
    --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" \
    --master_port="${PORT:-29500}" \
    --nproc_per_node="$RANKS" \
    "$TOOLS/test.py" "$CONFIG" "$CHECKPOINT" --launcher pytorch "${@:4}"
