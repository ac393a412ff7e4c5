"""The parameter table: three facts that are never mixed up."""

import numpy as np

import minigrad
from transformer import BatchNormalization, LanguageModel, LanguageModelConfig, LayerNormalization, Normalization
from transformer.summary import count, summary


def row(table, name):
    """The cells of the row that begins with a name."""
    (line,) = [line for line in table.splitlines() if line.startswith(name + " ")]
    return line[len(name) :].split()


def normalizations():
    model = minigrad.Sequential([Normalization(), BatchNormalization(), LayerNormalization()])
    model.layers[0].adapt(np.arange(15.0).reshape(3, 5))
    model(np.ones((3, 5), np.float32))
    return model


def test_three_normalizations_three_answers():
    table = summary(normalizations())
    assert row(table, "layers.0") == ["0", "0", "10", "adapt"]
    one, other = (line.split() for line in table.splitlines() if line.startswith("layers.1 "))  # two ways of change
    assert one[1:] == ["10", "0", "0", "gradient", "descent"]
    assert other[1:] == ["0", "0", "10", "running", "average"]
    assert row(table, "layers.2") == ["10", "0", "0", "gradient", "descent"]
    assert row(table, "together") == ["20", "0", "20"]


def test_a_row_per_array_with_its_shape():
    table = summary(normalizations(), arrays=True)
    assert row(table, "layers.1.moving_mean") == ["(5,)", "0", "0", "5", "running", "average"]
    assert row(table, "layers.2.gamma") == ["(5,)", "5", "0", "0", "gradient", "descent"]


def test_freezing_changes_neither_learnable_nor_non_learnable():
    model = normalizations()
    model.freeze()
    table = summary(model, arrays=True)
    assert row(table, "together") == ["20", "20", "20"]
    assert row(table, "layers.2.beta") == ["(5,)", "5", "5", "0", "nothing"]
    assert row(table, "layers.0.mean")[-1] == "adapt"


def test_the_table_of_a_language_model_adds_up():
    V, L, E, N = 11, 6, 8, 3
    F = 4 * E
    config = LanguageModelConfig(vocab_size=V, block_size=L, layers=N, heads=2, width=E)
    for tied in (True, False):
        config.tied = tied
        model = LanguageModel(config)
        learnable = V * E + L * E + N * (4 * E * E + 2 * E * F + 9 * E + F) + 2 * E + (0 if tied else V * E)
        assert row(summary(model), "together") == [f"{learnable:,}", "0", "0"]
        assert count(model.parameters()) == learnable
    assert row(summary(model), "blocks.*.attention x3")[0] == str(3 * (4 * E * E + 4 * E))


def test_a_tied_array_counts_once_under_both_names():
    model = minigrad.Sequential([minigrad.Dense(3).ensure_built((3,)), minigrad.Dense(3).ensure_built((3,))])
    model.layers[1].kernel = model.layers[0].kernel
    table = summary(model, arrays=True)
    assert row(table, "layers.0.kernel = layers.1.kernel")[:2] == ["(3,", "3)"]
    assert row(table, "together") == ["15", "0", "0"]
