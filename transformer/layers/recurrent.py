"""Recurrent layers: a sequence is read step by step, into a state that is carried on.

The walk over time is the same for all of them, `_Recurrent.call`; what differs is one step, `step`, which reads as the formula in
the docstring. What the inputs add to every step, x W + b, is computed for all steps at once.
"""

import copy

import numpy as np

import minigrad as mg
from minigrad import random
from minigrad.core import values
from minigrad.dense import get_activation
from minigrad.errors import ShapeError, received
from minigrad.initializers import get_initializer, ones
from minigrad.layer import as_input, check_size, width_of
from minigrad.ops.elementwise import floating

from .dropout import check_rate
from .masks import check_mask


class _Recurrent(mg.Layer):
    """What the recurrent layers share: arguments, states, masks, and the walk over time. G is the number of gates."""

    _gates = 1  # how many blocks of u columns the kernels have
    _states: tuple[str, ...] = ("h",)  # what is carried on; the first is the output

    def __init__(self, units, activation, use_bias, kernel_initializer, recurrent_initializer, bias_initializer, dropout,
                 recurrent_dropout, seed, return_sequences, return_state, go_backwards, keras):  # fmt: skip
        super().__init__(**keras)
        who = type(self).__name__
        self.units, self.use_bias, self.activation = check_size(who, units=units), use_bias, get_activation(activation, who)
        self.kernel_initializer = get_initializer(kernel_initializer, who, "kernel_initializer")
        self.recurrent_initializer = get_initializer(recurrent_initializer, who, "recurrent_initializer")
        self.bias_initializer = get_initializer(bias_initializer, who, "bias_initializer")
        self.dropout = check_rate(who, "dropout", dropout)
        self.recurrent_dropout = check_rate(who, "recurrent_dropout", recurrent_dropout)
        self.generator = random.own_or_current(seed)
        self.return_sequences, self.return_state, self.go_backwards = return_sequences, return_state, go_backwards

    def build(self, input_shape):
        who = type(self).__name__
        if len(input_shape) != 3:
            raise ShapeError(f"{who}: sequences need the axes (B, T, E). " + received(sequences_shape=input_shape))
        E, u, width = width_of(who, input_shape), self.units, self._gates * self.units
        self.kernel = mg.Parameter(self.kernel_initializer((E, width)))  # (E, G u)
        self.recurrent_kernel = mg.Parameter(self.recurrent_initializer((u, width)))  # (u, G u)
        self.bias = mg.Parameter(self._first_bias()) if self.use_bias else None

    def _first_bias(self):
        return self.bias_initializer((self._gates * self.units,))  # (G u)

    def _input_bias(self):
        """The bias that the inputs come with."""
        return self.bias

    def step(self, x, kept, *states):
        """The states after one step: x is what the inputs add, (B, G u), ``kept`` the dropout of the state.   (B, u).. -> (B, u).."""
        raise NotImplementedError

    def compute_output_shape(self, sequences_shape):
        """(B, T, E) -> (B, u) or (B, T, u), and (B, u) for every state that is returned"""
        state = (sequences_shape[0], self.units)
        y = (*sequences_shape[:2], self.units) if self.return_sequences else state
        return [y, *[state for _ in self._states]] if self.return_state else y

    def call(self, sequences, initial_state=None, mask=None, training=False):
        x = mg.permute(self._checked(sequences), (1, 0, 2))  # (B, T, E) -> (T, B, E)
        T, B, _ = x.shape
        mask = check_mask(type(self).__name__, mask, "(B, T)", (B, T))
        real = None if mask is None else mask.T[:, :, None]  # (B, T) -> (T, B, 1)
        inputs = mg.unbind(self._from_inputs(x, real, training))  # T times (B, G u)
        if self.go_backwards:
            inputs, real = inputs[::-1], None if real is None else real[::-1]
        dtype = inputs[0].dtype
        kept = self._kept(self.recurrent_dropout if training else 0, self._gates, (B, self.units), dtype)
        states, outputs = self._first_states(initial_state, B, dtype), []
        for t in range(T):
            new = self.step(inputs[t], kept, *states)
            states = new if real is None else [mg.where(real[t], n, s) for n, s in zip(new, states)]
            outputs.append(states[0])
        y = mg.stack(outputs, 1) if self.return_sequences else outputs[-1]  # T times (B, u) -> (B, T, u)
        if real is not None and initial_state is not None:  # before its first real step a row has no output, whatever its state
            begun = np.logical_or.accumulate(real)  # (T, B, 1)
            y = mg.where(begun.swapaxes(0, 1) if self.return_sequences else begun[-1], y, 0.0)  # (T, B, 1) -> (B, T, 1)
        return (y, *states) if self.return_state else y

    def _from_inputs(self, x, real, training):
        """What the inputs add to every step.   (T, B, E), (T, B, 1) -> (T, B, G u)"""
        if real is not None:
            x = mg.where(real, x, 0.0)  # no number in the padding reaches a gradient, not even NaN
        kept = self._kept(self.dropout if training else 0, self._gates if self.recurrent_dropout else 1, x.shape[1:], x.dtype)
        return _product(x, self.kernel, self._input_bias(), kept)

    def _checked(self, sequences):
        x, E, who = floating(as_input(sequences)), len(self.kernel), type(self).__name__
        if x.ndim != 3 or x.shape[-1] != E or x.shape[1] == 0:
            raise ShapeError(f"{who}: sequences need the axes (B, T, E) with E = {E} and T from 1. " + received(sequences=x))
        return x

    def _first_states(self, initial_state, B, dtype):
        """The states to start from, zeros where none are given.   -> (B, u) for each"""
        shape = (B, self.units)
        if initial_state is None:
            return [np.zeros(shape, dtype) for _ in self._states]
        states = [as_input(s) for s in (initial_state if isinstance(initial_state, list | tuple) else [initial_state])]
        if [s.shape for s in states] != [shape for _ in self._states]:
            needed = " and ".join(f"{name} (B, u)" for name in self._states)
            given = {f"state {number}": s for number, s in enumerate(states)}
            raise ShapeError(f"{type(self).__name__}: initial_state is a list of {needed} = {shape}. " + received(**given))
        return states

    def _kept(self, rate, count, shape, dtype):
        """What dropout keeps, the same in every step (Gal and Ghahramani 2016): masks (B, n), none where nothing is dropped."""
        return [mg.dropout(np.ones(shape, dtype), rate, generator=self.generator) for _ in range(count)] if rate else []

    def compute_mask(self, inputs, mask=None):
        """Which results are real, in their own order; None where the steps have one result together.   (B, T) -> (B, T)"""
        if mask is None or not self.return_sequences:
            return None
        return np.asarray(values(mask))[:, ::-1] if self.go_backwards else mask

    def other_way(self):
        """A layer of the same configuration that is not built yet and walks the other way. Both draw from one generator."""
        twin = copy.copy(self)
        twin.go_backwards, twin._built = not self.go_backwards, False
        return twin


def _product(x, kernel, bias=None, kept=()):
    """x W + b, of the x that dropout keeps: one mask for all gates, or one for each.   (.., n), (n, G u), (G u), (B, n).. -> (.., G u)"""
    if not kept:
        return mg.linear(x, kernel, bias)
    y = mg.concatenate([mg.matmul(x * k, w) for k, w in zip(kept, mg.split(kernel, len(kept), -1))], -1)
    return y if bias is None else y + bias


class SimpleRNN(_Recurrent):
    """h = activation(x W + h U + b): the state is the output (Elman 1990).   (B, T, E) -> (B, u); (B, T, u) with return_sequences

    Learnable: E u + u^2 + u; without bias E u + u^2. Non-learnable: 0. Weights as in Keras: kernel W (E, u), recurrent_kernel U (u, u),
    bias b (u).

    ``mask`` (B, T) says which steps are real: a step that is not changes no state, and repeats the output before it, zeros before the
    first real one. ``initial_state`` is a list of the states to start from, zeros where it is not given; ``return_state`` gives the
    last ones too, (output, h). ``go_backwards`` reads from the last step to the first, and the outputs are in that order; so is the
    mask of `compute_mask` (in Keras it is not). ``dropout`` is that of the inputs, ``recurrent_dropout`` that of the state; what is
    dropped is dropped in every step. ``unroll``, and ``use_cudnn`` of the others, change nothing.
    Raises ShapeError and DtypeError for a sequence, states or a mask of other axes.

    >>> SimpleRNN(4, return_sequences=True)(np.zeros((2, 3, 5), np.float32)).shape
    (2, 3, 4)
    """

    def __init__(self, units, activation="tanh", use_bias=True, kernel_initializer="glorot_uniform", recurrent_initializer="orthogonal",
                 bias_initializer="zeros", *, dropout=0.0, recurrent_dropout=0.0, seed=None, return_sequences=False, return_state=False,
                 go_backwards=False, unroll=False, **keras):  # fmt: skip
        super().__init__(units, activation, use_bias, kernel_initializer, recurrent_initializer, bias_initializer, dropout,
                         recurrent_dropout, seed, return_sequences, return_state, go_backwards, keras)  # fmt: skip

    def step(self, x, kept, h):
        return (self.activation(x + _product(h, self.recurrent_kernel, None, kept)),)


class LSTM(_Recurrent):
    """A memory c that is added to, with gates for what comes in, what stays and what is shown.

    (B, T, E) -> (B, u); (B, T, u) with return_sequences (Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000)

        i, f, o = recurrent_activation(x W + h U + b)        each with its own u columns of W, U and b; g = activation(the same)
        c = f c + i g
        h = o activation(c)

    Learnable: 4 (E u + u^2 + u); without bias 4 (E u + u^2). Non-learnable: 0. Weights as in Keras, in the order i, f, g, o, where g
    is Keras's c: kernel W (E, 4 u), recurrent_kernel U (u, 4 u), bias b (4 u), in which that of f starts from 1 with ``unit_forget_bias``.
    Called as `SimpleRNN` is; the states are h and c.

    >>> y, h, c = LSTM(4, return_state=True)(np.zeros((2, 3, 5), np.float32), mask=np.array([[True, True, False], [True, True, True]]))
    >>> y.shape, h.shape, c.shape
    ((2, 4), (2, 4), (2, 4))
    """

    _gates, _states = 4, ("h", "c")

    def __init__(self, units, activation="tanh", recurrent_activation="sigmoid", use_bias=True, kernel_initializer="glorot_uniform",
                 recurrent_initializer="orthogonal", bias_initializer="zeros", unit_forget_bias=True, *, dropout=0.0, recurrent_dropout=0.0,
                 seed=None, return_sequences=False, return_state=False, go_backwards=False, unroll=False, use_cudnn="auto",
                 **keras):  # fmt: skip
        super().__init__(units, activation, use_bias, kernel_initializer, recurrent_initializer, bias_initializer, dropout,
                         recurrent_dropout, seed, return_sequences, return_state, go_backwards, keras)  # fmt: skip
        self.recurrent_activation = get_activation(recurrent_activation, "LSTM", "recurrent_activation")
        self.unit_forget_bias = unit_forget_bias

    def _first_bias(self):
        u, start = self.units, self.bias_initializer
        if not self.unit_forget_bias:
            return start((4 * u,))
        return np.concatenate([start((u,)), ones((u,)), start((2 * u,))])  # i, f, g and o

    def step(self, x, kept, h, c):
        i, f, g, o = mg.split(x + _product(h, self.recurrent_kernel, None, kept), 4, -1)  # (B, 4 u) -> 4 times (B, u)
        c = self.recurrent_activation(f) * c + self.recurrent_activation(i) * self.activation(g)
        return self.recurrent_activation(o) * self.activation(c), c


class GRU(_Recurrent):
    """A state h of which a gate z says how much stays, and a gate r how much a new one, g, may see (Cho et al. 2014).

    (B, T, E) -> (B, u); (B, T, u) with return_sequences

        z, r = recurrent_activation(x W + b + h U + b')        each with its own u columns of W, U, b and b'
        g = activation(x W + b + r (h U + b'))
        h = z h + (1 - z) g

    Without ``reset_after`` g = activation(x W + b + (r h) U), as in the paper, and there is no b'.
    Learnable: 3 (E u + u^2 + 2 u); without ``reset_after`` 3 (E u + u^2 + u), without bias 3 (E u + u^2). Non-learnable: 0. Weights as
    in Keras, in the order z, r, g: kernel W (E, 3 u), recurrent_kernel U (u, 3 u), bias (2, 3 u), those of the inputs and those of
    the state, or (3 u) without ``reset_after``. Called as `SimpleRNN` is.

    >>> GRU(4, return_sequences=True)(np.zeros((2, 3, 5), np.float32)).shape
    (2, 3, 4)
    """

    _gates = 3

    def __init__(self, units, activation="tanh", recurrent_activation="sigmoid", use_bias=True, kernel_initializer="glorot_uniform",
                 recurrent_initializer="orthogonal", bias_initializer="zeros", *, dropout=0.0, recurrent_dropout=0.0, seed=None,
                 return_sequences=False, return_state=False, go_backwards=False, unroll=False, reset_after=True, use_cudnn="auto",
                 **keras):  # fmt: skip
        super().__init__(units, activation, use_bias, kernel_initializer, recurrent_initializer, bias_initializer, dropout,
                         recurrent_dropout, seed, return_sequences, return_state, go_backwards, keras)  # fmt: skip
        self.recurrent_activation = get_activation(recurrent_activation, "GRU", "recurrent_activation")
        self.reset_after = reset_after

    def _first_bias(self):
        return self.bias_initializer((2, 3 * self.units) if self.reset_after else (3 * self.units,))

    def _input_bias(self):
        return self.bias[0] if self.reset_after and self.use_bias else self.bias  # (2, 3 u) -> (3 u)

    def step(self, x, kept, h):
        U, u = self.recurrent_kernel, self.units
        x_z, x_r, x_g = mg.split(x, 3, -1)  # (B, 3 u) -> 3 times (B, u)
        if self.reset_after:
            h_z, h_r, h_g = mg.split(_product(h, U, self.bias[1] if self.use_bias else None, kept), 3, -1)
        else:
            h_z, h_r = mg.split(_product(h, U[:, : 2 * u], None, kept[:2]), 2, -1)  # (B, 2 u) -> 2 times (B, u)
        z, r = self.recurrent_activation(x_z + h_z), self.recurrent_activation(x_r + h_r)
        g = self.activation(x_g + (r * h_g if self.reset_after else _product(r * h, U[:, 2 * u :], None, kept[2:])))
        return (z * h + (1 - z) * g,)


_MERGES = {
    "concat": lambda y, z: mg.concatenate([y, z], -1),  # (.., u), (.., u) -> (.., 2 u)
    "sum": mg.add,
    "mul": mg.multiply,
    "ave": lambda y, z: (y + z) / 2,
    None: lambda y, z: (y, z),
}


class Bidirectional(mg.Layer):
    """Two layers read the sequence, one forwards and one backwards; what they give is joined (Schuster and Paliwal 1997).

    (B, T, E) -> (B, 2 u); (B, T, 2 u) with return_sequences. Learnable: those of both layers, twice those of ``layer``.
    Non-learnable: 0. Weights as in Keras, those of ``layer`` first.

    ``layer`` itself reads forwards (in Keras a copy of it does), backwards one of the same configuration, or ``backward_layer``.
    ``merge_mode`` "sum", "mul" and "ave" give (.., u), None both results apart. The results of one step stand together, zeros where
    ``mask`` says that it is not real.
    ``initial_state`` and what ``return_state`` gives, (output, \\*states), are the forward layer's states, then the backward one's.
    Raises TypeError for what is not recurrent, ValueError for two layers that do not go together, and what they raise.

    >>> Bidirectional(LSTM(4, return_sequences=True))(np.zeros((2, 3, 5), np.float32)).shape
    (2, 3, 8)
    """

    def __init__(self, layer, merge_mode="concat", *, backward_layer=None, **keras):
        super().__init__(**keras)
        for given in (layer,) if backward_layer is None else (layer, backward_layer):
            if not isinstance(given, _Recurrent):
                raise TypeError(f"Bidirectional: takes a SimpleRNN, LSTM or GRU. Received: {given!r:.60}.")
        if merge_mode not in _MERGES:
            raise ValueError(f"Bidirectional: merge_mode is one of {', '.join(map(repr, _MERGES))}. Received: {merge_mode!r}.")
        self.forward_layer, self.merge_mode = layer, merge_mode
        self.backward_layer = layer.other_way() if backward_layer is None else backward_layer
        if self.forward_layer.go_backwards or not self.backward_layer.go_backwards:
            raise ValueError("Bidirectional: layer goes forwards and backward_layer backwards. " + self._both("go_backwards"))
        for name in ("return_sequences", "return_state", *(() if merge_mode in ("concat", None) else ("units",))):
            if getattr(self.forward_layer, name) != getattr(self.backward_layer, name):
                raise ValueError(f"Bidirectional: both layers need the same {name}. " + self._both(name))

    def _both(self, name):
        return received(layer=getattr(self.forward_layer, name), backward_layer=getattr(self.backward_layer, name))

    def build(self, input_shape):
        self.forward_layer.ensure_built(input_shape)
        self.backward_layer.ensure_built(input_shape)

    def compute_output_shape(self, sequences_shape):
        """(B, T, E) -> (B, 2 u), (B, u), (B, T, 2 u) or (B, T, u), and (B, u) for every state that is returned"""
        both = [layer.compute_output_shape(sequences_shape) for layer in (self.forward_layer, self.backward_layer)]
        (y, *states), (z, *more) = both if self.forward_layer.return_state else [[shape] for shape in both]
        merged = [y, z] if self.merge_mode is None else [(*y[:-1], y[-1] + z[-1]) if self.merge_mode == "concat" else y]
        shapes = [*merged, *states, *more]
        return shapes if len(shapes) > 1 else shapes[0]

    def call(self, sequences, initial_state=None, mask=None, training=False):
        y, *states = self._read(self.forward_layer, sequences, initial_state, mask, training)
        z, *more = self._read(self.backward_layer, sequences, initial_state, mask, training)
        if self.forward_layer.return_sequences:
            z = mg.flip(z, 1)  # the results of one step side by side
            if mask is not None:
                real = np.asarray(values(mask))[:, :, None]  # (B, T) -> (B, T, 1)
                y, z = mg.where(real, y, 0.0), mg.where(real, z, 0.0)
        merged = _MERGES[self.merge_mode](y, z)
        if not self.forward_layer.return_state:
            return merged
        return (*(merged if self.merge_mode is None else (merged,)), *states, *more)

    def _read(self, layer, sequences, initial_state, mask, training):
        """What one of the two gives, in a tuple."""
        if initial_state is not None:
            count = len(self.forward_layer._states)
            both = count + len(self.backward_layer._states)
            if not isinstance(initial_state, list | tuple) or len(initial_state) != both:
                raise ShapeError(
                    f"Bidirectional: initial_state is a list of {both}, the forward layer's states and then the backward one's. "
                    + received(initial_state=initial_state)
                )
            initial_state = initial_state[:count] if layer is self.forward_layer else initial_state[count:]
        out = layer(sequences, initial_state=initial_state, mask=mask, training=training)
        return out if layer.return_state else (out,)

    def compute_mask(self, inputs, mask=None):
        """Which results are real; None where the steps have one result together.   (B, T) -> (B, T)"""
        return mask if self.forward_layer.return_sequences else None
