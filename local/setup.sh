#!/usr/bin/env bash
# Sets the machine up in this folder: `make setup` calls it. Without root, and instant once everything is there.
#
# Each part has a lock or a recipe, and a stamp that holds their hash: a part is made again when that changes, and a part that
# was killed has no stamp and is made anew by the next call.
#
#   main      .venv: torch and the libraries of the recipes      requirements/main.lock
#   k2        .venv-k2: k2 on the torch it was built with        requirements/k2.lock
#   kenlm     .tools: lmplz and KenLM's Python module            requirements/tools.lock, local/build_kenlm.sh
#   module    KenLM's Python module, into .venv
#   dev       what the tests need, into .venv                    requirements/dev.lock
#   package   asrkd itself, editable, into .venv                 pyproject.toml
#
# $PYTHON names the interpreter (3.10 or 3.11), else the first suitable one found is taken.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD
log=$root/.tools/log
declare -A stamp=([main]=.venv/stamp.main [k2]=.venv-k2/stamp.k2 [kenlm]=.tools/stamp.kenlm
                  [module]=.venv/stamp.module [dev]=.venv/stamp.dev [package]=.venv/stamp.package)
declare -A made_from=([main]=requirements/main.lock [k2]=requirements/k2.lock
                      [kenlm]="requirements/tools.lock local/build_kenlm.sh"
                      [module]="requirements/tools.lock local/build_kenlm.sh"
                      [dev]=requirements/dev.lock [package]=pyproject.toml)
declare -A megabytes=([main]=9000 [k2]=6000 [kenlm]=1000)   # with the downloads that are removed afterwards

fail() {   # the error, then what mends it
    printf 'setup: %s\n       %s\n' "$1" "$2" >&2
    exit 1
}

key() {   # the folder is part of it: an environment that was moved or copied does not work
    {
        echo "$root"
        cat ${made_from[$1]}
        case $1 in
            main) version ;;
            kenlm | module) version; grep -A2 '^kenlm==' requirements/main.lock ;;   # the module fits one version
        esac
    } | sha256sum
}

version() {   # of the interpreter that is asked for, else of the one that there is
    "${python:-${PYTHON:-.venv/bin/python}}" -c 'import sysconfig; print(sysconfig.get_python_version())' 2> /dev/null || true
}

is_done() {   # an environment's Python is a link that breaks when what it was made from goes
    [[ -f ${stamp[$1]} && $(<"${stamp[$1]}") == "$(key "$1")" ]] || return 1
    if [[ $1 == kenlm ]]; then [[ -x .tools/bin/lmplz ]]; else [[ -x ${stamp[$1]%/*}/bin/python ]]; fi
}

mark_done() { key "$1" > "${stamp[$1]}.new" && mv "${stamp[$1]}.new" "${stamp[$1]}"; }

all_done() {
    for part in main k2 kenlm module dev package; do is_done $part || return 1; done
}

usable_python() {   # prints what is wrong with interpreter $1, nothing if it can be used
    "$1" -c '
import os, sys, sysconfig
if sys.version_info[:2] not in [(3, 10), (3, 11)]:
    sys.exit("is Python %d.%d" % sys.version_info[:2])
try:
    import ensurepip, venv
except ImportError:
    sys.exit("cannot make environments (Debian: apt-get install python3-venv)")
if not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")):
    sys.exit("lacks its header files (Debian: apt-get install python3-dev)")
' 2>&1 | tail -n 1
}

find_python() {   # sets $python
    local candidate problem found=()
    local candidates=(python3.11 python3.10 python3 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.1[01].*/bin/python)
    if [[ -n ${PYTHON:-} ]]; then
        candidates=("$PYTHON")
    elif is_done main; then
        candidates=("$(readlink -f .venv/bin/python)")   # KenLM's module must fit it
    fi
    for candidate in "${candidates[@]}"; do
        "$candidate" -c pass 2> /dev/null || continue   # pyenv's shims exist for versions that do not run
        problem=$(usable_python "$candidate") || true
        if [[ -z $problem ]]; then
            python=$(command -v "$candidate")
            return
        fi
        found+=("$candidate $problem;")
    done
    [[ -z ${PYTHON:-} || ${#found[@]} != 0 ]] || found=("$PYTHON does not run.")
    fail "no suitable Python: 3.10 or 3.11 is needed (k2 has no build for another). ${found[*]:-None was found.}" \
         "Install Python 3.11, or name one: make setup PYTHON=/path/to/python3.11"
}

find_compiler() {   # sets $CXX and $CC, which CMake and setuptools read
    local candidate
    for candidate in ${CXX:-c++ g++}; do
        if "$candidate" -x c++ - -o /dev/null <<< $'#include <vector>\nint main() {}' 2> /dev/null; then
            export CXX=$candidate CC=${CC:-cc}
            return
        fi
    done
    fail "no C++ compiler works here (tried: ${CXX:-c++, g++}), and KenLM has to be compiled." \
         "Install one (Debian: apt-get install g++), or name one: make setup CXX=/path/to/g++"
}

check_disk() {   # the megabytes that the missing parts need
    local need=$1 free
    free=$(df -Pm . | awk 'NR == 2 { print $4 }')
    ((free >= need)) ||
        fail "too little disk: $((need / 1000)) GB are needed in $root, $((free / 1000)) GB are free." \
             "Make room, or clone asrkd on a larger disk."
}

pip_install() {   # ENVIRONMENT, then pip's arguments
    "$1/bin/python" -m pip --disable-pip-version-check install --progress-bar off "${@:2}"
}

new_environment() {   # from nothing: a killed installation leaves packages that pip takes for whole
    rm -rf "$1"
    echo "making $1"
    "$python" -m venv "$1"
}

make_main() {
    new_environment .venv
    # KenLM's module is compiled by its own part, with hashed tools, while this one downloads.
    awk '/^[^ #]/ { kenlm = /^kenlm==/ } !kenlm' requirements/main.lock > "$TMPDIR/main.lock"
    pip_install .venv --require-hashes -r "$TMPDIR/main.lock"
}

make_k2() {
    new_environment .venv-k2
    pip_install .venv-k2 --require-hashes -r requirements/k2.lock
    .venv-k2/bin/python -c 'import k2'
}

make_kenlm() { local/build_kenlm.sh "$python"; }

make_module() { pip_install .venv --no-deps --no-index --force-reinstall .tools/wheels/kenlm-*.whl; }

make_dev() { pip_install .venv --require-hashes -r requirements/dev.lock; }

make_package() { pip_install .venv --no-deps --no-build-isolation -e .; }

run_part() {   # in a subshell of its own; `set -e` holds in it
    local part=$1
    set -e
    exec > "$log/$part.log" 2>&1 < /dev/null
    "make_$part"
    mark_done "$part"
}

without_noise() { grep -v 'is ignored: it is neither a file nor a directory' "$1" || true; }   # pip, of local indexes

explain() {   # of a part that failed: its log's last lines, then the likely cause
    local part=$1 text=$log/$1.log
    echo "setup: '$part' failed. The end of ${text#"$root"/}:" >&2
    without_noise "$text" | tail -n 12 | sed 's/^/    /' >&2
    if grep -qi 'no space left' "$text"; then
        fail "the disk is full." "Make room, then call \`make setup\` again."
    elif grep -qiE 'no matching distribution|connection (broken|refused|reset|timed)|NewConnection|NameResolution|max retries|ProxyError|SSLError|ReadTimeout' "$text"; then
        fail "pip could not fetch a package: no package registry was reached, or it lacks that version." \
             "Check the network, the proxy and \`pip config list\`, then call \`make setup\` again."
    fi
    fail "see ${text#"$root"/} for the whole of it." "Call \`make setup\` again: the parts that are done are kept."
}

declare -A pid=()
stop_parts() {
    local part
    for part in "${!pid[@]}"; do kill -- "-${pid[$part]}" 2> /dev/null || true; done
    rm -rf "$TMPDIR"
}

run_parts() {   # at the same time; returns when all are done
    local part status
    set -m   # a process group each, so that a part can be stopped with all that it started
    for part in "$@"; do
        run_part "$part" &
        pid[$part]=$!
    done
    set +m
    local next=$((SECONDS + 20))
    while ((${#pid[@]})); do
        sleep 0.2
        for part in "${!pid[@]}"; do
            kill -0 "${pid[$part]}" 2> /dev/null && continue
            status=0
            wait "${pid[$part]}" || status=$?
            unset "pid[$part]"
            ((status == 0)) || explain "$part"
            echo "[$SECONDS s] $part: done"
        done
        if ((SECONDS >= next)); then
            next=$((SECONDS + 20))
            for part in "${!pid[@]}"; do
                echo "[$SECONDS s] $part: $(without_noise "$log/$part.log" | tail -n 1 | cut -c 1-90)"
            done
        fi
    done
}

all_done && exit 0

[[ $(uname -sm) == "Linux x86_64" ]] ||
    fail "this set-up is for Linux on x86-64, and this is $(uname -sm)." "k2 and its torch have no builds for it from PyPI."
mkdir -p "$log"
exec 9> .tools/lock
flock -n 9 || { echo "setup: another set-up is at work in this folder; waiting for it"; flock 9; }
all_done && exit 0

find_python
missing=()
need=600
for part in main k2 kenlm; do
    is_done $part || { missing+=($part); ((need += megabytes[$part])); }
done
is_done kenlm || find_compiler
check_disk $need
unset PYTHONPATH PYTHONHOME      # pip would take what lies there for installed
export TMPDIR=$root/.tools/tmp   # pip's downloads: /tmp is often small
rm -rf "$TMPDIR" && mkdir -p "$TMPDIR"
trap stop_parts EXIT
trap 'exit 130' INT TERM

if ((${#missing[@]})); then
    cat <<TEXT
Setting asrkd up in $root with $("$python" --version) ($python)
  .venv      torch 2.11 and the recipes' libraries   5.4 GB
  .venv-k2   k2 on torch 1.13                        3.5 GB
  .tools     lmplz, compiled from KenLM's source     6 MB
Now: ${missing[*]}. All of it takes about 9 GB and 6 minutes on two cores. Logs: .tools/log
TEXT
    run_parts "${missing[@]}"
fi
for part in module dev package; do
    is_done $part || run_parts $part
done
echo "[$SECONDS s] asrkd is set up; \`.venv/bin/asrkd doctor\` checks it"
