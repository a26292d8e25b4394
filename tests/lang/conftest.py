import pytest

from asrkd.errors import UserError
from asrkd.tools import lmplz


@pytest.fixture
def needs_lmplz() -> None:
    try:
        lmplz()
    except UserError as error:
        pytest.skip(f"lmplz is not built: {error}")
