#!/usr/bin/env bash
# Runs the tests whose result depends on rounding, on a trajectory or on random draws (marked "numerical") as on other
# processors, with other numbers of threads and other seeds, to find tests that pass on one machine only.
#
#   scripts/portable.sh [--short | --pairs] [PYTEST ARGUMENTS]
#
# The whole grid is
#   ONEDNN_MAX_CPU_ISA    SSE41, AVX2, AVX512_CORE   the instructions for convolutions and matrix products
#   ATEN_CPU_CAPABILITY   default, avx2              the instructions of PyTorch's own loops
#   OMP_NUM_THREADS       1, 2, 4                    how sums are split
#   ARTGAN_TEST_SEED      0, 1                       the offset of each test's seeds; see conftest.py
# with --pairs nine configurations, in which any two values of two variables occur together, and with --short three of
# these. Tests that are also marked "slow" run in those three alone, whatever is chosen. A processor without AVX-512 runs
# AVX512_CORE as AVX2.
#
# PYTEST ARGUMENTS replace the test folders, to select tests: scripts/portable.sh --short tests/painting/test_tiles.py
# The Python interpreter is .venv/bin/python, or that in PYTHON.
#
# It prints a line for each configuration as it ends, then the failed tests with their configurations; the exit status
# is 1 if any test failed.

set -u
cd "$(dirname "$0")/.." || exit 2

python=${PYTHON:-.venv/bin/python}
choice=all
case ${1:-} in
    --short | --pairs)
        choice=${1#--}
        shift
        ;;
esac
[ $# -gt 0 ] || set -- tests plugins

corners=("SSE41 default 1 0" "AVX2 avx2 2 1" "AVX512_CORE avx2 4 0")
case $choice in
    short) configurations=("${corners[@]}") ;;
    pairs)
        configurations=("${corners[@]}" "SSE41 avx2 2 1" "SSE41 avx2 4 0" "AVX2 default 1 0" "AVX2 default 4 1"
            "AVX512_CORE avx2 1 1" "AVX512_CORE default 2 0")
        ;;
    all)
        configurations=()
        for isa in SSE41 AVX2 AVX512_CORE; do
            for aten in default avx2; do
                for threads in 1 2 4; do
                    for seed in 0 1; do
                        configurations+=("$isa $aten $threads $seed")
                    done
                done
            done
        done
        ;;
esac

work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT

count() { # of passed, failed or error in pytest's last line
    grep -oE "[0-9]+ $2" "$1" | tail -n 1 | grep -oE '[0-9]+' || echo 0
}

failures=0
printf '%-12s %-8s %7s %4s %7s %7s %8s\n' oneDNN ATen threads seed passed failed seconds
for configuration in "${configurations[@]}"; do
    read -r isa aten threads seed <<< "$configuration"
    which="numerical and not slow"
    for corner in "${corners[@]}"; do
        [ "$corner" = "$configuration" ] && which="numerical"
    done
    # OpenVINO asks the processor itself what it has, but its own oneDNN obeys the variable: a processor that is none.
    left_out=()
    [ "$isa" = SSE41 ] && left_out=(-k "not openvino")
    out="$work/out"
    start=$SECONDS
    # Passive waiting: there may be more threads than processors.
    ONEDNN_MAX_CPU_ISA=$isa ATEN_CPU_CAPABILITY=$aten OMP_NUM_THREADS=$threads OMP_WAIT_POLICY=PASSIVE \
        ARTGAN_TEST_SEED=$seed "$python" -m pytest -q -m "$which" --hypothesis-seed="$seed" --tb=short -rfE \
        -p no:cacheprovider --benchmark-disable "${left_out[@]}" "$@" > "$out" 2>&1
    status=$?
    failed=$(($(count "$out" failed) + $(count "$out" error)))
    printf '%-12s %-8s %7s %4s %7s %7s %8s\n' "$isa" "$aten" "$threads" "$seed" "$(count "$out" passed)" "$failed" \
        $((SECONDS - start))
    if [ $status -ne 0 ]; then
        failures=$((failures + 1))
        if [ "$failed" = 0 ]; then # it did not start, or was killed
            tail -n 20 "$out" >&2
        fi
        # FAILED path::name - reason; one line each, with its configuration
        grep -E '^(FAILED|ERROR) ' "$out" | sed "s/^[A-Z]* //; s/\$/  [$configuration]/" >> "$work/failed"
    fi
done

if [ $failures -gt 0 ]; then
    printf '\n'
    [ -f "$work/failed" ] && sort "$work/failed"
    printf '%s of %s configurations failed\n' "$failures" "${#configurations[@]}"
    exit 1
fi
