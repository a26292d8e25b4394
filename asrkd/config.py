"""What an experiment can be told: dataclasses with defaults. `asrkd.settings` reads and checks them.

The defaults are those of the CPU recipe on a few hours of 16 kHz speech. An experiment's own `config.yaml` keeps what
was chosen, so that a later call of any stage needs no option again.

What was made before there was a key counts as made with the key's default (`with_newer_keys`). So the default of a new
key is what was done before it, and stays that; a key for which this is not so needs another name.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class DataConfig:
    """Stage 0. Each split is a Lhotse cut set (`.jsonl` or `.jsonl.gz`) whose supervisions carry the transcripts."""

    train: str = ""
    dev: str = ""
    test: str = ""
    max_left_out: float = 0.01  # the share of unusable utterances above which stages 0, 1 and 3 stop


@dataclass
class FeatureConfig:
    """Stage 1: log-mel filterbanks, as Kaldi computes them."""

    sample_rate: int = 16000  # Hz; audio of another rate is left out
    num_mel_bins: int = 40
    frame_length: float = 25.0  # ms
    frame_shift: float = 10.0  # ms
    low_freq: float = 20.0  # Hz
    high_freq: float = 0.0  # Hz; 0 is the Nyquist frequency, negative is an offset from it
    cmvn_variance: bool = True  # per speaker: mean and variance, or the mean alone
    dtype: str = "float16"  # of the stored frames: float16 or float32

    @property
    def highest_freq(self) -> float:
        """The upper edge of the highest bin, Hz."""
        return self.high_freq if self.high_freq > 0 else self.sample_rate / 2 + self.high_freq


@dataclass
class LangConfig:
    """Stage 2: the lexicon and the word language model."""

    lexicon: str = ""  # "WORD PH1 PH2 ..." a line; empty is cmudict without stress marks, graphemic letters
    lm: str = ""  # an ARPA file of one's own; empty estimates one
    lm_text: str = ""  # one sentence a line, plain or .gz; empty takes the training transcripts
    more_lm_texts: list[str] = field(default_factory=list)  # a model of each is mixed with lm_text's, to suit dev best
    vocabulary: str = ""  # a word a line; empty takes the most frequent words of the text that the lexicon knows
    vocabulary_size: int = 20000
    lm_order: int = 3
    lm_prune: list[int] = field(default_factory=lambda: [0, 0, 1])  # counts up to which n-grams go, an order each
    lm_unit: str = "word"  # or pieces of words, bpe:1000 or unigram:1000, which need lang.lexicon=graphemic
    rescore_lm: str = ""  # an ARPA file of one's own for the second pass
    rescore_order: int = 0  # of a second model, from the same text and over the same vocabulary, for it; 0 is none
    rescore_prune: list[int] = field(default_factory=list)


@dataclass
class AlignConfig:
    """Stage 3: from a flat start to one pdf a frame."""

    num_pdfs: int = 500  # tied states, those of silence and noise included
    monophone_gaussians: int = 1000  # in total
    tied_gaussians: int = 4000  # in total
    monophone_passes: int = 20
    tied_passes: int = 12


@dataclass
class ModelConfig:
    """The feed-forward net: `hidden_layers` ReLU layers of `hidden_size` over left + 1 + right spliced frames."""

    hidden_layers: int = 4
    hidden_size: int = 512
    left: int = 20
    right: int = 5
    dropout: float = 0.1
    input_dropout: float = 0.0  # of the spliced inputs; students have the same


@dataclass
class TrainConfig:
    """The one training loop. The rate rises over a fiftieth of the steps and falls to 0 along a cosine over the
    rest."""

    batch_size: int = 512
    optimizer: str = "sgd"  # mini-batch SGD with momentum, or adamw
    learning_rate: float = 0.08
    momentum: float = 0.9  # of sgd
    weight_decay: float = 0.0003
    max_norm: float = 0.0  # of the weights into each hidden unit; 0 limits nothing
    epochs: int = 8
    keep: str = "best"  # the epoch that is best on dev, or the last one, where dev is part of train
    speeds: list[float] = field(default_factory=lambda: [1.0])  # each at which an equal share of a batch is heard
    jitter: int = 0  # pixels up to which square images are moved, where a frame is one; for no speech
    epoch_frames: int = 100000  # an epoch passes over the data as often as it takes to reach this many
    precision: str = "auto"  # auto, bfloat16 or float32; auto is bfloat16 where the processor computes in it


@dataclass
class EnsembleConfig:
    """Stage 4: members that differ in their seed alone: seed, seed + 1, ..."""

    members: int = 10
    seed: int = 1


@dataclass
class DistillConfig:
    """Stages 5 and 6. A student for every temperature; the first is the one that the tables call the student. Stage 7's
    nets on soft targets are trained as the students are but for limited.hard_weight, in the members' shape."""

    temperatures: list[float] = field(default_factory=lambda: [2.0])
    hard_weight: float = 0.5
    students: int = 1  # of the first temperature, which differ in their seed alone: seed, seed + 1, ...
    hidden_layers: int = 0  # of the students; 0 is model.hidden_layers, as many as the members have
    hidden_size: int = 0  # of the students' layers; 0 is model.hidden_size
    dropout: float = 0.1  # of the students, in place of model.dropout
    epochs: int = 12  # of the students, in place of train.epochs: they overfit less
    optimizer: str = "sgd"  # of the students, in place of train.optimizer
    learning_rate: float = 0.0  # of the students; 0 is train.learning_rate
    weight_decay: float = 0.0  # of the students, in place of train.weight_decay
    speeds: list[float] = field(default_factory=lambda: [1.0])  # each with targets of its own, in place of train.speeds
    top_k: int = 50  # pdfs kept of each frame; 0 keeps all of them, in 8 bits each
    tail: str = "even"  # what the loss takes the other pdfs for: even, lump or drop; see docs/soft-targets.md
    seed: int = 101
    folds: int = 0  # of train's speakers: a frame's targets come from teachers that never heard its speaker; 0: members
    fold_members: int = 2  # teachers of each fold


@dataclass
class LimitedConfig:
    """Stage 7: shares of the training utterances, drawn from each speaker alike."""

    shares: list[float] = field(default_factory=lambda: [0.03, 0.1])
    hard_weight: float = 0.0  # of the nets on soft targets, in place of distill.hard_weight: few labels are overlearnt
    seed: int = 201


@dataclass
class SpecialistsConfig:
    """Stage 11. Specialists beside the first member, the generalist."""

    count: int = 10
    pdfs: int = 60  # of each one's cluster; a pdf may be in several
    epochs: int = 3  # over the frames of the cluster, with as many others
    learning_rate: float = 0.02
    hard_weight: float = 0.5  # of those that have the generalist's soft targets too
    temperature: float = 1.0  # of these; at another one the dustbin's soft and hard targets contradict each other
    seed: int = 301


@dataclass
class DecodeConfig:
    """Stages 8 and 9. Every system is decoded with the same graph, beam and prior."""

    decoder: str = "k2"  # k2, or kaldi where no k2 can be had: slower, and blind to min_active and max_active
    acoustic_scale: float = 0.12  # of the log-likelihoods in the search
    search_beam: float = 12.0
    lattice_beam: float = 6.0
    min_active: int = 30
    max_active: int = 7000
    lm_scales: list[float] = field(default_factory=lambda: [0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.5])  # on dev
    insertion_penalties: list[float] = field(default_factory=lambda: [0.0, 0.5, 1.0, 1.5])  # tried on dev
    n_best: int = 100  # hypotheses of an utterance for the second pass, which lang.rescore_order asks for
    second_weights: list[float] = field(default_factory=lambda: [0.0, 0.25, 0.5, 0.75, 1.0])  # tried on dev


@dataclass
class MnistConfig:
    """recipes/mnist, the paper's section 3. The members are its large nets, the students its small ones."""

    dev: int = 5000  # images of dev, the last ones of MNIST's training set
    held_out: bool = False  # whether train lacks them; where it does not, dev tells nothing of new images
    runs: int = 3  # of each small net, which differ in their seed
    sweep_sizes: list[int] = field(default_factory=lambda: [30, 300])  # units a layer of still smaller students
    sweep_temperatures: list[float] = field(default_factory=lambda: [1.0, 1.5, 2.5, 4.0, 8.0, 14.0, 20.0])
    sweep_epochs: int = 20


@dataclass
class RunConfig:
    """Where the work runs. No result depends on it, but for the last bits of a net that is the only one of its stage
    and is trained on several threads, on a GPU, by several processes or through torch.compile."""

    jobs: int = 0  # parallel one-thread jobs; 0 is one a core
    engine: str = "loky"  # loky, ray or dask
    device: str = "auto"  # auto, cpu or cuda
    compile: bool = False  # train through torch.compile, which takes a minute first


@dataclass
class Config:
    data: DataConfig = field(default_factory=DataConfig)
    features: FeatureConfig = field(default_factory=FeatureConfig)
    lang: LangConfig = field(default_factory=LangConfig)
    align: AlignConfig = field(default_factory=AlignConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    ensemble: EnsembleConfig = field(default_factory=EnsembleConfig)
    distill: DistillConfig = field(default_factory=DistillConfig)
    limited: LimitedConfig = field(default_factory=LimitedConfig)
    specialists: SpecialistsConfig = field(default_factory=SpecialistsConfig)
    decode: DecodeConfig = field(default_factory=DecodeConfig)
    mnist: MnistConfig = field(default_factory=MnistConfig)
    run: RunConfig = field(default_factory=RunConfig)


def section(config: Config, *names: str) -> dict[str, Any]:
    """The parts of the config that a step depends on, for its stamp: section("model", "train.batch_size")."""
    whole: dict[str, Any] = asdict(config)
    chosen = {}
    for name in names:
        value: Any = whole
        for part in name.split("."):
            value = value[part]
        chosen[name] = value
    return chosen


def with_newer_keys(kept: Mapping[str, Any]) -> dict[str, Any]:
    """What `section` gave for a stamp once, with the keys that its whole sections did not have by then, each at its
    default. A single key that a stamp lacks may have had any value: none is added."""
    newest = asdict(Config())
    return {
        name: {**newest[name], **value} if name in newest and isinstance(value, Mapping) else value
        for name, value in kept.items()
    }
