"""Generators that are named, saved and restored; nothing else is touched."""

import copy
import json
import pickle
import threading

import numpy as np
import pytest

import minigrad as mg
from minigrad import journal


@pytest.mark.parametrize("draw", [
    lambda g: g.normal((3,)), lambda g: g.uniform((3,), -1, 2), lambda g: g.integers(0, 1000, (3,)), lambda g: g.permutation(20),
    lambda g: np.array(g.counters(17)),
], ids=["normal", "uniform", "integers", "permutation", "counters"])  # fmt: skip
@pytest.mark.parametrize("before", [2, 3])
def test_a_restored_state_goes_on_where_it_was(draw, before):
    g = mg.Generator(5)
    g.integers(0, 10, (before,))  # small integers take half a word of the stream: of one word a half may be left over
    draw(g)
    state = json.loads(json.dumps(g.state()))  # goes into a checkpoint as text
    expected = [draw(g) for _ in range(3)]
    other = mg.Generator(99)
    other.normal((7,))
    other.set_state(state)
    assert all(np.array_equal(draw(other), e) for e in expected)
    assert other.seed == 5


def test_the_seed_decides():
    same, other = mg.Generator(5), mg.Generator(6)
    first = mg.Generator(5).normal((4,))
    assert np.array_equal(first, same.normal((4,))) and not np.array_equal(first, other.normal((4,)))


@pytest.mark.parametrize("seed", [-1, 1.5, "7", None, 2**64])
def test_a_seed_that_could_not_be_saved_is_refused(seed):
    with pytest.raises(ValueError, match="whole number from 0 to below"):
        mg.Generator(seed)
    assert mg.Generator(np.uint64(2**64 - 1)).state_dict()["seed"] == 2**64 - 1


def test_counters_never_overlap():
    g = mg.Generator(5)
    (seed, a), (_, b), (_, c) = g.counters(10), g.counters(5), g.counters(1)
    assert (seed, a, b, c) == (5, 0, 10, 15)


def test_manual_seed_starts_the_default_generator_again():
    mg.manual_seed(3)
    first = mg.random.current().normal((4,))
    mg.random.current().counters(5)
    mg.manual_seed(3)
    assert np.array_equal(first, mg.random.current().normal((4,)))
    assert mg.random.current().counters(1) == (3, 0)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))], ids=["deepcopy", "pickle"])
def test_the_default_generator_is_one_and_others_are_copied(duplicate):
    default, own = mg.random.current(), mg.random.own_or_current(7)
    assert duplicate(default) is default and duplicate([default])[0] is default
    twin = duplicate(own)
    assert twin is not own and np.array_equal(twin.normal((4,)), own.normal((4,)))


def test_a_copy_from_another_thread_draws_from_the_default_of_its_own():
    made, seen = pickle.dumps(mg.random.current()), []
    thread = threading.Thread(target=lambda: seen.extend([pickle.loads(made), mg.random.current()]))
    thread.start()
    thread.join()
    assert seen[0] is seen[1] is not mg.random.current()


def test_using_nests_and_ends_with_an_exception():
    outer, inner = mg.Generator(1), mg.Generator(2)
    default = mg.random.current()
    with mg.random.using(outer):
        with pytest.raises(ZeroDivisionError), mg.random.using(inner):
            assert mg.random.current() is inner
            1 / 0
        assert mg.random.current() is outer
    assert mg.random.current() is default


def test_another_thread_does_not_see_the_generator_in_use():
    seen = []
    with mg.random.using(mg.Generator(1)) as g:
        thread = threading.Thread(target=lambda: seen.append(mg.random.current()))
        thread.start()
        thread.join()
    assert seen[0] is not g


def test_numpys_own_generator_is_left_alone():
    before = np.random.get_state()[1].tobytes()
    mg.manual_seed(1)
    mg.Generator(4).normal((10,))
    mg.Dense(3)(np.ones((2, 3), np.float32))
    mg.dropout(np.ones(10), 0.5, 1)
    assert np.random.get_state()[1].tobytes() == before


def test_uniform_and_normal_have_their_moments():
    g, n = mg.Generator(0), 100_000
    u, z = g.uniform((n,), -1.0, 3.0), g.normal((n,), 2.0, 0.5)
    assert u.min() >= -1 and u.max() < 3
    assert abs(u.mean() - 1) < 5 * (16 / 12 / n) ** 0.5
    assert abs(z.mean() - 2) < 5 * 0.5 / n**0.5 and abs(z.std() - 0.5) < 5 * 0.5 / (2 * n) ** 0.5


# ---------------------------------------------------------------------------------------------------- what can be put back


def test_what_changes_inside_is_undone_at_every_depth():
    g, b = mg.Generator(1), mg.Buffer([1.0])
    start = g.state()
    with journal.undone():
        g.normal((3,))
        b.assign([2.0])
        inner = g.state()
        with pytest.raises(ZeroDivisionError), journal.undone():
            g.counters(5)
            b.assign([3.0])
            raise ZeroDivisionError
        assert g.state() == inner and b.tolist() == [2.0]
    assert g.state() == start and b.tolist() == [1.0]


@pytest.mark.parametrize("draw", [
    lambda g: g.normal(2), lambda g: g.uniform(2), lambda g: g.integers(0, 9, 2), lambda g: g.permutation(5), lambda g: g.counters(3),
    lambda g: g.set_state(mg.Generator(77).state()),
], ids=["normal", "uniform", "integers", "permutation", "counters", "set_state"])  # fmt: skip
def test_every_way_of_drawing_can_be_undone_and_done_again(draw):
    g = mg.Generator(4)
    g.integers(0, 9, 3)
    start = g.state()
    with journal.kept() as book:
        draw(g)
    end = g.state()
    with journal.undone():
        journal.put_back(book)
        assert g.state() == start
        draw(g)
        assert g.state() == end
        draw(g)
    assert g.state() == end


def test_a_seed_inside_is_undone_too():
    mg.manual_seed(1)
    start = mg.random.current().state()
    with journal.undone():
        mg.manual_seed(2)
        mg.randn(3)
    assert mg.random.current().state() == start
