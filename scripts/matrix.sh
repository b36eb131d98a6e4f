#!/usr/bin/env bash
# Runs the tests with the least and with the newest versions that the project files allow.
#
#   scripts/matrix.sh [floors] [newest]        # both, if none is named
#
#   floors   Python 3.10, and of every package that a project file names its least version (scripts/floors.py)
#   newest   Python 3.13, and the newest version of everything: constraints.txt is not used
#
# The interpreters are python3.10 and python3.13, or what PYTHON_FLOORS and PYTHON_NEWEST name: the floors of the packages
# can be tried with another Python too. An interpreter that is not there is reported and passed over;
# .github/workflows/ci.yml runs the same on Linux, macOS and Windows. Each environment takes several gigabytes, and stays
# in .matrix/ for the next run.

set -eu
cd "$(dirname "$0")/.."

environment() ( # NAME PYTHON: makes .matrix/NAME, unless it is newer than what decides what is installed
    venv=.matrix/$1
    stale=$(find pyproject.toml plugins/*/pyproject.toml requirements-dev.txt -newer "$venv/.installed" 2>&1 || true)
    if [ -z "$stale" ]; then
        touch "$venv/.installed" # or make installs the versions of a newer constraints.txt
        exit
    fi
    # Not set -e, which bash ignores within conditions.
    "$2" -m venv --clear "$venv" || exit
    constraints=()
    if [ "$1" = floors ]; then
        "$venv/bin/python" -m pip install -q packaging tomli || exit
        "$venv/bin/python" scripts/floors.py > .matrix/floors.txt || exit
        constraints=(-c .matrix/floors.txt)
    fi
    "$venv/bin/python" -m pip install -q ${constraints[@]+"${constraints[@]}"} -r requirements-dev.txt || exit
    touch "$venv/.installed"
)

mkdir -p .matrix
passed=0 failed=0
[ $# -gt 0 ] || set -- floors newest
for name in "$@"; do
    case $name in
        floors) python=${PYTHON_FLOORS:-python3.10} ;;
        newest) python=${PYTHON_NEWEST:-python3.13} ;;
        *)
            echo "matrix.sh: $name: write floors or newest" >&2
            exit 2
            ;;
    esac
    if ! "$python" -c '' 2> /dev/null; then
        echo "matrix.sh: $name: $python is not there, so this is left to the workflow" >&2
        continue
    fi
    if environment "$name" "$python" && make test VENV=".matrix/$name"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "matrix.sh: $name failed ($("$python" --version))" >&2
    fi
done
[ $failed = 0 ] && [ $passed -gt 0 ]
