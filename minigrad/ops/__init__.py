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
from .shape import concatenate, expand_dims, permute, reshape, squeeze, swapaxes

