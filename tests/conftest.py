"""One thread in each worker, fixed seeds: before NumPy is imported, for that is when its library counts the cores."""

import os

# Numba's own pool keeps its size, because some tests ask for two threads; kernels take one unless asked.
os.environ.update(MINIGRAD_THREADS="1", OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")
os.environ.update(MPLBACKEND="Agg", KERAS_BACKEND="torch", HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")

import random  # noqa: E402
import sys  # noqa: E402

import hypothesis  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402

# Examples are drawn from a seed of the test's own name, and a slow machine is not a failure.
hypothesis.settings.register_profile("minigrad", derandomize=True, deadline=None, database=None)
hypothesis.settings.load_profile("minigrad")


@pytest.fixture(autouse=True)
def fixed_seeds():
    """Every test begins with the same state of the generators that belong to nobody."""
    random.seed(0)
    np.random.seed(0)
    if minigrad := sys.modules.get("minigrad"):
        minigrad.manual_seed(0)
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)
        torch.manual_seed(0)


@pytest.fixture
def rng():
    """A generator of the test's own."""
    return np.random.default_rng(20)
