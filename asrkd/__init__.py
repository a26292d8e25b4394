"""Distil an ensemble of speech acoustic models into one small model.

The public API is loaded on first use, so that `asrkd --help` and the k2 interpreter need not import torch twice over.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asrkd.distill.ensemble import ensemble_posteriors as ensemble_posteriors
    from asrkd.distill.loss import NO_LABEL as NO_LABEL
    from asrkd.distill.loss import DistillationLoss as DistillationLoss
    from asrkd.distill.loss import soft_cross_entropy as soft_cross_entropy
    from asrkd.distill.store import SoftTargetStore as SoftTargetStore
    from asrkd.distill.targets import SoftTargets as SoftTargets

__version__ = "0.1.0"

_HOME = {
    "NO_LABEL": "asrkd.distill.loss",
    "DistillationLoss": "asrkd.distill.loss",
    "SoftTargetStore": "asrkd.distill.store",
    "SoftTargets": "asrkd.distill.targets",
    "ensemble_posteriors": "asrkd.distill.ensemble",
    "soft_cross_entropy": "asrkd.distill.loss",
}
__all__ = [
    "NO_LABEL",
    "DistillationLoss",
    "SoftTargetStore",
    "SoftTargets",
    "__version__",
    "ensemble_posteriors",
    "soft_cross_entropy",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'asrkd' has no attribute {name!r}")
