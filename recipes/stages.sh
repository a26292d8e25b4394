# The stages that every speech recipe shares; a recipe's run.sh sources this file.
#
# The recipe sets its options as variables and defines
#   corpus_options    those that its corpus is made from
#   corpus_folder     the one of them that names a folder of the user's with the audio
#   corpus_config     what the experiment's config has to know of that corpus
#   make_corpus       stage 0: cut sets into $exp/corpus
# and then calls
#   parse_options "$@"
#   run_stages

set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# Options of every recipe. A recipe's header documents them: --help prints it.
stage=0
stop_stage=  # empty is 10, or --stage where that is above
conf=
jobs=
engine=
decoder=
device=
force=false
overrides=()

fail() {
  echo "$(basename "$0"): error: $*" >&2
  exit 1
}

# --some-name VALUE and --some-name=VALUE set $some_name, if the recipe has such a variable; section.key=value goes to the
# config.
parse_options() {
  local name value
  while [ $# -gt 0 ]; do
    case $1 in
      -h | --help)
        awk 'NR > 1 && !/^#/ { exit } NR > 1 { sub(/^# ?/, ""); print }' "$0"
        exit 0
        ;;
      --force) force=true ;;
      --*)
        name=${1%%=*}
        name=${name#--}
        name=${name//-/_}
        [[ $name =~ ^[a-z_]+$ && " $options " == *" $name "* ]] || fail "$1: unknown option; --help lists the options"
        if [[ $1 == *=* ]]; then
          value=${1#*=}
        else
          [ $# -ge 2 ] || fail "$1: expected a value after it"
          value=$2
          shift
        fi
        [[ -n $value && $value != --* ]] || fail "--${name//_/-}: expected a value after it, found '$value'"
        printf -v "$name" '%s' "$value"
        ;;
      lang.lexicon=graphemic) overrides+=("$1") ;;
      # As paths of options, those of the config are kept absolute.
      data.train=?* | data.dev=?* | data.test=?* | lang.lexicon=?* | lang.lm=?* | lang.lm_text=?* | lang.vocabulary=?* | lang.rescore_lm=?*)
        value=${1#*=}
        absolute value
        overrides+=("${1%%=*}=$value")
        ;;
      *.*=*) overrides+=("$1") ;;
      *) fail "$1: expected --option VALUE or section.key=value; --help lists the options" ;;
    esac
    shift
  done
  [[ $stage =~ ^[0-9]{1,9}$ && ${stop_stage:-0} =~ ^[0-9]{1,9}$ ]] ||
    fail "--stage $stage${stop_stage:+ --stop-stage $stop_stage}: expected numbers from 0 to 11"
  # 08 is no octal number.
  stage=$((10#$stage))
  stop_stage=$((10#${stop_stage:-$((stage > 10 ? stage : 10))}))
  ((stage <= stop_stage && stop_stage <= 11)) || fail "--stage $stage --stop-stage $stop_stage: expected 0 <= stage <= stop-stage <= 11"
}

# Paths are kept absolute, so that a later call from another folder finds the same experiment unchanged.
absolute() {
  local path
  [ -n "${!1}" ] || return 0
  path=$(realpath -m -- "${!1}") || fail "${!1}: expected a path"
  printf -v "$1" '%s' "$path"
}

# The interpreter with asrkd in it: the one that `make setup` made, else the one on the PATH.
find_asrkd() {
  python=$root/.venv/bin/python
  [ -x "$python" ] || python=$(command -v python3 || true)
  [ -n "$python" ] && (cd / && "$python" -c 'import asrkd.cli' 2> /dev/null) || fail "asrkd is not installed; run: make setup"
}

asrkd() { "$python" -m asrkd "$@"; }

# run_stage N "TITLE" COMMAND...: if N was asked for.
run_stage() {
  local number=$1 title=$2 begun=$SECONDS
  shift 2
  ((stage <= number && number <= stop_stage)) || return 0
  echo "== stage $number: $title ($(date +%H:%M:%S))"
  "$@"
  echo "== stage $number: done in $((SECONDS - begun)) s"
}

step() {
  local flags=()
  $force && flags+=(--force)
  asrkd "$1" "$exp" "${flags[@]}"
}

soft_targets() {
  step fold-teachers
  step soft-targets
}

score_and_report() {
  step score
  step report
}

# The report of stage 10, where there is one, shows them too.
specialists() {
  step specialists
  [ ! -d "$exp/report" ] || asrkd report "$exp"
}

# The options of the last call that named a corpus. While that corpus is being made, and after a kill or a mistake, they
# are in options.new: some of its cut sets may be there beside some of an earlier corpus.
remembered_options() {
  if [ -f "$exp/corpus/options.new" ]; then echo "$exp/corpus/options.new"; else echo "$exp/corpus/options"; fi
}

# Options of the corpus that this call does not give are those of that call.
recall_corpus_options() {
  local name remembered
  corpus_given=false
  for name in $corpus_options; do [ -z "${!name}" ] || corpus_given=true; done
  remembered=$(remembered_options)
  [ -f "$remembered" ] || return 0
  for name in $corpus_options; do
    [ -n "${!name}" ] || printf -v "$name" '%s' "$(sed -n "s/^$name=//p" "$remembered")"
  done
}

# Unless the config names cut sets of the user's own. A folder of the user's may have changed: it is read again as long as
# it is there, and what comes out the same leaves the later stages finished. A corpus that was fetched does not change.
prepare_corpus() {
  local name train_cuts
  train_cuts=$(asrkd value "$exp" data.train)
  [ "$train_cuts" = "$exp/corpus/train.jsonl.gz" ] || return 0
  $corpus_given || $force || [ -d "${!corpus_folder}" ] || [ -f "$exp/corpus/options.new" ] \
    || [ ! -f "$exp/corpus/options" ] || return 0
  mkdir -p "$exp/corpus"
  for name in $corpus_options; do echo "$name=${!name}"; done > "$exp/corpus/options.part"
  mv "$exp/corpus/options.part" "$exp/corpus/options.new"
  make_corpus
  mv "$exp/corpus/options.new" "$exp/corpus/options"
}

# The options that every experiment has go to its config.
configure_experiment() {
  local common=()
  [ -z "$jobs" ] || common+=("run.jobs=$jobs")
  [ -z "$engine" ] || common+=("run.engine=$engine")
  [ -z "$decoder" ] || common+=("decode.decoder=$decoder")
  [ -z "$device" ] || common+=("run.device=$device")
  # The experiment keeps its config: the recipe's conf only where it is new or --conf names one.
  [ -f "$exp/config.yaml" ] || [ -n "$conf" ] || conf=$default_conf
  asrkd configure "$exp" ${conf:+--conf "$conf"} "${common[@]}" "${overrides[@]}"
}

run_stages() {
  find_asrkd
  recall_corpus_options
  # An experiment that has a config keeps its cut sets, unless an option names a corpus.
  if $corpus_given || [ ! -f "$exp/config.yaml" ]; then overrides=("${corpus_config[@]}" "${overrides[@]}"); fi
  configure_experiment

  run_stage 0 "data" prepare_data
  run_stage 1 "features" step features
  run_stage 2 "lexicon and language model" step lang
  run_stage 3 "alignment" step align
  run_stage 4 "train the members" step train
  run_stage 5 "soft targets of the ensemble" soft_targets
  run_stage 6 "distil" step distil
  run_stage 7 "limited data" step limited
  run_stage 8 "decoding graph" step graph
  run_stage 9 "decode" step decode
  run_stage 10 "score and report" score_and_report
  run_stage 11 "specialists" specialists
}

prepare_data() {
  prepare_corpus
  step data
  asrkd words "$exp"
}
