"""Masks: booleans, True where something may be used. All masks of a call become one, in this one place.

A mask is applied as -infinity before the softmax, so that the weight behind it is exactly 0 and the others still add up to 1.
"""

import numpy as np

from minigrad.core import values
from minigrad.errors import DtypeError, ShapeError, received


def padding_mask(ids, pad_id=0):
    """Which tokens are real: True where the id is not that of padding.   ids (B, T) -> (B, T)

    >>> padding_mask(np.array([[5, 7, 0, 0]])).tolist()
    [[True, True, False, False]]
    """
    return np.asarray(values(ids)) != pad_id


def causal_mask(T, S=None):
    """Which keys a question may see that must not look ahead: s <= t, counted from the first.   -> (T, S)

    >>> causal_mask(2, 3).tolist()
    [[True, False, False], [True, True, False]]
    """
    return np.tri(T, T if S is None else S, dtype=bool)


def window_mask(T, S, window):
    """Keys that are fewer than ``window`` steps away, before and behind: |t - s| < window.   -> (T, S)

    >>> window_mask(3, 3, 2).tolist()
    [[True, True, False], [True, True, True], [False, True, True]]
    """
    return abs(np.arange(T)[:, None] - np.arange(S)) < window  # (T, 1) - (S) -> (T, S)


def combined_mask(who, B, h, T, S, query_mask=None, value_mask=None, key_mask=None, attention_mask=None):
    """All masks of a call as one that broadcasts to the scores (B, h, T, S), or None where there is none.

    A ``query_mask`` (B, T) takes whole rows away, a ``value_mask`` or ``key_mask`` (B, S) columns, an ``attention_mask`` (T, S),
    (B, T, S) or (B, h, T, S) single scores; in it an axis of 1 counts for all.
    Raises ShapeError for another shape, DtypeError for what is not boolean, naming ``who`` and the mask.

    >>> combined_mask("example", 2, 5, 3, 4, key_mask=np.ones((2, 4), bool)).shape
    (2, 1, 1, 4)
    """
    parts = []
    if query_mask is not None:
        parts.append(_checked(who, "query_mask", query_mask, {"(B, T)": (B, T)})[:, None, :, None])  # (B, T) -> (B, 1, T, 1)
    for name, mask in (("value_mask", value_mask), ("key_mask", key_mask)):
        if mask is not None:
            parts.append(_checked(who, name, mask, {"(B, S)": (B, S)})[:, None, None, :])  # (B, S) -> (B, 1, 1, S)
    if attention_mask is not None:
        shapes = {"(T, S)": (T, S), "(B, T, S)": (B, T, S), "(B, h, T, S)": (B, h, T, S)}
        mask = _checked(who, "attention_mask", attention_mask, shapes, broadcast=True)
        parts.append(mask if mask.ndim == 4 else mask[..., None, :, :])  # (B, T, S) -> (B, 1, T, S)
    allowed = None
    for part in parts:
        allowed = part if allowed is None else allowed & part
    return allowed


def check_mask(who, mask, axes, shape, name="mask"):
    """``mask`` as an array of booleans of this shape, whose axes are called ``axes``; None stays None.

    Raises ShapeError and DtypeError that name ``who``.

    >>> check_mask("example", [[True, False]], "(B, T)", (1, 2)).shape
    (1, 2)
    """
    return None if mask is None else _checked(who, name, mask, {axes: tuple(shape)})


def _checked(who, name, mask, shapes, broadcast=False):
    """``mask`` as booleans of one of the shapes, which are given by their axes; with ``broadcast`` an axis may be 1."""
    mask = np.asarray(values(mask))
    if mask.dtype != bool:
        raise DtypeError(f"{who}: {name} must be boolean, True where something may be used; mask.astype(bool). " + received(**{name: mask}))
    for shape in shapes.values():
        if mask.shape == shape:
            return mask
        if broadcast and mask.ndim == len(shape) and all(m in (1, n) for m, n in zip(mask.shape, shape)):
            return mask
    needed = " or ".join(f"{axes} = {shape}" for axes, shape in shapes.items())
    raise ShapeError(f"{who}: {name} needs the axes {needed}. " + received(**{name: mask}))
