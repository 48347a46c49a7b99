# Sourced by the other scripts: defines set_up, which makes .venv or uses the one that is
# there, installs the project, its dependencies and Horovod into it, and activates it.
#
# PYTHON chooses the interpreter (3.9 to 3.12) for a new .venv; python3 by default.

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

fail() {
  echo "$(basename "$0"): $*" >&2
  exit 1
}

say() {
  echo "== $*"
}

# The stamp says that .venv holds what setup.py asks for, whatever its docstring and comments say.
stamp=.venv/fastnn-$(sed '/^"""/d; s/ *# .*//; /^$/d' setup.py | cksum | cut -d' ' -f1)
python=${PYTHON:-python3}

# To be called before anything is installed.
check_prerequisites() {
  local tool
  if [ -e "$stamp" ] || [ -e .venv/bin/horovodrun ]; then return; fi
  for tool in g++ make; do
    command -v "$tool" > /dev/null || fail \
      "no $tool, which building Horovod needs. Install it first:" \
      "'sudo apt-get install g++ make' (Debian, Ubuntu)" \
      "or 'sudo dnf install gcc-c++ make' (Fedora, Red Hat)"
  done
  [ -e .venv/bin/activate ] || "$python" -c \
    'import sys; sys.exit(not (3, 9) <= sys.version_info[:2] <= (3, 12))' || fail \
    "$python is no Python 3.9 to 3.12; name one with PYTHON=/path/to/python3.11"
}

make_venv() {
  say "making .venv with $("$python" --version)"
  "$python" -m venv .venv || {
    rm -rf .venv
    fail "no venv: install the package python3-venv (Debian, Ubuntu)"
  }
}

install_packages() {
  say 'installing TensorFlow and the other packages (some 700 MB, some minutes)'
  # Horovod's build script needs setuptools below 70 and its gloo CMake below 4.
  pip install --quiet 'setuptools<70' wheel 'cmake<4' || fail 'pip failed, see above'
  pip install --quiet --no-build-isolation -e '.[test]' || fail 'pip failed, see above'
}

build_horovod() {
  HOROVOD_WITH_TENSORFLOW=1 HOROVOD_WITHOUT_PYTORCH=1 HOROVOD_WITHOUT_MXNET=1 \
    HOROVOD_WITH_GLOO=1 HOROVOD_WITHOUT_MPI=$without_mpi \
    pip install --quiet --no-build-isolation "$@" 'horovod==0.28.1' || fail \
    'Horovod did not build, see above. One process needs none: --enable_paisoar=False'
}

install_horovod() {
  say 'building Horovod from source (3 to 4 minutes on two cores; pip keeps the wheel)'
  local without_mpi=1
  if command -v mpicxx > /dev/null; then without_mpi=; fi
  build_horovod
  # The wheel that pip has kept may be of a time before Open MPI was installed, or after.
  if [ -z "$without_mpi" ] && ! python -c \
    'import sys, horovod.tensorflow as hvd; sys.exit(not hvd.mpi_built())' 2> /dev/null; then
    build_horovod --no-cache-dir --force-reinstall --no-deps
  fi
}

set_up() {
  if [ -e "$stamp" ]; then
    source .venv/bin/activate
    return
  fi
  check_prerequisites
  [ -e .venv/bin/activate ] || make_venv
  source .venv/bin/activate
  install_packages
  [ -e .venv/bin/horovodrun ] || install_horovod
  touch "$stamp"
}
