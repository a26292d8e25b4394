"""`pip install asrkd` gives torch alone: the loss and the store must work with nothing else."""

import subprocess
import sys

CODE = """
import sys

MISSING = {"numpy", "lhotse", "omegaconf", "yaml", "safetensors", "joblib", "click", "rich", "matplotlib", "soundfile"}

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in MISSING:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())

import warnings
warnings.filterwarnings("ignore", message="Failed to initialize NumPy")
import asrkd, torch

logits = torch.randn(4, 6, requires_grad=True)
targets = asrkd.ensemble_posteriors(torch.randn(3, 4, 6), 2.0)
asrkd.DistillationLoss(2.0, 0.5)(logits, targets, torch.arange(4)).backward()
writer = asrkd.SoftTargetStore.create(sys.argv[1], temperature=2.0, num_pdfs=6, top_k=2, label_set="", features="",
                                      members=[])
with writer:
    writer.add("u", targets)
soft = asrkd.SoftTargetStore.open(sys.argv[1]).gather(torch.arange(4))
print(asrkd.soft_cross_entropy(logits, soft, 2.0).shape)
assert not MISSING & {name.partition(".")[0] for name in sys.modules}
"""


def test_torch_alone(tmp_path_factory) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path_factory.mktemp("light")
    done = subprocess.run([sys.executable, "-c", CODE, str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "torch.Size([4])\n"
