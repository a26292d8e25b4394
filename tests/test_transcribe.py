import os
import subprocess
import sys

import pytest

from asrkd.transcribe import stdout_as_stderr


def test_what_works_meanwhile_prints_to_standard_error(capfd: pytest.CaptureFixture[str]) -> None:
    """A program that is started, and a library that writes to the descriptor itself."""
    with stdout_as_stderr():
        print("this process")
        subprocess.run([sys.executable, "-c", "print('another one')"], check=True)
        os.write(1, b"a library\n")
    print("the words")
    out, err = capfd.readouterr()
    assert out == "the words\n"
    assert err == "this process\nanother one\na library\n"
