"""NIST's scoring tools, where they are installed (Debian: apt-get install sctk), and texts to try them on."""

import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

# Reference, what system A heard, what system B heard.
TEXTS = [
    ("THE CAT SAT ON THE MAT", "THE BAT SAT ON THE MAT", "THE CAT SAT ON THE MAT"),
    ("PLEASE ENTER YOUR PASSWORD NOW", "PLEASE ENTER YOUR PASSWORD NOW", "PLEASE ENTER PASSWORD NOW"),
    ("YOU HAVE NO NEW MESSAGES", "YOU HAVE NEW MESSAGES", "YOU HAVE NO NEW MESSAGES TODAY"),
    ("TO HEAR THE TIME PRESS FOUR", "TO HERE THE TIME PRESS FOUR", "TO HEAR A TIME PRESS FOR"),
    ("ALL OUR LINES ARE BUSY", "ALL OUR LINES ARE BUSY", "ALL OUR LINES ARE BUSY"),
    ("GOODBYE", "GOOD", "GOODBYE"),
    ("ONE TWO THREE FOUR FIVE SIX", "ONE TWO THREE FOUR FIVE SIX SEVEN", "ONE THREE FOUR FIVE SIX"),
    ("SHE LEFT THE HOUSE BEFORE DAWN", "SHE LEFT HOUSE BEFORE DAWN", "SHE LEFT THE HORSE BEFORE DAWN"),
    ("HE DID NOT ANSWER", "HE DID ANSWER", "HE DID NOT ANSWER HIM"),
    ("RAIN FELL ALL NIGHT LONG", "RAIN FELL ALL NIGHT LONG", "TRAIN FELL ALL NIGHT"),
    ("THERE WERE SEVEN BOATS IN THE HARBOUR", "THERE WERE SEVEN BOATS IN HARBOUR", "THERE SEVEN GOATS IN THE HARBOUR"),
    ("WHAT IS YOUR NAME", "WHAT WAS YOUR NAME", "WHAT IS YOUR NAME"),
    ("I COULD NOT FIND THE ROAD AGAIN", "I COULD NOT FIND A ROAD AGAIN", "COULD NOT FIND THE ROAD AGAIN"),
    ("MY FATHER WAS A MILLER", "MY FATHER WAS MILLER", "MY FATHER WAS A MILLER"),
    ("THE LETTER CAME ON MONDAY MORNING", "THE LETTER CAME MONDAY MORNING", "A LETTER CAME ON MONDAY"),
    ("NOBODY KNEW WHERE THE KEY WAS", "NOBODY KNEW WHERE THE KEY WAS", "NOBODY NEW WHERE THE KEY WAS"),
    ("THEY WALKED SLOWLY UP THE HILL", "THEY WALKED UP THE HILL", "THEY WALKED SLOWLY UP HILL"),
    ("CLOSE THE DOOR BEHIND YOU", "CLOSE THE DOOR BEHIND YOU PLEASE", "CLOSE DOOR BEHIND YOU"),
    ("IT IS TOO LATE FOR THAT", "IT IS TWO LATE FOR THAT", "IT IS TOO LATE FOR HAT"),
    ("BREAD AND CHEESE AND A GLASS OF WATER", "BREAD AND CHEESE AND GLASS OF WATER", "BREAD CHEESE AND A GLASS WATER"),
    ("WE SHALL SEE", "WE SHALL SEA", "WE SHALL"),
    ("THE OLD MAN LAUGHED", "OLD MAN LAUGHED", "THE OLD MAN LAUGHED ALOUD"),
    ("DO YOU REMEMBER THE SUMMER", "DO YOU REMEMBER SUMMER", "YOU REMEMBER THE SUMMER"),
    ("NOTHING MORE WAS SAID ABOUT IT", "NOTHING MORE SAID ABOUT IT", "NOTHING MORE WAS SAID"),
    ("HIS BROTHER LIVED NEAR THE RIVER", "HIS BROTHER LIVED NEAR A RIVER", "HIS BROTHERS LIVED NEAR THE RIVER"),
    ("PRESS STAR TO RETURN TO THE MENU", "PRESS STAR TO RETURN TO MENU", "PRESS STAR RETURN TO THE MENU"),
    ("A LIGHT BURNED IN THE WINDOW", "LIGHT BURNED IN THE WINDOW", "A LIGHT BURNT IN THE WINDOW"),
    ("SIXTEEN", "SIXTEEN", "SIXTY"),
    ("THE TRAIN WAS TWENTY MINUTES LATE", "THE TRAIN WAS TWENTY MINUTES", "TRAIN WAS TWENTY MINUTES LATE"),
    ("THANK YOU", "THANK YOU", ""),
]
IDS = [f"s{number % 3}-{number:02d}" for number in range(len(TEXTS))]


def texts(column: int) -> dict[str, str]:
    """id -> text: 0 the references, 1 and 2 the systems."""
    return {name: row[column] for name, row in zip(IDS, TEXTS, strict=True)}


def tool(name: str) -> list[str]:
    """The command that calls it, or nothing where it is not installed. Debian has one command, sctk, for all."""
    if shutil.which(name):
        return [name]
    return ["sctk", name] if shutil.which("sctk") else []


def sclite(references: Mapping[str, str], hypotheses: Mapping[str, str], folder: Path, system: str) -> str:
    """Its alignments, as it prints them for other tools of NIST's."""
    files = []
    for kind, words in (("reference", references), (system, hypotheses)):
        files.append(folder / kind)
        files[-1].write_text("".join(f"{text} ({name})\n" for name, text in words.items()))
    options = ["-r", str(files[0]), "trn", "-h", str(files[1]), "trn", "-i", "rm", "-o", "sgml", "stdout"]
    return subprocess.run([*tool("sclite"), *options], capture_output=True, text=True, check=True, timeout=60).stdout


def alignments(sgml: str) -> dict[str, str]:
    """id -> a letter a word: C, S, D or I."""
    paths = re.findall(r'<PATH id="\((.*?)\)"[^>]*>\n(.*?)\n?</PATH>', sgml, re.DOTALL)
    return {name: "".join(step[0] for step in path.split(":") if step) for name, path in paths}


def mapsswe(sgml: Sequence[str]) -> tuple[int, float, float]:
    """What sc_stats makes of the alignments of two systems: segments, mean difference, z."""
    command = [*tool("sc_stats"), "-p", "-t", "mapsswe", "-v", "-n", "-"]
    found = subprocess.run(command, input="".join(sgml), capture_output=True, text=True, check=True, timeout=60).stdout
    numbers = re.search(r"# segs: (\d+)\).*\(mean: (\S+)\).*\(Z Stat: (\S+)\)", found)
    if numbers is None:
        raise ValueError(f"sc_stats printed no result: {found}")
    return int(numbers[1]), float(numbers[2]), float(numbers[3])
