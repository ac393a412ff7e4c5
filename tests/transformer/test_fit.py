"""fit: what it learns, looks at, calls and saves; a training that was stopped and goes on is the one that never stopped."""

import copy
import functools
import signal

import numpy as np
import pytest

import minigrad as mg
from tests.helpers import assert_close
from transformer import (
    BatchNormalization,
    Dropout,
    EncoderDecoder,
    EncoderDecoderConfig,
    LanguageModel,
    LanguageModelConfig,
)
from transformer.data import Batches
from transformer.errors import UserError
from transformer.history import History
from transformer.pretrained import from_pretrained, save_pretrained
from transformer.training import BestCheckpoint, Diverged, EarlyStopping, Interrupted, fit

N, F, C = 60, 3, 4
X = np.random.default_rng(1).standard_normal((N, F)).astype(np.float32)
Y = (X @ np.random.default_rng(2).standard_normal((F, C))).argmax(axis=1)


def model(seed=0):
    with mg.random.using(mg.Generator(seed)):
        made = mg.Sequential(mg.Dense(8, "tanh"), BatchNormalization(), Dropout(0.2), mg.Dense(C))
        made(X[:2], training=True)
    return made


def learn(made, **options):
    rate = {} if "optimizer" in options else {"lr": 0.01}
    return fit(made, (X, Y), **{"steps": 12, "batch_size": 7, "progress": False, **rate, **options})


def state(made):
    return {path: array.tobytes() for path, array in made.state_dict().items()}


# ------------------------------------------------------------------------------------------------------------- learning


def test_it_learns_what_can_be_learned():
    made = model()
    history = learn(made, steps=300, batch_size=20, lr=0.03, validation_data=(X, Y), validate_every=150)
    assert history["train_loss"][0] > 1 and history.last("train_loss") < 0.4
    assert history.last("validation_accuracy") > 0.95
    assert (made(X).numpy().argmax(axis=1) == Y).mean() == history.last("validation_accuracy")
    assert [step for step, _ in zip(*history.series("validation_loss"))] == [150, 300]


def test_a_step_is_a_step_of_the_optimiser():
    """Against the loop that one writes by hand."""
    by_hand, made = model(), model()
    optimizer = mg.optim.SGD(by_hand.parameters(), lr=0.1, momentum=0.9)
    batches = Batches((X, Y), 7, seed=3)
    for _ in range(5):
        x, y = batches.next()
        loss = mg.cross_entropy(by_hand(x, training=True), y)
        by_hand.zero_grad()
        loss.backward()
        optimizer.step()
    history = learn(made, steps=5, seed=3, optimizer=mg.optim.SGD(made.parameters(), lr=0.1, momentum=0.9))
    assert state(made) == state(by_hand) and history.last("train_loss") == loss.item()


def test_every_row_comes_once_per_epoch_in_a_new_order():
    batches = Batches((np.arange(10), np.arange(10) * 2), batch_size=5, seed=1)
    epochs = []
    for _ in range(3):
        rows = [batches.next() for _ in range(2)]
        assert all((y == 2 * x).all() for x, y in rows)
        epochs.append(np.concatenate([x for x, _ in rows]).tolist())
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2] and batches.per_epoch == 2
    again = Batches((np.arange(10), np.arange(10) * 2), batch_size=5, seed=1)
    again.position = 10
    assert np.concatenate([again.next()[0] for _ in range(2)]).tolist() == epochs[1]


def test_padding_behind_a_batch_is_cut_off():
    ids = np.array([[5, 6, 0, 0], [7, 0, 0, 0], [8, 9, 4, 0]])
    batches = Batches((ids, ids[:, :2], np.array([0.0, 0.0, 1.0])), batch_size=3, seed=0, pad_id=0)
    sources, targets, numbers = batches.next()
    assert sources.shape == (3, 3) and targets.shape == (3, 2) and numbers.shape == (3,)
    assert Batches((np.zeros((2, 3), int),), 2, 0, 0).next()[0].shape == (2, 1)


def test_several_inputs_and_a_loss_of_ones_own():
    config = EncoderDecoderConfig(9, 9, 5, 4, layers=1, heads=2, width=8)
    rng = np.random.default_rng(0)
    source, target = rng.integers(1, 9, (20, 5)), rng.integers(1, 9, (20, 4))
    loss = functools.partial(mg.cross_entropy, ignore_index=0)
    history = fit(EncoderDecoder(config), ((source, target[:, :-1]), target[:, 1:]), loss=loss, epochs=2, batch_size=5, progress=False)
    assert len(history) == 8


@pytest.mark.parametrize("targets, loss, expected", [
    (Y, None, mg.cross_entropy), (X[:, :C], None, None), (X, "mse", mg.mse_loss), (Y, "cross_entropy", mg.cross_entropy),
])  # fmt: skip
def test_the_loss_follows_the_targets_or_its_name(targets, loss, expected):
    made = mg.Sequential(mg.Dense(C if targets is Y else F))
    start = copy.deepcopy(made)
    history = fit(made, (X, targets), loss=loss, steps=1, batch_size=N, lr=0.0, progress=False)
    expected = expected or mg.mse_loss
    assert_close(history.last("train_loss"), expected(made(X), targets).item(), 1e-6)
    assert not start.layers[0].built, "fit builds what is not built yet"


def test_a_schedule_gives_the_rate_of_every_step():
    assert learn(model(), steps=4, schedule=lambda step: 0.1 / (step + 1))["learning_rate"] == [0.1, 0.05, 0.1 / 3, 0.025]


def test_a_schedule_is_asked_once_a_step_and_goes_on(tmp_path):
    rates = iter([0.1, 0.2, 0.3, 0.4])
    made = model()
    optimizer = mg.optim.SGD(made.parameters(), lr=0.7)
    options = {"schedule": lambda step: next(rates), "optimizer": optimizer, "folder": tmp_path / "run"}
    learn(made, steps=2, seed=np.int64(3), **options)
    optimizer.lr = 0.9  # the schedule's, whatever it is meanwhile
    assert learn(made, steps=4, seed=3, resume=True, **options)["learning_rate"] == [0.1, 0.2, 0.3, 0.4]


def test_only_the_loss_learns():
    made, scale = mg.Sequential(mg.Dense(C)), mg.Parameter([1.0])
    made(X)
    made.freeze()
    loss = lambda out, targets: mg.cross_entropy(out * scale, targets)
    fit(made, (X, Y), loss=loss, optimizer=mg.optim.SGD([scale], lr=0.1), progress=False)
    assert scale.item() != 1.0
    made.unfreeze()
    with pytest.raises(ValueError, match="moves no parameter of this model"):
        fit(made, (X, Y), loss=loss, optimizer=mg.optim.SGD([scale], lr=0.1), progress=False)


def test_epochs_are_steps():
    assert len(learn(model(), steps=None)) == 9 and len(learn(model(), steps=None, epochs=2)) == 18  # 60 rows by 7


@pytest.mark.parametrize("batch_size", [7, N])
@pytest.mark.parametrize("loss", [
    mg.cross_entropy, functools.partial(mg.cross_entropy, reduction="sum"), functools.partial(mg.cross_entropy, ignore_index=-1),
], ids=["mean", "sum", "ignored"])  # fmt: skip
def test_a_look_is_the_loss_of_all_that_counts(loss, batch_size):
    """Seven rows a batch: the last has four, and some have nothing but targets that are passed over."""
    made, targets = model(), Y.copy()
    if "ignore_index" in getattr(loss, "keywords", {}):
        targets[:40] = -1
    history = learn(made, steps=1, loss=loss, batch_size=batch_size, validation_data=(X, targets))
    out, known = made(X), targets >= 0
    assert_close(history.last("validation_loss"), loss(out, targets).item(), 1e-6)
    assert history.last("validation_accuracy") == (out.numpy().argmax(1) == targets)[known].mean()


def test_the_accuracy_of_yes_and_no():
    class Flat(mg.Layer):
        def call(self, x):
            return x[:, 0]  # (B, 1) -> (B)

    made = mg.Sequential(mg.Dense(1), Flat())
    yes = (X[:, 0] > 0).astype(int)
    history = fit(made, (X, yes), epochs=60, lr=0.05, loss="binary_cross_entropy", validation_data=(X, yes), progress=False)
    assert history.last("validation_accuracy") == ((made(X).numpy() > 0) == yes).mean() > 0.9
    history = fit(made, (X, yes), loss="mse", validation_data=(X, yes), progress=False)
    assert "validation_accuracy" not in history, "a number for each row is no class"


def test_a_score_of_one_column_is_no_class():
    yes = (X[:, 0] > 0).astype(int)
    loss = lambda out, targets: mg.binary_cross_entropy_with_logits(out[:, 0], targets)
    history = fit(mg.Sequential(mg.Dense(1)), (X, yes), loss=loss, validation_data=(X, yes), progress=False)
    assert "validation_accuracy" not in history and "validation_loss" in history


class More(mg.Layer):
    """What the targets are about, and something else."""

    def __init__(self, more):
        super().__init__()
        self.dense, self.more = mg.Dense(C), more

    def call(self, x):
        return self.more(self, self.dense(x))


@pytest.mark.parametrize("more, loss", [
    (lambda m, out: (out, mg.square(m.dense.kernel).sum()), lambda out, y: mg.cross_entropy(out[0], y) + out[1]),
    (lambda m, out: (out, m.dense.kernel), lambda out, y: mg.cross_entropy(out[0], y) + mg.square(out[1]).sum()),
    (lambda m, out: {"y": out, "none": None}, lambda out, y: mg.cross_entropy(out["y"], y)),
    (lambda m, out: out.sum(), lambda out, y: out * out), (lambda m, out: out.T, lambda out, y: mg.cross_entropy(out.T, y)),
], ids=["a number beside", "weights beside", "a dict", "a number", "turned round"])  # fmt: skip
def test_a_look_at_a_model_that_gives_more_than_rows(more, loss):
    """Batches of 7 and one of 4: the mean over the rows of what the batches have."""
    made = More(more)
    history = fit(made, (mg.tensor(X), Y), loss=loss, batch_size=7, steps=1, validation_data=(X, Y), progress=False)
    parts = [(loss(made(X[i : i + 7]), Y[i : i + 7]).item(), len(Y[i : i + 7])) for i in range(0, N, 7)]
    assert_close(history.last("validation_loss"), sum(value * rows for value, rows in parts) / N, 1e-6)


def test_a_look_does_not_overflow_in_half_precision():
    """The squares of four rows can be added up in float16, those of 3,000 cannot."""
    x, y = np.ones((3000, F), np.float16), np.full((3000, C), 40, np.float16)
    made = More(lambda m, out: mg.astype(out, np.float16))
    history = fit(made, (x, y), loss="mse", lr=0.0, steps=1, batch_size=4, validation_data=(x, y), progress=False)
    assert_close(history.last("validation_loss"), history.last("train_loss"), 1e-2)


# ------------------------------------------------------------------------------------------------------------ callbacks


def test_callbacks_see_every_step_after_the_look():
    seen = []

    def callback(training):
        seen.append((training.step, training.row.get("validation_loss") is not None))
        if training.step == 7:
            training.stop("enough")

    history = learn(model(), validation_data=(X, Y), validate_every=3, callbacks=[callback])
    assert seen == [(1, False), (2, False), (3, True), (4, False), (5, False), (6, True), (7, False)]
    assert len(history) == 7 and history.stopped == "enough"


def test_early_stopping_brings_the_best_weights_back():
    losses, states = iter([3.0, 1.0, 2.0, 1.5, 0.1]), []
    made = model()

    def validate(it):
        states.append(state(it))
        return {"validation_loss": next(losses)}

    history = learn(made, validate=validate, validate_every=2, callbacks=[EarlyStopping(patience=2)])
    assert len(history) == 8 and "1 in 2 looks" in history.stopped
    assert state(made) == states[1]


def test_early_stopping_upwards_and_by_a_least_step():
    scores = iter([0.5, 0.52, 0.54, 0.9])
    stopping = EarlyStopping("score", patience=2, mode="max", min_delta=0.1, restore_best=False)
    assert len(learn(model(), validate=lambda _: {"score": next(scores)}, validate_every=1, callbacks=[stopping])) == 3
    with pytest.raises(ValueError, match='EarlyStopping: mode is "min" or "max"'):
        EarlyStopping(mode="up")


def looks(*numbers):
    """A look that finds these, one after another."""
    left = iter(numbers)
    return {"validate": lambda _: next(left), "validate_every": 1, "steps": len(numbers)}


def recorded(states):
    return lambda training: states.append(state(training.model))


def test_the_best_weights_come_back_at_the_end_too_and_after_all_callbacks(tmp_path):
    made, states, best = model(), [], BestCheckpoint(tmp_path / "best.npz", "accuracy", "max")
    found = [{"validation_loss": loss, "accuracy": accuracy} for loss, accuracy in ((1.0, 0.1), (2.0, 0.2), (2.0, 0.9))]
    history = learn(made, callbacks=[EarlyStopping(patience=5), best, recorded(states)], **looks(*found))
    assert history.stopped is None and state(made) == states[0]
    stopped = model()
    history = learn(stopped, callbacks=[EarlyStopping(patience=2), best], **looks(*found))
    assert history.stopped and state(stopped) == states[0]
    mg.load(best.path, into=made)
    assert state(made) == states[2], "the third look was the best of the other number"


def test_callbacks_begin_afresh_with_every_training(tmp_path):
    stopping, best = EarlyStopping(patience=2), BestCheckpoint(tmp_path / "best.npz")
    first, second, states = model(0), model(1), []
    learn(first, callbacks=[stopping, best], **looks(*({"validation_loss": loss} for loss in (0.1, 0.2, 0.3))))
    worse = ({"validation_loss": loss} for loss in (0.9, 0.8, 0.7))
    assert len(learn(second, callbacks=[stopping, best, recorded(states)], **looks(*worse))) == 3
    assert state(second) == states[2] and stopping.best == 0.7
    mg.load(best.path, into=first)
    assert state(first) == states[2]


def test_no_patience_stops_at_the_first_look_that_is_no_better():
    found = ({"validation_loss": loss} for loss in (3.0, 2.0, 2.5, 1.0))
    assert len(learn(model(), callbacks=[EarlyStopping(patience=0)], **looks(*found))) == 3
    with pytest.raises(ValueError, match="from 0. Received: -1, 0.0"):
        EarlyStopping(patience=-1)


@pytest.mark.parametrize("watching", [EarlyStopping("val_loss"), BestCheckpoint("never.npz", "val_loss")])
@pytest.mark.parametrize("options", [{"validation_data": (X, Y)}, {}], ids=["looked", "nothing to look at"])
def test_a_number_that_nobody_brings_is_named_at_the_first_look(watching, options):
    with pytest.raises(ValueError, match="nothing is called 'val_loss' here; there are step, .*train_loss"):
        learn(model(), callbacks=[watching], **options)


def test_a_number_that_comes_late_or_that_every_step_has_can_be_watched():
    found = [{"loss": 3.0}, {"loss": 2.0, "late": 1.0}, {"loss": 2.0}, {"late": 2.0}]
    assert len(learn(model(), callbacks=[EarlyStopping("train_loss", patience=99)], steps=3)) == 3
    with pytest.raises(ValueError, match="nothing is called 'late'"):
        learn(model(), callbacks=[EarlyStopping("late", patience=1)], **looks(*found))
    assert len(learn(model(), callbacks=[EarlyStopping("late", patience=1)], **looks(*found[1:]))) == 3


def test_a_number_of_another_callback_may_come_late_or_never():
    def late(training):
        if training.step % 4 == 0:
            training.row["mine"] = 1 / training.step

    stopping = EarlyStopping("mine", patience=9)
    learn(model(), steps=6, validation_data=(X, Y), validate_every=2, callbacks=[late, stopping])
    assert stopping.best == 0.25
    with pytest.warns(UserWarning, match="EarlyStopping: nothing is called 'your'"):
        learn(model(), steps=6, validation_data=(X, Y), validate_every=2, callbacks=[late, EarlyStopping("your")])


def test_names_of_a_callback_are_its_own():
    class Window:
        begin, end, seen = 2, 4, 0

        def __call__(self, training):
            self.seen += self.begin <= training.step < self.end

    window = Window()
    learn(model(), callbacks=[window])
    assert window.seen == 2


@pytest.mark.parametrize("number", [np.float32(1.1), True, mg.tensor(1.1), 1])
def test_what_a_look_finds_comes_back_from_a_file(number, tmp_path):
    callbacks = [EarlyStopping("score", patience=9)]
    history = learn(model(), steps=1, validate=lambda _: {"score": number}, callbacks=callbacks, folder=tmp_path / "run")
    again = learn(model(), steps=1, validate=lambda _: {"score": number}, callbacks=callbacks, folder=tmp_path / "run", resume=True)
    assert type(history.last("score")) is float and again.rows == history.rows


@pytest.mark.parametrize("found", [{"step": 3}, {"train_loss": 1.0}, 1.0, {"score": "good"}, {"score": np.ones(2)}])
def test_what_a_look_may_not_find(found):
    with pytest.raises(ValueError, match="A look returns a dict of"):
        learn(model(), validate=lambda _: found)


def test_the_best_checkpoint_is_that_of_the_best_look(tmp_path):
    losses, states = iter([3.0, 1.0, 2.0]), []

    def validate(it):
        states.append(state(it))
        return {"validation_loss": next(losses)}

    learn(model(), steps=3, validate=validate, validate_every=1, callbacks=[BestCheckpoint(tmp_path / "best.npz")])
    twin = model(1)
    mg.load(tmp_path / "best.npz", into=twin)
    assert state(twin) == states[1]


# ------------------------------------------------------------------------------------------------- stopping and going on


def test_going_on_is_bit_for_bit_the_training_that_never_stopped(tmp_path):
    """Weights, statistics, dropout, the order of the rows, the optimiser and the callbacks."""

    def options():
        return {"validation_data": (X, Y), "validate_every": 4, "callbacks": [EarlyStopping(patience=9)], "checkpoint_every": 5}

    straight, halved = model(), model()
    whole = learn(straight, steps=14, **options())
    learn(halved, steps=7, folder=tmp_path / "run", **options())
    twin = model(5)  # everything that matters comes from the folder
    rest = learn(twin, steps=14, folder=tmp_path / "run", resume=True, **options())
    looked = lambda h: [{k: v for k, v in row.items() if v is not None} for row in h.rows if row["step"] != 7]  # noqa: E731
    assert state(twin) == state(straight) and looked(rest) == looked(whole)


class Change:
    """Changes something at a step, and is cut off after another."""

    def __init__(self, at, change, cut=None):
        self.at, self.change, self.cut = at, change, cut

    def __call__(self, training):
        if training.step == self.at:
            self.change(training)
        if training.step == self.cut:
            raise KeyboardInterrupt


def freeze(training):
    training.model.layers[0].freeze()


def slow_down(training):
    training.optimizer.lr = 0.001


@pytest.mark.parametrize("change", [freeze, slow_down])
def test_what_a_callback_changed_is_still_so_when_it_goes_on(change, tmp_path):
    options = {"checkpoint_every": 4, "folder": tmp_path / "run", "seed": 5}
    whole, halved, twin = model(), model(), model(3)
    straight = learn(whole, callbacks=[Change(2, change)], seed=5)
    with pytest.raises(KeyboardInterrupt):
        learn(halved, callbacks=[Change(2, change, cut=6)], **options)
    rest = learn(twin, callbacks=[Change(2, change)], resume=True, **options)
    assert state(twin) == state(whole) and rest["learning_rate"] == straight["learning_rate"]
    assert twin.layers[0].kernel.frozen == whole.layers[0].kernel.frozen == (change is freeze)


def test_random_numbers_that_nobody_owns_go_on_too(tmp_path):
    class Noise(mg.Layer):
        def call(self, x, training=False):
            return mg.dropout(x, 0.5) if training else x

    def begun():
        mg.manual_seed(11)
        return mg.Sequential(mg.Dense(8), Noise(), mg.Dense(C))

    whole, halved = begun(), None
    straight = learn(whole, steps=8)
    halved = begun()
    learn(halved, steps=5, folder=tmp_path / "run")
    mg.manual_seed(99)
    assert learn(halved, steps=8, folder=tmp_path / "run", resume=True)["train_loss"] == straight["train_loss"]


@pytest.mark.parametrize("change, words", [
    ({"optimizer": lambda m: mg.optim.SGD(m.parameters(), lr=0.01)}, "other optimizer: <AdamW.* Received: <SGD"),
    ({"lr": 0.02}, "other optimizer: .*lr=0.01.*lr=0.02"), ({"seed": 4}, "other batches: .*'seed': 0.*'seed': 4"),
    ({"batch_size": 9}, "other batches"), ({"callbacks": [EarlyStopping()]}, r"other callbacks: \[\]. Received: \['EarlyStopping'\]"),
    ({"frozen": True}, r"other frozen: \[\]. Received: \['layers.0.bias"),
])  # fmt: skip
def test_a_training_goes_on_only_as_it_began(change, words, tmp_path):
    learn(model(), folder=tmp_path / "run")
    made = model(2)
    before = state(made)
    if change.pop("frozen", False):
        made.layers[0].freeze()
    if "optimizer" in change:
        change = {"optimizer": change["optimizer"](made)}
    with pytest.raises(UserError, match=words) as caught:
        learn(made, folder=tmp_path / "run", resume=True, validation_data=(X, Y), **change)
    assert state(made) == before and "Remove" not in str(caught.value), "nothing is damaged"


def test_the_same_objects_go_on(tmp_path):
    """In a notebook: the model is frozen in part, and the optimiser at another rate, by the time it goes on."""
    made = model()
    optimizer = mg.optim.SGD(made.parameters(), lr=0.1)
    callbacks = [Change(2, freeze), Change(3, slow_down)]
    learn(made, steps=5, optimizer=optimizer, callbacks=callbacks, folder=tmp_path / "run")
    assert len(learn(made, steps=9, optimizer=optimizer, callbacks=callbacks, folder=tmp_path / "run", resume=True)) == 9


def test_ctrl_c_saves_and_says_so(tmp_path):
    def press(training):
        if training.step == 5:
            signal.raise_signal(signal.SIGINT)

    made = model()
    with pytest.raises(Interrupted, match="Stopped after step 5") as caught:
        learn(made, folder=tmp_path / "run", callbacks=[press])
    assert caught.value.code == 130
    whole, rest = model(), model(9)
    learn(whole, callbacks=[lambda training: None])
    learn(rest, folder=tmp_path / "run", resume=True, callbacks=[lambda training: None])
    assert state(rest) == state(whole)


def test_early_stopping_has_not_forgotten_when_it_goes_on(tmp_path):
    losses = iter([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    options = {"validate": lambda _: {"validation_loss": next(losses)}, "validate_every": 1, "checkpoint_every": 1}
    learn(model(), steps=2, folder=tmp_path / "run", callbacks=[EarlyStopping(patience=3)], **options)
    stopping, made = EarlyStopping(patience=3), model()
    history = learn(made, folder=tmp_path / "run", resume=True, callbacks=[stopping], **options)
    assert len(history) == 4 and stopping.best == 1.0
    assert len(learn(made, folder=tmp_path / "run", resume=True, callbacks=[EarlyStopping(patience=3)], **options)) == 4, "it had ended"


def test_a_folder_with_something_in_it_is_not_written_over(tmp_path):
    learn(model(), folder=tmp_path / "run")
    with pytest.raises(UserError, match="resume=True"):
        learn(model(), folder=tmp_path / "run")
    other = mg.Sequential(mg.Dense(9), mg.Dense(6), mg.Dense(C))
    with pytest.raises(UserError, match="does not belong to this model") as caught:
        learn(other, folder=tmp_path / "run", resume=True)
    assert "Remove" not in str(caught.value)


def test_a_loss_that_is_no_number_stops_it():
    with np.errstate(all="ignore"), pytest.raises(Diverged, match="loss is nan at step 1"):
        fit(mg.Sequential(mg.Dense(C)), (X * np.nan, Y), steps=3, progress=False)


@pytest.mark.parametrize("loss, words", [
    (lambda out, y: mg.cross_entropy(out, y) * (np.nan if (y == Y[:7]).all() else 1.0), "loss is nan at step 3"),
    (lambda out, y: (out * out * 0.0).sum() ** 0.5, "length of the gradient is nan at step 1"),
], ids=["loss", "gradient"])  # fmt: skip
def test_numbers_that_are_none_leave_the_weights_alone(loss, words):
    """The loss is nan in the third batch; the root's slope at 0 is infinite, though its value is a number."""
    class Stream:
        position, batches = 0, [(X[7:14], Y[7:14]), (X[14:21], Y[14:21]), (X[:7], Y[:7])]

        def next(self):
            return self.batches[self.position]

    stream, made, states = Stream(), mg.Sequential(mg.Dense(C)), []
    made(X)
    states.append(state(made))

    def forward(training):
        stream.position += 1
        states.append(state(made))

    with np.errstate(all="ignore"), pytest.raises(Diverged, match=words):
        fit(made, stream, loss=loss, steps=9, callbacks=[forward], progress=False)
    assert state(made) == states[-1]


def test_a_stream_that_ends_says_so():
    class Stream:
        position = 0

        def next(self):
            if self.position == 3:
                raise StopIteration
            self.position += 1
            return X, Y

    with pytest.raises(UserError, match="ended after step 3"):
        fit(mg.Sequential(mg.Dense(C)), Stream(), loss="cross_entropy", steps=9, progress=False)


@pytest.mark.parametrize("options, words", [
    ({"steps": 1, "epochs": 1}, "steps or epochs, not both"), ({"loss": "crossentropy"}, "one of cross_entropy, mse"),
    ({"epochs": 2.5}, "epochs is a whole number"), ({"steps": -1}, "steps is a whole number"), ({"keep": 0}, "keep is a whole number"),
    ({"validate_every": 0}, "validate_every is"), ({"checkpoint_every": 0}, "checkpoint_every is"), ({"batch_size": 0}, "batch_size is"),
    ({"validate": lambda m: {}, "validation_data": (X, Y)}, "validate or validation_data"), ({"resume": True}, "name it with folder="),
    ({"lr": 0.1, "optimizer": mg.optim.SGD([mg.Parameter([1.0])])}, "lr or optimizer"),
    ({"optimizer": mg.optim.SGD([mg.Parameter([1.0])])}, "moves no parameter of this model"),
    ({"validation_data": (X[:0], Y[:0])}, "at least one"),
])  # fmt: skip
def test_wrong_options(options, words):
    with pytest.raises(ValueError, match=words):
        fit(mg.Sequential(mg.Dense(C)), (X, Y), **options)


@pytest.mark.parametrize("options, words", [
    ({"optimizer": "sgd"}, "one of minigrad.optim .*'sgd'"), ({"optimizer": mg.optim.SGD}, "with the parameters it moves"),
    ({"callbacks": EarlyStopping()}, r"callbacks=\[...\]"),
])  # fmt: skip
def test_options_of_the_wrong_kind(options, words):
    with pytest.raises(TypeError, match=words):
        fit(mg.Sequential(mg.Dense(C)), (X, Y), **options)


def test_a_schedule_does_not_level_the_rates_of_groups():
    made = model()
    kernel, *rest = made.parameters()
    optimizer = mg.optim.SGD([{"params": [kernel], "lr": 0.1}, {"params": rest, "lr": 0.2}])
    with pytest.raises(ValueError, match="one rate for all groups"):
        learn(made, optimizer=optimizer, schedule=lambda step: 0.1)


@pytest.mark.parametrize("data, error, words", [
    (X, TypeError, r"data is \(x, y\)"), ((X, Y[:-1]), ValueError, r"equally many rows.*\[60, 59\]"),
    ((X[:0], Y[:0]), ValueError, "at least one"),
])  # fmt: skip
def test_wrong_data(data, error, words):
    with pytest.raises(error, match=words):
        fit(mg.Sequential(mg.Dense(C)), data, progress=False)


def test_progress_goes_to_the_terminal(capsys):
    learn(model(), steps=4, progress=True, validation_data=(X, Y), validate_every=2)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines] == ["step 2/4", "step 4/4"]
    assert all(word in lines[0] for word in ("loss", "validation accuracy", "steps/s", "left"))


# ------------------------------------------------------------------------------------------------------ history, folders


def test_history_reads_back_bit_for_bit():
    rows = [{"step": 1, "loss": 0.1 + 0.2, "seen": None}, {"step": 2, "loss": 1e-17, "seen": 1.0, "late": 3.5}]
    back = History.from_csv(History(rows).to_csv())
    assert back.rows == [{**row, "late": row.get("late")} for row in rows]
    assert back.best("loss") == (2, 1e-17) and back.best("loss", "max")[0] == 1 and back.series("seen") == ([2], [1.0])
    assert "seen" in back and "accuracy" not in back and [row["step"] for row in back] == [1, 2]
    with pytest.raises(ValueError, match='mode is "min" or "max"'):
        back.best("loss", "maximum")
    for damaged in (b"step,loss\n1,0.5\n2", b"step,loss\n1,0.5,3\n"):
        with pytest.raises(ValueError, match="every line"):
            History.from_csv(damaged)
    with pytest.raises(KeyError, match="'accuracy'; there are step, loss"):
        back["accuracy"]
    with pytest.raises(ValueError, match="nobody looked at 'accuracy'"):
        back.best("accuracy")


@pytest.mark.parametrize("made", [
    LanguageModel(LanguageModelConfig(9, 5, layers=1, heads=2, width=8, ablate=("skip",)), 3),
    EncoderDecoder(EncoderDecoderConfig(9, 7, layers=1, heads=2, width=8, norm="post", positions="sinusoidal"), 3),
], ids=lambda m: type(m).__name__)  # fmt: skip
def test_a_model_in_a_folder_comes_back(made, tmp_path):
    save_pretrained(made, tmp_path / "model")
    twin = from_pretrained(tmp_path / "model")
    assert twin.config == made.config and type(twin) is type(made) and state(twin) == state(made)


@pytest.mark.parametrize("name, content, words", [
    ("config.json", '{"architectures": ["GPT5"]}', "architecture 'GPT5'; there are LanguageModel"), ("config.json", "{", "damaged"),
    ("config.json", '{"architectures": ["LanguageModel"], "vocab_size": 9, "depth": 3}', "damaged, or of another version.*depth"),
    ("config.json", '{"architectures": ["LanguageModel"], "vocab_size": 9, "width": 16}', "does not belong to the config.json"),
    ("model.safetensors", "xx", "damaged"), ("config.json", None, "missing"), ("model.safetensors", None, "missing"),
])  # fmt: skip
def test_a_folder_that_is_no_model_is_named(tmp_path, name, content, words):
    save_pretrained(LanguageModel(LanguageModelConfig(9, width=8, heads=2, layers=1)), tmp_path)
    (tmp_path / name).unlink()
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=words):
        from_pretrained(tmp_path)
