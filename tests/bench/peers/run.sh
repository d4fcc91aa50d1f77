#!/bin/bash
# Compares a training step of ganymede with PyTorch's and JAX's: tests/bench/peers/run.sh [--venv FOLDER] [OPTIONS].
# Their packages are installed from PyPI into build/venv-peers once (about 6 GB), or taken from the environment that
# --venv names. Other options are compare.py's (--help).
set -euo pipefail
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
root=$(cd "$here/../../.." && pwd)

venv=
if [ "${1:-}" = --venv ]; then
  venv=${2:?"--venv takes a folder"}
  shift 2
  [ -x "$venv/bin/python" ] || { echo "run.sh: $venv is no Python environment" >&2; exit 2; }
else
  venv=$root/build/venv-peers
  if ! cmp -s "$here/requirements.txt" "$venv/requirements.txt"; then
    if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
      echo "run.sh: python3 with venv is missing: install Debian's package python3-venv" >&2
      exit 1
    fi
    echo "run.sh: installing PyTorch and JAX from PyPI into $venv (about 6 GB, some minutes)" >&2
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --no-cache-dir -r "$here/requirements.txt" || {
      echo "run.sh: pip could not install PyTorch and JAX: it needs PyPI (or a mirror that pip is set up for)" >&2
      exit 1
    }
    cp "$here/requirements.txt" "$venv/requirements.txt"
  fi
fi
exec "$venv/bin/python" "$here/compare.py" --root "$root" "$@"
