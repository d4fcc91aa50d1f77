# Sourced by a test: starts it anew, as it was called, in namespaces of its own, so that no mount or process outlives it,
# with an empty folder for a Debian root in `root`, which is deleted in the end. Needs root.
# shellcheck shell=bash disable=SC2034  # root is for the test
name=$(basename "$0")

fail() {
  echo "$name: $*" >&2
  exit 1
}

if [ -z "${GANYMEDE_OWN_ROOT:-}" ]; then
  [ "$(id -u)" -eq 0 ] || fail "only root can make a Debian root"
  folder=$(mktemp -d "${TMPDIR:-/var/tmp}/$name.XXXXXX")
  trap 'rm -rf --one-file-system "$folder"' EXIT
  chmod 755 "$folder"
  GANYMEDE_OWN_ROOT=$folder unshare --mount --pid --fork --kill-child "$0" "$@"
  exit
fi
root=$GANYMEDE_OWN_ROOT
unset GANYMEDE_OWN_ROOT
mount --make-rprivate /
