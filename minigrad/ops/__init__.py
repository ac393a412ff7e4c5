"""All ops, one file per kind. Importing this fills the registry."""

from .broadcasting import broadcast_to, sum_to
from .elementwise import (
    abs,
    add,
    astype,
    cos,
    divide,
    equal,
    erf,
    exp,
    greater,
    greater_equal,
    less,
    less_equal,
    log,
    maximum,
    minimum,
    multiply,
    negative,
    not_equal,
    power,
    relu,
    sigmoid,
    sign,
    sin,
    sqrt,
    square,
    subtract,
    tanh,
    where,
)
from .fused import (
    cross_entropy,
    dropout,
    embedding,
    gelu,
    layer_norm,
    log_softmax,
    scaled_dot_product_attention,
    softmax,
)
from .indexing import check_ids, getitem, plain_index, putitem
from .linalg import linear, matmul, matrix_product
from .reduce import argmax, logsumexp, max, mean, min, sum, var
from .shape import concatenate, expand_dims, permute, reshape, squeeze, stack, swapaxes

__all__ = [  # what minigrad itself offers; the rest are parts for other rooms
    "abs", "add", "argmax", "astype", "broadcast_to", "concatenate", "cos", "cross_entropy", "divide", "dropout",
    "embedding", "equal", "erf", "exp", "expand_dims", "gelu", "greater", "greater_equal", "layer_norm", "less",
    "less_equal", "linear", "log", "log_softmax", "logsumexp", "matmul", "max", "maximum", "mean", "min", "minimum",
    "multiply", "negative", "not_equal", "permute", "power", "relu", "reshape", "scaled_dot_product_attention",
    "sigmoid", "sign", "sin", "softmax", "sqrt", "square", "squeeze", "stack", "subtract", "sum", "swapaxes", "tanh", "var",
    "where",
]  # fmt: skip
