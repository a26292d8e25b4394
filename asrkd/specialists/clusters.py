"""Which pdfs a specialist takes: the generalist's predictions are clustered by what is often predicted together.

Hinton, Vinyals and Dean (2015), section 5.3: on-line K-means on the columns of the covariance matrix of the
generalist's predictions. No label is needed.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from asrkd.distill.checks import check_integers

STARTS = 10  # of which the best result is kept; a single start may end at twice the least sum of squares
PASSES = 50  # at most; it takes some ten until no column moves
LOWER = 1 - 1e-9  # a column moves to a mean that is nearer by more than rounding, so that no pass undoes another


def covariance(blocks: Iterable[Tensor]) -> Tensor:
    """Of the predictions, over all frames: (C, C) float64, on the device of the first block.

    blocks: posteriors (N, C), consumed one by one; only their sums and outer products are held. Divided by the number
    of frames less 1.
    Raises ValueError when a block is no matrix of floats or has another C, and for fewer than 2 frames.
    """
    total: Tensor | None = None
    outer: Tensor | None = None
    frames = 0
    for block in blocks:
        if block.ndim != 2 or not block.is_floating_point():
            raise ValueError(f"expected posteriors (N, C) of floats, found {block.dtype} of {tuple(block.shape)}")
        p = block.double()
        if total is None or outer is None:
            total, outer = p.new_zeros(p.shape[1]), p.new_zeros(p.shape[1], p.shape[1])
        if p.shape[1] != len(total):
            raise ValueError(f"expected posteriors of {len(total)} pdfs as in the first block, found {p.shape[1]}")
        total += p.sum(0).to(total.device)
        outer += (p.T @ p).to(outer.device)
        frames += len(p)
    if total is None or outer is None or frames < 2:
        raise ValueError(f"expected at least 2 frames, found {frames}")
    return (outer - total.outer(total) / frames) / (frames - 1)


def correlation(covariance: Tensor) -> Tensor:
    """Of the predictions, from their covariance (C, C): (C, C) float64. A pdf whose predictions never vary has zeros.

    The covariance of two pdfs grows with how frequent they are, and in speech that differs by a factor of hundreds
    (silence): its columns are told apart by their length before anything else, so that the frequent pdfs are clusters
    of one and all others are one cluster.
    """
    deviation = covariance.double().diag().clamp(min=0).sqrt()
    scale = torch.where(deviation > 0, 1 / deviation, 0)  # (C,)
    return covariance.double() * scale.outer(scale)


def cluster_pdfs(covariance: Tensor, num_clusters: int, seed: int) -> Tensor:
    """The cluster of each pdf: (C,) int64 from 0 to num_clusters - 1, on the device of the covariance; none is empty.

    K-means on the columns of the covariance (C, C), after MacQueen (1967): each column in turn joins the nearest mean,
    and the two means that this changes move at once. Passes over the columns, in a new order each time, end when none
    moves. Of STARTS starts, the result with the least sum of squares is kept. Computed on the CPU, where it is the
    same for the same seed.
    Raises ValueError when the covariance is not square, or there are fewer pdfs than clusters or no cluster.
    """
    if covariance.ndim != 2 or covariance.shape[0] != covariance.shape[1]:
        raise ValueError(f"expected a covariance of shape (C, C), found {tuple(covariance.shape)}")
    if not 1 <= num_clusters <= len(covariance):
        raise ValueError(f"expected from 1 to {len(covariance)} clusters, one pdf each at least, found {num_clusters}")
    columns = covariance.T.double().cpu().contiguous()  # a row is a column of the covariance
    generator = torch.Generator().manual_seed(seed)
    results = [
        move_columns(columns, first_clusters(columns, num_clusters, generator), generator) for _ in range(STARTS)
    ]
    return min(results, key=lambda clusters: sum_of_squares(columns, clusters)).to(covariance.device)


def first_clusters(columns: Tensor, num_clusters: int, generator: torch.Generator) -> Tensor:
    """The start, (C,) int64: each column with the nearest of num_clusters columns; a cluster without any gets the
    column that is farthest from its own.

    The columns are drawn with a probability in proportion to the squared distance from those already drawn
    (k-means++, Arthur and Vassilvitskii 2007): drawn evenly, several would often be of one block of confusions.
    """
    nearest = columns.new_full((len(columns),), torch.inf)
    distances = []
    seed = int(torch.randint(len(columns), (1,), generator=generator))
    for _ in range(num_clusters):
        distances.append((columns - columns[seed]).square().sum(1))
        nearest = torch.minimum(nearest, distances[-1])
        drawable = nearest if nearest.sum() > 0 else torch.ones_like(nearest)  # fewer different columns than clusters
        seed = int(torch.multinomial(drawable, 1, generator=generator))
    clusters = torch.stack(distances).argmin(0)  # (K, C) to (C,)
    for empty in range(num_clusters):
        count = clusters.bincount(minlength=num_clusters)
        if count[empty] == 0:
            clusters[torch.where(count[clusters] > 1, nearest, -1).argmax()] = empty
    return clusters


def move_columns(columns: Tensor, clusters: Tensor, generator: torch.Generator) -> Tensor:
    """The clusters (C,) after the passes, from a start without an empty cluster.

    Joining a nearer mean lowers the sum of squares, and so does each mean's move to the middle of its columns. A
    column alone is its own mean and stays: no cluster becomes empty.
    """
    clusters = clusters.clone()
    count = clusters.bincount().double()  # (K,)
    for _ in range(PASSES):
        # Anew in each pass: the moves below leave rounding behind.
        means = columns.new_zeros(len(count), columns.shape[1]).index_add_(0, clusters, columns) / count.unsqueeze(1)
        moved = False
        for pdf in torch.randperm(len(columns), generator=generator).tolist():
            column, old = columns[pdf], int(clusters[pdf])
            distance = (means - column).square().sum(1)  # (K,)
            new = int(distance.argmin())
            if count[old] > 1 and distance[new] < distance[old] * LOWER:
                count[old] -= 1
                count[new] += 1
                means[old] -= (column - means[old]) / count[old]
                means[new] += (column - means[new]) / count[new]
                clusters[pdf] = new
                moved = True
        if not moved:
            break
    return clusters


def confused_pdfs(covariance: Tensor, clusters: Tensor, size: int) -> Tensor:
    """The pdfs of each specialist, (K, size) int64, sorted: those whose predictions vary most with a cluster's.

    covariance: (C, C); clusters: (C,), of `cluster_pdfs`. A pdf is taken by its covariance with the sum of the
    cluster's predictions, which counts how much mass goes back and forth between them; the distance to a cluster's mean
    would favour the rarest pdfs, whose columns are near to everything. All specialists have as many outputs, and a pdf
    may have several specialists, as in the paper, whose 61 specialists of 300 classes share out 15,000.
    Raises ValueError when the size is not from 1 to C - 1: the dustbin of a specialist needs a pdf.
    """
    if not 1 <= size < len(covariance):
        raise ValueError(f"expected a size from 1 to {len(covariance) - 1}, found {size}")
    shared = covariance.new_zeros(int(clusters.max()) + 1, len(covariance)).index_add_(
        0, clusters, covariance
    )  # (K, C)
    return shared.argsort(dim=1, descending=True, stable=True)[:, :size].sort(1).values


def sum_of_squares(columns: Tensor, clusters: Tensor) -> float:
    """What K-means lowers: the sum over the columns of the squared distance from the mean of their cluster."""
    count = clusters.bincount().unsqueeze(1)
    means = columns.new_zeros(len(count), columns.shape[1]).index_add_(0, clusters, columns) / count.clamp(min=1)
    return float((columns - means[clusters]).square().sum())


def describe(clusters: Tensor, pdf_phones: Sequence[str]) -> list[list[tuple[str, int]]]:
    """For each cluster the phones of its pdfs and how many of the pdfs are of each, the most frequent first.

    clusters: (C,) integers; pdf_phones: the phone of each pdf. As in the paper's table 2, for people.
    Raises ValueError when there is not one phone a pdf.
    """
    check_integers("clusters", clusters)
    if clusters.ndim != 1 or len(clusters) != len(pdf_phones):
        raise ValueError(f"expected clusters of shape ({len(pdf_phones)},), one a phone, found {tuple(clusters.shape)}")
    counts: list[Counter[str]] = [Counter() for _ in range(int(clusters.max()) + 1 if len(clusters) else 0)]
    for cluster, phone in zip(clusters.tolist(), pdf_phones, strict=True):
        counts[cluster][phone] += 1
    return [sorted(count.items(), key=lambda item: (-item[1], item[0])) for count in counts]
