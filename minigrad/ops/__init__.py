"""All ops, one file per kind. Importing this fills the registry; every file begins with what it offers to users."""

from . import (
    activation,
    attention,
    broadcasting,
    contractions,
    decompositions,
    distances,
    elementwise,
    fused,
    indexing,
    joining,
    linalg,
    logic,
    losses,
    neural,
    normalization,
    norms,
    places,
    probability,
    reduce,
    rounding,
    scan,
    shape,
    sorting,
    special,
)
from .activation import *  # noqa: F403
from .attention import *  # noqa: F403
from .broadcasting import *  # noqa: F403
from .broadcasting import sum_to
from .contractions import *  # noqa: F403
from .distances import *  # noqa: F403
from .elementwise import *  # noqa: F403
from .indexing import *  # noqa: F403
from .indexing import check_ids, getitem, plain_index, putitem
from .joining import *  # noqa: F403
from .linalg import *  # noqa: F403
from .linalg import matrix_product
from .logic import *  # noqa: F403
from .losses import *  # noqa: F403
from .neural import *  # noqa: F403
from .normalization import *  # noqa: F403
from .norms import *  # noqa: F403
from .places import *  # noqa: F403
from .places import At
from .probability import *  # noqa: F403
from .reduce import *  # noqa: F403
from .rounding import *  # noqa: F403
from .scan import *  # noqa: F403
from .shape import *  # noqa: F403
from .sorting import *  # noqa: F403
from .special import *  # noqa: F403

__all__ = [  # what minigrad itself offers; the rest are parts for other rooms
    *activation.__all__, *attention.__all__, *broadcasting.__all__, *contractions.__all__, *distances.__all__,
    *elementwise.__all__, *indexing.__all__, *joining.__all__, *linalg.__all__, *logic.__all__, *losses.__all__,
    *neural.__all__, *normalization.__all__, *norms.__all__, *places.__all__, *probability.__all__, *reduce.__all__,
    *rounding.__all__, *scan.__all__, *shape.__all__, *sorting.__all__, *special.__all__,
]  # fmt: skip

# Other names for the same functions: PyTorch's short ones and the array API's.
absolute, neg, sub, mul, div, true_divide, pow, mod = abs, negative, subtract, multiply, divide, divide, power, remainder
eq, ne, lt, le, gt, ge = equal, not_equal, less, less_equal, greater, greater_equal
asin, acos, atan, atan2, asinh, acosh, atanh = arcsin, arccos, arctan, arctan2, arcsinh, arccosh, arctanh
bitwise_invert, bitwise_left_shift, bitwise_right_shift = bitwise_not, left_shift, right_shift
amax, amin, clamp, fix, rint, swish = max, min, clip, trunc, round, silu
concat, permute_dims, swapdims, cumulative_sum, cumulative_prod, mm = concatenate, permute, swapaxes, cumsum, cumprod, matmul

__all__ += [
    "absolute", "acos", "acosh", "amax", "amin", "asin", "asinh", "atan", "atan2", "atanh", "bitwise_invert",
    "bitwise_left_shift", "bitwise_right_shift", "clamp", "concat", "cumulative_prod", "cumulative_sum", "div", "eq", "fix",
    "ge", "gt", "le", "lt", "mm", "mod", "mul", "ne", "neg", "permute_dims", "pow", "rint", "sub", "swapdims", "swish",
    "true_divide",
]  # fmt: skip
