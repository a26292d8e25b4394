"""Small language models, and k2 where it can be found."""

from pathlib import Path

import pytest

from asrkd.decode.interpreter import k2_in_process
from asrkd.errors import UserError


@pytest.fixture(scope="session")
def k2_found() -> None:
    """Skips, with the mending command, where there is no k2."""
    if not k2_in_process():
        from asrkd.tools import k2_python

        try:
            k2_python()
        except UserError as error:
            pytest.skip(str(error))


@pytest.fixture
def trigram(tmp_path: Path) -> Path:
    """Histories without extensions, of an OOV word, with a backoff weight of their own; "b a" is pruned."""
    path = tmp_path / "lm.arpa"
    path.write_text(
        "\\data\\\nngram 1=7\nngram 2=8\nngram 3=4\n\n"
        "\\1-grams:\n-99\t<s>\t-0.3\n-1.0\t</s>\n-0.7\ta\t-0.2\n-0.8\tb\t-0.15\n-0.9\tc\t-0.4\n-1.1\td\t-0.25\n"
        "-2.5\t<unk>\n\n"
        "\\2-grams:\n-0.2\t<s> a\t-0.15\n-0.5\t<s> c\t-0.35\n-0.3\ta b\t-0.25\n-0.45\ta </s>\n-0.4\tb c\t-0.05\n"
        "-0.6\tc c\t-0.1\n-0.55\tc a\t-0.2\n-0.35\tc </s>\n\n"
        "\\3-grams:\n-0.11\t<s> a b\n-0.12\ta b a\n-0.21\tc c </s>\n-0.05\tb c c\n\n\\end\\\n"
    )
    return path
