#!/bin/sh
# Runs the tests or the benchmarks for GPUs where there is a driver and a Python with PyTorch, and perhaps no network, make
# or place for an environment: what that Python lacks comes as wheels. docs/cuda.md says what to bring.
#
#   sh benchmarks/rented.sh test|bench [WHEELS [RESULTS]]
#
# WHEELS is a folder of wheels (wheels/ if none is named), RESULTS one that what was found is copied to.
set -eu
cd "$(dirname "$0")/.."
what=${1:-test} wheels=${2:-wheels} results=${3:-} python=${PYTHON:-python3}
site=$(mktemp -d)
trap 'rm -rf "$site"' EXIT
"$python" -m pip install --quiet --disable-pip-version-check --no-index --no-deps --no-compile --target "$site" "$wheels"/*.whl
export PYTHONPATH="$PWD:$site${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
"$python" -m benchmarks.gpu_present
log=$site/log
case $what in
test)
    # Other plugins that are installed there have no part in it.
    export PYTEST_DISABLE_PLUGIN_AUTOLOAD=1
    status=0
    "$python" -m pytest -q -p xdist.plugin -p xdist.looponfail -p no:cacheprovider -n "${JOBS:-auto}" --maxprocesses=16 \
        --dist worksteal -m gpu tests/cuda >"$log" 2>&1 || status=$?
    tail -n 300 "$log"
    ;;
bench)
    status=0
    "$python" -m benchmarks.gpu --limit "${LIMIT:-480}" ${BENCH:-} >"$log" 2>&1 || status=$?
    cat "$log"
    ;;
*)
    echo "test or bench?" >&2
    exit 2
    ;;
esac
if [ -n "$results" ]; then
    mkdir -p "$results"
    cp "$log" "$results/$what.log"
    for file in docs/benchmarks-gpu.md benchmarks/results/gpu-*.json; do
        if [ -e "$file" ]; then cp "$file" "$results/"; fi
    done
fi
exit "$status"
