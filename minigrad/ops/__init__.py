"""All ops, one file per kind. Importing this fills the registry; every file begins with what it offers to users."""

from . import (
    broadcasting,
    contractions,
    decompositions,
    norms,
    elementwise,
    fused,
    indexing,
    joining,
    linalg,
    places,
    reduce,
    scan,
    shape,
    sorting,
)
from .broadcasting import *  # noqa: F403
from .broadcasting import sum_to
from .contractions import *  # noqa: F403
from .elementwise import *  # noqa: F403
from .fused import *  # noqa: F403
from .indexing import *  # noqa: F403
from .indexing import check_ids, getitem, plain_index, putitem
from .joining import *  # noqa: F403
from .linalg import *  # noqa: F403
from .linalg import matrix_product
from .norms import *
from .places import *  # noqa: F403
from .places import At
from .reduce import *  # noqa: F403
from .scan import *  # noqa: F403
from .shape import *  # noqa: F403
from .sorting import *  # noqa: F403

__all__ = [  # what minigrad itself offers; the rest are parts for other rooms
    *broadcasting.__all__, *contractions.__all__, *elementwise.__all__, *fused.__all__, *indexing.__all__, *joining.__all__,
    *linalg.__all__, *norms.__all__, *places.__all__, *reduce.__all__, *scan.__all__, *shape.__all__, *sorting.__all__,
]  # fmt: skip
