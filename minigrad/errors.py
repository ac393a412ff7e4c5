"""The exceptions of minigrad, and the one style of their messages.

A message names the operation, then what is wrong with named axes and shapes, then what to try, and ends with what
was received: ``matmul: the inner axes differ: 3 columns on the left, 4 rows on the right. Received: x (2, 3), ...``.
"""

import numpy as np


class MinigradError(Exception):
    """Base of every error that minigrad raises on purpose."""


class ShapeError(MinigradError, ValueError):
    """Shapes that do not fit together."""


class DtypeError(MinigradError, TypeError):
    """An element type that the operation cannot work with."""


class LinAlgError(MinigradError, np.linalg.LinAlgError):
    """A matrix that has not got what was asked for: singular, not positive definite, not finite."""


class GradientError(MinigradError, RuntimeError):
    """A gradient that cannot be computed, or would be wrong."""


class AnomalyError(GradientError):
    """A NaN or an infinity that `detect_anomaly` found, forward or backward."""


class LayerError(MinigradError, ValueError):
    """A layer that was built, called or loaded in a way that cannot work."""


class StorageError(MinigradError, ValueError):
    """A file that cannot be read, or values that cannot be written."""


class GradcheckError(MinigradError, AssertionError):
    """An analytic gradient that differs from finite differences."""


class Inconclusive(GradcheckError):
    """A difference quotient that is too uncertain to say anything about the gradient, as near a kink: no pass."""


def describe(value):
    """Short text for an argument in a message: shape and dtype of an array or Tensor, else its repr."""
    shape = getattr(value, "shape", None)
    if shape is None:
        text = repr(value)
        return text if len(text) <= 60 else text[:57] + "..."
    return f"{tuple(shape)} {getattr(value, 'dtype', '')}".strip()


def received(**arguments):
    """The end of every message: ``Received: x (2, 3) float32, axis 5.``"""
    return "Received: " + ", ".join(f"{name} {describe(value)}" for name, value in arguments.items()) + "."
