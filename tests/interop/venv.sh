#!/bin/bash
# Makes the Python environment of the tests that compare with PyTorch: tests/interop/venv.sh FOLDER. One that was
# made from the same list of packages is left as it is; anything else there is made anew.
set -euo pipefail
folder=${1:?"usage: venv.sh FOLDER"}
list=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/requirements.txt

if cmp -s "$list" "$folder/requirements.txt"; then exit 0; fi
if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
  echo "venv.sh: python3 with venv is missing: install Debian's package python3-venv" >&2
  exit 1
fi
echo "venv.sh: installing PyTorch and a few packages from PyPI into $folder (about 5 GB, some minutes)"
rm -rf "$folder"
python3 -m venv "$folder"
if ! "$folder/bin/pip" install --quiet --disable-pip-version-check --no-cache-dir --no-compile --no-deps \
    -r "$list"; then
  echo "venv.sh: pip could not install the packages of $list: it needs PyPI (or a mirror that pip is set up for)" \
       "and 5 GB of disk" >&2
  exit 1
fi
# Last, so that an installation that was cut short is not taken for a whole one.
cp "$list" "$folder/requirements.txt"
