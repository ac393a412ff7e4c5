"""Three normalizations, three answers to "what is learnable?"."""

import numpy as np

import minigrad as mg
from minigrad import settings
from minigrad.errors import LayerError, ShapeError, received
from minigrad.initializers import ones, zeros
from minigrad.layer import constant


class Normalization(mg.Layer):
    """(x - mean) / sigma, per column; afterwards every column of the adapted data has mean 0 and standard deviation 1.

    (..., F) -> (..., F). Learnable: 0. Non-learnable: 2 F (mean, variance), set by `adapt` over the whole data set.
    A column that never varies is divided by 1. Raises LayerError before `adapt`.

    >>> layer = Normalization()
    >>> layer.adapt(np.array([[1.0, 10.0], [3.0, 30.0]]))
    >>> layer(np.array([[3.0, 10.0]])).tolist()
    [[1.0, -1.0]]
    """

    buffers_updated_by = "adapt"

    def build(self, input_shape):
        unknown = np.full(input_shape[-1:], np.nan)  # (F); part of the state, so that a loaded layer knows whether it is adapted
        self.mean, self.variance = (mg.Buffer(unknown, settings.default_dtype()) for _ in range(2))

    @property
    def adapted(self):
        """Whether mean and variance are known."""
        return self.built and not np.isnan(self.mean.numpy()).any()

    def adapt(self, data):
        """Take mean and variance of every column of ``data`` (..., F), in float64."""
        data = constant(data)
        if data.ndim < 1 or data.size == 0:
            raise ShapeError("Normalization.adapt: needs at least one row. " + received(data=data))
        if not np.isfinite(data).all():
            place = tuple(int(i) for i in np.argwhere(~np.isfinite(data))[0])
            raise LayerError(f"Normalization.adapt: data{list(place)} is {data[place]}; statistics of it would be useless.")
        self.ensure_built(data.shape)
        rows = data.reshape(-1, data.shape[-1]).astype(np.float64)  # (..., F) -> (N, F)
        self.mean.assign(rows.mean(axis=0))
        self.variance.assign(rows.var(axis=0))

    def call(self, x):
        if not self.adapted:
            raise LayerError("Normalization: mean and variance are unknown; call adapt(data) with the training data first.")
        sigma = np.sqrt(np.where(self.variance.numpy() == 0, 1, self.variance.numpy()))  # (F)
        return mg.divide(mg.subtract(x, self.mean), sigma)


class BatchNormalization(mg.Layer):
    """Each feature normalized over the batch, then gamma * x + beta (Ioffe and Szegedy 2015).   (..., F) -> (..., F)

    Training: gamma * (x - mean_B) / sqrt(var_B + epsilon) + beta with the statistics of this batch, and
    moving = momentum * moving + (1 - momentum) * batch. Inference: the same with the moving statistics.
    Learnable: 2 F (gamma, beta), by gradient descent. Non-learnable: 2 F (moving_mean, moving_variance), by running average.
    Keras's conventions: ``momentum`` is the share of the old value (PyTorch's is 1 - momentum), the variance is biased.

    >>> layer = BatchNormalization()
    >>> layer(np.array([[1.0], [3.0]]), training=True).numpy().round(2).tolist()
    [[-1.0], [1.0]]
    """

    buffers_updated_by = "running average"

    def __init__(self, momentum=0.99, epsilon=1e-3):
        self.momentum, self.epsilon = momentum, epsilon

    def build(self, input_shape):
        F = input_shape[-1:]
        self.gamma, self.beta = mg.Parameter(ones(F)), mg.Parameter(zeros(F))
        self.moving_mean, self.moving_variance = mg.Buffer(zeros(F)), mg.Buffer(ones(F))

    def call(self, x, training=False):
        mean, variance = self.moving_mean, self.moving_variance
        if training:
            axes = tuple(range(x.ndim - 1))  # all but the features
            mean = mg.mean(x, axes)  # (..., F) -> (F)
            variance = mg.mean(mg.square(mg.subtract(x, mean)), axes)  # (..., F) -> (F)
            self._remember(self.moving_mean, mean)
            self._remember(self.moving_variance, variance)
        return (x - mean) / mg.sqrt(variance + self.epsilon) * self.gamma + self.beta

    def _remember(self, moving, batch):
        moving.assign(self.momentum * moving.numpy() + (1 - self.momentum) * constant(batch))


class LayerNormalization(mg.Layer):
    """The features of one token shifted to mean 0, scaled to variance 1, then gamma * x + beta (Ba et al. 2016).

    (..., E) -> (..., E): gamma * (x - mean) / sqrt(var + epsilon) + beta, statistics over the features of ONE token.
    Learnable: 2 E (gamma, beta). Non-learnable: none.

    >>> LayerNormalization()(np.array([[1.0, 3.0]])).numpy().round(2).tolist()
    [[-1.0, 1.0]]
    """

    def __init__(self, epsilon=1e-3):
        self.epsilon = epsilon

    def build(self, input_shape):
        self.gamma, self.beta = mg.Parameter(ones(input_shape[-1:])), mg.Parameter(zeros(input_shape[-1:]))

    def call(self, x):
        return mg.layer_norm(x, self.gamma, self.beta, eps=self.epsilon)
