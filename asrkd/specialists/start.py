"""What a specialist begins with: the generalist's weights, and a row for the dustbin."""

import math

import torch
from torch import Tensor

from asrkd.models.dnn import AcousticModel


@torch.no_grad()
def starting_weights(
    generalist: AcousticModel, pdfs: Tensor, frames: Tensor, sampling_ratio: float
) -> dict[str, Tensor]:
    """The state of a net of len(pdfs) + 1 outputs: the generalist's hidden layers, its rows of the cluster's pdfs and
    one row for the dustbin, the last.

    pdfs: (S,) integers, the cluster; frames: (C,), how many training frames each pdf has.

    The dustbin stands for all other pdfs, whose logit would be log(sum of exp(z_c)) over them: no linear function of
    the last hidden layer. For any shares pi_c of sum 1,

        log(sum of exp(z_c)) >= sum of pi_c z_c - sum of pi_c log(pi_c)

    (Gibbs' inequality), with equality where pi is the softmax of these z, and the right side is linear. With pi the
    shares of the other pdfs in the training frames it is nearest to the left one where the generalist knows no better
    than these shares; a row of zeros or a plain mean is the same bound for shares that are wrong in most frames. Minus
    log(sampling_ratio): the specialist is trained where frames of its cluster are that many times as frequent, and
    `dustbin_correction` gives it back.
    """
    state = {name: weight.detach().cpu().clone() for name, weight in generalist.state_dict().items()}
    rest = torch.ones(generalist.num_pdfs, dtype=torch.bool)
    rest[pdfs] = False
    shares = frames[rest].double() / frames[rest].sum()  # (C - S,)
    entropy = float(torch.special.entr(shares).sum())
    weight, bias = state["output.weight"], state["output.bias"]
    row = (shares @ weight[rest].double()).to(weight.dtype)
    constant = float(shares @ bias[rest].double()) + entropy - math.log(sampling_ratio)
    state["output.weight"] = torch.cat([weight[pdfs], row.unsqueeze(0)])
    state["output.bias"] = torch.cat([bias[pdfs], bias.new_tensor([constant])])
    return state
