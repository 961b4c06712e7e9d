"""Moments of complete rows: sizes, means and covariances, for one or many weightings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from teamlink.typing import Array

__all__ = ["Samples", "samples", "weighted_samples"]


@dataclass(frozen=True, slots=True)
class Samples:
    """First two moments of rows, one a replicate.

    Attributes
    ----------
    n : (R,) number of rows
    mean : (R, p)
    covariance : (R, p, p), divisor n
    """

    n: Array
    mean: Array
    covariance: Array


def samples(Y: Array) -> Samples:
    """Moments of complete rows.

    Parameters
    ----------
    Y : (n, p), or (R, n, p) for many replicates

    Returns
    -------
    Samples

    Examples
    --------
    >>> import numpy as np
    >>> found = samples(np.array([[1.0, 2.0], [3.0, 2.0]]))
    >>> found.mean.tolist(), found.covariance.tolist()
    ([[2.0, 2.0]], [[[1.0, 0.0], [0.0, 0.0]]])
    """
    Y = Y[None] if Y.ndim == 2 else Y
    mean = Y.mean(axis=1)
    # Centred first: the products of raw rows would cancel.
    Z = Y - mean[:, None, :]
    covariance = Z.transpose(0, 2, 1) @ Z / Y.shape[1]
    return Samples(np.full(len(Y), float(Y.shape[1])), mean, covariance)


def weighted_samples(Y: Array, weights: Array) -> Samples:
    """Moments of rows that count more than once, or not at all.

    Parameters
    ----------
    Y : (n, p)
    weights : (R, n) how often each row counts

    Returns
    -------
    Samples

    Examples
    --------
    >>> import numpy as np
    >>> Y = np.array([[1.0], [3.0], [9.0]])
    >>> weighted_samples(Y, np.array([[1.0, 3.0, 0.0]])).mean.tolist()
    [[2.5]]
    """
    n = weights.sum(axis=1)
    centre = Y.mean(axis=0)
    Z = Y - centre
    p = Y.shape[1]
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = weights @ Z / n[:, None]
        products = (Z[:, :, None] * Z[:, None, :]).reshape(len(Z), p * p)
        second = (weights @ products).reshape(-1, p, p) / n[:, None, None]
    return Samples(n, mean + centre, second - mean[:, :, None] * mean[:, None, :])
