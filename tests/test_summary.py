"""The parameter table: what each layer gives, how many numbers it has, and three facts that are never mixed up."""

import html.parser
import io
import pickle
import sys

import numpy as np
import pytest

import minigrad as mg
import transformer
from minigrad.errors import LayerError
from minigrad.summary import Summary, count, summary
from transformer import (
    Attention,
    BatchNormalization,
    Dense,
    Dropout,
    Embedding,
    EncoderBlock,
    EncoderDecoder,
    EncoderDecoderConfig,
    LanguageModel,
    LanguageModelConfig,
    LayerNormalization,
    MultiHeadAttention,
    Normalization,
    Softmax,
)
from transformer.__main__ import main
from transformer.pretrained import save_pretrained
from transformer.tokenizers import CharTokenizer

B, T, S, E, F = 2, 3, 4, 6, 5
X = np.random.default_rng(1).standard_normal((B, T, E)).astype(np.float32)


def rows(model, name, **options):
    """What the rows called so say: output shape, how many numbers, what changes them."""
    return [tuple(cells) for called, *cells in summary(model, **options).rows if called == name]


def names(model, **options):
    return [name for name, *_ in summary(model, **options).rows]


def facts(model):
    """The line that keeps the three facts apart."""
    return summary(model).totals[-1]


def normalizations():
    model = mg.Sequential([Normalization(), BatchNormalization(), LayerNormalization()])
    model.layers[0].adapt(np.arange(15.0).reshape(T, F))
    model(np.ones((T, F), np.float32), training=True)
    return model


# ----------------------------------------------------------------------------------------- what changes the numbers


def test_three_normalizations_three_answers():
    model, out = normalizations(), f"(None, {F})"
    assert rows(model, "layers.0 (Normalization)") == [(out, 2 * F, "adapt")]
    assert rows(model, "layers.1 (BatchNormalization)") == [(out, 2 * F, "gradient descent"), (out, 2 * F, "running average")]
    assert rows(model, "layers.2 (LayerNormalization)") == [(out, 2 * F, "gradient descent")]
    assert facts(model) == f"learnable {4 * F} (of which frozen 0), non-learnable {4 * F}"


def test_a_row_per_array_with_its_shape():
    table = summary(normalizations(), arrays=True)
    assert table.head == ("array", "shape", "parameters", "updated by")
    assert table.rows == (
        ("layers.0.mean", "(5,)", 5, "adapt"),
        ("layers.0.variance", "(5,)", 5, "adapt"),
        ("layers.1.gamma", "(5,)", 5, "gradient descent"),
        ("layers.1.beta", "(5,)", 5, "gradient descent"),
        ("layers.1.moving_mean", "(5,)", 5, "running average"),
        ("layers.1.moving_variance", "(5,)", 5, "running average"),
        ("layers.2.gamma", "(5,)", 5, "gradient descent"),
        ("layers.2.beta", "(5,)", 5, "gradient descent"),
    )


def test_freezing_changes_neither_learnable_nor_non_learnable():
    model = normalizations()
    model.freeze()
    assert facts(model) == f"learnable {4 * F} (of which frozen {4 * F}), non-learnable {4 * F}"
    assert [by for *_, by in rows(model, "layers.1 (BatchNormalization)")] == ["frozen", "running average"]
    assert [by for *_, by in rows(model, "layers.0 (Normalization)")] == ["adapt"]
    size = (8 * F + 2 * F) * 4  # what `adapt` knows is float64
    assert summary(model).totals[1:3] == ("Trainable params: 0 (0.00 B)", f"Non-trainable params: {8 * F} ({size}.00 B)")


def test_a_partly_frozen_layer_has_two_rows():
    layer = Dense(F).ensure_built((E,))
    layer.kernel.frozen = True
    assert summary(layer).rows == (
        ("itself (Dense)", "?", E * F, "frozen"),
        ("itself (Dense)", "?", F, "gradient descent"),
    )


def test_a_layer_says_itself_what_changes_its_buffers():
    class Counter(mg.Layer):
        buffers_updated_by = "every call"

        def __init__(self):
            self.calls = mg.Buffer([0.0])

    class Plain(mg.Layer):
        def __init__(self):
            self.table = mg.Buffer(np.zeros((2, 3)))

    assert summary(mg.Sequential([Counter(), Plain()])).rows == (
        ("layers.0 (Counter)", "?", 1, "every call"),
        ("layers.1 (Plain)", "?", 6, "nothing"),
    )


def test_totals_count_bytes_of_the_arrays_own_type():
    with mg.use_default_dtype("float64"):
        layer = Dense(F).ensure_built((E,))
    layer.bias.frozen = True
    assert summary(layer).totals == (
        "Total params: 35 (280.00 B)",
        "Trainable params: 30 (240.00 B)",
        "Non-trainable params: 5 (40.00 B)",
        "learnable 35 (of which frozen 5), non-learnable 0",
    )


# -------------------------------------------------------------------------------------------------- which rows there are


def test_layers_without_arrays_have_a_row_and_containers_have_none():
    model = mg.Sequential([Dense(F), Dropout(0.5), mg.Sequential([Softmax(axis=1)])])
    model(X)
    out = f"(None, {T}, {F})"
    assert summary(model).rows == (
        ("layers.0 (Dense)", out, E * F + F, "gradient descent"),
        ("layers.1 (Dropout)", out, 0, "nothing"),
        ("layers.2.layers.0 (Softmax)", out, 0, "nothing"),
    )
    assert names(model, arrays=True) == ["layers.0.kernel", "layers.0.bias"]


def test_attention_has_no_learnable_parameters():
    q, v = np.ones((B, T, E)), np.ones((B, S, E))
    assert summary(Attention(), inputs=[q, v]).rows == (("itself (Attention)", f"(None, {T}, {E})", 0, "nothing"),)


class Gated(mg.Layer):
    """gain * inner(x): arrays of its own, and a layer inside."""

    def build(self, input_shape):
        self.inner = Dense(input_shape[-1])
        self.gain = mg.Parameter(np.ones(input_shape[-1], np.float32))
        self.shares = mg.Buffer([0.5])

    def call(self, x):
        return self.gain * self.inner(x)


def test_a_layer_with_arrays_of_its_own_and_layers_inside():
    layer, out = Gated(), f"(None, {T}, {E})"
    layer(X)
    assert summary(layer).rows == (
        ("inner (Dense)", out, E * E + E, "gradient descent"),
        ("itself (Gated)", out, E, "gradient descent"),
        ("itself (Gated)", out, 1, "nothing"),
    )


def test_equal_layers_of_numbered_blocks_share_a_row():
    model = mg.Sequential([Dense(E), *[Gated() for _ in range(3)]])
    model(X)
    out = f"(None, {T}, {E})"
    assert summary(model).rows == (
        ("layers.0 (Dense)", out, E * E + E, "gradient descent"),
        ("layers.*.inner x3 (Dense)", out, 3 * (E * E + E), "gradient descent"),
        ("layers.* x3 (Gated)", out, 3 * E, "gradient descent"),
        ("layers.* x3 (Gated)", out, 3, "nothing"),
    )
    assert names(model, arrays=True)[2:4] == ["layers.*.inner.kernel x3", "layers.*.inner.bias x3"]


def test_equal_layers_in_a_row_are_no_blocks():
    model = mg.Sequential([Dense(E), Dense(E)])
    model(X)
    assert names(model) == ["layers.0 (Dense)", "layers.1 (Dense)"]
    assert names(model, arrays=True) == ["layers.0.kernel", "layers.0.bias", "layers.1.kernel", "layers.1.bias"]


def test_blocks_that_differ_say_their_numbers():
    model = mg.Sequential([Gated() for _ in range(6)])
    model(X)
    for number in (0, 1, 2, 4):
        model.layers[number].inner.freeze()
    assert names(model)[:3] == ["layers.0-2,4.inner x4 (Dense)", "layers.* x6 (Gated)", "layers.* x6 (Gated)"]
    assert rows(model, "layers.3,5.inner x2 (Dense)")[0][1:] == (2 * (E * E + E), "gradient descent")


def test_a_tied_array_counts_once_under_both_names():
    model = mg.Sequential([Dense(E).ensure_built((E,)), Dense(E).ensure_built((E,))])
    model.layers[1].kernel = model.layers[0].kernel
    assert rows(model, "layers.0.kernel = layers.1.kernel", arrays=True) == [(f"({E}, {E})", E * E, "gradient descent")]
    assert [(name, size) for name, _, size, _ in summary(model).rows] == [
        ("layers.0 = layers.1 (Dense)", E * E),
        ("layers.0 (Dense)", E),
        ("layers.1 (Dense)", E),
    ]
    assert facts(model).startswith(f"learnable {E * E + 2 * E} ")


def test_a_tie_between_unlike_layers_names_both():
    class Tied(mg.Layer):
        def __init__(self):
            self.embedding, self.head = Embedding(7, E), mg.Layer(name="head")
            self.head.kernel = self.embedding.embeddings

        def call(self, ids):
            return self.embedding(ids)

    row = ("embedding = head (Embedding = head: Layer)", f"(None, {T}, {E}) = ?", 7 * E, "gradient descent")
    assert summary(Tied(), inputs=np.zeros((B, T), np.int64)).rows == (row,)


def test_a_shared_layer_has_one_row_with_all_its_names():
    dense, dropout = Dense(E), Dropout(0.5)
    model = mg.Sequential([dense, dropout, dense, dropout])
    model(X)
    assert names(model) == ["layers.0 = layers.2 (Dense)", "layers.1 = layers.3 (Dropout)"]
    assert facts(model).startswith(f"learnable {E * E + E} ")


def test_a_model_without_layers():
    assert summary(mg.Sequential()).rows == (("itself (Sequential)", "?", 0, "nothing"),)
    lines = str(summary(mg.Sequential(), arrays=True)).splitlines()
    assert lines[0] == "Sequential" and lines[4] == "Total params: 0 (0.00 B)" and len(lines) == 8


# ------------------------------------------------------------------------------------------------------- output shapes


def test_output_shapes_are_those_of_the_last_call():
    model = mg.Sequential([Dense(F).ensure_built((E,))])
    assert rows(model, "layers.0 (Dense)")[0][0] == "?"
    model(X)
    assert rows(model, "layers.0 (Dense)")[0][0] == f"(None, {T}, {F})"
    model(X[:, 0])
    assert rows(model, "layers.0 (Dense)")[0][0] == f"(None, {F})"


class Gives(mg.Layer):
    """Whatever a function makes of its input."""

    def __init__(self, function):
        self.function = function

    def call(self, x):
        return self.function(x)


@pytest.mark.parametrize(
    ("function", "shown"),
    [
        (lambda x: (x, x[:, 0]), f"(None, {T}, {E}), (None, {E})"),
        (lambda x: [x, [x[0], None]], f"(None, {T}, {E}), (None, {E})"),
        (lambda x: {"a": x}, f"(None, {T}, {E})"),
        (lambda x: x.sum(), "()"),
        (lambda x: None, "?"),
        (lambda x: [[1], [2, 3]], "?"),
        (lambda x: "text", "?"),
    ],
)
def test_outputs_of_every_kind(function, shown):
    assert rows(Gives(function), "itself (Gives)", inputs=X)[0][0] == shown


def test_weights_of_attention_are_a_second_output():
    layer = MultiHeadAttention(2, 5)
    layer(X, np.ones((B, S, E), np.float32), return_attention_scores=True)
    assert rows(layer, "itself (MultiHeadAttention)")[0][0] == f"(None, {T}, {E}), (None, 2, {T}, {S})"


def test_inputs_are_one_or_a_tuple():
    layer = MultiHeadAttention(2, 5)
    assert rows(layer, "itself (MultiHeadAttention)", inputs=(X, np.ones((B, S, E), np.float32)))[0][0] == f"(None, {T}, {E})"
    model = mg.Sequential([Dense(F)])
    assert rows(model, "layers.0 (Dense)", inputs=X)[0][0] == f"(None, {T}, {F})"
    assert model.built and model.count_params() == E * F + F


class Noisy(mg.Layer):
    """Draws and counts in inference too, and remembers how it was called."""

    def __init__(self):
        self.generator, self.calls, self.modes = mg.Generator(3), mg.Buffer([0.0]), []

    def call(self, x, training=False):
        self.modes.append((training, mg.is_grad_enabled()))
        self.calls.assign(self.calls.numpy() + 1)
        return x + self.generator.normal(x.shape)


def test_a_call_on_inputs_leaves_a_built_model_as_it_was():
    layer = mg.Sequential([Noisy(), Dense(F).ensure_built((E,)), Dropout(0.5), BatchNormalization().ensure_built((F,))])
    before, ours, default = layer.state_dict(), layer.layers[0].generator.state(), mg.random.current().state()
    summary(layer, inputs=X)
    assert layer.layers[0].modes == [(False, False)]
    assert all(np.array_equal(before[path], now) for path, now in layer.state_dict().items())
    assert layer.layers[0].generator.state() == ours and mg.random.current().state() == default


def test_models_built_by_the_table_begin_with_numbers_of_their_own():
    one, other = Dense(F), Dense(F)
    summary(one, inputs=X), summary(other, inputs=X)
    assert not np.array_equal(one.kernel.numpy(), other.kernel.numpy())


def test_a_model_with_an_example_is_called_on_it_unless_it_was_called_before():
    class Exemplary(Noisy):
        def example(self):
            return (X,)

    model = Exemplary()
    assert rows(model, "itself (Exemplary)") == [(f"(None, {T}, {E})", 1, "nothing")]
    assert len(model.modes) == 1
    model(X[:, 0])
    assert rows(model, "itself (Exemplary)") == [(f"(None, {E})", 1, "nothing")]
    assert len(model.modes) == 2


def test_a_layer_that_is_called_example_is_no_example():
    class Model(mg.Layer):
        def __init__(self):
            self.example = Dropout(0.5)

    assert names(Model()) == ["example (Dropout)"]


# ------------------------------------------------------------------------------------------------------ whole models


@pytest.mark.parametrize("tied", [True, False])
def test_the_table_of_a_language_model_adds_up(tied):
    V, L, E, N = 11, 6, 8, 3
    F = 4 * E
    model = LanguageModel(LanguageModelConfig(vocab_size=V, block_size=L, layers=N, heads=2, width=E, tied=tied))
    learnable = V * E + L * E + N * (4 * E * E + 2 * E * F + 9 * E + F) + 2 * E + (0 if tied else V * E)
    table = summary(model)
    assert sum(size for _, _, size, _ in table.rows) == count(model.parameters()) == learnable
    assert sum(size for _, _, size, _ in summary(model, arrays=True).rows) == learnable
    assert table.totals[0] == f"Total params: {learnable:,} ({learnable * 4 / 1024:.2f} KB)"
    assert ("blocks.*.attention x3 (MultiHeadAttention)", f"(None, {L}, {E})", N * (4 * E * E + 4 * E), "gradient descent") in table.rows
    assert rows(model, "blocks.*.feed_forward.wide x3 (Dense)")[0][:2] == (f"(None, {L}, {F})", N * (E * F + F))
    assert rows(model, "head (Dense)") == ([] if tied else [(f"(None, {L}, {V})", V * E, "gradient descent")])


def test_every_row_of_a_model_with_an_example_has_an_output_shape():
    model = EncoderDecoder(EncoderDecoderConfig(11, 9, source_length=5, target_length=4, layers=2, heads=2, width=6))
    table = summary(model)
    assert all(shape.startswith("(None, ") for _, shape, _, _ in table.rows)
    assert ("decoder.blocks.*.cross_attention x2 (MultiHeadAttention)", "(None, 4, 6)") in [row[:2] for row in table.rows]
    assert ("encoder.blocks.*.attention x2 (MultiHeadAttention)", "(None, 5, 6)") in [row[:2] for row in table.rows]


def test_a_block_shows_its_parts():
    block = EncoderBlock(num_heads=2, key_dim=4, width=7)
    assert names(block, inputs=X) == [
        "attention (MultiHeadAttention)",
        "after_attention.normalization (LayerNormalization)",
        "after_attention.dropout (Dropout)",
        "feed_forward.wide (Dense)",
        "feed_forward.narrow (Dense)",
        "after_feed_forward.normalization (LayerNormalization)",
        "after_feed_forward.dropout (Dropout)",
    ]


# -------------------------------------------------------------------------------------------------------- how it looks

ODD = "[red]q[/red] <b>&amp;"  # what rich and a browser would read as mark-up


def named():
    model = mg.Sequential([Dense(F, name=ODD), Dropout(0.5)], name="[bold]<i>model")
    model(X)
    return model


TEXT = """\
[bold]<i>model: Sequential
layer (type)                             output shape  parameters  updated by
-----------------------------------------------------------------------------------
layers.0 ([red]q[/red] <b>&amp;: Dense)  (None, 3, 5)          35  gradient descent
layers.1 (Dropout)                       (None, 3, 5)           0  nothing
-----------------------------------------------------------------------------------
Total params: 35 (140.00 B)
Trainable params: 35 (140.00 B)
Non-trainable params: 0 (0.00 B)
learnable 35 (of which frozen 0), non-learnable 0"""


def test_the_text():
    assert str(summary(named())) == repr(summary(named())) == TEXT


class Cells(html.parser.HTMLParser):
    """The text in every cell of an HTML table, row by row, and what stands outside."""

    def __init__(self):
        super().__init__()
        self.rows, self.outside, self.inside = [], "", False

    def handle_starttag(self, tag, attributes):
        assert tag in ("table", "caption", "thead", "tbody", "tr", "th", "td", "p", "br")  # nothing that a name brought
        self.inside = tag in ("th", "td")
        if tag == "tr":
            self.rows.append([])
        if self.inside:
            self.rows[-1].append("")

    def handle_data(self, data):
        if self.inside:
            self.rows[-1][-1] += data
        else:
            self.outside += data + "\n"

    def handle_endtag(self, tag):
        self.inside = False


def test_a_notebook_shows_the_same_cells():
    table, page = summary(named()), Cells()
    page.feed(table._repr_html_())
    assert page.rows == [list(table.head), *[[name, shape, f"{size:,}", by] for name, shape, size, by in table.rows]]
    assert page.outside.splitlines() == [table.title, *table.totals]


def drawn(table, width=200, **options):
    console = pytest.importorskip("rich.console").Console(file=io.StringIO(), width=width, force_terminal=True, **options)
    console.print(table)
    return console.file.getvalue()


def test_rich_draws_the_same_cells_and_reads_no_markup():
    table = summary(named())
    lines = drawn(table, color_system=None).splitlines()
    for cells in (table.head, *[(name, shape, f"{size:,}", by) for name, shape, size, by in table.rows]):
        assert any(" ".join(line.split()) == " ".join(" ".join(cells).split()) for line in lines), cells
    assert lines[0].strip() == table.title and [line.strip() for line in lines[-4:]] == list(table.totals)


def test_rich_tells_apart_in_colours_what_changes_numbers():
    model = normalizations()
    model.layers[2].freeze()
    lines = drawn(summary(model)).splitlines()
    words = ("gradient descent", "running average", "frozen")
    colours = {next(line for line in lines if word in line).split(word)[0].rpartition("\x1b")[2] for word in words}
    assert len(colours) == 3


def test_a_narrow_terminal_breaks_lines_and_loses_nothing():
    table = summary(LanguageModel(LanguageModelConfig(11, 6, layers=2, heads=2, width=8)))
    lines = drawn(table, 70, color_system=None).splitlines()
    width = next(line.index("output shape") for line in lines if "output shape" in line)
    first = "".join("".join(line[:width].split()) for line in lines)  # the column of the names, put together again
    assert all("".join(name.split()) in first for name, *_ in table.rows)
    assert sum("gradient descent" in line for line in lines) == sum(by == "gradient descent" for *_, by in table.rows)


def test_the_method_prints_the_table_and_gives_nothing(capsys):
    model = named()
    assert model.summary() is None
    assert capsys.readouterr().out == f"{summary(model)}\n"
    model.summary(arrays=True)
    assert capsys.readouterr().out == f"{summary(model, arrays=True)}\n"
    assert Dense(F).summary(inputs=X) is None
    assert f"(None, {T}, {F})" in capsys.readouterr().out


def test_on_a_terminal_the_method_draws_with_rich(capsys, monkeypatch):
    pytest.importorskip("rich")
    monkeypatch.setenv("FORCE_COLOR", "1")  # what rich takes for a terminal
    monkeypatch.setenv("COLUMNS", "120")
    named().summary()
    shown = capsys.readouterr().out
    assert "\x1b[" in shown and "─" in shown and ODD in shown


def test_without_rich_it_is_text_everywhere(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    for module in [name for name in sys.modules if name.partition(".")[0] == "rich"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "rich", None)
    model = named()
    model.summary()
    assert capsys.readouterr().out == f"{summary(model)}\n"
    assert summary(model)._repr_html_()


def test_a_table_is_a_value():
    model = named()
    assert pickle.loads(pickle.dumps(summary(model))) == summary(model) and isinstance(summary(model), Summary)
    assert transformer.summary is mg.summary is summary and transformer.count is count


# -------------------------------------------------------------------------------------------------------------- errors


def test_a_model_that_is_not_built_says_how_to_build_it():
    model = mg.Sequential([Dense(F).ensure_built((E,)), Dense(F)])
    for arrays in (False, True):
        with pytest.raises(LayerError, match=r"layers\.1: Dense .*Call the model once.*ensure_built"):
            summary(model, arrays)


@pytest.mark.parametrize("model", [[Dense(F)], Dense, "runs/small"])
def test_only_layers_have_a_table(model):
    with pytest.raises(TypeError, match="summary: takes a Layer. Received: model"):
        summary(model)


@pytest.mark.parametrize("inputs", [(B, E), (None, E), 3])
def test_a_shape_in_the_place_of_inputs(inputs):
    with pytest.raises(TypeError, match=r"summary: inputs are arrays.*np\.ones\(shape\)"):
        summary(Dense(F), inputs=inputs)


# -------------------------------------------------------------------------------------------------------- the command


@pytest.fixture
def run(tmp_path):
    tokenizer = CharTokenizer("abcdefg")
    save_pretrained(LanguageModel(LanguageModelConfig(7, 6, layers=2, heads=2, width=8)), tmp_path, tokenizer)
    return tmp_path


def test_the_command_shows_the_model_of_a_run(run, capsys, monkeypatch):
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    assert main(["summary", str(run)]) == 0
    shown = capsys.readouterr().out
    assert shown == f"{summary(transformer.generation.load_run(run)[0])}\n" and "blocks.*.attention x2 (MultiHeadAttention)" in shown
    assert main(["summary", str(run), "--arrays", "true"]) == 0
    assert "blocks.*.attention.query_kernel x2" in capsys.readouterr().out


def test_the_command_draws_on_a_terminal(run, capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert main(["summary", str(run)]) == 0
    shown = capsys.readouterr().out
    assert "\x1b[" in shown and "─" in shown and "MultiHeadAttention" in shown


def test_mistakes_on_the_command_line(capsys):
    for words, code, message in (
        (["summary"], 2, "required: RUN"),
        (["summary", "nowhere"], 1, "There is no model nowhere"),
        (["summary", "nowhere", "--arrays", "all"], 2, "--arrays: 'all' is not true or false"),
        (["summary", "nowhere", "--array", "true"], 2, "did you mean --arrays?"),
    ):
        assert main(words) == code
        assert message in capsys.readouterr().err


# ------------------------------------------------------------------------------------------------------- beside Keras


def kerass_totals(model):
    lines = []
    model.summary(print_fn=lambda text, **_: lines.extend(text.splitlines()))
    return [line.strip() for line in lines if "params:" in line]


@pytest.mark.oracle
@pytest.mark.parametrize("frozen", [(), (1,), (0, 2), (0, 1, 2, 3, 4)], ids=str)
def test_totals_are_kerass(frozen):
    keras = pytest.importorskip("keras")

    def parts(of):
        return [of.Dense(9, use_bias=False), of.BatchNormalization(), of.Dropout(0.5), of.LayerNormalization(), of.Dense(4)]

    ours, theirs = mg.Sequential(parts(transformer)), keras.Sequential([keras.Input((T, E)), *parts(keras.layers)])
    ours(X, training=True)
    for number in frozen:
        ours.layers[number].freeze()
        theirs.layers[number].trainable = False
    assert list(summary(ours).totals[:3]) == kerass_totals(theirs)


@pytest.mark.oracle
@pytest.mark.parametrize("V", [7, 40_000])
def test_totals_are_kerass_for_ids_too(V):
    keras = pytest.importorskip("keras")

    def parts(of):
        return [of.Embedding(V, 50), of.LayerNormalization(center=False), of.Dense(3)]

    ours, theirs = mg.Sequential(parts(transformer)), keras.Sequential([keras.Input((T,), dtype="int32"), *parts(keras.layers)])
    ours(np.zeros((B, T), np.int64))
    table = summary(ours)
    assert list(table.totals[:3]) == kerass_totals(theirs)
    assert [shape for _, shape, _, _ in table.rows] == [str(layer.output.shape) for layer in theirs.layers]
    assert [size for _, _, size, _ in table.rows] == [layer.count_params() for layer in theirs.layers]


@pytest.mark.oracle
def test_bytes_are_written_as_keras_writes_them():
    utils = pytest.importorskip("keras.src.utils.summary_utils")
    for size in (0, 1, 1023, 1024, 3277, 1024**2 - 1, 1024**2, 5 * 1024**3, 7 * 1024**4):
        assert sys.modules["minigrad.summary"]._memory(size) == utils.readable_memory_size(size)
