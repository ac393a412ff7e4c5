"""Dropout: while training, some numbers are left out."""

import numbers

import numpy as np

import minigrad as mg
from minigrad import random
from minigrad.errors import ShapeError, received
from minigrad.layer import as_input, check_size


def check_rate(who, name, rate):
    """A rate from 0 to below 1, or ValueError.

    >>> check_rate("Dropout", "rate", 0.5)
    0.5
    """
    if isinstance(rate, bool) or not isinstance(rate, numbers.Real) or not 0 <= rate < 1:
        raise ValueError(f"{who}: {name} must be at least 0 and below 1. Received: {rate!r}.")
    return float(rate)


class Dropout(mg.Layer):
    """While training, each number is kept with probability 1 - rate and divided by it, else 0.   (...) -> (...)

    Learnable: 0. Non-learnable: 0. Draws from a generator of its own where a ``seed`` is given, else from the one that was current
    when the layer was made. With ``noise_shape`` numbers share a choice along every axis in which that is 1; None there is the
    axis of x (Srivastava et al. 2014). Raises ValueError for a rate outside 0 <= rate < 1, ShapeError where x and noise_shape differ.

    >>> Dropout(0.5)(np.ones(3)).tolist()
    [1.0, 1.0, 1.0]
    """

    keeps_shape = True

    def __init__(self, rate, noise_shape=None, seed=None, **keras):
        super().__init__(**keras)
        self.rate, self.noise_shape = check_rate("Dropout", "rate", rate), None
        if noise_shape is not None:
            if not isinstance(noise_shape, list | tuple):
                raise ValueError(f"Dropout: noise_shape is a list with a number or None for each axis of x. Received: {noise_shape!r}.")
            self.noise_shape = tuple(None if n is None else check_size("Dropout", noise_shape=n) for n in noise_shape)
        self.generator = random.own_or_current(seed)

    def call(self, x, training=False):
        if not training or self.rate == 0:
            return x
        if self.noise_shape is None:
            return mg.dropout(x, self.rate, generator=self.generator)
        x = as_input(x)
        return mg.multiply(x, mg.dropout(np.ones(self._noise(x), x.dtype), self.rate, generator=self.generator))

    def _noise(self, x):
        """The shape of the choices, which broadcasts to that of x."""
        shape = [n if m is None else m for m, n in zip(self.noise_shape, x.shape)]
        if len(self.noise_shape) != x.ndim or any(m not in (1, n) for m, n in zip(shape, x.shape)):
            raise ShapeError("Dropout: noise_shape has the axes of x, each of its length, None or 1. "
                             + received(x=x, noise_shape=self.noise_shape))  # fmt: skip
        return tuple(shape)
