#!/usr/bin/env bash
# Sets up .venv, then runs the linter and all tests, two at a time; arguments go to pytest,
# such as -n 0 for one at a time.
set -euo pipefail
source "$(dirname "$0")/setup_env.sh"

# Open MPI, and what turns one machine into several hosts; their tests are skipped without.
install_for_tests() {
  local package missing=()
  for package in mpirun:openmpi-bin mpicxx:libopenmpi-dev sshd:openssh-server ip:iproute2; do
    PATH=$PATH:/usr/sbin command -v "${package%%:*}" > /dev/null || missing+=("${package##*:}")
  done
  if [ ${#missing[@]} = 0 ]; then return; fi
  say "some tests need ${missing[*]}"
  if [ "$(id -u)" != 0 ] || ! command -v apt-get > /dev/null; then
    echo "   not installed, as that takes root and apt-get: those tests are skipped"
    return
  fi
  { apt-get install -y -qq "${missing[@]}" || { apt-get update -qq &&
    apt-get install -y -qq "${missing[@]}"; }; } > /dev/null 2>&1 ||
    echo "   apt-get could not install them: those tests are skipped"
}

check_prerequisites
install_for_tests
set_up

say 'linter'
ruff check .
say 'tests'
TF_CPP_MIN_LOG_LEVEL=2 exec python -m pytest -n 2 --dist=worksteal "$@"
