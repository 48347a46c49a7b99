#!/usr/bin/env bash
# Sets up .venv, then runs the linter and all tests, two at a time; arguments go to pytest,
# such as -n 0 for one at a time.
set -euo pipefail
source "$(dirname "$0")/setup_env.sh"

say 'linter'
ruff check .
say 'tests'
TF_CPP_MIN_LOG_LEVEL=2 exec python -m pytest -n 2 --dist=worksteal "$@"
