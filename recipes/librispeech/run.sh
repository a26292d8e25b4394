#!/usr/bin/env bash
# Distil an ensemble of acoustic models into one, on LibriSpeech or any corpus in its layout.
#
#   recipes/librispeech/run.sh                                   mini LibriSpeech, downloaded
#   recipes/librispeech/run.sh --corpus-dir DIR --train train-clean-100 --dev dev-clean --test test-clean
#   recipes/librispeech/run.sh --stage 9 --force                 decode again what is there
#
# Stages
#   0 data                   4 train the members       8 decoding graph
#   1 features               5 soft targets            9 decode
#   2 lexicon and LM         6 distil                 10 score and report
#   3 alignment              7 limited data           11 specialists, if --stop-stage or --stage is 11
#
# Options
#   --stage N                the first stage (0)
#   --stop-stage N           the last stage (10; 11 for --stage 11)
#   --exp DIR                the experiment's folder (exp/librispeech); it remembers every option below
#   --conf FILE              a YAML file (conf/cpu.yaml for a new experiment; conf/gpu.yaml is the paper's net)
#   --corpus-dir DIR         a tree in LibriSpeech's layout; without it, --train, --dev and --test are downloaded
#   --train, --dev, --test   the subsets' folders, several with commas between
#   --lexicon FILE           "WORD PH1 PH2 ..." a line, or graphemic: words are spelt (cmudict)
#   --lm FILE                a language model of your own, in ARPA form
#   --lm-text FILE           text to estimate one from, a sentence a line, plain or .gz (the training transcripts)
#   --jobs N                 parallel jobs (one a core)
#   --engine NAME            loky, ray or dask (loky)
#   --decoder NAME           k2 or kaldi (k2)
#   --device NAME            auto, cpu or cuda (auto)
#   --force                  do the chosen stages again; without it, what is finished and unchanged is skipped
#   section.key=value        any value of asrkd/config.py, for example ensemble.members=3
#   lang.lm=                 without a value unsets what was set; so do lang.lexicon= and lang.lm_text=
source "$(dirname "$0")/../stages.sh"

options="stage stop_stage exp conf corpus_dir train dev test lexicon lm lm_text jobs engine device decoder"
exp=$root/exp/librispeech
default_conf=$root/recipes/librispeech/conf/cpu.yaml
corpus_dir=
train=
dev=
test=
lexicon=
lm=
lm_text=

make_corpus() {
  "$python" "$root/local/librispeech.py" --out "$exp/corpus" --conf "$exp/config.yaml" \
    ${corpus_dir:+--corpus-dir "$corpus_dir"} ${train:+--train "$train"} ${dev:+--dev "$dev"} ${test:+--test "$test"}
}

parse_options "$@"
for name in exp corpus_dir lm lm_text; do absolute $name; done
[ "$lexicon" = graphemic ] || absolute lexicon
corpus_options="corpus_dir train dev test"
corpus_folder=corpus_dir
corpus_config=(
  "data.train=$exp/corpus/train.jsonl.gz" "data.dev=$exp/corpus/dev.jsonl.gz" "data.test=$exp/corpus/test.jsonl.gz"
)
overrides=(
  ${lexicon:+"lang.lexicon=$lexicon"} ${lm:+"lang.lm=$lm"} ${lm_text:+"lang.lm_text=$lm_text"} "${overrides[@]}"
)
run_stages
