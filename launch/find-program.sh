# For the launchers, which source this: find_program sets `program` to the ganymede that is built or installed beside
# them (in a source tree build/bin, in an installed one bin), else the one on the path, else nothing.
# shellcheck shell=bash disable=SC2034
find_program() {
  local here candidate
  here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
  program=$(type -P ganymede || true)
  for candidate in "$here/../build/bin/ganymede" "$here/../../../bin/ganymede"; do
    if [ -x "$candidate" ]; then
      program=$(realpath "$candidate")
      break
    fi
  done
}
