"""What the engine itself costs: recording, the walk back, and small and large graphs beside PyTorch, autograd, JAX and micrograd.

Every library in a process of its own on one thread, round robin; medians of quiet blocks. Before a library is timed, its
gradients are compared with those derived by hand in NumPy.
"""

import argparse

import numpy as np

from bench import harness, report

CHAIN = ("minigrad", "torch", "autograd", "jax", "numpy")
OPS = {"multiply": 2, "add": 2, "tanh": 1}  # and how many arrays each takes
LENGTH = 100  # of the chains of one op
NETWORK = (2, 16, 16, 1)
LARGE = ("minigrad", "numpy", "numpy, own buffers", "torch")


def build(library, case):
    """The step of one library for one case, checked against NumPy."""
    step, expected = {"chain": chain, "op": repeated, "network": network, "scalars": scalars, "large": large}[case["kind"]](library, case)
    found = step()
    if expected is not None:
        for mine, right in zip(found, expected, strict=True):
            np.testing.assert_allclose(np.asarray(mine), right, rtol=0, atol=1e-4 * max(1.0, float(np.abs(right).max())))

    def timed():
        step()  # gradients are no number to be sent to the parent

    return timed


def tensor(library):
    """How a library makes a leaf of an array, as ``make(array, requires_grad)``."""
    if library == "minigrad":
        import minigrad

        return lambda a, requires_grad=True: minigrad.tensor(a, requires_grad=requires_grad)
    import torch

    return lambda a, requires_grad=True: torch.tensor(a, requires_grad=requires_grad)


def normal(*shape, seed=0, dtype=np.float32):
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(dtype)


def chain(library, case):
    """((x * w + b).relu()).sum().backward() on 4x4, with gradients for w and b, or for all three."""
    arrays = [normal(4, 4, seed=i) for i in range(3)]
    wanted = (0, 1, 2) if case["all"] else (1, 2)

    def by_hand(x, w, b):
        inner = x * w + b
        out = np.maximum(inner, 0).sum()
        g = np.where(inner > 0, np.broadcast_to(np.ones_like(out), inner.shape), np.float32(0))
        return [g * w, g * x, g] if case["all"] else [g * x, g]

    expected = by_hand(*arrays)
    if library == "numpy":
        return lambda: by_hand(*arrays), expected
    if library == "autograd":
        import autograd
        import autograd.numpy as anp

        gradient = autograd.grad(lambda x, w, b: anp.sum(anp.maximum(x * w + b, 0)), wanted)
        return lambda: gradient(*arrays), expected
    if library == "jax":
        import jax
        import jax.numpy as jnp

        gradient = jax.grad(lambda x, w, b: jnp.maximum(x * w + b, 0).sum(), wanted)  # jax.nn.relu would be compiled
        arrays = [jnp.asarray(a) for a in arrays]
        return lambda: jax.block_until_ready(gradient(*arrays)), expected
    make = tensor(library)
    x, w, b = [make(a, i in wanted) for i, a in enumerate(arrays)]
    leaves = [(x, w, b)[i] for i in wanted]

    def step():
        for leaf in leaves:
            leaf.grad = None
        ((x * w + b).relu()).sum().backward()
        return [leaf.grad.numpy() for leaf in leaves]

    return step, expected


def repeated(library, case):
    """One op LENGTH times on 4x4, forward alone or forward and backward; NumPy does the same arithmetic."""
    name, backward = case["op"], case["backward"]
    start, c = normal(4, 4), normal(4, 4, seed=1)
    second = (c,) * (OPS[name] - 1)
    if library == "numpy":
        f = getattr(np, name)
        rule = {"multiply": lambda g, out: g * c, "add": lambda g, out: g, "tanh": lambda g, out: g * (1 - np.square(out))}[name]

        def step():
            outs, out = [], start
            for _ in range(LENGTH):
                out = f(out, *second)
                outs.append(out)
            if backward:
                g = np.ones_like(out)
                for out in reversed(outs):
                    g = rule(g, out)

        return step, None
    import minigrad

    f, x, ones = getattr(minigrad, name), minigrad.tensor(start, requires_grad=True), np.ones_like(start)

    def step():
        out = x
        for _ in range(LENGTH):
            out = f(out, *second)
        if backward:
            x.grad = None
            out.backward(ones)

    return step, None


def moons(points):
    """Two half circles that cannot be told apart by a line.   -> (points, 2), (points) of -1 and 1"""
    side = np.arange(points) % 2
    angle = np.random.default_rng(0).uniform(0, np.pi, points)
    x = np.stack([np.cos(angle) * (1 - 2 * side) + side, np.sin(angle) * (1 - 2 * side) + side / 2], 1)
    return x.astype(np.float32), (2 * side - 1).astype(np.float32)


def network(library, case):
    """One training step of a 2-16-16-1 network on two moons, as one writes it with arrays: hinge loss, backward, SGD."""
    x, y = moons(case["points"])
    make = tensor(library)
    parameters = [make(a) for n, m in zip(NETWORK, NETWORK[1:]) for a in (normal(n, m) / np.sqrt(np.float32(n)), np.zeros(m, np.float32))]
    module = __import__(library, fromlist=["optim"])
    optimiser = module.optim.SGD(parameters, lr=0.01)
    x, y = make(x, False), make(y[:, None], False)
    w1, b1, w2, b2, w3, b3 = parameters

    def step():
        optimiser.zero_grad()
        out = ((x @ w1 + b1).relu() @ w2 + b2).relu() @ w3 + b3
        loss = (1.0 - out * y).relu().mean()
        loss.backward()
        optimiser.step()
        return loss

    return step, None


def scalars(library, case):
    """The same network as micrograd has it, a node for every number: loss and backward, without the update."""
    x, y = moons(case["points"])
    if library == "micrograd":
        from micrograd.engine import Value as make

        clear = 0
    else:
        leaf, clear = tensor(library), None
        make = lambda number: leaf(np.array(number, np.float32))
    layers = [
        [([make(float(v)) for v in row], make(0.0)) for row in (normal(n, m) / np.sqrt(n)).T]  # one row of weights per neuron
        for n, m in zip(NETWORK, NETWORK[1:])
    ]
    parameters = [p for layer in layers for weights, bias in layer for p in (*weights, bias)]

    def step():
        for p in parameters:
            p.grad = clear
        loss = 0.0
        for point, target in zip(x.tolist(), y.tolist()):
            values = point
            for layer in layers:
                values = [sum([w * v for w, v in zip(weights, values)], bias) for weights, bias in layer]
                values = [v.relu() for v in values] if layer is not layers[-1] else values
            loss = (1.0 + values[0] * -target).relu() * (1.0 / len(x)) + loss
        loss.backward()
        return [p.grad for p in layers[0][0][0]]

    w1, w2, w3 = [normal(n, m) / np.sqrt(n) for n, m in zip(NETWORK, NETWORK[1:])]
    one = np.maximum(x @ w1, 0)
    two = np.maximum(one @ w2, 0)
    g = np.where(1 - (two @ w3)[:, 0] * y > 0, -y, 0)[:, None] / len(x) @ w3.T * (two > 0)  # (points, 16)
    expected = (x.T @ (g @ w2.T * (one > 0)))[:, 0]  # the first neuron's two weights
    return (lambda: [np.asarray(getattr(g, "data", g)) for g in step()]) if library == "torch" else step, list(expected)


def large(library, case):
    """(((x*w + b) * x).tanh() * w).sum() and the gradients for w and b, on a million numbers and more."""
    n, dtype = case["elements"], np.dtype(case["dtype"])
    x, w, b = [normal(n, seed=i, dtype=dtype) * dtype.type(0.5) for i in range(3)]

    def by_hand():
        t = x * w
        u = t + b
        v = u * x
        y = np.tanh(v)
        z = y * w
        g = np.broadcast_to(np.ones_like(z.sum()), z.shape)
        gw, gy = g * y, g * w
        gv = gy * (1 - np.square(y))
        gu = gv * x
        return [gu * x + gw, gu]

    def in_buffers():
        np.multiply(x, w, out=t)
        np.add(t, b, out=u)
        np.multiply(u, x, out=v)
        np.tanh(v, out=y)
        np.multiply(y, w, out=z)
        g = np.broadcast_to(np.ones_like(z.sum()), z.shape)
        np.multiply(g, y, out=gw)
        np.multiply(g, w, out=gy)
        np.square(y, out=gv)
        np.subtract(1, gv, out=gv)
        np.multiply(gy, gv, out=gv)
        np.multiply(gv, x, out=gv)
        np.multiply(gv, x, out=gy)
        np.add(gw, gy, out=gw)
        return [gw, gv]

    expected = by_hand()
    if library == "numpy":
        return by_hand, expected
    if library == "numpy, own buffers":
        t, u, v, y, z, gw, gy, gv = [np.empty_like(x) for _ in range(8)]
        return in_buffers, expected
    make = tensor(library)
    x_, w_, b_ = make(x, False), make(w), make(b)

    def step():
        w_.grad = b_.grad = None
        (((x_ * w_ + b_) * x_).tanh() * w_).sum().backward()
        return [w_.grad.numpy(), b_.grad.numpy()]

    return step, expected


# ------------------------------------------------------------------------------------------------------- the tables


def microseconds(value):
    return f"{value * 1e6:.1f}" if value < 1e-2 else f"{value * 1e6:,.0f}"


def compared(page, title, libraries, case, options):
    """Time one case with every library and print a line for each: microseconds, spread, and how minigrad compares."""
    rows = harness.compare("bench.engine", report.available(libraries), case, 1, steps=1, **report.timing(options))
    ours = rows["minigrad"].get("seconds")
    lines = []
    for name, row in rows.items():
        if "error" in row:
            lines.append((name, row["error"], "", ""))
            continue
        row["times_minigrad"] = row["seconds"] / ours if ours else None
        mark = "" if row["undisturbed"] else " *"
        lines.append((name, microseconds(row["seconds"]) + mark, f"{microseconds(row['p10'])} to {microseconds(row['p90'])}",
                      f"{row['times_minigrad']:.2f}" if ours else ""))
    page.show(title, ["", "microseconds", "p10 to p90", "times minigrad's"], lines)
    return {"title": title, "case": case, "libraries": rows}


def costs(page, options):
    """What one recorded and one walked op cost, with NumPy's time for the same arithmetic beside them."""
    lines, results = [], []
    for name in OPS:
        seconds = {}
        for backward in (False, True):
            case = {"kind": "op", "op": name, "backward": backward}
            rows = harness.compare("bench.engine", ["minigrad", "numpy"], case, 1, steps=1, **report.timing(options))
            for library, row in rows.items():
                seconds[library, backward] = row["seconds"] / LENGTH
            results.append({"case": case, "libraries": rows})
        walked = {library: seconds[library, True] - seconds[library, False] for library in ("minigrad", "numpy")}
        lines.append((name, *map(microseconds, (seconds["minigrad", False], seconds["numpy", False], walked["minigrad"], walked["numpy"]))))
    page.show(f"Microseconds per op on 4x4, in chains of {LENGTH}",
              ["op", "recorded", "NumPy", "walked", "NumPy, the gradient"], lines)
    return results


def main(argv):
    parser = argparse.ArgumentParser(prog="python -m bench engine", description=__doc__)
    parser.add_argument("--elements", default="1000000,4000000", help="sizes of the large chains (default: %(default)s)")
    parser.add_argument("--points", type=int, default=100, help="points of two moons (default: %(default)s)")
    parser.add_argument("--scalar-points", type=int, default=4, help="points where every number is a node (default: %(default)s)")
    report.add_options(parser, rounds=15, block=0.1, settle=0.3, patience=20.0)
    options = parser.parse_args(argv)

    page = report.Page("engine", options.out, threads=1)
    page.say("One thread; medians of quiet blocks, * where the machine was never quiet.")
    results = {"costs": costs(page, options), "chains": [], "network": [], "large": []}
    for wanted in (False, True):
        title = f"((x*w + b).relu()).sum().backward() on 4x4, gradients for {'x, w and b' if wanted else 'w and b'}"
        results["chains"].append(compared(page, title, CHAIN, {"kind": "chain", "all": wanted}, options))
    width = "-".join(map(str, NETWORK))
    results["network"] = [
        compared(page, f"A {width} network on {options.points} points of two moons, with arrays: one training step",
                 ("minigrad", "torch"), {"kind": "network", "points": options.points}, options),
        compared(page, f"A {width} network on {options.scalar_points} points, every number a node: loss and backward",
                 ("minigrad", "micrograd", "torch"), {"kind": "scalars", "points": options.scalar_points}, options),
    ]
    for elements in map(int, options.elements.split(",")):
        for dtype in ("float32", "float64"):
            results["large"].append(
                compared(page, f"(((x*w + b) * x).tanh() * w).sum().backward() on {elements} numbers of {dtype}", LARGE,
                         {"kind": "large", "elements": elements, "dtype": dtype}, options)
            )
    page.save(results)
    return 0
