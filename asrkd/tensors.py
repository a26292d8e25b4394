"""Files of tensors."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from asrkd.files import replacing


@contextmanager
def replacing_tensors(path: Path) -> Iterator[Path]:
    """`replacing` for what safetensors writes, which tells of a full disk by an error of its own kind."""
    with replacing(path) as temporary:
        try:
            yield temporary
        except SafetensorError as error:
            raise OSError(str(error)) from None
