#!/bin/sh
# Runs the tests or the benchmarks for GPUs where there is a driver and a Python with PyTorch, and perhaps no network, make
# or place for an environment: what that Python lacks comes as wheels. docs/cuda.md says what to bring.
#
#   sh benchmarks/rented.sh test|bench [WHEELS [RESULTS]]
#
# WHEELS is a folder of wheels (wheels/ if none is named), RESULTS one for what is found (results/).
set -eu
cd "$(dirname "$0")/.."
what=${1:-test} wheels=${2:-wheels} results=${3:-results} python=${PYTHON:-python3}
mkdir -p "$results"
site=$(mktemp -d)
trap 'rm -rf "$site"' EXIT
"$python" -m pip install --quiet --disable-pip-version-check --no-index --no-deps --no-compile --target "$site" "$wheels"/*.whl
export PYTHONPATH="$PWD:$site${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
"$python" -m benchmarks.gpu_present

run() {
    case $what in
    test)
        # Other plugins that are installed there have no part in it.
        PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 "$python" -m pytest -q -p xdist.plugin -p xdist.looponfail -p no:cacheprovider \
            -n "${JOBS:-auto}" --maxprocesses=16 --dist worksteal -m gpu tests/cuda
        ;;
    bench) "$python" -m benchmarks.gpu --limit "${LIMIT:-480}" ${BENCH:-} ;;
    *) echo "test or bench?" && return 2 ;;
    esac
}

{ run 2>&1 && echo 0 >"$site/status" || echo $? >"$site/status"; } | tee "$results/$what.log"
for file in docs/benchmarks-gpu.md benchmarks/results/gpu-*.json; do
    if [ -e "$file" ]; then cp "$file" "$results/"; fi
done
exit "$(cat "$site/status")"
