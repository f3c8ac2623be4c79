"""The loss, once and for all.

    L = sum_o  w_o * ( sum_t weight_t * loss_t ) / ( sum_t weight_t )      t: the target tokens of objective o
    loss_t = cross-entropy of token t, or (value_t - value)^2 where the row has a value instead of words to learn

Both sums go over the whole optimiser step: all its micro-batches on all devices. So L does not depend on how a step is
cut, and a long rationale does not outweigh a short label of another objective. An objective that has no token in a step
adds 0.

Distilling Step-by-Step (Hsieh et al. 2023, section 3.2: alpha * L_label + (1 - alpha) * L_rationale, each the mean over
tokens) is the setting `{"label": alpha, "rationale": 1 - alpha}`.

The divisors of a step are known before its first forward pass, so a micro-batch adds `weigh(sums, counts, weights)`,
its own share of L, and the shares add up.
"""

from __future__ import annotations

import torch
from torch import Tensor

IGNORED = -100
"""The label of a position that does not count."""


def objective_sums(
    logits: Tensor,
    labels: Tensor,
    weights: Tensor,
    objectives: Tensor,
    count: int,
    said: Tensor | None = None,
    values: Tensor | None = None,
) -> Tensor:
    """For each objective, the weighted sum of its tokens' cross-entropy, or of their squared error.

    Args:
        logits: (rows, length, vocabulary); position i predicts label i.
        labels: (rows, length) token ids, or `IGNORED`.
        weights: (rows,) of each row's tokens.
        objectives: (rows,) number of each row's objective.
        count: how many objectives there are.
        said: (rows, length) what the value head says where label i is predicted; None without a head.
        values: (rows,) what it should say all along a row; NaN for a row whose labels are learned.

    Returns:
        (count,) float32 sums.
    """
    counted = labels != IGNORED
    token_loss = torch.nn.functional.cross_entropy(logits[counted].float(), labels[counted], reduction="none")
    tokens = counted.sum(dim=1)
    if said is not None and values is not None:
        wanted = torch.repeat_interleave(values, tokens)
        squared = (said[counted].float() - wanted.nan_to_num()) ** 2
        token_loss = torch.where(wanted.isnan(), token_loss, squared)
    token_weight = torch.repeat_interleave(weights, tokens)
    token_objective = torch.repeat_interleave(objectives, tokens)
    # a product with a 0/1 matrix, since adding at indices has no fixed order on a GPU
    belongs = torch.nn.functional.one_hot(token_objective, count).to(token_loss.dtype)
    return (token_loss * token_weight) @ belongs


def means(sums: Tensor, counts: Tensor) -> Tensor:
    """(objectives,) weighted mean loss a token of each; 0 where there is no token."""
    return torch.where(counts > 0, sums / counts.clamp(min=torch.finfo(counts.dtype).tiny), torch.zeros_like(sums))


def weigh(sums: Tensor, counts: Tensor, weights: Tensor) -> Tensor:
    """The loss of one part of a step, a scalar: its sums over the whole step's counts, weighted. The parts add up to L.

    Args:
        sums: (objectives,) of this part, from `objective_sums`.
        counts: (objectives,) sum of token weights in the whole step.
        weights: (objectives,) w_o.
    """
    return (weights * means(sums, counts)).sum()
