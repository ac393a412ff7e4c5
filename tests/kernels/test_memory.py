"""Memory that is used again: only when nobody looks at it any more, and never taken from under anybody."""

import contextlib
import gc
import itertools
import sys
import threading
import weakref

import numpy as np
import pytest

from minigrad import Tensor
from minigrad.kernels import memory

SHAPE, F32 = (130, 140), np.dtype(np.float32)  # above the size from which memory is kept


def place(x):
    return x.__array_interface__["data"][0]


@pytest.fixture(autouse=True)
def own_shelf(monkeypatch):
    monkeypatch.setattr(memory, "_local", threading.local())


VIEWS = {
    "the array": lambda x: x,
    "a view": lambda x: x.view(),
    "a transpose": lambda x: x.T,
    "a part": lambda x: x[3:5],
    "a part of a view of a view": lambda x: x.T[1:].reshape(-1, 10, 13)[0][2:],
    "another type": lambda x: x.view(np.int32),
    "read only": lambda x: np.broadcast_to(x, (2, *SHAPE)),
    "a buffer": memoryview,
}


@pytest.mark.parametrize("view", VIEWS)
def test_memory_comes_back_when_the_last_view_is_gone(view):
    first = memory.empty(SHAPE, F32)
    first[...] = 7
    at, kept = place(first), VIEWS[view](first)
    del first
    other = memory.empty(SHAPE, F32)
    other[...] = 8
    assert place(other) != at and (np.asarray(kept).view(np.float32) == 7).all()
    del kept
    assert place(memory.empty(SHAPE, F32)) == at


def test_the_block_that_came_back_last_is_given_out_first():
    arrays = [memory.empty(SHAPE, F32) for _ in range(3)]
    places = [place(x) for x in arrays]
    assert len(set(places)) == 3
    for i in (1, 2, 0):
        arrays[i] = None
    again = [memory.empty(SHAPE, F32) for _ in range(3)]
    assert [place(x) for x in again] == [places[i] for i in (0, 2, 1)]


def test_an_array_in_a_cycle_comes_back_with_the_collector():
    x = memory.empty(SHAPE, F32)
    at, cycle = place(x), [x]
    cycle.append(cycle)
    del x, cycle
    gc.collect()
    assert place(memory.empty(SHAPE, F32)) == at


def test_an_array_that_dies_in_another_thread_comes_back_to_its_own():
    box = [memory.empty(SHAPE, F32)]
    at = place(box[0])
    seen = []

    def elsewhere():
        box.clear()
        seen.append(place(memory.empty(SHAPE, F32)))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert seen != [at] and place(memory.empty(SHAPE, F32)) == at


def test_what_is_not_used_for_long_goes_back_to_the_system(monkeypatch):
    monkeypatch.setattr(memory, "_IDLE", 5)
    memory.empty(SHAPE, F32)
    shelf = memory._local.shelf
    assert sum(map(len, shelf.free.values())) == 1
    kept = [memory.empty((70, 300 + 90 * i), F32) for i in range(9)]  # other sizes: each needs a new block
    assert sum(map(len, shelf.free.values())) == 0 and len(shelf.lent) == len(kept)


def test_results_begin_on_a_cache_line():
    assert all(place(memory.empty((17000 + i,), F32)) % 64 == 0 for i in range(5))


def test_copies_are_the_shelf_s_and_new():
    x = np.arange(60000.0).reshape(200, 300)[:, ::-1]
    copy = memory.copied(x, F32)
    assert copy.dtype == F32 and (copy == x).all() and place(copy) % 64 == 0 and not np.shares_memory(copy, x)
    weight = Tensor(np.zeros((200, 300)), requires_grad=True).assign(x)
    assert isinstance(weight._data.base, memory._Memory), "weights lie beside each other, on large pages"
    x[...] = 0
    assert (copy == weight._data).all()


def test_blocks_share_sheets_and_nothing_of_them(monkeypatch):
    monkeypatch.setattr(memory, "_SHEET", 1 << 20)
    arrays = [memory.empty((16400 + 1000 * i,), F32) for i in range(40)]  # several sheets, and blocks that are one
    for i, x in enumerate(arrays):
        x.fill(i)
    assert all((x == i).all() for i, x in enumerate(arrays))
    assert len({place(x) for x in arrays}) == len(arrays)


def test_a_sheet_goes_back_to_the_system_with_its_last_block(monkeypatch):
    monkeypatch.setattr(memory, "_SHEET", 1 << 20)
    first = memory.empty(SHAPE, F32)
    shelf = memory._local.shelf
    sheet = weakref.ref(shelf.rests[0][0])
    others = [memory.empty((190, 150), F32) for _ in range(12)]
    assert len(shelf.rests) == 1 and shelf.rests[0][0] is not sheet()
    monkeypatch.setattr(memory, "_IDLE", 0)
    del others
    shelf.forget()
    assert sheet() is not None and first.size
    del first
    shelf.forget()
    assert sheet() is None


@pytest.mark.parametrize("make", [lambda: memory.empty(SHAPE, F32), lambda: np.ones(SHAPE, F32)], ids=["from the shelf", "from NumPy"])
def test_who_alone_looks_at_an_array(make):
    box = {"array": make()}

    def sole(name="array", references=1):  # not in an assert itself, which keeps what it has looked at
        return memory.is_sole(box[name], references)

    assert sole()
    box["also"] = box["array"]
    assert not sole() and sole(references=2)
    del box["also"]
    box["view"] = box["array"].T
    assert not sole() and not sole("view")
    del box["array"]  # now the view alone is left
    assert sole("view")
    box["part"] = box["view"][2:]
    assert not sole("view") and not sole("part")
    del box["part"]
    box["view"].flags.writeable = False
    assert not sole("view")


def test_memory_of_others_is_never_ours_alone():
    raw = bytearray(64)
    x = np.frombuffer(raw, np.float32)
    assert not memory.is_sole(x, 1)
    assert not memory.is_sole(x.view()[2:], 0)
    assert not memory.is_sole(np.float32(3), 0)


@contextlib.contextmanager
def interrupted(function, moment, handler):
    """Calls the handler before a line of a function, as a signal may between any two."""
    lines, tracing = itertools.count(), sys.gettrace()

    def interrupt(frame, event, _):
        if frame.f_code is function.__code__:
            if event == "line" and next(lines) == moment:
                handler()
            return interrupt

    sys.settrace(interrupt)
    try:
        yield
    finally:
        sys.settrace(tracing)


@pytest.mark.parametrize("moment", range(7))
def test_who_asks_while_a_block_is_cut_gets_another(moment):
    between, first = [], memory.empty((190, 150), F32)
    with interrupted(memory._Shelf.cut, moment, lambda: between.append(memory.empty(SHAPE, F32))):
        arrays = [first, memory.empty(SHAPE, F32)]
    arrays += [*between, *(memory.empty((150 + i, 160), F32) for i in range(5))]
    assert len(arrays) == 8
    for i, x in enumerate(arrays):
        x.fill(i)
    assert all((x == i).all() for i, x in enumerate(arrays))


@pytest.mark.parametrize("moment", range(8))
def test_a_block_that_is_lent_while_others_are_forgotten_is_not_lent_twice(moment):
    shelf = memory._Shelf()
    shape, dtype = (300, 300), np.dtype("f")
    for array in [shelf.array(360_000, shape, dtype) for _ in range(3)]:
        del array
    shelf.requests += 2 * memory._IDLE
    kept = []
    with interrupted(memory._Shelf.forget, moment, lambda: kept.append(shelf.array(360_000, shape, dtype))):
        shelf.forget()
    assert len(kept) == 1 and len(shelf.lent) == 1 + sum(map(len, shelf.free.values()))  # a loan for each block that there is
    more = [shelf.array(360_000, shape, dtype) for _ in range(4)]
    assert len({array.ctypes.data for array in (*kept, *more)}) == len(kept) + 4


def test_no_interrupt_is_lost_where_memory_comes_back():
    """Python swallows what is raised in a function that a reference calls: none of ours runs there."""
    called, profiling = [], sys.getprofile()
    x = memory.empty(SHAPE, F32)
    at = place(x)
    sys.setprofile(lambda frame, event, _: called.append(frame.f_code.co_name) if event == "call" else None)
    try:
        del x
    finally:
        sys.setprofile(profiling)
    assert called == [] and place(memory.empty(SHAPE, F32)) == at
