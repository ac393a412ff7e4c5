"""A program in a process of its own, for the tests of what belongs to a whole process."""

import os
import subprocess
import sys
from pathlib import Path

import minigrad

SMALLER_CPUS = {  # name -> NUMBA_CPU_NAME and NUMBA_CPU_FEATURES, whose machine code runs here too
    "avx2": ("haswell", "+avx,+avx2,+fma,+bmi,+bmi2,+f16c,+sse4.2"),
    "portable": ("generic", ""),
}


def process(program, folder=None, **environment):
    """Run a program; what it wrote to stderr."""
    environment = {k: str(v) for k, v in environment.items()}
    root = folder or Path(minigrad.__file__).parent.parent
    # a folder of sources that nobody may write to: what Python itself would write is kept away
    variables = {**os.environ, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1", **environment}
    done = subprocess.run(
        [sys.executable, "-c", program], env=variables, capture_output=True, text=True, cwd=root, timeout=600
    )
    assert done.returncode == 0, done.stderr
    return done.stderr
