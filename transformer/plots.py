"""Pictures of a run, drawn without touching matplotlib's global state."""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from transformer.errors import extra

INK, GREY, BLUE, ORANGE, GREEN = "#222222", "#8a8a8a", "#2f6db5", "#d9622b", "#3b8f5a"
COLOURS = (BLUE, ORANGE, GREEN, "#8a4fb0", "#b0922f", GREY, "#c03f6c", "#3fa3ab")


def loss_curve(
    history: Sequence[Mapping[str, Any]], baselines: Mapping[str, float], final_bits: float | None, title: str
) -> bytes:
    """A PNG of bits per character over the steps: training and validation, with the lines to pass and their names.

    `history` has a row per step with `step`, `train_loss` (nats) and `validation_bits` (where somebody looked);
    `final_bits` is the figure of the whole validation text, None where it was not measured.
    """
    steps = [row["step"] for row in history]
    training = [row["train_loss"] / math.log(2) for row in history]
    looks = [(row["step"], row["validation_bits"]) for row in history if row.get("validation_bits") is not None]

    figure = _figure(9, 5.4)
    axes = figure.add_axes((0.075, 0.115, 0.675, 0.775))
    last = max(steps, default=1)
    lowest = min([*training, *(bits for _, bits in looks), *baselines.values()], default=1.0)
    highest = max([*baselines.values(), 4.0]) + 0.35  # the first steps fall from far above what is worth seeing
    axes.set_xlim(0, last)
    axes.set_ylim(lowest - 0.15, highest)

    axes.plot(steps, training, color=BLUE, linewidth=0.6, alpha=0.25)
    axes.plot(steps, smooth(training), color=BLUE, linewidth=1.6, label="training, running mean")
    axes.plot(*zip(*looks), color=ORANGE, linewidth=1.8, marker="o", markersize=4, label="validation")
    if final_bits is not None:
        axes.plot([last], [final_bits], color=ORANGE, marker="D", markersize=7, clip_on=False, zorder=5, linestyle="")

    names = {name: (bits, GREY if name.endswith("gram") else GREEN, "normal") for name, bits in baselines.items()}
    if final_bits is not None:
        names["this model"] = (final_bits, ORANGE, "bold")
    for name, bits in baselines.items():
        axes.axhline(bits, color=names[name][1], linewidth=0.9, linestyle=(0, (4, 3)), alpha=0.8, zorder=0)
    gap = 0.043 * (highest - lowest + 0.15)
    heights = _spread([bits for bits, _, _ in names.values()], gap)
    for (name, (bits, colour, weight)), height in zip(names.items(), heights):
        axes.annotate(
            f"{bits:.2f}  {name}",
            xy=(1.0, bits),
            xytext=(1.035, height),
            xycoords=("axes fraction", "data"),
            textcoords=("axes fraction", "data"),
            color=colour,
            fontsize=9,
            fontweight=weight,
            verticalalignment="center",
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.7, "relpos": (0, 0.5), "shrinkB": 0},
            annotation_clip=False,
        )

    figure.text(0.075, 0.945, title, fontsize=13, fontweight="bold", color=INK, parse_math=False)
    _dress(axes, "bits per character")
    axes.legend(loc="best", fontsize=9, labelcolor=INK, frameon=False)
    return _png(figure)


def curves(series: Mapping[str, tuple[Sequence[float], Sequence[float]]], title: str, what: str, percent: bool = False) -> bytes:
    """A PNG of several numbers over the steps, one line with its name for each: name -> (steps, values)."""
    figure = _figure(9, 5.2, layout="constrained")
    axes = figure.subplots()
    for number, (name, (steps, values)) in enumerate(series.items()):
        few = len(steps) <= 40
        axes.plot(steps, values, color=COLOURS[number % len(COLOURS)], linewidth=1.8, marker="o" if few else "", markersize=3.5, label=name)
    if percent:
        axes.set_ylim(-0.03, 1.05)
        axes.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.0f}%")
    figure.suptitle(title, x=0.01, horizontalalignment="left", fontsize=13, fontweight="bold", color=INK, parse_math=False)
    _dress(axes, what)
    figure.legend(loc="outside lower center", ncols=min(3, len(series)), fontsize=9, labelcolor=INK, frameon=False)  # lies over no line
    return _png(figure)


def over_blocks(series: Mapping[str, np.ndarray], names: Sequence[str], title: str, what: str, notes: Sequence[str]) -> bytes:
    """A PNG of numbers from block to block, one line with its name at the end for each: name -> a value for each of ``names``.

    ``notes`` are lines of text under the title.
    """
    high = 4.6 + 0.22 * len(notes)
    figure = _figure(9, high)
    figure.text(0.075, 1 - 0.38 / high, title, fontsize=13, fontweight="bold", color=INK, parse_math=False)
    for number, note in enumerate(notes):
        figure.text(0.075, 1 - (0.68 + 0.22 * number) / high, note, fontsize=10, color=INK, parse_math=False)
    axes = figure.add_axes((0.075, 0.5 / high, 0.8, 3.3 / high))
    for number, values in enumerate(series.values()):
        colour = COLOURS[number % len(COLOURS)]
        axes.plot(range(len(names)), values, color=colour, linewidth=1.8, marker="o", markersize=4, clip_on=False)
    low, top = axes.get_ylim()
    heights = _spread([float(values[-1]) for values in series.values()], 0.055 * (top - low))
    for number, ((name, values), height) in enumerate(zip(series.items(), heights)):
        end = {"xytext": (len(names) - 0.75, height), "textcoords": "data", "annotation_clip": False, "verticalalignment": "center"}
        axes.annotate(name, (len(names) - 1, values[-1]), color=COLOURS[number % len(COLOURS)], fontsize=10, parse_math=False, **end)
    _dress(axes, what)
    axes.set_xlabel("")
    every = 1 + len(names) // 10
    axes.set_xticks(range(0, len(names), every), names[::every])
    return _png(figure)


@dataclass(frozen=True)
class Panel:
    """A table of numbers to be drawn as shades: values (R, C) with the names of its rows and columns."""

    values: np.ndarray
    rows: Sequence[str]
    columns: Sequence[str]


def shades(panels: Sequence[Panel], title: str, rows: str, columns: str, highest: float | None = 1.0, across: int = 2) -> bytes:
    """A PNG of tables as shades from 0 (white) to ``highest``, or to the largest of each, ``across`` beside each other.

    ``rows`` and ``columns`` say what stands along the axes.
    """
    across = min(across, len(panels))
    down, cell, head = -(-len(panels) // across), 0.24, 0.5  # inches, as all that follows; a cell is as large in every panel
    upright = 0.4 + 0.07 * max(len(word) for panel in panels for word in panel.columns)
    level = 0.35 + 0.07 * max(len(word) for panel in panels for word in panel.rows)
    wide = level + cell * max(len(panel.columns) for panel in panels) + 0.15
    high = upright + cell * max(len(panel.rows) for panel in panels) + 0.05
    width, height = max(across * wide, 0.12 * len(title)), down * high + head
    figure = _figure(width, height)
    figure.text(0.1 / width, 1 - 0.3 / height, title, fontsize=13, fontweight="bold", color=INK, parse_math=False)
    for number, panel in enumerate(panels):
        row, column = divmod(number, across)
        R, C = panel.values.shape
        left, top = column * wide + level, height - head - row * high
        axes = figure.add_axes((left / width, (top - R * cell) / height, C * cell / width, R * cell / height))
        axes.imshow(panel.values, cmap="Blues", vmin=0, vmax=highest)
        turned = 90 if max(map(len, panel.columns)) > 2 else 0
        axes.set_xticks(range(len(panel.columns)), panel.columns, fontsize=8, rotation=turned, parse_math=False)
        axes.set_yticks(range(len(panel.rows)), panel.rows, fontsize=8, parse_math=False)
        axes.set_xlabel(columns, color=GREY, fontsize=8)
        axes.set_ylabel(rows, color=GREY, fontsize=8)
        axes.tick_params(colors=INK, length=0)
        axes.spines[:].set_color(GREY)
    return _png(figure)


def _figure(width: float, height: float, **options: Any) -> Any:
    """An empty white picture, in inches."""
    with extra("train"):
        from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=150, facecolor="white", **options)


def _png(figure: Any) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    content = io.BytesIO()
    FigureCanvasAgg(figure).print_png(content)
    return content.getvalue()


def _dress(axes: Any, what: str) -> None:
    """The look that all curves have."""
    axes.set_xlabel("step", color=INK)
    axes.set_ylabel(what, color=INK)
    axes.xaxis.set_major_formatter(lambda step, _: f"{step:,.0f}")
    axes.tick_params(colors=INK, length=3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GREY)


def smooth(values: Sequence[float]) -> list[float]:
    """The running mean over a hundredth of all values to either side, so that nothing lags.

    >>> smooth([1.0, 2.0, 4.0])
    [1.0, 2.0, 4.0]
    """
    sums, reach = [0.0, *itertools.accumulate(values)], len(values) // 100
    ends = [(max(0, place - reach), min(len(values), place + reach + 1)) for place in range(len(values))]
    return [(sums[last] - sums[first]) / (last - first) for first, last in ends]


def _spread(heights: Sequence[float], gap: float) -> list[float]:
    """Heights at least `gap` apart and near where they belong: labels that would overlap share their middle.

    >>> _spread([1.0, 3.0, 1.1], gap=0.5)
    [0.8, 3.0, 1.3]
    """
    order = sorted(range(len(heights)), key=lambda place: heights[place])
    groups: list[list[int]] = []
    for place in order:
        groups.append([place])
        while len(groups) > 1 and _span(groups[-1], heights, gap)[0] < _span(groups[-2], heights, gap)[1] + gap:
            groups[-2:] = [groups[-2] + groups[-1]]
    result = list(heights)
    for group in groups:
        low, _ = _span(group, heights, gap)
        for rank, place in enumerate(group):
            result[place] = round(low + rank * gap, 9)
    return result


def _span(group: Sequence[int], heights: Sequence[float], gap: float) -> tuple[float, float]:
    """Lowest and highest label of a group, whose middle is the mean of where its labels belong."""
    middle = sum(heights[place] for place in group) / len(group)
    half = gap * (len(group) - 1) / 2
    return middle - half, middle + half
