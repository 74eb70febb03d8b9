#!/usr/bin/env bash
# Measure and test on a GPU, all in under nine minutes: benchmarks/gpu.sh [-o DIR] [--cpu] [--tiny]
#
# It needs a checkout and a Python with torch (PYTHON, by default python3). Wheels in the folder
# .whl of the checkout, if there is one, are used for what that Python lacks; nothing is fetched.
# After every step DIR/gpu.json (by default out/gpu/gpu.json) has all that is known.
# benchmarks/gpu.py has the steps; `--cpu --tiny` is a dry run on a machine without a GPU.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
python="${PYTHON:-python3}"
if compgen -G "$here/.whl/*.whl" >/dev/null; then
    site="$(mktemp -d)"
    trap 'rm -rf "$site"' EXIT
    "$python" -m pip install --quiet --no-index --no-deps --no-compile --target "$site" \
        "$here"/.whl/*.whl
    export PYTHONPATH="$site${PYTHONPATH:+:$PYTHONPATH}"
fi
export PYTHONPATH="$here${PYTHONPATH:+:$PYTHONPATH}"
"$python" "$here/benchmarks/gpu.py" "$@"
