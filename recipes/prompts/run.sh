#!/usr/bin/env bash
# The main job on a corpus that any Debian or Ubuntu machine can fetch: Asterisk's English telephone prompts (551 prompts,
# one speaker, 8 kHz, 0.4 hours, CC BY-SA 3.0). `make demo` runs this. The French, Spanish, Italian and Russian prompts
# are as many, of one other speaker each.
#
#   recipes/prompts/run.sh                            everything, about thirteen minutes
#   recipes/prompts/run.sh --language fr              the French prompts, in exp/prompts-fr
#   recipes/prompts/run.sh --sounds-dir DIR           with the prompts that you have already
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
#   --language CODE          en, es, fr, it or ru (en); all but en spell their words, lang.lexicon=graphemic, unless this
#                            call has lang.lexicon=FILE
#   --exp DIR                the experiment's folder (exp/prompts, exp/prompts-fr for --language fr and so on); it
#                            remembers the language and every option below
#   --conf FILE              a YAML file (conf/cpu.yaml for a new experiment)
#   --sounds-dir DIR         a folder with the unpacked WAV files and core-sounds-en.txt.gz (of the language); without it,
#                            apt-get fetches them
#   --jobs N                 parallel jobs (one a core)
#   --engine NAME            loky, ray or dask (loky)
#   --decoder NAME           k2 or kaldi (k2)
#   --device NAME            auto, cpu or cuda (auto)
#   --force                  do the chosen stages again; without it, what is finished and unchanged is skipped
#   section.key=value        any value of asrkd/config.py, for example ensemble.members=3
source "$(dirname "$0")/../stages.sh"

options="language stage stop_stage exp conf sounds_dir jobs engine device decoder"
language=
exp=
default_conf=$root/recipes/prompts/conf/cpu.yaml
sounds_dir=

make_corpus() {
  "$python" "$root/local/prompts.py" --out "$exp/corpus" ${language:+--language "$language"} \
    ${sounds_dir:+--sounds-dir "$sounds_dir"}
}

parse_options "$@"
[[ " en es fr it ru " == *" ${language:-en} "* ]] || fail "--language $language: expected one of en, es, fr, it, ru"
if [ -z "$exp" ]; then
  case $language in
    "" | en) exp=$root/exp/prompts ;;
    *) exp=$root/exp/prompts-$language ;;
  esac
fi
for name in exp sounds_dir; do absolute $name; done
# The language that the experiment has is no other corpus, for which its config would be set anew.
if grep -qsx "language=$language" "$(remembered_options)"; then language=; fi
corpus_options="language sounds_dir"
corpus_folder=sounds_dir
corpus_config=(
  "data.train=$exp/corpus/train.jsonl.gz" "data.dev=$exp/corpus/dev.jsonl.gz" "data.test=$exp/corpus/test.jsonl.gz"
  "lang.lm_text=$exp/corpus/lm_text.txt" "lang.vocabulary=$exp/corpus/vocabulary.txt"
)
case $language in
  "") ;;
  en) corpus_config+=("lang.lexicon=") ;;
  *) corpus_config+=("lang.lexicon=graphemic") ;;
esac
run_stages
