"""A classifier of rows of numbers, to see what the normalizations do to its inputs."""

import numpy as np

import minigrad as mg
from minigrad import random

from ..layers import BatchNormalization, Dense, Normalization
from .config import ClassifierConfig


class Classifier(mg.Layer):
    """One hidden layer, behind inputs that are raw or normalized.   x (B, F) -> logits (B, C)

    For rows of a table. What tells texts apart is an `Encoder` with ``EncoderConfig(classes=C)``.
    ``normalization`` None takes the columns as they are; "normalization" takes mean and standard deviation that `adapt` found in the
    training data; "batch" those of the batch while training and running averages afterwards, with a gamma and a beta that are learned.
    Learnable: F H + H + H C + C, and 2 F more with "batch". Non-learnable: 0, 2 F with "normalization" and with "batch".
    Raises LayerError where "normalization" has not been adapted.

    >>> model = Classifier(ClassifierConfig(features=4, classes=3, normalization="normalization"))
    >>> model.adapt(np.random.default_rng(0).normal(size=(9, 4)))
    >>> model(np.zeros((2, 4), np.float32)).shape, model.count_params()
    ((2, 3), 267)
    """

    def __init__(self, config, seed=0):
        super().__init__()
        if not isinstance(config, ClassifierConfig):
            raise TypeError(f"Classifier: takes a ClassifierConfig. Received: {config!r:.60}.")
        self.config = config
        with random.using(random.Generator(seed)):
            self.normalization = {"normalization": Normalization, "batch": BatchNormalization, None: lambda: None}[config.normalization]()
            self.hidden, self.head = Dense(config.hidden, "relu"), Dense(config.classes)
            for layer, width in ((self.normalization, config.features), (self.hidden, config.features), (self.head, config.hidden)):
                if layer is not None:
                    layer.ensure_built((None, width))

    def adapt(self, data):
        """Have `Normalization` take its statistics from rows (N, F); for the others there is nothing to do."""
        if isinstance(self.normalization, Normalization):
            self.normalization.adapt(data)

    def call(self, x, training=False):
        x = x if self.normalization is None else self.normalization(x, training=training)
        return self.head(self.hidden(x))  # (B, F) -> (B, H) -> (B, C)

    def example(self):
        """Inputs that the model takes, for the parameter table."""
        return (np.zeros((2, self.config.features), np.float32),)
