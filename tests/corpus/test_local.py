"""The corpus scripts in local/, called as a recipe calls them."""

import gzip
import os
import subprocess
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
import soundfile

from asrkd.corpus.cuts import read_cuts
from asrkd.errors import UserError
from asrkd.files import read_jsonl

LOCAL = Path(__file__).resolve().parents[2] / "local"


def call(name: str, *args: object) -> None:
    """What `python local/NAME.py ARGS` does, in this process."""
    load(name).main([str(arg) for arg in args], standalone_mode=False)


def load(name: str) -> Any:
    spec = spec_from_file_location(f"local_{name}", LOCAL / f"{name}.py")
    assert spec is not None and spec.loader is not None
    script = module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


def run(name: str, *args: object, **variables: str) -> subprocess.CompletedProcess[str]:
    """The same in a process of its own, as run.sh does it."""
    paths = os.pathsep.join([str(LOCAL.parent), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, str(LOCAL / f"{name}.py"), *map(str, args)]
    return subprocess.run(command, env={**os.environ, "PYTHONPATH": paths, **variables}, capture_output=True, text=True)


def write_subset(root: Path, subset: str, speakers: list[str], utterances: int = 2) -> None:
    for speaker in speakers:
        folder = root / subset / speaker / "1"
        folder.mkdir(parents=True)
        names = [f"{speaker}-1-{n:04d}" for n in range(utterances)]
        for name in names:
            soundfile.write(folder / f"{name}.flac", np.zeros(800), 16000)
        (folder / f"{speaker}-1.trans.txt").write_text("".join(f"{name} WORDS\n" for name in names))


def test_librispeech_with_subsets_named(tmp_path: Path) -> None:
    for subset, speakers in {"a": ["1"], "b": ["2", "3"], "dev": ["4"], "test": ["5"]}.items():
        write_subset(tmp_path / "corpus", subset, speakers)
    options = ["--corpus-dir", tmp_path / "corpus", "--dev", "dev", "--test", "test", "--out", tmp_path / "out"]
    call("librispeech", *options, "--train", "a,b")
    found = {split: [cut.id for cut in read_cuts(tmp_path / "out" / f"{split}.jsonl.gz")] for split in ("train", "dev")}
    assert found["train"] == [f"{speaker}-1-{n:04d}" for speaker in "123" for n in range(2)]
    assert found["dev"] == ["4-1-0000", "4-1-0001"]

    with pytest.raises(UserError, match="found a, b, dev, test; .*--train"):
        call("librispeech", *options, "--train", "nothing")
    # A transcript without audio is an error while it is more than a hundredth, and is left out where that is allowed.
    (tmp_path / "corpus" / "a" / "1" / "1" / "1-1-0000.flac").unlink()
    with pytest.raises(UserError, match="data.max_left_out=0.01 allows: 1-1-0000: a transcript without audio"):
        call("librispeech", *options, "--train", "a,b")
    (tmp_path / "config.yaml").write_text("data: {max_left_out: 0.5}\n")
    call("librispeech", *options, "--train", "a,b", "--conf", tmp_path / "config.yaml")
    assert [row["id"] for row in read_jsonl(tmp_path / "out" / "left_out.jsonl")] == ["1-1-0000"]


def test_without_a_test_set_dev_is_halved_by_speaker(tmp_path: Path) -> None:
    write_subset(tmp_path / "corpus", "train-clean-5", ["1"])
    write_subset(tmp_path / "corpus", "dev-clean-2", ["20", "30", "40"])
    call("librispeech", "--corpus-dir", tmp_path / "corpus", "--out", tmp_path / "out")
    speakers = {
        split: {cut.supervisions[0].speaker for cut in read_cuts(tmp_path / "out" / f"{split}.jsonl.gz")}
        for split in ("train", "dev", "test")
    }
    assert speakers == {"train": {"1"}, "dev": {"20", "40"}, "test": {"30"}}


def test_a_download_that_fails_is_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A proxy that nobody listens at stands for a machine without a network.
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with pytest.raises(UserError, match="could not be downloaded to .*--corpus-dir"):
        call("librispeech", "--out", tmp_path / "out", "--download-dir", tmp_path / "get")
    with pytest.raises(UserError, match="train-tiny: no part of LibriSpeech.*--corpus-dir"):
        call("librispeech", "--out", tmp_path / "out", "--train", "train-tiny")


def test_the_error_is_one_line(tmp_path: Path) -> None:
    failed = run("librispeech", "--out", tmp_path, "--corpus-dir", "nowhere")
    assert failed.returncode == 1
    assert failed.stderr == "error: nowhere: no such folder; --corpus-dir names a folder in LibriSpeech's layout\n"


def test_what_the_system_refuses_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "corpus" / "a" / "1" / "1" / "1-1.trans.txt").mkdir(parents=True)
    failed = run("librispeech", "--out", tmp_path / "out", "--corpus-dir", tmp_path / "corpus", "--train", "a")
    assert failed.returncode == 1
    assert failed.stderr.startswith("error: [Errno 21] Is a directory: ") and "1-1.trans.txt" in failed.stderr
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("apt-get", "dpkg"):
        (tools / name).write_text("#!/bin/sh\n")
        (tools / name).chmod(0o755)
    path = os.pathsep.join([str(tools), os.environ["PATH"]])
    failed = run("prompts", "--out", tmp_path / "out", PATH=path, XDG_CACHE_HOME="/dev/null/x")
    assert failed.returncode == 1
    assert failed.stderr.startswith("error: [Errno 20] Not a directory: '/dev/null/x")
    assert failed.stderr.count("\n") == 1


LIST = """; comment
hello-world: Hello world.
beep: [a beep]
digits/1: one
missing: This one has no sound.
again: Please try again. Hello world.
""" + "".join(f"p{n}: Prompt {n}.\n" for n in range(60))


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    folder = tmp_path / "sounds" / "en"
    (folder / "digits").mkdir(parents=True)
    for name in ("hello-world", "beep", "digits/1", "again", *(f"p{n}" for n in range(60))):
        soundfile.write(folder / f"{name}.wav", np.zeros(800), 8000)
    with gzip.open(tmp_path / "sounds" / "core-sounds-en.txt.gz", "wt") as file:
        file.write(LIST)
    return tmp_path / "sounds"


def test_prompts_of_a_language_beside_others(tmp_path: Path, sounds: Path) -> None:
    french = sounds / "fr_CA_f_June"
    french.mkdir()
    for n in range(30):
        soundfile.write(french / f"p{n}.wav", np.zeros(800), 8000)
    soundfile.write(french / "hello-world.wav", np.zeros(800), 8000)
    listed = "hello-world: Salut tout le monde.\n" + "".join(f"p{n}: L'été {n}.\n" for n in range(30))
    (sounds / "core-sounds-fr.txt").write_text(listed, encoding="utf-8-sig")
    call("prompts", "--sounds-dir", sounds, "--out", tmp_path / "out", "--language", "fr")
    cuts = [cut for split in ("train", "dev", "test") for cut in read_cuts(tmp_path / "out" / f"{split}.jsonl.gz")]
    assert len(cuts) == 31 and {Path(cut.recording.sources[0].source).parent for cut in cuts} == {french}
    assert {"L'", "ÉTÉ", "VINGT"} < set((tmp_path / "out" / "vocabulary.txt").read_text(encoding="utf-8").split())
    with pytest.raises(UserError, match=r"Asterisk's Russian prompts, found no core-sounds-ru.txt.gz and hello-w"):
        call("prompts", "--sounds-dir", french, "--out", tmp_path / "out", "--language", "ru")


def test_a_language_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    expected = "--language xx: expected one of en, es, fr, it, ru\n"
    failed = run("prompts", "--out", tmp_path / "out", "--language", "xx")
    assert failed.returncode == 1 and failed.stderr == f"error: {expected}"
    recipe = LOCAL.parent / "recipes" / "prompts" / "run.sh"
    command = [str(recipe), "--language", "xx", "--exp", str(tmp_path / "exp")]
    failed = subprocess.run(command, capture_output=True, text=True)
    assert failed.returncode == 1 and failed.stderr == f"run.sh: error: {expected}"
    assert not (tmp_path / "exp").exists()


def test_prompts_from_a_folder(tmp_path: Path, sounds: Path) -> None:
    call("prompts", "--sounds-dir", sounds, "--out", tmp_path / "out")
    cuts = {split: list(read_cuts(tmp_path / "out" / f"{split}.jsonl.gz")) for split in ("train", "dev", "test")}
    ids = [cut.id for own in cuts.values() for cut in own]
    assert sorted(ids) == sorted(["hello-world", "digits-1", "again", *(f"p{n}" for n in range(60))])
    texts = {split: {cut.supervisions[0].text for cut in own} for split, own in cuts.items()}
    assert not texts["train"] & (texts["dev"] | texts["test"])
    assert {cut.supervisions[0].speaker for own in cuts.values() for cut in own} == {"asterisk"}
    assert {cut.sampling_rate for own in cuts.values() for cut in own} == {8000}
    lines = (tmp_path / "out" / "lm_text.txt").read_text().splitlines()
    assert set(lines) == texts["train"] and len(lines) == len(cuts["train"])
    vocabulary = (tmp_path / "out" / "vocabulary.txt").read_text().split()
    assert vocabulary == sorted({word for own in texts.values() for text in own for word in text.split()})
    (left_out,) = read_jsonl(tmp_path / "out" / "left_out.jsonl")
    assert left_out["id"] == "missing" and "no such file" in left_out["why"]


def test_prompts_that_are_not_there(tmp_path: Path, sounds: Path) -> None:
    with pytest.raises(UserError, match="nowhere: no such folder; --sounds-dir"):
        call("prompts", "--out", tmp_path / "out", "--sounds-dir", tmp_path / "nowhere")
    (sounds / "core-sounds-en.txt.gz").write_bytes(b"no gzip")
    with pytest.raises(UserError, match="core-sounds-en.txt.gz: expected 'name: text' lines"):
        call("prompts", "--out", tmp_path / "out", "--sounds-dir", sounds)
    (sounds / "core-sounds-en.txt.gz").unlink()
    with pytest.raises(UserError, match="found no core-sounds-en.txt.gz; --sounds-dir"):
        call("prompts", "--out", tmp_path / "out", "--sounds-dir", sounds)


def test_a_machine_without_apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(UserError, match="no apt-get on this machine; --sounds-dir"):
        call("prompts", "--out", tmp_path / "out")


def test_two_calls_that_fetch_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = load("prompts")
    cache = tmp_path / "prompts"

    def commands(command: list[str], folder: Path) -> None:
        """apt-get and dpkg; while this call unpacks, another one finishes."""
        if command[0] == "apt-get":
            (cache / f"{script.packages(script.find_language('en'))[0]}_1.deb").write_bytes(b"")
        else:
            for target in (Path(command[-1]), cache / "unpacked"):
                target.mkdir()
                (target / "sound.wav").write_text(target.name)

    monkeypatch.setattr(script, "_run", commands)
    monkeypatch.setattr(script.shutil, "which", lambda tool: tool)
    assert script.fetch(cache, script.find_language("en")) == cache / "unpacked"
    assert (cache / "unpacked" / "sound.wav").read_text() == "unpacked"
    assert not list(cache.glob("unpacked.*"))


def test_an_apt_that_fails_is_tried_with_lists_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls, tools = tmp_path / "calls", tmp_path / "bin"
    tools.mkdir()
    for name in ("apt-get", "dpkg"):
        tool = tools / name
        tool.write_text(f'#!/bin/sh\necho "$@" >> {calls}\necho "E: Unable to locate package" >&2\nexit 100\n')
        tool.chmod(0o755)
    monkeypatch.setenv("PATH", os.pathsep.join([str(tools), os.environ["PATH"]]))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(UserError, match="cannot be fetched: E: Unable to locate package; --sounds-dir"):
        call("prompts", "--out", tmp_path / "out")
    plain, update = calls.read_text().splitlines()
    assert plain.startswith("download asterisk-core-sounds-en-wav")
    assert "Dir::State::lists=" in update and update.endswith("update")


class Ranges(SimpleHTTPRequestHandler):
    """A server that goes on from the byte asked for, as those of downloads do."""

    def do_GET(self) -> None:
        content = Path(self.translate_path(self.path)).read_bytes()
        self.server.asked.append(self.headers["Range"])  # type: ignore[attr-defined]
        begin = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
        self.send_response(206)
        self.send_header("Content-Length", str(len(content) - begin))
        self.end_headers()
        self.wfile.write(content[begin:])

    def log_message(self, *args: object) -> None:
        pass


def test_a_published_language_model_is_downloaded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    served, out = tmp_path / "served", tmp_path / "out"
    served.mkdir()
    out.mkdir()
    packed = gzip.compress(b"\\data\\\nngram 1=3\n" * 1000)
    (served / "3-gram.arpa.gz").write_bytes(packed)
    (served / "4-gram.arpa.gz").write_bytes(packed[:-9])
    (out / "3-gram.arpa.gz.part").write_bytes(packed[:20])  # of a download that was broken off
    script = load("librispeech_lm")
    # urllib keeps the proxies of the first call in the process, which another test may have set.
    monkeypatch.setattr("urllib.request._opener", None)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Ranges, directory=str(served))) as server:
        server.asked = []  # type: ignore[attr-defined]
        Thread(target=server.serve_forever, daemon=True).start()
        source = f"http://127.0.0.1:{server.server_port}"
        file = script.fetch("3-gram", out, source)
        assert file.read_bytes() == packed and server.asked == ["bytes=20-"]  # type: ignore[attr-defined]
        assert script.fetch("3-gram", out, source) == file and len(server.asked) == 1  # type: ignore[attr-defined]
        with pytest.raises(UserError, match="4-gram.arpa.gz: expected a whole gzip file"):
            script.fetch("4-gram", out, source)
        server.shutdown()
    with pytest.raises(UserError, match="could not be downloaded .*by hand, and --lm takes any ARPA file"):
        script.fetch("4-gram", out, source)
    assert sorted(path.name for path in out.iterdir()) == ["3-gram.arpa.gz", "4-gram.arpa.gz.part"]
