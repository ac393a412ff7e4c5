"""What is saved comes back bit for bit; a file is whole or not there; nothing is executed; wrong files explain themselves."""

import errno
import json
import os
import pickle
import zipfile

import numpy as np
import pytest

import minigrad as mg
from minigrad.core import Tensor
from minigrad.errors import LayerError, StorageError

both = pytest.mark.parametrize("ending", [".npz", ".safetensors"])


@pytest.fixture(autouse=True)
def library(request):
    if "safetensors" in request.node.name:
        pytest.importorskip("safetensors")


class Counting(mg.Layer):
    """scale x, and a Buffer that counts the calls in training."""

    def __init__(self):
        self.calls = mg.Buffer([0.0])
        self.scale = mg.Parameter(2.0)

    def call(self, x, training=False):
        if training:
            self.calls.assign(self.calls.numpy() + 1)
        return x * self.scale


def model(seed=0):
    with mg.random.using(mg.Generator(seed)):
        return mg.Sequential(mg.Dense(4, "tanh").ensure_built((None, 3)), Counting(), mg.Dense(2, use_bias=False).ensure_built((None, 4)))


def values(layer):
    return {name: array.tobytes() for name, array in layer.state_dict().items()}


@both
def test_arrays_come_back_with_shape_dtype_and_bits(tmp_path, ending):
    rng = np.random.default_rng(0)
    arrays = {
        "x": rng.standard_normal((2, 3)), "single": rng.standard_normal(4).astype(np.float32), "half": np.ones(2, np.float16),
        "without axes": np.float64(0.1), "empty": np.zeros((0, 3)), "strided": rng.standard_normal((4, 6))[::2, ::-1].T,
        "special": np.array([np.nan, np.inf, -0.0, 5e-324]), "whole": np.array([-(2**62), 2**62]), "yes": np.array([True, False]),
        "words": np.array([2**64 - 1, 1], np.uint64), "other order": np.arange(3, dtype=">f8"), "file": np.ones(1), "übung": np.ones(2),
    }  # fmt: skip
    mg.save(tmp_path / f"a{ending}", arrays)
    back = mg.load(tmp_path / f"a{ending}")
    assert back.keys() == arrays.keys()
    for name, array in arrays.items():
        assert (back[name].shape, back[name].dtype) == (np.shape(array), np.asarray(array).dtype.newbyteorder("=")), name
        assert back[name].tobytes() == np.asarray(array, np.asarray(array).dtype.newbyteorder("=")).tobytes(), name


@both
def test_tensors_numbers_and_dicts_inside(tmp_path, ending):
    path = str(tmp_path / f"a{ending}")  # a text is a path too
    mg.save(path, {"t": Tensor([1.0, 2.0], requires_grad=True), "n": 0.1, "deep": {"er": {"i": 3, "b": True}}})
    back = mg.load(path)
    assert back["t"].tolist() == [1.0, 2.0] and float(back["n"]) == 0.1
    assert int(back["deep"]["er"]["i"]) == 3 and bool(back["deep"]["er"]["b"])


@both
def test_a_layer_comes_back_whole(tmp_path, ending):
    source, target = model(1), model(2)
    source(np.ones((5, 3), np.float32), training=True)
    target.layers[0].freeze()
    mg.save(tmp_path / f"a{ending}", source)
    assert mg.load(tmp_path / f"a{ending}", into=target) is target
    assert values(target) == values(source) and target.layers[1].calls.tolist() == [1.0]
    assert [p.frozen for p in target.parameters()] == [True, True, False, False], "loading moved a switch"
    assert {name: array.tobytes() for name, array in mg.load(tmp_path / f"a{ending}").items()} == values(source)


def losses(net, optimiser, generator, steps):
    found = []
    for _ in range(steps):
        x = generator.normal((6, 3)).astype(np.float32)
        loss = (mg.dropout(net(x, training=True), 0.2, *generator.counters(12)) ** 2).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        found.append(loss.item())
    return found


@both
@pytest.mark.parametrize("kind", ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "Lion"])
def test_a_run_goes_on_bit_for_bit(tmp_path, ending, kind):
    path = tmp_path / f"run{ending}"
    make = lambda net: getattr(mg.optim, kind)(net.parameters(), lr=0.01, **({"momentum": 0.9} if kind in ("SGD", "RMSprop") else {}))  # noqa: E731
    net, generator = model(1), mg.Generator(2**63 + 5)
    optimiser = make(net)
    losses(net, optimiser, generator, 3)
    mg.save(path, {"model": net, "optimiser": optimiser, "generator": generator, "epoch": 3})
    expected = losses(net, optimiser, generator, 4)

    net, generator = model(9), mg.Generator(0)
    optimiser, state = make(net), mg.load(path)
    net.load_state_dict(state["model"])
    optimiser.load_state_dict(state["optimiser"])
    generator.load_state_dict(state["generator"])
    assert int(state["epoch"]) == 3
    assert losses(net, optimiser, generator, 4) == expected


@both
def test_optimiser_and_generator_by_into(tmp_path, ending):
    net, generator = model(), mg.Generator(3)
    optimiser = mg.optim.AdamW(net.parameters())
    losses(net, optimiser, generator, 2)
    for name, thing, fresh in (("o", optimiser, mg.optim.AdamW(net.parameters())), ("g", generator, mg.Generator(0))):
        mg.save(tmp_path / f"{name}{ending}", thing)
        mg.load(tmp_path / f"{name}{ending}", into=fresh)
        expected, got = thing.state_dict(), fresh.state_dict()
        assert got.keys() == expected.keys() and all(np.array_equal(got[key], expected[key]) for key in got)


# ----------------------------------------------------------------------------------------------------------- whole or not there


@both
def test_an_interrupted_write_loses_nothing(tmp_path, ending, monkeypatch):
    path = tmp_path / f"a{ending}"
    mg.save(path, {"x": np.ones(3)})
    before = path.read_bytes()

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def killed(*_):
        raise KeyboardInterrupt

    for name, fault, error in (("fsync", full, OSError), ("replace", killed, KeyboardInterrupt)):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, fault)
            with pytest.raises(error):
                mg.save(path, {"x": np.zeros(3)})
        assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
    with pytest.raises(StorageError):
        mg.save(path, {"x": np.zeros(3), "y": "text"})
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


@both
def test_the_same_state_gives_the_same_file(tmp_path, ending):
    for name in "ab":
        mg.save(tmp_path / f"{name}{ending}", model())
    assert (tmp_path / f"a{ending}").read_bytes() == (tmp_path / f"b{ending}").read_bytes()


# ------------------------------------------------------------------------------------------------------------------- wrong files


@both
def test_a_missing_file_says_so(tmp_path, ending):
    with pytest.raises(FileNotFoundError, match=f"load: there is no file .*nowhere{ending}"):
        mg.load(tmp_path / f"nowhere{ending}")


@both
def test_a_file_cut_short_anywhere_says_so(tmp_path, ending):
    path = tmp_path / f"a{ending}"
    mg.save(path, model())
    whole = path.read_bytes()
    for length in (0, 1, 7, 8, 50, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(StorageError, match=f"a{ending} is damaged or cut short, or is no {ending} file"):
            mg.load(path)


def test_a_changed_byte_is_found_where_the_format_can(tmp_path):
    path = tmp_path / "a.npz"
    mg.save(path, {"x": np.arange(100.0)})
    damaged = bytearray(path.read_bytes())
    damaged[400] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(StorageError, match="damaged"):
        mg.load(path)


def test_nothing_is_executed(tmp_path):
    """A pickle in an .npz, by name or inside an array of objects, is refused unread."""

    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "executed"),)

    path = tmp_path / "a.npz"
    np.savez(path, x=np.array([Bomb()], object))
    with pytest.raises(StorageError, match="damaged"):
        mg.load(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", pickle.dumps(Bomb()))
    with pytest.raises(StorageError):
        mg.load(path)
    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(StorageError):
        mg.load(path)
    assert not (tmp_path / "executed").exists()


@both
def test_names_and_shapes_that_do_not_match_are_listed_and_nothing_changes(tmp_path, ending):
    path, target = tmp_path / f"a{ending}", model()
    before = values(target)
    mg.save(path, mg.Sequential(mg.Dense(4).ensure_built((None, 3)), mg.Dense(2).ensure_built((None, 4))))
    with pytest.raises(LayerError, match=rf"a{ending} does not fit.*Missing: \['layers.1.calls'.*Unknown: .*'layers.1.kernel'"):
        mg.load(path, into=target)
    mg.save(path, {**model(3).state_dict(), "layers.0.kernel": np.ones((5, 4))})
    with pytest.raises(LayerError, match=r"layers\.0\.kernel needs \(3, 4\), got \(5, 4\)"):
        mg.load(path, into=target)
    assert values(target) == before


@both
def test_a_buffer_is_not_loaded_into_a_parameter(tmp_path, ending):
    class Other(mg.Layer):
        def __init__(self):
            self.calls = mg.Parameter([0.0])
            self.scale = mg.Parameter(1.0)

        def call(self, x):
            return x

    path, target = tmp_path / f"a{ending}", Other()
    mg.save(path, Counting())
    with pytest.raises(LayerError, match="calls is a Parameter of Other, and a Buffer in"):
        mg.load(path, into=target)
    assert target.scale.item() == 1.0
    mg.save(path, Counting().state_dict())  # plain arrays: nobody knows what they were
    assert mg.load(path, into=target).scale.item() == 2.0


def test_files_of_others_are_read(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.arange(3))
    assert mg.load(tmp_path / "a.npz")["x"].tolist() == [0, 1, 2]


def test_safetensors_files_of_others_are_read(tmp_path):
    from safetensors.numpy import load_file, save_file

    save_file({"x": np.arange(3)}, tmp_path / "a.safetensors", {"format": "np"})
    assert mg.load(tmp_path / "a.safetensors")["x"].tolist() == [0, 1, 2]
    mg.save(tmp_path / "b.safetensors", Counting())
    assert load_file(tmp_path / "b.safetensors")["scale"] == 2.0


@pytest.mark.parametrize("state, error, words", [
    ({"a/b": np.ones(1)}, StorageError, "without /"), ({"a\0b": np.ones(1)}, StorageError, "without zero bytes"),
    ({"__buffers__": np.ones(1)}, StorageError, "names of the formats"), ({"x": {"__metadata__": 1}}, StorageError, "names of the formats"),
    ({1: np.ones(1)}, StorageError, "a text without /"),
    ({"x": "text"}, StorageError, "x must be an array"), ({"in": {"x": [1, 2**63]}}, StorageError, "in/x must be an array"),
    (np.ones(3), TypeError, "takes a layer, an optimiser"),
])  # fmt: skip
def test_what_cannot_be_saved_says_so(tmp_path, state, error, words):
    with pytest.raises(error, match=words):
        mg.save(tmp_path / "a.npz", state)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("call", [lambda path: mg.save({"a": 1.0}, path), lambda path: mg.load(mg.Dense(2), path)])
def test_the_path_comes_first(tmp_path, call):
    with pytest.raises(TypeError, match=r'(save|load): the path comes first, as in \1\("run.npz", .*Received: path'):
        call(str(tmp_path / "f.npz"))
    assert not list(tmp_path.iterdir())


def test_a_missing_folder_is_named_without_the_temporary_name(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder .*nowhere for a.npz"):
        mg.save(tmp_path / "nowhere" / "a.npz", {"x": 1.0})


def test_loading_into_what_takes_no_such_state_says_so_and_changes_nothing(tmp_path):
    mg.save(tmp_path / "a.npz", {"x": 1.0})
    generator = mg.Generator(3)
    before = generator.state()
    with pytest.raises(LayerError, match="a.npz does not fit. Generator: a state has .*Received: {.x.: ..}"):
        mg.load(tmp_path / "a.npz", into=generator)
    with pytest.raises(LayerError, match="Generator: a state has"):
        generator.set_state({**before, "seed": 5, "key": [1]})
    assert generator.state() == before
    with pytest.raises(TypeError, match="into is a layer, an optimiser or a generator"):
        mg.load(tmp_path / "a.npz", into={})


def test_a_file_with_an_array_in_the_place_of_a_folder_says_so(tmp_path):
    np.savez(tmp_path / "a.npz", **{"a": np.ones(2), "a/b": np.ones(1)})
    with pytest.raises(StorageError, match="has an array a and others in it, a/b"):
        mg.load(tmp_path / "a.npz")


def test_an_ending_that_is_no_format_lists_the_formats(tmp_path):
    for act in (lambda path: mg.save(path, {}), mg.load):
        with pytest.raises(StorageError, match=r"ends in \.safetensors or \.npz.*weights\.pt"):
            act(tmp_path / "weights.pt")


def test_without_the_library_safetensors_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "safetensors", None)
    monkeypatch.setitem(__import__("sys").modules, "safetensors.numpy", None)
    with pytest.raises(StorageError, match=r"pip install 'minigrad\[train\]'.*\.npz"):
        mg.save(tmp_path / "a.safetensors", {"x": np.ones(1)})
    assert not list(tmp_path.iterdir())


def test_an_unbuilt_layer_says_how_to_build_it(tmp_path):
    with pytest.raises(LayerError, match="ensure_built"):
        mg.save(tmp_path / "a.npz", mg.Dense(3))


def test_a_state_in_json_and_a_state_in_arrays_are_the_same():
    g = mg.Generator(7)
    g.normal((3,))
    other = mg.Generator(0)
    other.load_state_dict(g.state_dict())
    assert json.dumps(other.state()) == json.dumps(g.state())
