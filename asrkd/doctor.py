"""`asrkd doctor`: every component that the recipes need, whether it works, and the command that mends it."""

import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import requires, version
from pathlib import Path

from asrkd.errors import UserError

PATIENCE = 60  # seconds for a component that is run as a program
LITTLE_DISK = 2  # gigabytes

# Run under k2's interpreter: two frames against the one path 1, 2 with weights .5 and .25. Its total score is known.
K2_PROBE = """
import json, k2, torch
from importlib.metadata import version
graph = k2.create_fsa_vec([k2.Fsa.from_str("0 1 1 0.5\\n1 2 2 0.25\\n2 3 -1 0\\n3")])
frames = torch.log(torch.tensor([[[.1, .7, .2], [.3, .3, .4]]]))
dense = k2.DenseFsaVec(frames, torch.tensor([[0, 0, 2]], dtype=torch.int32))
lattice = k2.intersect_dense_pruned(graph, dense, 20, 8, 1, 100)
print(json.dumps([version("k2"), torch.__version__, lattice.get_tot_scores(False, False).item()]))
"""
K2_EXPECTED = -0.523  # .5 + .25 + log(.7) + log(.4)


@dataclass(frozen=True)
class Component:
    name: str
    version: str
    state: str
    mend: str = ""  # the command that mends it; empty when it works


def check() -> list[Component]:
    return [_python(), _torch(), *map(_library, _libraries()), _k2(), _lmplz(), _corpora(), _disk()]


def _libraries() -> list[str]:
    """The modules of asrkd[recipes], each of which has its package's name."""
    needed = [line for line in requires("asrkd") or [] if 'extra == "recipes"' in line]
    return [re.split(r"[^\w-]", line)[0].replace("-", "_") for line in needed]


def run_doctor() -> int:
    """Print the table. Returns the exit code: 1 if anything that the recipes need does not work."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    components = check()
    table = Table("component", "version", "state")
    for component in components:
        colour = "red" if component.mend else "green"
        table.add_row(component.name, component.version, f"[{colour}]{escape(component.state)}")
    console = Console()
    console.print(table)
    broken = [component for component in components if component.mend]
    for component in broken:
        console.print(f"{component.name} does not work; to mend it: {component.mend}", markup=False, soft_wrap=True)
    if not broken:
        console.print("All that the recipes need is there.")
    return 1 if broken else 0


def _python() -> Component:
    return Component("Python", platform.python_version(), sys.executable)


def _library(name: str, describe: Callable[[], str] = lambda: "imports") -> Component:
    try:
        import_module(name)
    except (ImportError, OSError) as error:  # OSError: a shared library that is missing or of another build
        ours = Path(sys.prefix) == Path(__file__).resolve().parents[1] / ".venv"  # else the user's own environment
        mend = _mend(".venv") if ours else f"{sys.executable} -m pip install {name}"
        return Component(name, "", f"does not import: {error}", mend)
    return Component(name, version(name), describe())


def _torch() -> Component:
    return _library("torch", _devices)


def _devices() -> str:
    import torch

    from asrkd.train.device import computes_bfloat16

    bfloat16 = "bfloat16 in hardware" if computes_bfloat16(torch.device("cpu")) else "no bfloat16 in hardware"
    devices = [f"cpu: {torch.get_num_threads()} threads of {os.cpu_count()} cores, {bfloat16}"]
    devices += [f"cuda:{i}: {torch.cuda.get_device_name(i)}" for i in range(torch.cuda.device_count())]
    return "; ".join(devices) if len(devices) > 1 else f"{devices[0]}; no GPU"


def _k2() -> Component:
    from asrkd.decode.interpreter import k2_in_process
    from asrkd.tools import k2_python

    mend = _mend(".venv-k2", "ASRKD_K2_PYTHON")
    try:
        python, where = (Path(sys.executable), "in process") if k2_in_process() else (k2_python(), "")
        output = _run([str(python), "-c", K2_PROBE])
        k2_version, torch_version, score = json.loads(output.splitlines()[-1])
    except (UserError, ValueError, IndexError) as error:
        return Component("k2", "", str(error), mend)
    if abs(score - K2_EXPECTED) > 1e-3:
        return Component("k2", k2_version, f"{python}: a search gave {score:.3f} instead of {K2_EXPECTED}", mend)
    return Component("k2", k2_version, f"searches, with torch {torch_version} {where or f'under {python}'}")


def _lmplz() -> Component:
    from asrkd.tools import lmplz

    mend = _mend(".tools", "ASRKD_LMPLZ")
    try:
        program = lmplz()
        command = [str(program), "--order", "2", "--discount_fallback", "--memory", "100M"]
        arpa = _run(command, text="one two\ntwo one\n")
    except UserError as error:
        return Component("lmplz", "", str(error), mend)
    if "\\2-grams:" not in arpa:
        return Component("lmplz", "", f"{program}: printed no ARPA model", mend)
    return Component("lmplz", "", f"estimates ({program})")


def _corpora() -> Component:
    """What the recipes prepared in the current folder; none is needed, since they fetch theirs."""
    found = sorted(path.parent.parent.name for path in Path("exp").glob("*/corpus/train.jsonl.gz"))
    state = f"prepared: {', '.join(found)}" if found else "none prepared in exp/ here; the recipes fetch theirs"
    return Component("corpora", "", state)


def _disk() -> Component:
    free = shutil.disk_usage(".").free / 1e9
    mend = "" if free >= LITTLE_DISK else f"make room on the disk of {Path.cwd()}"
    return Component("disk", "", f"{free:.0f} GB free in {Path.cwd()}", mend)


def _mend(folder: str, variable: str | None = None) -> str:
    """`folder` is removed since `make setup` takes what is stamped for whole; `variable` names the user's own."""
    if variable and os.environ.get(variable):
        return f"set {variable} to one that works, or unset it and call: make setup"
    return f"rm -rf {folder} && make setup"


def _run(command: list[str], text: str = "") -> str:
    """What the command prints. Raises UserError, with the last thing that it said, when it fails."""
    try:
        done = subprocess.run(command, input=text, capture_output=True, text=True, errors="replace", timeout=PATIENCE)
    except OSError as error:
        raise UserError(f"{command[0]}: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise UserError(f"{command[0]}: no answer in {PATIENCE} s") from None
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or ["it printed no error"]
        raise UserError(f"{command[0]}: exit code {done.returncode}: {said[-1]}")
    return done.stdout
