# For the launchers, which source this.
# shellcheck shell=bash disable=SC2034

# Sets `program` to the ganymede that is built or installed beside the launchers (in a source tree build/bin, in an
# installed one bin), else the one on the path, else nothing.
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

# find_mnist: sets `mnist` to the folder of the full MNIST, where there is one; a download that failed leaves it empty.
find_mnist() {
  local folder
  mnist=
  for folder in "${GANYMEDE_DATA:-}" "${XDG_CACHE_HOME:-${HOME:-}/.cache}/ganymede"; do
    if [ -n "$folder" ] && compgen -G "$folder/mnist/train-images-*" > /dev/null; then
      mnist=$folder/mnist
      return
    fi
  done
}

# values_of_option OPTION: sets `values` to how many words after this option of mpirun's belong to it.
values_of_option() {
  case ${1/#--/-} in
    -mca | -gmca) values=2 ;;
    -n | -np | -c | -N | -npernode | -npersocket | -H | -host | -hostfile | -machinefile | -default-hostfile | -x | \
      -wd | -wdir | -path | -prefix | -map-by | -rank-by | -bind-to | -ppr | -rf | -rankfile | -cpu-set | -cpu-list | \
      -cpus-per-proc | -cpus-per-rank | -slot-list | -output-filename | -timeout | -stdin | -am | -app | -tune | -cf | \
      -cartofile | -debugger | -hnp | -launch-agent | -max-vm-size | -ompi-server | -personality | -preload-files | \
      -report-events | -report-pid | -report-uri | -xml-file | -xterm) values=1 ;;
    *) values=0 ;;
  esac
}

# find_run WORD…: sets `run` to the folder that a command of ganymede with these options writes, as far as they or the
# file that --config names say.
find_run() {
  local before='' word config=''
  run=
  for word in "$@"; do
    case $before in
      --out) run=$word ;;
      --config) config=$word ;;
    esac
    case $word in
      --out=*) run=${word#--out=} ;;
      --config=*) config=${word#--config=} ;;
    esac
    before=$word
  done
  if [ -z "$run" ] && [ -r "$config" ]; then
    run=$(sed -n 's/[[:space:]]*$//; s/^[[:space:]]*out[[:space:]]*=[[:space:]]*//p' "$config" | head -n 1)
  fi
}

# cached FOLDER NAME: what CMake found, or was told, for the build in the folder.
cached() { sed -n "s|^$2:[A-Z]*=||p" "$1/CMakeCache.txt" 2> /dev/null; }
