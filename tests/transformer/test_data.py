"""Text in: which documents, which side of the split, which sentence for a text that is no good, which batches."""

import hashlib
import sysconfig

import numpy as np
import pytest

from transformer.data import (
    SEPARATOR,
    Batches,
    BatchSampler,
    Corpus,
    docstrings,
    load_corpus,
    python_documentation,
    split_by_hash,
)
from transformer.errors import UserError


@pytest.fixture(scope="module")
def documentation():
    return python_documentation()


def test_the_documentation_is_large_and_in_both_parts(documentation):
    assert documentation.documents > 3000
    assert documentation.characters > 1_500_000
    share = len(documentation.validation) / documentation.characters
    assert 0.05 < share < 0.15
    text = documentation.training + documentation.validation
    assert "The statement syntax is as follows" in text or "assignment" in text.lower()  # the language reference
    assert "Return the mean of data" in text or "arithmetic mean" in text  # a docstring of the standard library


def test_documents_come_once_in_the_order_of_their_files(tmp_path, monkeypatch):
    said = {
        name: f"What {name} has to say, which is long enough to be a document of its own."
        for name in ("z.py", "a.py", "b/one.py", "b/__init__.py", "test/t.py", "site-packages/x.py", "b/tests/y.py")
    }
    for name, words in said.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f'"""{words}"""\n')
    (tmp_path / "c.py").write_text(f'"""{said["a.py"]}"""\ndef f():\n    "Too short to teach anything."\n')
    monkeypatch.setattr(sysconfig, "get_paths", lambda: {"stdlib": str(tmp_path)})
    corpus = python_documentation()
    found = [words for words in (corpus.training + corpus.validation).split(SEPARATOR) if words in said.values()]
    expected = [said[name] for name in ("a.py", "b/__init__.py", "b/one.py", "z.py")]
    sides = [[w for w in expected if w in side] for side in (corpus.training, corpus.validation)]
    assert found == sides[0] + sides[1] and sorted(found) == sorted(expected)
    assert "Too short to teach" not in corpus.training + corpus.validation


def test_no_document_stands_twice(documentation):
    documents = (documentation.training + documentation.validation).split(SEPARATOR)
    long = [document for document in documents if len(document) > 500]
    assert len(long) == len(set(long)) > 500


def test_docstrings_in_source_order_at_every_depth():
    source = b'''"The module."
if True:
    class A:
        "A class."
        def f(self):
            """A method,
            on two lines."""
            def g():
                "Inside."
try:
    pass
except ImportError:
    def h(): "In a handler."
else:
    async def k(): "In an else."
finally:
    def z(): "At last."
x = "no docstring"
def silent(): return "no docstring either"
'''
    assert list(docstrings(source)) == [
        "The module.",
        "A class.",
        "A method,\non two lines.",
        "Inside.",
        "In a handler.",
        "In an else.",
        "At last.",
    ]


def test_a_file_that_is_no_python_holds_no_docstring():
    assert list(docstrings(b"print 'two'")) == []
    assert list(docstrings(b"\xff\xfe\x00")) == []


def test_a_documents_side_depends_on_nothing_else():
    documents = [f"document number {number}" for number in range(300)]
    few, all_of_them = split_by_hash("few", documents[:100]), split_by_hash("all", documents)
    assert 10 < all_of_them.validation.count(SEPARATOR) < 60
    for corpus in (few, all_of_them):
        for document in corpus.validation.split(SEPARATOR)[:-1]:
            assert int(hashlib.sha256(document.encode()).hexdigest()[:16], 16) % 10 == 0
    assert set(few.validation.split(SEPARATOR)) <= set(all_of_them.validation.split(SEPARATOR))


def test_the_fingerprint_sees_one_character_and_the_split():
    one = Corpus("c", 1, "abcdef", "ghi")
    assert one.fingerprint != Corpus("c", 1, "abcdef", "ghj").fingerprint
    assert one.fingerprint != Corpus("c", 1, "abcde", "fghi").fingerprint
    assert one.fingerprint == Corpus("another name", 7, "abcdef", "ghi").fingerprint


def test_a_text_file_keeps_its_last_tenth_for_validation(tmp_path):
    path = tmp_path / "rhyme.txt"
    path.write_bytes("\ufeffrow,\r\nrow your böat".encode())  # a byte order mark and Windows line ends
    corpus = load_corpus(path)
    assert (corpus.training, corpus.validation) == ("row,\nrow your böa", "t")
    assert corpus.documents == 1 and corpus.alphabet == "\n ,abortuwyö"


def test_a_folder_gives_its_text_files_and_leaves_the_rest(tmp_path):
    (tmp_path / "b.txt").write_text("b" * 20)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "deep.md").write_text("a" * 10)
    (tmp_path / ".hidden").write_text("h" * 50)
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\0\0\0")
    (tmp_path / "empty.txt").write_text("")
    corpus = load_corpus(tmp_path)
    assert corpus.documents == 2
    assert corpus.training == "a" * 9 + SEPARATOR + "b" * 18
    assert corpus.validation == "a" + SEPARATOR + "bb"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, ["no.txt", "does not exist"]),
        (b"", ["no.txt", "empty"]),
        (b"  \n\n", ["no.txt", "empty"]),
        (b"good\nbad \xe9 byte", ["no.txt", "not UTF-8", "0xe9", "position 9", "line 2"]),
    ],
)
def test_a_text_that_is_no_good_is_named_in_one_sentence(tmp_path, content, words):
    path = tmp_path / "no.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        load_corpus(path)
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_a_folder_without_text_says_so(tmp_path):
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\0")
    with pytest.raises(UserError, match="holds no text"):
        load_corpus(tmp_path)


def test_a_text_shorter_than_a_block_says_what_would_do():
    with pytest.raises(UserError, match=r"8 characters, and one block of 8 needs 9"):
        BatchSampler(np.arange(8), block=8, batch=2, seed=0)
    inputs, targets = BatchSampler(np.arange(9), block=8, batch=2, seed=0).next()
    assert (inputs == np.arange(8)).all() and (targets == np.arange(1, 9)).all()


def test_targets_are_the_inputs_one_further_on():
    sampler = BatchSampler(np.arange(1000) ** 2, block=7, batch=5, seed=3)
    for _ in range(50):
        inputs, targets = sampler.next()
        assert inputs.shape == targets.shape == (5, 7)
        assert (inputs[:, 1:] == targets[:, :-1]).all()
        assert (targets[:, -1] == (np.sqrt(inputs[:, -1]).round() + 1) ** 2).all()


def test_an_epoch_hands_out_every_window_once_and_the_next_begins_elsewhere():
    length, block = 1003, 10
    sampler = BatchSampler(np.arange(length), block=block, batch=1, seed=5)
    firsts = []
    for _ in range(6):
        starts = sorted(int(sampler.next()[0][0, 0]) for _ in range(sampler.windows))
        assert np.diff(starts).tolist() == [block] * (sampler.windows - 1)
        assert 0 <= starts[0] < block and starts[-1] + block < length
        firsts.append(starts[0])
    assert len(set(firsts)) > 1
    assert sampler.windows * block > 0.98 * length


def test_the_position_is_the_whole_state():
    straight = BatchSampler(np.arange(500), block=4, batch=3, seed=9)
    batches = [straight.next()[0] for _ in range(130)]  # more than three epochs
    for done in (1, 41, 42, 100):
        other = BatchSampler(np.arange(500), block=4, batch=3, seed=9)
        other.position = 3 * done
        assert (other.next()[0] == batches[done]).all()


def test_another_seed_gives_another_order():
    one, two = (BatchSampler(np.arange(500), block=4, batch=8, seed=seed).next()[0] for seed in (1, 2))
    assert (one != two).any()


def test_padding_is_cut_off_ids_and_nothing_off_labels():
    ids, labels = np.array([[4, 5, 0], [6, 0, 0]]), np.array([[1.0, 0.0], [1.0, 0.0]])
    got, right = Batches((ids, labels), 2, pad_id=0).next()
    assert got.shape == (2, 2) and right.shape == (2, 2)
