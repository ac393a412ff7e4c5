"""Saving that is cut off anywhere leaves the old model, the new one, or a sentence: never the config of one and the weights of another."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from minigrad import storage
from transformer import (
    Encoder,
    EncoderConfig,
    LanguageModel,
    LanguageModelConfig,
    fetch,
    from_pretrained,
    load_tokenizer,
    save_pretrained,
)
from transformer.errors import UserError
from transformer.generation import load_model
from transformer.history import History
from transformer.runs import Run
from transformer.tokenizers import CharTokenizer, PretrainedTokenizer

IDS = np.array([[4, 3, 1]])
ENCODER = {"vocab_size": 9, "block_size": 6, "width": 8, "heads": 2, "layers": 1, "norm": "post", "embedding_norm": True, "segments": 2}


class Killed(BaseException):
    """The end of the process."""


@pytest.fixture
def cut(monkeypatch):
    """Lets a number of changes to files happen, and none afterwards, as when the process is killed."""
    left = [10**9]

    def counted(usual):
        def change(*given, **options):
            if not left[0]:
                raise Killed
            left[0] -= 1
            return usual(*given, **options)

        return change

    for module, name in ((os, "replace"), (os, "fsync"), (Path, "unlink"), (Path, "mkdir")):
        monkeypatch.setattr(module, name, counted(getattr(module, name)))
    return left


def cut_everywhere(cut, new, folder, prepare):
    """Save over a folder, cut off at every change in turn; the folder is made anew before each."""
    for changes in range(1000):
        prepare(folder)
        cut[0] = changes
        try:
            new(folder)
        except Killed:
            cut[0] = 10**9
            yield changes
        else:
            cut[0] = 10**9
            break
    assert changes > 3
    yield None  # not cut off


def language(seed, **more):
    sizes = {"vocab_size": 9, "block_size": 6, "width": 8, "heads": 2, "layers": 1, "dropout": 0.0}
    return LanguageModel(LanguageModelConfig(**sizes | more), seed=seed)


def pieces(end):
    """A tokenizer of the library with a sign."""
    tokenizers = pytest.importorskip("tokenizers")
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0, "b": 1, "<x>": 2, "<y>": 3}, unk_token="a"))
    return PretrainedTokenizer(made, end=end, chat_template=f"{end}")


def emptied(folder):
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()


# models of equal shapes that compute differently: a mixture of their configs and weights would be read without a word
PAIRS = {
    "ours": (lambda: language(1), lambda: language(2, activation="relu"), None),
    "ours in theirs": (lambda: language(1), lambda: language(2, activation="relu"), "gpt2"),
    "theirs": (
        lambda: Encoder(EncoderConfig(**ENCODER, pooling="mean"), seed=1), lambda: Encoder(EncoderConfig(**ENCODER), seed=2), "bert",
    ),
    "theirs with another pooling": (
        lambda: Encoder(EncoderConfig(**ENCODER), seed=1),
        lambda: Encoder(EncoderConfig(**ENCODER, pooling="first", normalize=True), seed=2), "bert",
    ),
}  # fmt: skip


@pytest.mark.parametrize("pair", PAIRS)
def test_saving_over_a_model_that_is_cut_off_anywhere(pair, cut, tmp_path):
    make_old, make_new, family = PAIRS[pair]
    old, new = make_old(), make_new()
    tokenizers = {id(old): pieces(end=2), id(new): pieces(end=3)}
    seen = set()

    def old_one(folder):
        emptied(folder)
        save_pretrained(old, folder, tokenizers[id(old)], None if pair == "ours in theirs" else family)

    for changes in cut_everywhere(cut, lambda folder: save_pretrained(new, folder, tokenizers[id(new)], family), tmp_path, old_one):
        try:
            found = from_pretrained(tmp_path)
        except UserError as error:
            assert " is missing. If saving a model there was cut off" in str(error)
            seen.add("neither")
            continue
        finally:
            try:
                tokenizer = load_tokenizer(tmp_path)
                assert (tokenizer.end, tokenizer.chat_template) in ((2, "2"), (3, "3"))
            except UserError as error:
                assert "No such file" in str(error)
        which = next(model for model in (old, new) if np.allclose(found(IDS).numpy(), model(IDS).numpy(), atol=1e-6))
        assert found.config.activation == which.config.activation
        assert load_tokenizer(tmp_path).end == tokenizers[id(which)].end
        seen.add("old" if which is old else "new")
        assert changes is not None or which is new
    assert seen == {"old", "neither", "new"}


def test_an_interrupt_while_saving_leaves_the_old_model_or_the_new_one(monkeypatch, tmp_path):
    """Once the old one has begun to go, the new one comes: who interrupts has a model, whenever that was."""
    old, new, left = language(1), language(2, activation="relu"), [10**9]

    def interrupted(usual, late):
        def change(*given, **options):
            done = usual(*given, **options) if late else None
            left[0] -= 1
            if left[0] == -1:  # this one only
                raise KeyboardInterrupt
            return done if late else usual(*given, **options)

        return change

    seen = set()
    for late in (False, True):
        with monkeypatch.context() as patch:
            for module, name in ((os, "replace"), (os, "fsync"), (Path, "unlink")):
                patch.setattr(module, name, interrupted(getattr(module, name), late))
            for changes in range(1000):
                save_pretrained(old, tmp_path)
                left[0] = changes
                try:
                    save_pretrained(new, tmp_path)
                except KeyboardInterrupt:
                    left[0] = 10**9
                else:
                    break
                found = from_pretrained(tmp_path)
                which = new if found.config.activation == "relu" else old
                assert np.allclose(found(IDS).numpy(), which(IDS).numpy(), atol=1e-6)
                seen.add(which is new)
                assert not list(tmp_path.glob("*.unfinished"))
            left[0] = 10**9
            assert changes > 3
    assert seen == {False, True}


def test_a_model_over_a_run_is_never_read_with_the_weights_of_a_checkpoint(cut, tmp_path):
    old, new = language(1), language(2, activation="relu")

    def old_one(folder):
        emptied(folder)
        save_pretrained(old, folder, CharTokenizer("abcdefghi"))
        Run(folder).save_checkpoint(3, old.state_dict(), {}, {}, {}, History([]), 2)

    def save(folder):
        save_pretrained(new, folder, CharTokenizer("ihgfedcba"))

    for changes in cut_everywhere(cut, save, tmp_path, old_one):
        try:
            found = load_model(tmp_path)
        except UserError as error:
            assert "config.json is missing" in str(error) or "holds no model" in str(error) or "not the folder of a run" in str(error)
            continue
        out, tokenizer = found(IDS).numpy(), load_tokenizer(tmp_path)
        which = next(model for model in (old, new) if np.array_equal(out, model(IDS).numpy()))
        assert tokenizer.decode([0]) == ("a" if which is old else "i") and (changes is not None or which is new)


def test_new_weights_of_the_same_model_are_there_at_once(cut, tmp_path):
    """As after every round of training: nothing else changes, so that there is no moment without weights."""
    old, new = language(1), language(2)

    def old_one(folder):
        emptied(folder)
        save_pretrained(old, folder, pieces(end=2))

    for changes in cut_everywhere(cut, lambda folder: save_pretrained(new, folder, pieces(end=2)), tmp_path, old_one):
        out = from_pretrained(tmp_path)(IDS).numpy()
        assert any(np.array_equal(out, model(IDS).numpy()) for model in (old, new)[changes is None :])


def test_parts_that_lay_there_are_not_read_again(cut, tmp_path):
    """A model in parts, as others save large ones, under one of ours: between both, the index does not name the parts any more."""
    old, new = language(1), language(2, activation="relu")

    def old_one(folder):
        emptied(folder)
        save_pretrained(old, folder, family="gpt2")
        arrays = load_file(folder / "model.safetensors")
        (folder / "model.safetensors").rename(folder / "model-1.safetensors")
        where = "".join(f'"{name}": "model-1.safetensors", ' for name in arrays).rstrip(", ")
        (folder / "model.safetensors.index.json").write_text(f'{{"weight_map": {{{where}}}}}')

    for changes in cut_everywhere(cut, lambda folder: save_pretrained(new, folder, family="gpt2"), tmp_path, old_one):
        try:
            found = from_pretrained(tmp_path)
        except UserError as error:
            assert "is missing" in str(error)
            continue
        same = [model.config.activation for model in (old, new) if np.allclose(found(IDS).numpy(), model(IDS).numpy(), atol=1e-6)]
        assert same == [found.config.activation] and (changes is not None or same == ["relu"])


def test_a_first_saving_that_is_cut_off_leaves_no_model_or_all_of_it(cut, tmp_path):
    folder, model = tmp_path / "new", language(1)
    for changes in cut_everywhere(cut, lambda folder: save_pretrained(model, folder), folder, lambda f: f.exists() and emptied(f)):
        if changes is None:
            np.testing.assert_array_equal(from_pretrained(folder)(IDS).numpy(), model(IDS).numpy())
        else:
            with pytest.raises(UserError, match=r"is missing|There is no"):
                from_pretrained(folder)


def test_a_disk_that_is_full_leaves_the_old_model(monkeypatch, tmp_path):
    save_pretrained(language(1), tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="cannot be written: No space left"):
        save_pretrained(language(2, activation="relu"), tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_what_belonged_to_the_old_model_goes(tmp_path):
    pooled = Encoder(EncoderConfig(**ENCODER, pooling="first"))
    save_pretrained(pooled, tmp_path, pieces(end=2), family="bert")
    (tmp_path / "special_tokens_map.json").write_text('{"cls_token": "<x>"}')
    (tmp_path / "chat_template.jinja").write_text("old")
    save_pretrained(Encoder(EncoderConfig(**ENCODER)), tmp_path, pieces(end=3), family="bert")
    assert from_pretrained(tmp_path).config.pooling is None
    tokenizer = load_tokenizer(tmp_path)
    assert (tokenizer.start, tokenizer.end, tokenizer.chat_template) == (None, 3, "3")
    save_pretrained(pooled, tmp_path, CharTokenizer("abc"))
    assert "chat_template" not in (tmp_path / "tokenizer_config.json").read_text()
    save_pretrained(pooled, tmp_path)
    assert load_tokenizer(tmp_path).decode([1]) == "b"  # a tokenizer that is not given stays


def test_a_model_of_ones_own_over_one_of_ours_has_no_config(tmp_path):
    class Own(LanguageModel):
        """With the same parameters, and another meaning."""

    save_pretrained(language(1), tmp_path)
    save_pretrained(Own(language(2).config), tmp_path)
    with pytest.raises(UserError, match="a model of your own"):
        from_pretrained(tmp_path)


def test_a_config_that_was_edited_by_hand_is_read(tmp_path):
    save_pretrained(language(1), tmp_path)
    path = tmp_path / "config.json"
    path.write_text(path.read_text().replace('"dropout": 0.0', '"dropout": 0.25'))
    assert from_pretrained(tmp_path).config.dropout == 0.25


@pytest.mark.parametrize("make, options, said", [
    (lambda: language(1, activation="mish"), {"family": "gpt2"}, "activation 'mish' is none of gelu, gelu_tanh, relu, silu"),
    (lambda: language(1, positions="rotary", normalization="rms", use_bias=False), {"family": "llama"},
     r"activation 'gelu_tanh' is none of swiglu, geglu, geglu_tanh\."),
    (lambda: language(1, positions="rotary"), {"family": "gpt2"}, "no positions 'rotary'"),
    (lambda: language(1), {"family": "bert"}, "the model of the family bert is Encoder"),
    (lambda: language(1), {"family": "gpt3"}, "family is one of"),
    (lambda: language(1, vocab_size=3), {}, "the tokenizer that is given has 4 ids, and the model knows 3"),
    (lambda: language(1, activation=np.tanh), {}, "holds no functions"),
])  # fmt: skip
def test_what_is_refused_makes_no_folder(make, options, said, tmp_path):
    with pytest.raises(UserError, match=said):
        save_pretrained(make(), tmp_path / "a" / "b", pieces(end=2), **options)
    assert not [*tmp_path.iterdir()]


def test_a_tokenizer_that_stays_must_fit(tmp_path):
    save_pretrained(language(1), tmp_path, CharTokenizer("abcdefghi"))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(UserError, match=r"which stays unless another one is given, has 9 ids, and the model knows 8\. Give the one"):
        save_pretrained(language(1, vocab_size=8), tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    (tmp_path / "tokenizer.json").write_text("none that can be read")
    save_pretrained(language(1, vocab_size=8), tmp_path)
    assert from_pretrained(tmp_path).config.vocab_size == 8


def test_what_is_no_model_no_folder_or_no_tokenizer(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = language(1)
    for given in (("x", model), (None, "x"), (model, "x", "gpt2")):
        with pytest.raises(TypeError, match="takes a model, its folder and its tokenizer"):
            save_pretrained(*given)
    for call, name in ((lambda path: save_pretrained(model, path), "save_pretrained"), (from_pretrained, "from_pretrained"),
                       (load_tokenizer, "load_tokenizer"), (fetch.locate, "locate")):  # fmt: skip
        with pytest.raises(TypeError, match=f"{name}: a folder or a file is named by a text or a Path.* Received: None"):
            call(None)
        with pytest.raises(UserError, match=f"{name}: the name of a folder is empty"):
            call("")
    assert not [*tmp_path.iterdir()]


def test_the_home_folder_is_meant_by_its_sign(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    save_pretrained(language(1), "~/a", CharTokenizer("abc"))
    assert (tmp_path / "a" / "config.json").exists() and fetch.locate("~/a") == tmp_path / "a"
    assert from_pretrained("~/a").config.vocab_size == 9 and load_tokenizer("~/a").decode([1]) == "b"


def test_the_file_of_the_weights_is_no_folder(tmp_path):
    save_pretrained(language(1), tmp_path)
    with pytest.raises(UserError, match=r"model\.safetensors is a file; name its folder, "):
        from_pretrained(tmp_path / "model.safetensors")


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="there are no rights of this kind")
@pytest.mark.parametrize("what", ["", "config.json", "model.safetensors", "tokenizer.json"])
def test_what_may_not_be_read_is_told_so(what):
    folder = Path(tempfile.mkdtemp(), "model")
    folder.parent.chmod(0o755)
    save_pretrained(language(1), folder, CharTokenizer("abc"))
    user = os.geteuid()
    try:
        (folder / what).chmod(0)
        if not user:  # who may read everything
            os.seteuid(65534)
        for read in (load_tokenizer,) if what == "tokenizer.json" else (from_pretrained, *(load_tokenizer, fetch.locate) * (not what)):
            with pytest.raises(UserError, match=rf"{folder / what} may not be read \(permission denied\)\."):
                read(folder)
    finally:
        os.seteuid(user)
        (folder / what).chmod(0o700)
        shutil.rmtree(folder.parent)


@pytest.mark.skipif(os.name != "posix", reason="the system cannot be asked for a process")
def test_what_a_killed_process_left_is_removed_by_the_next_saving(tmp_path):
    save_pretrained(language(1), tmp_path)
    killed = (
        "import os, pathlib, signal; from minigrad import storage; "
        f"storage.write(pathlib.Path({str(tmp_path / 'model.safetensors')!r}), lambda file: os.kill(os.getpid(), signal.SIGKILL))"
    )
    assert subprocess.run([sys.executable, "-c", killed]).returncode < 0
    (left,) = tmp_path.glob("*.unfinished")
    process = left.name.split(".")[2].split("-")[0]
    others = [
        left.with_name(left.name.replace(process, str(os.getppid()))),  # it is there
        left.with_name(left.name.replace("@", "@not-")),  # of another machine
        left.with_name("other." + left.name),  # of another file
    ]
    for other in others:
        other.write_bytes(b"half")
    save_pretrained(language(2), tmp_path)
    assert sorted(tmp_path.glob("*.unfinished")) == sorted(others)


def test_files_that_belong_together_are_written_in_their_order(tmp_path):
    """What a file before it says is of the same writing, whenever it is there."""
    one, two, three = (tmp_path / name for name in "abc")

    def filled(text):
        return lambda file: file.write(text)

    storage.write_together({one: filled(b"1"), two: filled(b"1"), three: filled(b"1")})
    storage.write_together({one: filled(b"1"), two: None, three: filled(b"2")})
    assert (one.read_bytes(), two.exists(), three.read_bytes()) == (b"1", False, b"2")
    with pytest.raises(FileNotFoundError, match="no folder"):
        storage.write_together({one: filled(b"3"), tmp_path / "none" / "d": filled(b"3")})
    assert one.read_bytes() == b"1" and sorted(path.name for path in tmp_path.iterdir()) == ["a", "c"]
