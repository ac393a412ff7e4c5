"""How an ``axis`` argument is read: None, one number or several, counted from either end."""

import numpy as np

from ..errors import ShapeError, received


def axes_of(name, x, axis, ndim=None):
    """``axis`` as a tuple of numbers from 0, None as all of them; raises ShapeError naming what is out of range.

    ``ndim``: how many axes there are to choose from, where they are not those of x.
    """
    ndim = np.ndim(x) if ndim is None else ndim
    axes = range(ndim) if axis is None else tuple(axis) if isinstance(axis, tuple | list) else (axis,)
    for a in axes:
        if not isinstance(a, int | np.integer):
            raise ShapeError(f"{name}: an axis is a whole number. " + received(x=x, axis=axis))
        if not -ndim <= a < ndim:
            raise ShapeError(f"{name}: axis {a} is out of range for {ndim} axes. " + received(x=x, axis=axis))
    axes = tuple([int(a) % ndim for a in axes])
    if len(set(axes)) < len(axes):
        raise ShapeError(f"{name}: an axis is named twice. " + received(x=x, axis=axis))
    return axes


def one_axis(name, x, axis):
    """The number of one axis, from 0; raises ShapeError where it is out of range, or more than one."""
    ndim = np.ndim(x)
    if type(axis) is int and -ndim <= axis < ndim:
        return axis % ndim
    axes = axes_of(name, x, axis)
    if axis is None or isinstance(axis, tuple | list):
        raise ShapeError(f"{name}: takes one axis. " + received(x=x, axis=axis))
    return axes[0]
