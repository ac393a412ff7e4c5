"""Normalizations, and what in them is learnable: the three answers of the notes, and a fourth layer that came after them."""

import math
import numbers
import warnings

import numpy as np

import minigrad as mg
from minigrad import settings
from minigrad.errors import LayerError, ShapeError, received
from minigrad.initializers import get_initializer
from minigrad.layer import as_input, check_axis, constant
from minigrad.ops.axes import axes_of
from minigrad.ops.elementwise import floating
from minigrad.ops.normalization import batch_moments

from .masks import check_mask


def _axes(who, axis, shape):
    """The axes that are meant, from the front and in their order, and their lengths; ShapeError for one that is not there."""
    shape = tuple(shape)
    axes = sorted(axes_of(who, shape, () if axis is None else axis, len(shape)))
    lengths = tuple(shape[a] for a in axes)
    if None in lengths:
        raise ShapeError(f"{who}: axis {axes[lengths.index(None)]} has no known length. " + received(x_shape=shape, axis=axis))
    return tuple(axes), lengths


def _check_number(who, name, number, most=math.inf):
    """``number`` where it is one from 0 to ``most``; else ValueError."""
    if isinstance(number, bool) or not isinstance(number, numbers.Real) or not 0 <= number <= most:
        raise ValueError(f"{who}: {name} is a number from 0{'' if most == math.inf else f' to {most}'}. Received: {number!r}.")
    return float(number)


class Normalization(mg.Layer):
    """(x - mean) / sigma, per column; afterwards every column of the adapted data has mean 0 and standard deviation 1.

    (..., F) -> (..., F). Learnable: 0. Non-learnable: 2 F (mean, variance), set by `adapt` over the whole data set; 0 where both are
    given. A column that never varies is divided by 1. With several axes there is a mean for every place along them, with
    ``axis=None`` one for all. ``invert`` goes back: x sigma + mean. Statistics are float64, and so is the computing; the result has the
    dtype of x, of integers the default dtype.
    Raises LayerError before `adapt`. (Keras passes data through instead, divides a constant column by 1e-7, and stores one number
    more, a count that it does not use.)

    >>> layer = Normalization()
    >>> layer.adapt(np.array([[1.0, 10.0], [3.0, 30.0]]))
    >>> layer(np.array([[3.0, 10.0]])).tolist()
    [[1.0, -1.0]]
    >>> Normalization(mean=[2.0, 20.0], variance=[1.0, 100.0], invert=True)(np.array([[1.0, -1.0]])).tolist()
    [[3.0, 10.0]]
    """

    buffers_updated_by = "adapt"
    keeps_shape = True

    def __init__(self, axis=-1, mean=None, variance=None, invert=False, **keras):
        super().__init__(**keras)
        self.axis, self.invert, self.given = None if axis is None else check_axis("Normalization", axis), invert, None
        if (mean is None) != (variance is None) or np.shape(mean) != np.shape(variance):
            raise ValueError("Normalization: mean and variance go together, in one shape. " + received(mean=mean, variance=variance))
        if mean is not None:
            self.given = [np.asarray(constant(_exact(x))) for x in (mean, variance)]
            if not all(np.isfinite(x).all() for x in self.given) or (self.given[1] < 0).any():
                raise ValueError("Normalization: mean and variance are finite, and no variance is negative. "
                                 + received(mean=mean, variance=variance))  # fmt: skip

    def build(self, input_shape):
        axes, lengths = _axes("Normalization", self.axis, input_shape)
        if self.given is None:  # unknown is part of the state, so that a loaded layer knows whether it is adapted
            self.mean, self.variance = (mg.Buffer(np.full(lengths, np.nan), np.float64) for _ in range(2))
            return
        try:
            self.mean, self.variance = (mg.tensor(np.broadcast_to(x, lengths), dtype=np.float64) for x in self.given)
        except ValueError:
            raise ShapeError(
                f"Normalization: mean and variance must broadcast to the lengths {lengths} of the axes {axes}. "
                + received(mean=self.given[0], x_shape=tuple(input_shape))
            ) from None

    @property
    def adapted(self):
        """Whether mean and variance are known."""
        return self.built and not np.isnan(self.mean.numpy()).any()

    def adapt(self, data):
        """Take mean and variance of ``data``, an array (..., F) or a stream of batches, of which all but F may differ in length.

        Adds up in float64, and changes nothing until all is read. Of a batch that is a tuple (x, y) the first counts.
        Raises ShapeError for no rows and other lengths of F, LayerError for NaN and infinity, naming the place, and for numbers whose
        squares float64 cannot hold.
        """
        count, mean, squares = 0, 0.0, 0.0  # rows so far; their mean; the sum of their squared distances from it
        low, high = np.inf, -np.inf  # equal where a column never varies; of its squares rounding leaves something
        for x, rest in self._batches(data):
            # two sets as one (Chan et al. 1979): the means weighed by their rows, and what lies between them
            new = math.prod(x.shape[i] for i in rest)
            apart, total = x.mean(axis=rest) - mean, count + new
            squares = squares + x.var(axis=rest) * new + apart**2 * (count * new / total)
            mean, count = mean + apart * (new / total), total
            low, high = np.minimum(low, x.min(axis=rest)), np.maximum(high, x.max(axis=rest))
        if count == 0:
            raise ShapeError("Normalization.adapt: needs at least one row. " + received(data=data))
        variance = np.where(low == high, 0, squares / count)
        lost = ~np.isfinite(variance) | ((variance == 0) & (low != high))
        if lost.any():
            place = tuple(int(i) for i in np.argwhere(lost)[0])
            raise LayerError(
                f"Normalization.adapt: squares of what varies in column {list(place)} are too large or too small for float64; give it in "
                f"another unit. Received: numbers from {low[place]} to {high[place]}."
            )
        self.ensure_built(x.shape)
        self.mean.assign(np.where(low == high, low, mean))
        self.variance.assign(variance)

    def _batches(self, data):
        """Every batch of the data that has rows, in float64, and the axes along which its rows lie."""
        if self.given is not None:
            raise LayerError("Normalization.adapt: mean and variance were given when the layer was made.")
        F = self.mean.shape if self.built else None
        for where, x in _named(data):
            if x.ndim == 0:
                raise ShapeError(f"Normalization.adapt: needs at least one row. {received(**{where: x})}")
            axes, lengths = _axes("Normalization.adapt", self.axis, x.shape)
            F = lengths if F is None else F
            if lengths != F:
                raise ShapeError(f"Normalization.adapt: {where} needs the lengths {F} along the axes {axes}. " + received(data=x))
            if not np.isfinite(x).all():
                place = tuple(int(i) for i in np.argwhere(~np.isfinite(x))[0])
                raise LayerError(f"Normalization.adapt: {where}{list(place)} is {x[place]}; statistics of it would be useless.")
            rest = tuple(i for i in range(x.ndim) if i not in axes)
            if x.size:
                yield x.astype(np.float64), rest

    def call(self, x):
        x, along, dtype = self._checked(x)  # x in float64
        sigma = np.sqrt(np.where(self.variance.numpy() == 0, 1, self.variance.numpy())).reshape(along)
        mean = mg.reshape(self.mean, along)
        y = mg.add(mg.multiply(x, sigma), mean) if self.invert else mg.divide(mg.subtract(x, mean), sigma)
        return mg.astype(y, dtype)

    def _checked(self, x):
        """x in float64, the shape in which mean and variance broadcast to it, F -> (1, .., F), and the dtype of the result.

        Raw data is as large, and as far from 0, as it likes: rounded to float32 it may be all the same.
        """
        if not self.adapted:
            raise LayerError("Normalization: mean and variance are unknown; call adapt(data) with the training data first.")
        x, dtype = _exact(x), as_input(x).dtype
        axes, lengths = _axes("Normalization", self.axis, x.shape)
        if lengths != self.mean.shape:
            raise ShapeError(f"Normalization: x needs the lengths {self.mean.shape} along the axes {axes}. " + received(x=x))
        dtype = np.result_type(dtype if dtype.kind == "f" else settings.default_dtype(), np.float32)
        return mg.astype(x, np.float64), tuple(n if i in axes else 1 for i, n in enumerate(x.shape)), dtype


def _named(data):
    """(name, array) of what there is to adapt to: an array or nested lists of numbers are one, all else is a stream of batches."""
    nested = isinstance(data, list | tuple) and not np.ndim(_first(data))
    if nested or hasattr(data, "shape") or isinstance(data, str) or not hasattr(data, "__iter__"):
        yield "data", np.asarray(constant(_exact(data)))
    else:
        for number, batch in enumerate(data):
            yield f"batch {number}", np.asarray(constant(_exact(batch[0] if isinstance(batch, tuple) else batch)))


def _exact(x):
    """``x`` as it is, nested lists as an array with all their digits."""
    with settings.use_default_dtype(np.float64):
        return as_input(x)


def _first(data):
    """The first number or array in nested lists, None in empty ones."""
    while isinstance(data, list | tuple):
        data = data[0] if data else None
    return data


class _Affine(mg.Layer):
    """What the learnable normalizations share: gamma and beta, each of which can be left out."""

    keeps_shape = True

    def __init__(self, axis, epsilon, center, scale, beta_initializer, gamma_initializer, keras):
        super().__init__(**keras)
        who = type(self).__name__
        self.axis, self.epsilon, self.center, self.scale = axis, _check_number(who, "epsilon", epsilon), center, scale
        self.beta_initializer = get_initializer(beta_initializer, who, "beta_initializer")
        self.gamma_initializer = get_initializer(gamma_initializer, who, "gamma_initializer")

    def build(self, input_shape):
        _, lengths = _axes(type(self).__name__, self.axis, input_shape)
        self.gamma = mg.Parameter(self.gamma_initializer(lengths)) if self.scale else None
        self.beta = mg.Parameter(self.beta_initializer(lengths)) if self.center else None


class BatchNormalization(_Affine):
    """Each feature normalized over the batch, then gamma * x + beta (Ioffe and Szegedy 2015).   (..., F) -> (..., F)

    Training: gamma * (x - mean_B) / sqrt(var_B + epsilon) + beta with the statistics of this batch, and
    moving = momentum * moving + (1 - momentum) * batch. Inference: the same with the moving statistics.
    Learnable: 2 F (gamma, beta), by gradient descent; F without ``center`` or ``scale``. Non-learnable: 2 F (moving_mean,
    moving_variance), by running average. Keras's conventions: ``momentum`` is the share of the old value (PyTorch's is 1 - momentum),
    the variance is biased. ``axis`` is that of the features. A ``mask`` (the axes of x without F) says which rows count for the
    statistics; NaN and infinity in the other rows are read as 0. `freeze` leaves gamma and beta alone, and nothing else: the mode is the
    argument ``training`` (in Keras a frozen layer is in inference). Warns once in inference whose statistics no batch has ever updated.
    Raises ShapeError for another F and for a mask of another shape, LayerError where a mask leaves no row; the averages stay then.

    >>> layer = BatchNormalization()
    >>> layer(np.array([[1.0], [3.0]]), training=True).numpy().round(2).tolist()
    [[-1.0], [1.0]]
    """

    buffers_updated_by = "running average"

    def __init__(self, axis=-1, momentum=0.99, epsilon=1e-3, center=True, scale=True, beta_initializer="zeros", gamma_initializer="ones",
                 moving_mean_initializer="zeros", moving_variance_initializer="ones", **keras):  # fmt: skip
        check_axis("BatchNormalization", axis, several=False)
        super().__init__(axis, epsilon, center, scale, beta_initializer, gamma_initializer, keras)
        self.momentum = _check_number("BatchNormalization", "momentum", momentum, 1)
        self.moving_mean_initializer = get_initializer(moving_mean_initializer, "BatchNormalization", "moving_mean_initializer")
        self.moving_variance_initializer = get_initializer(moving_variance_initializer, "BatchNormalization", "moving_variance_initializer")

    def build(self, input_shape):
        super().build(input_shape)
        _, F = _axes("BatchNormalization", self.axis, input_shape)
        self.moving_mean = mg.Buffer(self.moving_mean_initializer(F))
        self.moving_variance = mg.Buffer(self.moving_variance_initializer(F))
        self._start = self.moving_mean.numpy(), self.moving_variance.numpy()  # what inference before all training would use

    def call(self, x, mask=None, training=False):
        x, mask, place = self._checked(x, mask)
        if not training:
            self._warn_if_fresh()
            return mg.batch_norm(x, self.moving_mean, self.moving_variance, self.gamma, self.beta, eps=self.epsilon, axis=place)
        out, mean, variance = self._by_batch(x, mask, place)
        self._remember(self.moving_mean, mean)  # last, so that nothing is remembered of a batch that could not be used
        self._remember(self.moving_variance, variance)
        return out

    def _checked(self, x, mask):
        """x in floating numbers, the mask of its rows with an axis of 1 for the features, and which axis is that."""
        x = floating(as_input(x))
        (place,), F = _axes("BatchNormalization", self.axis, x.shape)
        if F != self.moving_mean.shape:
            raise ShapeError(f"BatchNormalization: x needs {len(self.moving_mean)} features along axis {self.axis}. " + received(x=x))
        mask = check_mask("BatchNormalization", mask, "of x without the features,", (*x.shape[:place], *x.shape[place + 1 :]))
        if mask is not None:
            mask = np.expand_dims(mask, place)
            x = mg.where(mask | np.isfinite(constant(x)), x, 0.0)  # no NaN in the padding reaches a gradient
        return x, mask, place

    def _by_batch(self, x, mask, place):
        """x normalized by mean and variance of the rows that count, and these, added up in float64.   (..., F) -> (..., F), (F), (F)"""
        if (wide := np.result_type(x.dtype, self.moving_mean.dtype)) != x.dtype:
            x = mg.astype(x, wide)  # that of the result: in half precision a variance soon overflows
        if mask is None:
            return batch_moments(x, self.gamma, self.beta, self.epsilon, place)
        count, axes = int(mask.sum()), tuple(i for i in range(x.ndim) if i != place)
        if count == 0:
            raise LayerError("BatchNormalization: the mask leaves no row to take mean and variance of. " + received(x=x, mask=mask))
        exact = mg.astype(x, np.float64)
        mean = mg.sum(mg.where(mask, exact, 0.0), axes, True) / count
        variance = mg.sum(mg.where(mask, mg.square(exact - mean), 0.0), axes) / count
        mean, variance = mg.astype(mg.squeeze(mean, axes), x.dtype), mg.astype(variance, x.dtype)
        return mg.batch_norm(x, mean, variance, self.gamma, self.beta, eps=self.epsilon, axis=place), mean, variance

    def _remember(self, moving, batch):
        moving.assign(self.momentum * moving.numpy() + (1 - self.momentum) * constant(batch))

    def _warn_if_fresh(self):
        if self._start is None:
            return
        now = self.moving_mean.numpy(), self.moving_variance.numpy()
        start, self._start = self._start, None
        if all(np.array_equal(a, b) for a, b in zip(now, start)):
            warnings.warn(
                "BatchNormalization: in inference with the statistics it was made with, which no batch has updated yet; "
                "call it with training=True while training.",
                stacklevel=4,
            )


class LayerNormalization(_Affine):
    """The features of one token shifted to mean 0, scaled to variance 1, then gamma * x + beta (Ba et al. 2016).

    (..., E) -> (..., E): gamma * (x - mean) / sqrt(var + epsilon) + beta, statistics over the features of ONE token, which are
    one ``axis`` or several. Learnable: 2 E (gamma, beta); E without ``center`` or ``scale``. Non-learnable: none.

    >>> LayerNormalization()(np.array([[1.0, 3.0]])).numpy().round(2).tolist()
    [[-1.0, 1.0]]
    """

    def __init__(self, axis=-1, epsilon=1e-3, center=True, scale=True, beta_initializer="zeros", gamma_initializer="ones", **keras):
        super().__init__(check_axis("LayerNormalization", axis), epsilon, center, scale, beta_initializer, gamma_initializer, keras)

    def call(self, x):
        axis = -1 if self.axis == -1 else _axes("LayerNormalization", self.axis, np.shape(x))[0]
        return mg.layer_norm(x, self.gamma, self.beta, eps=self.epsilon, axis=axis)


class RMSNormalization(mg.Layer):
    """The features of one token divided by the root of their mean square, then times scale (Zhang and Sennrich 2019).

    (..., E) -> (..., E): scale * x / sqrt(mean(x^2) + epsilon), over one ``axis`` or several: `LayerNormalization` without the shift.
    Learnable: E (scale). Non-learnable: 0.

    >>> RMSNormalization()(np.array([[3.0, -3.0]])).numpy().round(2).tolist()
    [[1.0, -1.0]]
    """

    keeps_shape = True

    def __init__(self, axis=-1, epsilon=1e-6, **keras):
        super().__init__(**keras)
        self.axis, self.epsilon = check_axis("RMSNormalization", axis), _check_number("RMSNormalization", "epsilon", epsilon)

    def build(self, input_shape):
        _, lengths = _axes("RMSNormalization", self.axis, input_shape)
        self.scale = self.add_weight(lengths, "ones")

    def call(self, x):
        axis = -1 if self.axis == -1 else _axes("RMSNormalization", self.axis, np.shape(x))[0]
        return mg.rms_norm(x, self.scale, eps=self.epsilon, axis=axis)
