"""How the losses of first, mid and final steps become one.

Difficulty-aware (StepER; Kendall et al. 2018, equation 7):

    L = sum over j of  L_j / (2 sigma_j^2) + log sigma_j  =  sum over j of  exp(-s_j) L_j / 2 + s_j / 2

with s_j = log sigma_j^2, so that every s_j gives a positive sigma_j. For a constant L_j the best sigma_j^2 is L_j
itself: a kind of step with a higher loss gets less weight. A kind without rows in a step is left out, its log sigma_j
too.
"""

from __future__ import annotations

import torch

__all__ = ["difficulty_aware_loss", "sigmas", "weighted_loss"]


def difficulty_aware_loss(losses: torch.Tensor, log_variances: torch.Tensor, share: float = 1.0) -> torch.Tensor:
    """The loss above, a scalar.

    Args:
        losses: L_j of the kinds that are present, or the part of them that this forward pass has.
        log_variances: their s_j; same shape.
        share: the part of the terms log sigma_j to count here, where several forward passes make one step.
    """
    return (0.5 * torch.exp(-log_variances) * losses + 0.5 * share * log_variances).sum()


def weighted_loss(losses: torch.Tensor, weights: torch.Tensor, kinds: int) -> torch.Tensor:
    """(1 / kinds) * sum over j of w_j L_j, a scalar (StepER's table 2).

    Args:
        losses: L_j of the kinds that are present.
        weights: their w_j; same shape.
        kinds: number of all kinds, present or not.
    """
    return (weights * losses).sum() / kinds


def sigmas(log_variances: torch.Tensor) -> torch.Tensor:
    """sigma_j = exp(s_j / 2) > 0; same shape."""
    return torch.exp(0.5 * log_variances)
