"""Stage 8: the decoding graph HLG of an experiment."""

from pathlib import Path

from asrkd.config import Config, section
from asrkd.decode.graph_arrays import ARCS, FIRST_WORDS, WORDS
from asrkd.decode.interpreter import run_with
from asrkd.experiment import Step, identity
from asrkd.files import read_json, write_json, write_text

FILES = (ARCS, WORDS, FIRST_WORDS, "vocabulary.txt")  # the last: the words that the graph's numbers stand for


def build_graph(exp: Path, config: Config, force: bool = False) -> None:
    """EXP/graph from EXP/lang and the tied states of EXP/align. Raises UserError when stage 2 or 3 is missing."""
    inputs = {"lang": identity(exp / "lang", "stage 2"), "align": identity(exp / "align", "stage 3")}
    step = Step(exp / "graph", made_by="stage 8", config=section(config, "decode.decoder"), inputs=inputs, force=force)
    if not step.begin():
        return
    job = {
        "pdfs": exp / "align" / "pdfs.npy",
        "phones": exp / "lang" / "phones.txt",
        "vocabulary": exp / "lang" / "vocabulary.txt",
        "lexicon": next(path for name in ("pieces.txt", "lexicon.txt") if (path := exp / "lang" / name).is_file()),
        "lm": exp / "lang" / "lm.arpa",
        "graph": step.folder,
    }
    job_file = step.folder / "job.json"
    write_json(job_file, {name: str(path.resolve()) for name, path in job.items()})
    run_with(config.decode.decoder, "hlg", job_file)
    job_file.unlink()
    write_text(step.folder / "vocabulary.txt", job["vocabulary"].read_text(encoding="utf-8"))
    step.finish(FILES)
    report = read_json(step.folder / "report.json")
    print(
        f"graph: {report['states']:,} states, {report['arcs']:,} arcs of {report['words']:,} words in "
        f"{sum(report['seconds'].values()):.0f} s, {report['peak_memory_MB']:,} MB at most",
        flush=True,
    )
