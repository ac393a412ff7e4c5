"""Dropout: while training, some numbers are left out."""

import minigrad as mg
from minigrad import random


class Dropout(mg.Layer):
    """While training, each number is kept with probability 1 - rate and divided by it, else 0.   (...) -> (...)

    Learnable: 0. Non-learnable: 0. Draws from the generator that was current when the layer was made.

    >>> import numpy as np
    >>> Dropout(0.5)(np.ones(3)).tolist()
    [1.0, 1.0, 1.0]
    """

    def __init__(self, rate):
        if not 0 <= rate < 1:
            raise ValueError(f"Dropout: rate must be at least 0 and below 1. Received: {rate!r}.")
        self.rate, self.generator = rate, random.current()

    def call(self, x, training=False):
        if not training or self.rate == 0:
            return x
        seed, offset = self.generator.counters(x.size)
        return mg.dropout(x, self.rate, seed, offset)
