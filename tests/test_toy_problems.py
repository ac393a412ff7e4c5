"""The small programs of examples/: under 30 lines each, from nothing to a stated accuracy in seconds."""

import ast
import re
import runpy
import threading
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg

FOLDER = Path(__file__).parent.parent / "examples"
PROGRAMS = {  # name: what it must reach on data it has not seen, and how often it tells
    "xor": ("accuracy", 1.0, 6),
    "two_moons": ("accuracy", 0.98, 5),
    "regression": ("error", 0.06, 7),
    "digits": ("accuracy", 0.97, 20),
    "own_pairs": ("accuracy", 0.9, 6),
}


def test_every_program_is_run_here():
    assert {path.stem for path in FOLDER.glob("*.py")} == set(PROGRAMS)


@pytest.mark.parametrize("name", PROGRAMS)
def test_short_and_of_no_other_library(name):
    source = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
    assert len(source.splitlines()) < 30
    imports = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {getattr(node, "module", None) or node.names[0].name for node in imports}
    assert names == {"numpy", "minigrad"} | {"digits": {"sklearn.datasets"}, "own_pairs": {"functools", "transformer"}}.get(name, set())


# scikit-learn is an extra of its own, which the plain tests do without
@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.oracle) if n == "digits" else n for n in PROGRAMS])
def test_it_learns(name, capsys):
    if name == "digits":
        pytest.importorskip("sklearn")
    measure, bound, lines = PROGRAMS[name]
    result = runpy.run_path(str(FOLDER / f"{name}.py"))
    reached = result[measure]
    assert reached <= bound if measure == "error" else reached >= bound, reached
    shown = capsys.readouterr().out
    progress = [float(number) for number in re.findall(r"(?:loss|error) (\d+\.\d{4})", shown)]
    assert len(progress) == lines and progress[-1] < progress[0] / 5
    last = shown.splitlines()[-1]
    assert (f"{reached:.3f}" if measure == "error" else f"{100 * reached:.{0 if name in ('xor', 'own_pairs') else 1}f}%") in last


def trained(seed):
    """The weights after 30 steps with dropout, everything drawn from the thread's own generator."""
    mg.manual_seed(seed)
    model = mg.Sequential(mg.Dense(16, "gelu"), mg.Dense(3))
    x = mg.randn(40, 5)
    model(x)
    optimiser = mg.optim.AdamW(model.parameters(), lr=0.01)
    for _ in range(30):
        hidden = mg.dropout(model.layers[0](x), 0.3, *mg.random.current().counters(x.shape[0] * 16))
        loss = mg.cross_entropy(model.layers[1](hidden), np.arange(40) % 3)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return b"".join(p.numpy().tobytes() for p in model.parameters())


def test_threads_that_train_side_by_side_give_the_bits_of_each_one_alone():
    seeds, found, together = (1, 2, 3, 1), {}, threading.Barrier(4)

    def work(number):
        together.wait()
        found[number] = trained(seeds[number])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    alone = {seed: trained(seed) for seed in set(seeds)}
    assert [found[number] == alone[seed] for number, seed in enumerate(seeds)] == [True] * 4
    assert len(set(found.values())) == 3


def test_a_thread_begins_with_a_generator_of_its_own():
    mg.manual_seed(5)
    before = mg.random.current().state()
    seen = []

    def work():
        seen.append(mg.random.current().state())
        mg.manual_seed(9)
        mg.randn(3)

    for _ in range(2):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert seen == [mg.Generator(0).state()] * 2 and mg.random.current().state() == before
