"""Learnable, non-learnable and frozen are three facts; what belongs to a layer; its state and its copies."""

import copy
import pickle

import numpy as np
import pytest

import minigrad as mg
from minigrad.core import Tensor
from minigrad.errors import DtypeError, GradientError, LayerError, ShapeError


class Scale(mg.Layer):
    """gamma x + shift, and a buffer that counts the calls in training."""

    def __init__(self):
        self.calls = mg.Buffer([0.0])

    def build(self, input_shape):
        self.gamma = mg.Parameter(np.ones(input_shape[-1], np.float32))
        self.shift = mg.Parameter(np.zeros(input_shape[-1], np.float32))

    def call(self, x, training=False):
        if training:
            self.calls.assign(self.calls.numpy() + 1)
        return x * self.gamma + self.shift


def model():
    made = mg.Sequential([mg.Dense(4, "tanh"), Scale(), mg.Dense(2, use_bias=False)])
    made(np.ones((5, 3), np.float32))
    return made


X = np.random.default_rng(8).standard_normal((5, 3)).astype(np.float32)


# ------------------------------------------------------------------------------------------------------- three facts


def test_a_parameter_is_learnable_and_a_buffer_is_not():
    assert mg.Parameter([1.0]).requires_grad and not mg.Buffer([1.0]).requires_grad
    assert isinstance(mg.Parameter([1.0]), Tensor) and isinstance(mg.Buffer([1.0]), Tensor)


def test_nothing_makes_a_buffer_learnable():
    b = mg.Buffer([1.0])
    with pytest.raises(GradientError, match=r"Buffer is not learnable.*Parameter.*\(1,\)"):
        b.requires_grad = True
    b.requires_grad = False  # what it is anyway
    layer = model()
    layer.freeze()
    layer.unfreeze()
    layer.trainable = True
    assert not any(b.requires_grad for b in layer.buffers())
    p = mg.Parameter([2.0])
    (p * b).backward()
    assert b.grad is None


def test_an_optimiser_refuses_a_buffer():
    for optimiser in (mg.optim.SGD, mg.optim.AdamW):
        with pytest.raises(GradientError, match="Buffer is not learnable"):
            optimiser([mg.Parameter([1.0]), mg.Buffer([1.0])])


def test_no_optimiser_step_moves_a_buffer_and_no_statistic_moves_a_parameter():
    layer = model()
    learnable = {path: p.numpy() for path, p in layer.named_parameters().items()}
    layer(X, training=True)
    assert layer.layers[1].calls.tolist() == [1.0]
    assert all(np.array_equal(learnable[path], p.numpy()) for path, p in layer.named_parameters().items())
    for optimiser in (mg.optim.SGD(layer.parameters(), lr=0.1), mg.optim.AdamW(layer.parameters(), lr=0.1, weight_decay=0.5)):
        (layer(X) ** 2).sum().backward()
        optimiser.step()
        assert layer.layers[1].calls.tolist() == [1.0]
    assert not any(np.array_equal(learnable[path], p.numpy()) for path, p in layer.named_parameters().items())


def test_freezing_changes_neither_type_nor_counts():
    layer = model()
    before = [list(layer.named_parameters()), list(layer.named_buffers()), layer.count_params()]
    layer.layers[0].freeze()
    assert [list(layer.named_parameters()), list(layer.named_buffers()), layer.count_params()] == before
    assert [p.frozen for p in layer.parameters()] == [True, True, False, False, False]
    assert len(layer.trainable_weights) == 3 and len(layer.non_trainable_weights) == 3
    assert all(type(p) is mg.Parameter for p in layer.parameters())


def test_a_frozen_parameter_gets_no_gradient_and_does_not_move():
    layer = model()
    optimiser = mg.optim.AdamW(layer.parameters(), lr=0.1, weight_decay=0.5)
    (layer(X) ** 2).sum().backward()
    layer.layers[0].freeze()
    kept = layer.layers[0].kernel.numpy()
    optimiser.step()
    assert layer.layers[0].kernel.numpy() is not None and np.array_equal(layer.layers[0].kernel.numpy(), kept)
    layer.zero_grad()
    (layer(X) ** 2).sum().backward()
    assert layer.layers[0].kernel.grad is None and layer.layers[2].kernel.grad is not None
    layer.unfreeze()
    (layer(X) ** 2).sum().backward()
    assert layer.layers[0].kernel.grad is not None


def test_trainable_is_kerass_word_for_freezing():
    layer = model()
    assert layer.trainable
    layer.trainable = False
    assert not layer.trainable and not layer.trainable_weights and len(layer.parameters()) == 5
    layer.trainable = True
    assert len(layer.trainable_weights) == 5


def test_a_buffer_never_holds_a_graph():
    p, b = mg.Parameter([1.0]), mg.Buffer([0.0])
    with pytest.raises(GradientError, match="multiply.*detach"):
        b.assign(p * 2)
    b.assign((p * 2).detach())
    assert b.tolist() == [2.0]


# ---------------------------------------------------------------------------------------------------- what belongs to it


def test_paths_are_attributes_in_the_order_of_definition():
    layer = model()
    assert list(layer.named_tensors()) == [
        "layers.0.kernel", "layers.0.bias", "layers.1.calls", "layers.1.gamma", "layers.1.shift", "layers.2.kernel"
    ]  # fmt: skip
    assert list(layer.named_buffers()) == ["layers.1.calls"]
    assert layer.count_params() == 3 * 4 + 4 + 1 + 4 + 4 + 4 * 2


def test_lists_tuples_and_dicts_are_searched():
    class Nest(mg.Layer):
        def __init__(self):
            self.many = {"a": [mg.Parameter([1.0])], "b": (mg.Buffer([2.0]), Scale())}

        def call(self, x):
            return x

    nest = Nest()
    nest.many["b"][1].ensure_built((None, 3))
    assert list(nest.named_tensors()) == ["many.a.0", "many.b.0", "many.b.1.calls", "many.b.1.gamma", "many.b.1.shift"]


@pytest.mark.parametrize("names", [("1", 1), ("a.b", "a")], ids=["number and text", "dot"])
def test_two_arrays_under_one_path_are_refused(names):
    layer = mg.Layer()
    layer.parts = {names[0]: mg.Parameter([1.0]), names[1]: mg.Parameter([2.0]) if names[1] == 1 else {"b": mg.Parameter([2.0])}}
    with pytest.raises(LayerError, match=f"two arrays have the path parts.{names[0]}"):
        layer.parameters()


def test_a_layer_may_know_the_one_it_is_part_of():
    model = mg.Sequential(mg.Dense(2).ensure_built((None, 3)))
    model.layers[0].owner, model.again = [model], model
    assert list(model.named_tensors()) == ["layers.0.kernel", "layers.0.bias"] and model.tied() == {}


def test_tied_weights_count_once_and_have_two_names():
    layer = model()
    layer.tied_to = layer.layers[0].kernel
    count = layer.count_params()
    assert count == model().count_params() and len(layer.parameters()) == 5
    assert layer.tied() == {"layers.0.kernel": ["tied_to"]}
    assert list(layer.state_dict()) == list(model().state_dict())


def test_an_unbuilt_layer_explains_itself():
    layer = mg.Sequential([mg.Dense(4), mg.Dense(2)])
    for ask in (layer.parameters, layer.state_dict, layer.count_params, lambda: mg.optim.SGD(layer.parameters()), layer.freeze):
        with pytest.raises(LayerError, match=r"layers\.0: Dense has no parameters yet.*Call the model.*ensure_built"):
            ask()
    with pytest.raises(LayerError, match="this layer: Dense"):
        mg.Dense(3).parameters()


def test_build_runs_once():
    built = []

    class Once(mg.Layer):
        def build(self, input_shape):
            built.append(input_shape)

        def call(self, x):
            return x

    layer = Once()
    for _ in range(3):
        layer(X)
    layer.ensure_built((9, 9))
    assert built == [(5, 3)]


def test_a_layer_without_call_says_what_to_write():
    with pytest.raises(NotImplementedError, match=r"Empty: write call\(self, x"):
        type("Empty", (mg.Layer,), {})()(X)


def test_training_is_forwarded_only_where_it_is_taken():
    class Mode(mg.Layer):
        def call(self, x, training=False):
            return x * (2.0 if training else 1.0)

    class Plain(mg.Layer):
        def call(self, x):
            return x

    stack = mg.Sequential([Plain(), mg.Sequential([Mode()])])
    assert np.array_equal(stack(X), X)
    assert np.array_equal(stack(X, training=True), 2 * X)


# --------------------------------------------------------------------------------------------------------- state, copies


def test_state_goes_out_and_in():
    source, target = model(), model()
    (source(X) ** 2).sum().backward()
    state = source.state_dict()
    kept = {path: array.copy() for path, array in state.items()}
    target.load_state_dict(state)
    mg.optim.SGD(source.parameters(), lr=0.5).step()
    assert all(np.array_equal(kept[path], array) for path, array in state.items()), "a step changed a state taken before it"
    assert all(np.array_equal(kept[path], array) for path, array in target.state_dict().items())


def test_a_state_that_does_not_fit_is_named_and_changes_nothing():
    layer = model()
    before = {path: array.copy() for path, array in layer.state_dict().items()}
    state = dict(before)
    state["layers.9.kernel"] = state.pop("layers.2.kernel")
    with pytest.raises(LayerError, match=r"Missing: \['layers.2.kernel'\].*Unknown: \['layers.9.kernel'\]"):
        layer.load_state_dict(state)
    with pytest.raises(LayerError, match=r"layers\.2\.kernel needs \(4, 2\), got \(2, 4\)"):
        layer.load_state_dict({**{path: array + 1 for path, array in before.items()}, "layers.2.kernel": np.ones((2, 4))})
    with pytest.raises(DtypeError, match="elements must be numbers"):
        layer.load_state_dict({**{path: array + 1 for path, array in before.items()}, "layers.2.kernel": np.full((4, 2), "1")})
    assert all(np.array_equal(before[path], array) for path, array in layer.state_dict().items())


def test_weights_in_kerass_order():
    layer = model()
    shapes = [w.shape for w in layer.get_weights()]
    assert shapes == [(3, 4), (4,), (4,), (4,), (1,), (4, 2)]  # layer by layer, in each first what is learnable
    layer.set_weights([np.full(s, i, float) for i, s in enumerate(shapes)])
    assert [np.unique(w).tolist() for w in layer.get_weights()] == [[i] for i in range(6)]
    assert all(w.dtype == np.float32 for w in layer.get_weights())
    with pytest.raises(LayerError, match="6 arrays.*5"):
        layer.set_weights(layer.get_weights()[:-1])
    with pytest.raises(ShapeError, match="array 1"):
        layer.set_weights([np.zeros(s) for s in shapes[:1] + shapes[:1] + shapes[2:]])
    with pytest.raises(DtypeError, match="elements must be numbers"):
        layer.set_weights([*layer.get_weights()[:-1], np.full(shapes[-1], "1")])
    assert [np.unique(w).tolist() for w in layer.get_weights()] == [[i] for i in range(6)]


def test_freezing_leaves_the_order_of_weights_alone():
    """Weights of equal shapes would otherwise come back in each other's place, and nobody would notice."""
    model = mg.Sequential([mg.Dense(3), mg.Dense(3)])
    model(X)
    before = model.get_weights()
    model.layers[0].freeze()
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights()))
    assert model.trainable_weights == model.layers[1].weights and model.non_trainable_weights == model.layers[0].weights


def test_a_layer_is_built_on_its_first_argument_whatever_comes_first():
    class Masked(mg.Layer):
        def build(self, input_shape):
            self.width = input_shape[-1]

        def call(self, x, mask=None):
            return x

    for arguments in ({"mask": None, "x": X}, {"mask": np.ones(5, bool), "x": X}):
        layer = Masked()
        layer(**arguments)
        assert layer.width == 3


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))], ids=["deepcopy", "pickle"])
def test_copies_keep_types_and_go_their_own_way(duplicate):
    layer = model()
    layer.tied_to = layer.layers[0].kernel
    layer.layers[2].freeze()
    twin = duplicate(layer)
    assert np.array_equal(twin(X).numpy(), layer(X).numpy())
    for name, tensor in layer.named_tensors().items():
        other = twin.named_tensors()[name]
        assert type(other) is type(tensor) and other is not tensor and other.requires_grad == tensor.requires_grad
    assert twin.tied() == layer.tied()
    twin.layers[0].kernel.assign(np.zeros((3, 4)))
    assert layer.layers[0].kernel.numpy().any()


# ------------------------------------------------------------------------------------------------------------------ Dense


def test_lists_are_inputs_too():
    assert mg.Dense(4)([[1.0, 2.0]]).shape == (1, 4)


def test_dense_is_its_formula():
    layer = mg.Dense(4, "relu")
    out = layer(X)
    kernel, bias = layer.kernel.numpy(), layer.bias.numpy()
    assert kernel.shape == (3, 4) and bias.shape == (4,) and out.dtype == np.float32
    np.testing.assert_allclose(out.numpy(), np.maximum(X @ kernel + bias, 0), atol=1e-6)
    with pytest.raises(ShapeError, match=r"linear.*2 features.*3 rows"):
        layer(np.ones((5, 2), np.float32))


@pytest.mark.parametrize("units", [0, -1, 2.0, "3", None])
def test_dense_refuses_units_that_are_not_a_number_of_columns(units):
    with pytest.raises(ValueError, match="Dense: units.*Received"):
        mg.Dense(units)


def test_an_unknown_activation_lists_the_known_ones():
    with pytest.raises(ValueError, match="Dense: activation.*relu.*swoosh"):
        mg.Dense(3, "swoosh")


def test_initial_values_depend_on_the_seed_alone():
    def kernel(seed):
        with mg.random.using(mg.Generator(seed)):
            layer = mg.Dense(4)
            layer(X)
        return layer.kernel.numpy()

    assert np.array_equal(kernel(3), kernel(3)) and not np.array_equal(kernel(3), kernel(4))
    limit = (6 / 7) ** 0.5
    assert np.abs(kernel(3)).max() <= limit and np.abs(kernel(3)).max() > limit / 2


@pytest.mark.parametrize("value", [
    lambda p: p * 2, lambda p: mg.tensor(p.numpy()), lambda p: p.numpy() * 2, lambda p: p.tolist(), lambda p: 3.0,
    lambda p: (mg.Buffer if isinstance(p, mg.Parameter) else mg.Parameter)(p.numpy()), lambda p: mg.Dense(2),
], ids=["result", "tensor", "array", "lists", "number", "the other kind", "layer"])  # fmt: skip
@pytest.mark.parametrize("name", ["gamma", "calls"])
def test_a_parameter_and_a_buffer_cannot_leave_their_layer_silently(name, value):
    layer = Scale().ensure_built((None, 3))
    before = getattr(layer, name)
    with pytest.raises(LayerError, match=rf"Scale\.{name}: is a {type(before).__name__}.*{name}\.assign.*del layer\.{name}.*Received"):
        setattr(layer, name, value(before))
    assert getattr(layer, name) is before and layer.named_tensors()[name] is before
    setattr(layer, name, type(before)(np.zeros(3)))  # one of its kind may
    setattr(layer, name, None)
    assert name not in layer.named_tensors()


def test_what_looks_like_a_parameter_and_is_none():
    layer = mg.Dense(2).ensure_built((None, 3))
    loose = mg.tensor([1.0], requires_grad=True)
    with pytest.raises(LayerError, match=r"Dense\.extra: .*make it a Parameter"):
        layer.extra = loose
    layer.many = {"a": [mg.Parameter([1.0])]}
    layer.many["a"].append(loose)
    for ask in (layer.parameters, layer.state_dict, layer.summary):
        with pytest.raises(LayerError, match=r"^many\.a\.1: a plain tensor that requires a gradient .*make it a Parameter.*\(1,\)"):
            ask()
    layer.many["a"][1] = mg.Parameter([1.0])
    layer.seen = [mg.tensor([1.0]), loose * 2]  # constants and results are fine
    assert list(layer.named_parameters()) == ["kernel", "bias", "many.a.0", "many.a.1"]


def test_sequential_builds_its_layers_one_after_the_other():
    model = mg.Sequential([mg.Dense(4), mg.Sequential(mg.Dense(5, "tanh")), mg.Dense(2)])
    assert model.ensure_built((None, 3)) is model
    assert {path: t.shape for path, t in model.named_tensors().items() if path.endswith("kernel")} == {
        "layers.0.kernel": (3, 4), "layers.1.layers.0.kernel": (4, 5), "layers.2.kernel": (5, 2),
    }  # fmt: skip
    before = model.layers[0].kernel
    model.add(mg.Dense(1))
    model.ensure_built((None, 3))
    assert model.layers[0].kernel is before and model.layers[3].kernel.shape == (2, 1)
    assert model.compute_output_shape((7, 3)) == model(np.ones((7, 3))).shape == (7, 1)


def test_keras_word_for_it_is_build():
    model = mg.Sequential([mg.Dense(4), mg.Dense(2)])
    model.build((None, 3))
    assert model.count_params() == 26


def test_a_model_that_does_not_build_what_is_inside_says_so():
    class Own(mg.Layer):
        def __init__(self):
            self.part = mg.Sequential([mg.Dense(4), mg.Dense(2)])

        def call(self, x):
            return self.part(x)

    for model in (Own(), mg.Sequential([mg.Dense(3), Own()])):
        with pytest.raises(LayerError, match=r"ensure_built: Own does not build part\.layers\.0, .*example batch.*Received: .*3"):
            model.ensure_built((None, 3))
        model(X)
        assert model.ensure_built((None, 3)) is model


def test_a_layer_of_one_input_is_not_built_on_several():
    class Twice(mg.Layer):
        def compute_output_shape(self, input_shape):
            return [input_shape, input_shape]

    with pytest.raises(ShapeError, match=r"Dense: the last axis of the input needs a length.*\(None, 3\), \(None, 3\)"):
        mg.Sequential([Twice(), mg.Dense(2)]).ensure_built((None, 3))


def test_a_sequential_with_a_build_of_its_own():
    class Scaled(mg.Sequential):
        def build(self, input_shape):
            self.gain = self.add_weight(input_shape[-1:], "ones")

        def call(self, x, training=False):
            return super().call(x * self.gain, training=training)

    made = Scaled(mg.Dense(2))
    assert not made.built and made(X).shape == (5, 2) and list(made.named_parameters()) == ["layers.0.kernel", "layers.0.bias", "gain"]
    gain = made.gain
    made.ensure_built((None, 3))
    assert made.gain is gain


def test_a_sequential_that_grew_builds_what_is_new():
    inner = mg.Sequential(mg.Dense(4))
    model = mg.Sequential(inner).ensure_built((None, 3))
    inner.add(mg.Dense(5))
    model.layers.append(mg.Dense(6))
    assert [t.shape for t in model.ensure_built((None, 3)).parameters()] == [(3, 4), (4,), (4, 5), (5,), (5, 6), (6,)]


def test_a_sequential_that_cannot_know_says_what_to_do():
    class Own(mg.Layer):
        def call(self, x):
            return x

    with pytest.raises(LayerError, match="of Own only a call tells.*example batch"):
        mg.Sequential([Own(), mg.Dense(2)]).ensure_built((None, 3))
    assert mg.Sequential([mg.Dense(2), Own()]).ensure_built((None, 3)).count_params() == 8
    with pytest.raises(LayerError, match=r"layers\.1: Dense has no parameters yet.*example batch.*ensure_built"):
        mg.Sequential([Own(), mg.Dense(2)]).parameters()


def test_a_layer_without_parameters_is_as_trainable_as_any():
    assert mg.Sequential().trainable and model().trainable
    frozen = model()
    frozen.freeze()
    assert not frozen.trainable


def test_a_layer_says_what_it_is():
    model = mg.Sequential(mg.Dense(4), mg.Dense(2))
    assert repr(model) == "<Sequential, not built>"
    model(np.ones((1, 3), np.float32))
    assert repr(model) == "<Sequential: 26 learnable, 0 non-learnable>"


def test_an_optimiser_given_a_layer_names_its_parameters():
    with pytest.raises(TypeError, match=r"model.parameters\(\)"):
        mg.optim.SGD(mg.Dense(2), lr=0.1)


# ------------------------------------------------------------------------------------------- what a course script brings


def test_a_layer_written_for_keras_runs():
    """name= and other keywords of the base, add_weight in build, build called by hand, several shapes."""

    class Bilinear(mg.Layer):
        def __init__(self, units, **kwargs):
            super().__init__(**kwargs)
            self.units = units

        def build(self, left_shape, right_shape):
            self.kernel = self.add_weight(shape=(left_shape[-1], right_shape[-1]), initializer="ones", name="kernel")
            self.seen = self.add_weight(shape=(), initializer="zeros", trainable=False)

        def call(self, left, right=None):
            return (left @ self.kernel * right).sum(axis=-1)

    x, y = np.ones((2, 3), np.float32), np.ones((2, 4), np.float32)
    layer = Bilinear(3, name="form", trainable=True)
    assert layer(left=x, right=y).tolist() == [12.0, 12.0] and layer.name == "form"
    assert [type(t).__name__ for t in layer.named_tensors().values()] == ["Parameter", "Buffer"]
    by_hand = Bilinear(3)
    by_hand.build((None, 5), (None, 6))
    by_hand.build((None, 7), (None, 8))  # again changes nothing
    assert by_hand.built and by_hand.kernel.shape == (5, 6)


def test_build_runs_once_also_through_the_class_above():
    class Once(Scale):
        def build(self, input_shape):
            super().build(input_shape)
            self.late = mg.Parameter(np.ones(2))

    layer = Once()
    layer(X)
    first = layer.gamma
    layer(X)
    assert layer.gamma is first and layer.late.shape == (2,)


@pytest.mark.parametrize("option, words", [
    ({"kernel_regularizer": "l2"}, "kernel_regularizer is not offered; weight decay is the optimiser's"),
    ({"bias_constraint": "non_neg"}, "bias_constraint is not offered; .*assign"),
    ({"dtype": "float16"}, "dtype is not offered.*use_default_dtype"), ({"trainable": False}, "trainable is not offered; .*freeze"),
])  # fmt: skip
def test_an_option_that_is_not_offered_says_what_to_do_instead(option, words):
    with pytest.raises(LayerError, match=f"Dense: {words}"):
        mg.Dense(3, **option)
    mg.Dense(3, **dict.fromkeys(option), name="head")  # Keras's default is fine


def test_an_unknown_option_shows_what_there_is():
    with pytest.raises(TypeError, match="Dense: no argument called 'use_bais'.*use_bias=True"):
        mg.Dense(3, use_bais=False)


def test_an_error_names_the_layer_by_its_path():
    """However deep it is, and whatever class of error it was."""
    inner = mg.Sequential(mg.Dense(4), mg.Dense(5))
    outer = mg.Sequential([mg.Dense(3), inner])
    outer(X)
    inner.layers[1].kernel = mg.Parameter(np.zeros((7, 5)))
    with pytest.raises(ShapeError, match=r"^linear: .*Received: .* In layers\.1\.layers\.1, a Dense of Sequential\.$"):
        outer(X)
    with pytest.raises(ShapeError, match=r"In layers\.1, a Dense of Sequential\.$"):
        inner(X[:, :2] @ np.ones((2, 3), np.float32))

    class Looks(mg.Layer):
        def call(self, x):
            return [][3]

    with pytest.raises(IndexError, match="list index out of range In layers.0, a Looks of Sequential"):
        mg.Sequential(Looks())(X)
    with pytest.raises(IndexError, match="^list index out of range$"):
        Looks()(X)


def test_sequential_hands_the_mask_on():
    class Counts(mg.Layer):
        def call(self, x):
            return x

        def compute_mask(self, inputs, mask=None):
            return inputs[..., 0] > 0

    class Sees(mg.Layer):
        def __init__(self):
            self.seen = []

        def call(self, x, mask=None):
            self.seen.append(None if mask is None else mask.tolist())
            return x * 0

    class Ends(Sees):
        def compute_mask(self, inputs, mask=None):
            return None

    class Other(Sees):
        masks_steps = False  # its mask is something else

    sees, ends, other, after = Sees(), Ends(), Other(), Sees()
    mg.Sequential([Counts(), mg.Sequential(sees, other, ends), after])(np.array([[[1.0]], [[-1.0]]]))
    assert (sees.seen, other.seen, ends.seen, after.seen) == ([[[True], [False]]], [None], [[[True], [False]]], [None])
    mg.Sequential(after)(X, mask=np.array([True, False]))
    assert after.seen[-1] == [True, False]


def test_generators_are_found_once_each():
    model = mg.Sequential(Scale(), Scale())
    first, second = mg.Generator(1), mg.Generator(2)
    model.layers[0].generator, model.layers[1].parts, model.again = first, {"a": [second]}, first
    assert model.generators() == [first, second]


def test_the_count_in_kerass_normalization_is_left_out():
    layer = model()
    arrays = layer.get_weights()
    layer.set_weights([*arrays, np.array(7)])
    assert all(np.array_equal(a, b) for a, b in zip(arrays, layer.get_weights()))


# ------------------------------------------------------------------------------------------------------- initializers


@pytest.mark.parametrize("name, spread, limit", [
    ("uniform", 0.05 / 3**0.5, 0.05), ("normal", 0.05, None), ("truncated_normal", 0.05 * 0.8796, 0.1),
    ("glorot_uniform", (2 / 500) ** 0.5, (6 / 500) ** 0.5), ("glorot_normal", (2 / 500) ** 0.5, 2 * (2 / 500) ** 0.5 / 0.8796),
    ("he_uniform", (2 / 200) ** 0.5, (6 / 200) ** 0.5), ("he_normal", (2 / 200) ** 0.5, 2 * (2 / 200) ** 0.5 / 0.8796),
    ("lecun_uniform", (1 / 200) ** 0.5, (3 / 200) ** 0.5), ("lecun_normal", (1 / 200) ** 0.5, 2 * (1 / 200) ** 0.5 / 0.8796),
])  # fmt: skip
def test_initializers_have_the_spread_of_their_formula(name, spread, limit):
    drawn = mg.initializers.INITIALIZERS[name]((200, 300)).astype(float)
    assert abs(drawn.mean()) < 4 * spread / 60_000**0.5
    assert abs(drawn.std() / spread - 1) < 0.02
    if limit is not None:
        assert 0.98 * limit < np.abs(drawn).max() <= limit * (1 + 1e-6)


@pytest.mark.parametrize("shape", [(5, 5), (7, 4), (4, 7), (2, 3, 4)])
def test_orthogonal_rows_or_columns(shape):
    q = mg.initializers.orthogonal(shape).reshape(-1, shape[-1]).astype(float)
    product = q.T @ q if len(q) >= q.shape[1] else q @ q.T
    np.testing.assert_allclose(product, np.eye(len(product)), atol=1e-6)


def test_initializers_by_name_or_function():
    layer = mg.Dense(2, kernel_initializer="ones", bias_initializer=lambda shape: np.full(shape, 3.0)).ensure_built((None, 2))
    assert layer.kernel.tolist() == [[1, 1], [1, 1]] and layer.bias.tolist() == [3, 3]
    assert layer.bias.dtype == np.float32, "NumPy's float64 would have made the whole model that"
    with pytest.raises(ShapeError, match=r"Dense: bias_initializer .* shape \(2,\)\. Received: numbers \(3,\)"):
        mg.Dense(2, bias_initializer=lambda shape: np.zeros(3)).ensure_built((None, 2))
    with pytest.raises(ValueError, match="Dense: kernel_initializer is a function of a shape or one of.*glorot_uniform.*'glorot'"):
        mg.Dense(2, kernel_initializer="glorot")


@pytest.mark.parametrize("kind", [mg.Parameter, mg.Buffer])
def test_an_array_that_is_given_away_is_kept_as_it_lies(kind):
    tensor, array = kind(np.zeros((2, 3), np.float32)), np.arange(6, dtype=np.float32).reshape(3, 2).T
    assert np.shares_memory(tensor.assign(array, copy=False).numpy(), array) and tensor.numpy().strides == array.strides
    assert not np.shares_memory(tensor.assign(array).numpy(), array) and tensor.numpy().flags.c_contiguous
    assert tensor.assign(array.astype(float), copy=False).dtype == np.float32
    with pytest.raises(ShapeError):
        tensor.assign(array.T, copy=False)
