"""Text out: token after token, drawn or the likeliest, or the likeliest of many beginnings."""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence, Set
from numbers import Integral, Real
from operator import index
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import minigrad
from minigrad import settings
from minigrad.core import values
from minigrad.errors import describe, received
from transformer import fetch, pretrained, runs
from transformer.config import SampleConfig, flag
from transformer.decoding import Decoding
from transformer.errors import UserError
from transformer.models import Encoder, LanguageModel
from transformer.runs import Run
from transformer.sampling import (
    ACCEPTED,
    SEEDED,
    Sampling,
    Seed,
    check_words,
    checked,
    draw,
    generators,
    largest,
    penalized,
)
from transformer.tokenizers import PretrainedTokenizer, listed, load_tokenizer

INCOMPLETE = "\ufffd"  # what a tokenizer writes for bytes that are no character
INSTEAD = {  # what generate and stream have for names that others use
    "seed": SEEDED,
    "do_sample": "temperature 0 takes the likeliest token, one above 0 draws",
    **dict.fromkeys(("max_length", "max_tokens"), "how many tokens are written is max_new_tokens"),
    **dict.fromkeys(("stop", "eos_token_id"), "the ids that end a text are given as end_ids"),
    **dict.fromkeys(("beams", "num_beams"), "beam_search searches with beams"),
}
BEAMS = ("beams", "length_penalty", "early_stopping", "num_return", "start_id", "end_ids", "never")
INSTEAD_OF_BEAMS = INSTEAD | {  # and beam_search, which draws nothing
    **dict.fromkeys((*ACCEPTED, "seed", "generator", "do_sample"), "beams are the likeliest texts, and generate draws"),
    "num_beams": "how many are followed is beams",
    "num_return_sequences": "how many come back is num_return",
}


def generate(
    model: Any,
    ids: Any,
    max_new_tokens: int,
    *,
    start_id: int | Sequence[int] | None = None,
    end_ids: int | Iterable[int] | None = None,
    never: Iterable[int] = (),
    generator: Seed | Sequence[Seed] = None,
    **sampling: Any,
) -> Any:
    """What a model writes behind a prompt, or answers to a source.   ids (T,) -> the new ids (T_new,)

    Several prompts, (B, T) or a list of ids of different lengths, give a list of B arrays, each as if its prompt were alone. A row ends
    with the first of ``end_ids``, which is the last of its ids, so that one sees whether it ended or was cut off.

    Prompts of different lengths are a list of ids, ``[tokenizer.encode(text) for text in texts]``, not ``tokenizer.batch(texts)``, behind
    whose padding a language model would go on. Padding that can be told, two or more of the config's pad_id or of an id that ends a text,
    is refused; one of them warns, where it ends some rows of an array and not all. For sources of an encoder-decoder padding is right.

    ``model``: a `LanguageModel`, or any callable from ids (B, T) to logits (B, T, V), goes on with the prompts, of which it sees as
    much as it can; an encoder-decoder reads the ids as sources and begins to write behind ``start_id``, one id or several.
    ``sampling`` are the numbers of `Sampling` by name; without them the likeliest token is taken each time (temperature=0).
    ``repetition_penalty`` is for what stands in the prompt (in a target, not its source) and what was written.
    ``generator`` is a generator of NumPy or a seed (one of minigrad draws a seed), from which each row gets one of its own, or a list of
    these for each row; None writes something else every time. What ``generator=[1, 2]`` draws for the second of two prompts is what it
    alone draws with ``generator=[2]``, not with ``generator=2``, from which a single prompt too gets one of its own.
    ``start_id`` and ``end_ids`` are those of the model's config where it names them; ``end_ids=()`` never ends. The ids ``never`` are
    not written.

    Raises ValueError for a prompt without a token, ids outside of the vocabulary, padding behind a prompt, more tokens than an
    encoder-decoder writes, a model that writes none, and numbers that `Sampling` refuses; ShapeError for logits with other axes.

    >>> from transformer import LanguageModel, LanguageModelConfig
    >>> model = LanguageModel(LanguageModelConfig(vocab_size=9, block_size=4, layers=1, heads=1, width=8), seed=3)
    >>> generate(model, [1, 2], 5).shape
    (5,)
    >>> [row.shape for row in generate(model, [[1, 2], [3, 4, 5]], 4, temperature=0.8, top_k=5, generator=7)]
    [(4,), (4,)]
    """
    task = _Task("generate", model, ids, max_new_tokens, start_id, end_ids, never)
    written: list[list[int]] = [[] for _ in task.rows]
    for tokens in task.steps(generator, sampling):
        for row, token in zip(written, tokens):
            if token is not None:
                row.append(token)
    found = [np.array(row, np.int64) for row in written]
    return found[0] if task.single else found


def stream(
    model: Any,
    ids: Any,
    max_new_tokens: int,
    *,
    start_id: int | Sequence[int] | None = None,
    end_ids: int | Iterable[int] | None = None,
    never: Iterable[int] = (),
    generator: Seed | Sequence[Seed] = None,
    **sampling: Any,
) -> Iterator[Any]:
    """What `generate` writes, each id as soon as it is drawn; for several prompts a list of B ids, with None for rows that ended.

    Whoever has read enough simply stops. Prompts of different lengths are a list of ids, not ``tokenizer.batch(texts)``. `text_stream`
    makes text of the ids of one prompt. Raises what `generate` raises, when it is called.

    >>> list(stream(lambda ids: np.eye(5)[(ids + 1) % 5], [1, 2], 4))
    [3, 4, 0, 1]
    >>> list(stream(lambda ids: np.eye(5)[(ids + 1) % 5], [[2], [0, 1]], 3, end_ids=4))
    [[3, 2], [4, 3], [None, 4]]
    """
    task = _Task("stream", model, ids, max_new_tokens, start_id, end_ids, never)
    steps = task.steps(generator, sampling)
    return (token for (token,) in steps) if task.single else steps


class Beam(NamedTuple):
    """What `beam_search` found: the new ids (T_new,), and the sum of their log probabilities / their number ** length_penalty."""

    ids: np.ndarray
    score: float


def beam_search(
    model: Any,
    ids: Any,
    max_new_tokens: int,
    *,
    beams: int = 4,
    length_penalty: float = 1.0,
    early_stopping: bool | str = False,
    num_return: int = 1,
    start_id: int | Sequence[int] | None = None,
    end_ids: int | Iterable[int] | None = None,
    never: Iterable[int] = (),
    **others: Any,
) -> list[Any]:
    """The likeliest texts behind a prompt that come of going on with the ``beams`` likeliest beginnings.   ids (T,) -> `Beam`s, best first

    Several prompts give a list of such lists; where their lengths differ, they are a list of ids, not ``tokenizer.batch(texts)``. At each
    step the beginnings are extended by every token, and the likeliest are looked at: those among the first ``beams`` that end, or are as
    long as they may be, are found; the ``beams`` likeliest of the others go on. Found ones are compared by their score,
    sum(log p) / length ** length_penalty, and the ``num_return`` best come back.

    A search is over when ``beams`` texts are found and the likeliest beginning could not do better if it ended now. ``early_stopping``:
    True stops as soon as ``beams`` are found; "never" asks what it could do at its longest, where that is better. Ids and scores are those
    of Hugging Face's ``generate(num_beams=beams, do_sample=False)``; the other arguments are those of `generate`. There are no ``others``:
    they raise TypeError, with what there is instead.

    >>> tables = np.log([[0.1, 0.5, 0.4], [0.4, 0.3, 0.3], [0.9, 0.05, 0.05]])  # after 0, 1 and 2
    >>> [beam] = beam_search(lambda ids: tables[ids], [0], 2, beams=2)
    >>> beam.ids.tolist(), round(float(np.exp(2 * beam.score)), 2)  # 0.4 x 0.9; the likeliest first token leads to 0.5 x 0.4
    ([2, 0], 0.36)
    """
    check_words("beam_search", others, BEAMS, INSTEAD_OF_BEAMS, "what says how to search")
    task = _Task("beam_search", model, ids, max_new_tokens, start_id, end_ids, never)
    for name, number in {"beams": beams, "num_return": num_return}.items():
        check_whole("beam_search", name, number)
    if num_return > beams:
        raise ValueError(f"beam_search: there are {beams} beams to return. Received: num_return {num_return}; give as many beams.")
    if early_stopping not in (True, False, "never"):
        raise ValueError(f"beam_search: early_stopping is True, False or 'never'. Received: early_stopping {early_stopping!r}.")
    if not _is_finite(length_penalty):
        raise ValueError(f"beam_search: length_penalty is a number. Received: length_penalty {length_penalty!r}.")
    decoding, read = task.begin()
    searches = [_Search(beams, max_new_tokens, task.ends, length_penalty, early_stopping) for _ in task.rows]
    logits = np.repeat(decoding.read(read), beams, axis=0)  # (B, V) -> (B beams, V)
    decoding.repeat(beams)
    while True:
        logits = checked("beam_search", logits)
        log_probabilities = checked("beam_search", task.allowed(_log_softmax(logits.astype(np.float64))))
        steps = [search.advance(rows) for search, rows in zip(searches, np.split(log_probabilities, len(searches)))]
        if all(search.done for search in searches):
            found = [search.found[:num_return] for search in searches]
            return found[0] if task.single else found
        decoding.reorder(np.concatenate([rows + beams * place for place, (rows, _) in enumerate(steps)]))
        tokens = np.concatenate([tokens for _, tokens in steps])  # (B beams,)
        logits = decoding.read(tokens[:, None])  # (B beams, 1) -> (B beams, V)


class _Search:
    """The beams of one prompt: the likeliest beginnings, and the best texts that were found."""

    def __init__(self, beams: int, longest: int, ends: Sequence[int], length_penalty: float, early_stopping: bool | str) -> None:
        self.beams, self.longest, self.ends, self.length_penalty, self.early_stopping = beams, longest, ends, length_penalty, early_stopping
        self.ids = np.zeros((beams, 0), np.int64)  # (beams, T)
        self.sums = np.full(beams, -math.inf)  # (beams,) of log probabilities; -infinity where there is no beginning
        self.sums[0] = 0.0  # at first all are the same, and one of them counts
        self.found: list[Beam] = []
        self.done = False

    def advance(self, log_probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which beam each is made of now, and by which token longer.   log p of the next token (beams, V) -> (beams,), (beams,)"""
        stay = np.arange(self.beams), np.zeros(self.beams, np.int64)
        if self.done:
            return stay
        sums = (self.sums[:, None] + log_probabilities).ravel()  # (beams, V) -> (beams V)
        likeliest = _likeliest(sums, self.beams * (1 + max(1, len(self.ends))))  # so many, that all beams can go on if all ends are there
        rows, tokens = np.divmod(likeliest, log_probabilities.shape[1])
        ids, sums = np.column_stack([self.ids[rows], tokens]), sums[likeliest]  # (C, T + 1), (C,)
        over = np.isin(tokens, self.ends) | (ids.shape[1] == self.longest)
        self.found += [Beam(ids[place], self._score(sums[place], ids.shape[1])) for place in np.flatnonzero(over[: self.beams])]
        self.found = sorted(self.found, key=lambda beam: -beam.score)[: self.beams]
        on = np.flatnonzero(~over)[: self.beams]
        self.done = on.size == 0 or self._enough(sums[on[0]], ids.shape[1])
        if self.done:
            return stay
        missing = self.beams - on.size
        on = np.append(on, np.repeat(on[:1], missing))
        self.ids, self.sums = ids[on], sums[on]
        self.sums[self.beams - missing :] = -math.inf
        return rows[on], tokens[on]

    def _enough(self, likeliest: float, length: int) -> bool:
        """Whether no beginning is expected to become better than what was found."""
        if len(self.found) < self.beams:
            return False
        at_best = self.longest if self.early_stopping == "never" and self.length_penalty > 0 else length
        return self.early_stopping is True or self._score(likeliest, at_best) <= self.found[-1].score

    def _score(self, total: float, length: int) -> float:
        return float(total) / length**self.length_penalty


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    """Log probabilities of rows of logits, forbidden ones too.   (B, V) -> (B, V)"""
    logits = logits - logits.max(axis=-1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))


def _likeliest(numbers: np.ndarray, count: int) -> np.ndarray:
    """Where the ``count`` largest stand, largest first; those that are -infinity count for nothing.   (N,) -> (C,)"""
    least = largest(numbers, min(count, len(numbers)))
    places = np.flatnonzero((numbers >= least) & (numbers > -math.inf))
    return places[np.argsort(-numbers[places], kind="stable")][:count]


class _Task:
    """What is to be written: by which model, for which prompts or sources, and where it ends; checked before anything is computed."""

    def __init__(
        self, operation: str, model: Any, ids: Any, max_new_tokens: int, start_id: Any, end_ids: Any, never: Iterable[int]
    ) -> None:
        self.operation, self.model, self.max_new_tokens = operation, model, max_new_tokens
        self.config = getattr(model, "config", None)  # a model of one's own may tell nothing of itself
        self.answers = hasattr(model, "encode") and hasattr(model, "decode")
        self._check_model()
        check_whole(operation, "max_new_tokens", max_new_tokens)
        self.rows, self.single = _prompts(operation, ids)
        size = self._known("source_vocab" if self.answers else "vocab_size")
        for place, row in enumerate(self.rows):
            self._check_ids(row, size, "ids" if self.single else f"prompt {place}")
        written = self._known("target_vocab") if self.answers else size
        self.rows = [row.astype(np.int64) for row in self.rows]
        self.start = self._signs("start_id", self._known("start_id") if start_id is None and self.answers else start_id, written)
        self.ends = self._signs("end_ids", self._known("end_ids") if end_ids is None else end_ids, written)
        self.never = self._signs("never", never, written)
        if not (self.answers or self.single):
            self._check_padding(isinstance(values(ids), np.ndarray))
        if not self.answers and self.start:
            raise ValueError(f"{operation}: start_id is for encoder-decoders; put it before the prompt. Received: start_id {start_id!r}.")
        if self.answers and not self.start:
            raise ValueError(f"{operation}: an encoder-decoder writes behind a sign of the start; give its start_id. Received: None.")
        longest = getattr(model, "longest", None) if self.answers else None
        if longest is not None and len(self.start) - 1 + max_new_tokens > longest:
            raise ValueError(
                f"{operation}: this model writes at most {longest - len(self.start) + 1} tokens. Received: max_new_tokens {max_new_tokens}."
            )

    def begin(self) -> tuple[Decoding, np.ndarray]:
        """What decodes the prompts, and what it reads first (B, T)."""
        batch = len(self.rows)
        if self.answers:
            memory = settings.without_grad(self.model.encode, self._sources())
            read = np.tile(np.array(self.start, np.int64), (batch, 1))  # (T) -> (B, T)
            return Decoding(self.model, batch, read.shape[1] + self.max_new_tokens, memory=memory), read
        longest = max(map(len, self.rows))
        padding = np.array([longest - len(row) for row in self.rows])
        read = np.stack([np.pad(row, (missing, 0)) for row, missing in zip(self.rows, padding)])  # (B, T)
        return Decoding(self.model, batch, longest + self.max_new_tokens, padding=padding if padding.any() else None), read

    def steps(self, generator: Seed | Sequence[Seed], sampling: dict[str, Any]) -> Iterator[list[int | None]]:
        """The tokens of all rows, one after the other; None for rows that ended."""
        how = Sampling.of(self.operation, {"temperature": 0.0} | sampling, INSTEAD)
        return self._steps(how, generators(generator, len(self.rows)))

    def _steps(self, how: Sampling, generator: list[np.random.Generator]) -> Iterator[list[int | None]]:
        decoding, read = self.begin()
        seen = [[*row] for row in read.tolist()] if self.answers else [row.tolist() for row in self.rows]
        on = [True] * len(self.rows)
        for _ in range(self.max_new_tokens):
            logits = self.allowed(decoding.read(read))  # (B, V)
            if how.remembers:
                logits = penalized(logits, seen, how.repetition_penalty or 1)
            drawn = draw(checked(self.operation, logits), how, generator)
            tokens = drawn.tolist()
            if how.remembers:
                for ids, token in zip(seen, tokens):
                    ids.append(token)
            yield [token if going else None for token, going in zip(tokens, on)]
            on = [going and token not in self.ends for token, going in zip(tokens, on)]
            if not any(on):
                return
            read = drawn[:, None]  # (B) -> (B, 1)

    def allowed(self, logits: np.ndarray) -> np.ndarray:
        """Logits (B, V) with those that are never written at -infinity."""
        if not self.never:
            return logits
        logits = np.array(logits)
        logits[:, self.never] = -math.inf
        return logits

    def _sources(self) -> np.ndarray:
        """What an encoder reads: the sources (B, S), the shorter ones padded."""
        longest = max(map(len, self.rows))
        pad = self._known("pad_id", 0)
        if pad is None and min(map(len, self.rows)) < longest:
            raise ValueError(
                f"{self.operation}: a model without a pad_id reads sources of one length. "
                f"Received: lengths {sorted({len(row) for row in self.rows})}."
            )
        return np.stack([np.pad(row, (0, longest - len(row)), constant_values=pad or 0) for row in self.rows])

    def _check_model(self) -> None:
        """Refuse what writes no text."""
        if isinstance(self.model, Encoder):
            raise ValueError(
                f"{self.operation}: an Encoder sees what comes later too, and writes no text; give a LanguageModel or an EncoderDecoder. "
                f"Received: {describe(self.model)}."
            )
        if isinstance(self.model, type) or not (self.answers or callable(self.model)):
            raise ValueError(
                f"{self.operation}: takes a model, or a callable from ids (B, T) to logits (B, T, V); transformer.fetch.load gives the "
                f"model and the tokenizer of a name or a folder. Received: {describe(self.model)}."
            )

    def _check_padding(self, rectangular: bool) -> None:
        """Refuse prompts that were padded to one length, where that can be told: no prompt ends with one of these signs twice.

        One sign may be meant; in an array, where prompts have one length whether they are as long or not, that is said.
        """
        signs = {self._known("pad_id"), *self._known("end_ids", ()), *self.ends}
        for place, row in enumerate(self.rows):
            if len(row) > 1 and row[-1] == row[-2] and row[-1] in signs:
                raise ValueError(
                    f"{self.operation}: prompt {place} ends with padding, behind which the model would go on; prompts of different lengths "
                    f"are a list of ids, [tokenizer.encode(text) for text in texts]. Received: {describe(row.tolist())}."
                )
        ended = [len(row) > 1 and row[-1] in signs for row in self.rows]
        if rectangular and any(ended) and not all(ended):
            warnings.warn(
                f"{self.operation}: prompt {ended.index(True)} of this array ends with a sign that may be padding, behind which the model "
                "goes on; prompts of different lengths are a list of ids without padding. Where the sign is meant, give a list too.",
                stacklevel=4,  # whoever called the operation
            )

    def _known(self, name: str, otherwise: Any = None) -> Any:
        return getattr(self.config, name, otherwise)

    def _signs(self, name: str, ids: Any, size: int | None) -> list[int]:
        """Ids that were given as one, as several, or not at all."""
        listed = np.array([] if ids is None else [ids] if isinstance(ids, Integral) else [*ids])
        self._check_ids(listed, size, name)
        return [int(number) for number in listed]

    def _check_ids(self, ids: np.ndarray, size: int | None, name: str) -> None:
        if ids.size and (ids.ndim != 1 or ids.dtype.kind not in "iu" or ids.min() < 0 or (size is not None and ids.max() >= size)):
            said = "from 0 on" if size is None else f"from 0 to {size - 1}, the ids of the vocabulary"
            raise ValueError(f"{self.operation}: {name} are whole numbers {said}. Received: {describe(ids.tolist())}.")


def check_whole(operation: str, name: str, number: Any) -> None:
    """Refuse what is no number of things."""
    if type(number) is bool or not isinstance(number, Integral) or number < 1:
        raise ValueError(f"{operation}: {name} is a whole number from 1. Received: {name} {number!r}.")


def _is_finite(number: Any) -> bool:
    """Whether it is a number, which neither a text nor a yes or no is."""
    return type(number) is not bool and isinstance(number, Real) and math.isfinite(number)


def _prompts(operation: str, ids: Any) -> tuple[list[np.ndarray], bool]:
    """Every prompt as an array (T,), and whether it was one, not in a list."""
    given = values(ids)
    parts = [values(part) for part in given] if np.iterable(given) else []
    single = np.ndim(given) == 1 if isinstance(given, np.ndarray) else np.iterable(given) and not any(map(np.iterable, parts))
    rows = [np.asarray(row) for row in ([given] if single else parts)]
    if not rows or any(row.ndim != 1 for row in rows):
        raise ValueError(
            f"{operation}: takes the ids of a prompt (T,), as tokenizer.encode(text) gives them, or of several, (B, T) or a list. "
            f"Received: {describe(given)}."
        )
    for place, row in enumerate(rows):
        if row.size == 0:
            which = "" if single else f" as prompt {place}"
            raise ValueError(f"{operation}: there must be at least one token to go on from. Received: ids (0,){which}.")
    return rows, single


def text_stream(tokenizer: Any, ids: Iterable[int], after: Iterable[int] = ()) -> Iterator[str]:
    """The text of ids that are still coming, in pieces, each as soon as it is certain; of one prompt only.

    A character whose bytes are shared among ids is held back until it is whole. ``after`` are ids that stand before, as those of a
    prompt: their text is not repeated, and what follows is joined to it as the tokenizer joins it.

    Raises ValueError for what is no tokenizer, and for ids of several prompts at once.

    >>> from transformer import Vocabulary
    >>> list(text_stream(Vocabulary(["de", "man"], words=True), iter([4, 5, 2])))
    ['de', ' man']
    """
    if not hasattr(tokenizer, "decode"):
        raise ValueError(
            "text_stream: takes a tokenizer first, and then the ids, text_stream(tokenizer, stream(model, ids, 20), after=ids). "
            f"Received: {describe(tokenizer)}."
        )
    return _pieces(tokenizer, ids, after)


def _pieces(tokenizer: Any, ids: Iterable[int], after: Iterable[int]) -> Iterator[str]:
    told, coming = list(after), []  # ids whose text is known, and ids that may be half a character
    known = tokenizer.decode(told)
    for token in ids:
        try:
            coming.append(index(token))
        except TypeError:
            raise ValueError(f"text_stream: takes ids one by one, those of one prompt only. Received: {describe(token)}.") from None
        text = tokenizer.decode(told + coming)
        if not text.startswith(known):  # what stands before ended in the middle of a character
            known = known.rstrip(INCOMPLETE)
        if len(text) > len(known) and not text.endswith(INCOMPLETE):
            yield text[len(known) :]
            told, coming = coming, []
            known = tokenizer.decode(told)
    rest = tokenizer.decode(told + coming)[len(known) :]
    if rest:
        yield rest


def load_model(folder: str | Path) -> Any:
    """The model of a run folder; of its newest checkpoint where training is not complete yet.

    Any folder that `save_pretrained` wrote is good too, and what `fetch.locate` finds. Raises `UserError` where there is no model, or a
    damaged one.
    """
    if folder in fetch.MODELS or not Path(folder).is_dir():
        return pretrained.from_pretrained(fetch.locate(folder))
    pretrained.check_config(Path(folder))
    run = Run(folder) if (Path(folder) / runs.CONFIG).is_file() else Run.open(folder)
    if not (run.folder / runs.CONFIG).is_file():
        inside = sorted(path.parent.name for path in run.folder.glob(f"*/{runs.CONFIG}"))
        why = f"there are several in it, {', '.join(inside)}; name one of their folders" if inside else "its training stopped too early"
        raise UserError(f"{run.folder} itself holds no model: {why}.")
    if pretrained.is_others(runs.read_json(run.folder / runs.CONFIG)):
        return pretrained.from_pretrained(run.folder)
    weights = run.folder / runs.MODEL
    if not weights.exists():
        steps = run.checkpoints()
        if not steps:
            raise UserError(f"{run.folder} holds no model yet: its training stopped before the first checkpoint.")
        weights = run.checkpoint(steps[-1]) / runs.MODEL
    return pretrained.build(run.folder / runs.CONFIG, weights)


def load_run(folder: str | Path) -> tuple[Any, Any]:
    """The model that `load_model` finds, and its tokenizer, None for a model that reads no ids."""
    model = load_model(folder)
    sizes = {value for name, value in vars(model.config).items() if "vocab" in name}
    if not sizes:
        return model, None
    tokenizer = load_tokenizer(fetch.locate(folder))
    others = isinstance(tokenizer, PretrainedTokenizer)  # whose models may have more rows than there are words, to fill a block
    if not (min(sizes) >= tokenizer.vocab_size if others else sizes == {tokenizer.vocab_size}):
        raise UserError(f"The tokenizer of {folder} does not belong to the model beside it.")
    return model, tokenizer


def answer(model: Any, tokenizer: Any, texts: Iterable[str], length: int, batch: int = 256, end: bool = True) -> list[str]:
    """What an encoder-decoder writes for each text, taking the likeliest token each time, at most ``length`` of them.

    The model is one that learned from sources, from targets so far and from targets as `examples/own_pairs.py` makes them, with one
    tokenizer for both sides: ``batch(sources, end=True)``, ``batch(targets, start=True)``, ``batch(targets, end=True)``. ``end`` says
    whether its sources ended with the sign of the end; a model that never saw one there answers wrongly where it stands. A
    `PretrainedTokenizer` puts its own signs around a source (none without ``end``), and answers begin and end as the model's config says.

    Raises `UserError` for a model that answers nothing, and for a text that is longer than it reads, ValueError for a ``length`` that it
    cannot write, and for a ``batch`` of none.
    """
    texts = listed("answer", texts)
    check_whole("answer", "batch", batch)
    if not (hasattr(model, "encode") and hasattr(model, "decode")):
        raise UserError(f"answer: takes an encoder-decoder; a language model goes on with ids by generate. Received: {describe(model)}.")
    if not hasattr(tokenizer, "batch"):
        raise UserError(
            "answer: takes a model, and then the tokenizer that makes its batches, answer(model, tokenizer, texts, length). "
            + received(model=model, tokenizer=tokenizer)
        )
    written = []
    for first in range(0, len(texts), batch):
        some = texts[first : first + batch]
        if isinstance(tokenizer, PretrainedTokenizer):
            sources = [tokenizer.encode(text, special=end) for text in some]
            _check_length(model, "tokens", max(map(len, sources)), 0)
            rows = generate(model, sources, length)
        else:
            source = tokenizer.batch(some, end=end)  # (B, S)
            _check_length(model, getattr(tokenizer, "unit", "tokens"), source.shape[1], end)
            rows = answered(model, tokenizer, source, length)
        written += [tokenizer.decode(row) for row in rows]
    return written


def answered(model: Any, tokenizer: Any, source: np.ndarray, length: int) -> list[np.ndarray]:
    """The ids that an encoder-decoder writes for each source (B, S), the likeliest each time: no signs but that of the end."""
    signs = tokenizer.pad, tokenizer.start, tokenizer.unknown
    return generate(model, source, length, start_id=tokenizer.start, end_ids=tokenizer.end, never=signs)


def _check_length(model: Any, unit: str, longest: int, end: int) -> None:
    """Refuse a source that is too long in the reader's words, who does not see the sign of the end."""
    most = getattr(getattr(model, "config", None), "source_length", longest)  # a recurrent model reads any length
    if longest > most:
        raise UserError(f"This model reads at most {most - end} {unit}. Received: a text of {longest - end}.")


def classify(model: Any, tokenizer: Any, texts: list[str], batch: int = 256) -> np.ndarray:
    """The probabilities (N, C) that an encoder with classes gives each text, of which it reads as much as it can."""
    found = []
    for first in range(0, len(texts), batch):
        ids = tokenizer.batch(texts[first : first + batch], longest=model.config.block_size)  # (B, T)
        with minigrad.no_grad():
            found.append(minigrad.softmax(model(ids)).numpy())
    return np.concatenate(found)


def sample_run(config: SampleConfig, given: Set[str] = frozenset()) -> Iterator[str]:
    """What the model of a run makes of a prompt, a piece at a time; ``given`` are the fields the reader set.

    A language model goes on from it (without one, from a new line on), an encoder-decoder answers it, an encoder says what it takes it for.
    Raises `UserError` for a model that writes nothing, and for a field that changes nothing.
    """
    folder, prompt = config.run, config.prompt
    model, tokenizer = load_run(folder)
    run = Run(folder)
    if (run.folder / runs.TRAINING).is_file() and not (run.folder / runs.MODEL).exists():
        note = f"the training of {folder} is not complete: this is its checkpoint of step {run.checkpoints()[-1]}."
        print(f"transformer: {note}", file=sys.stderr)
    draws, writes, tells = isinstance(model, LanguageModel), hasattr(model, "decode"), bool(getattr(model.config, "labels", ()))
    if not (draws or writes or tells):
        raise UserError(f"{folder} holds a model of the kind {type(model).__name__}, which writes no text.")
    for name in ("seed", "tokens", *config.sampling()):
        if name in given and not (draws or (writes and name == "tokens")):
            raise UserError(f"{flag(name)} changes nothing of what the {type(model).__name__} in {folder} says.", code=2)
    if draws:
        ids = _beginning(tokenizer, prompt)
        yield prompt
        yield from text_stream(tokenizer, stream(model, ids, config.tokens, generator=config.seed, **config.sampling()), after=ids)
    elif not prompt:
        raise UserError(f"{folder} holds a model that answers: give it something with --prompt.", code=2)
    elif writes:
        (text,) = answer(model, tokenizer, [prompt], min(config.tokens, model.longest))
        if not text:
            print("transformer: the model ended at once, and answers nothing.", file=sys.stderr)
        yield text
    else:
        (shares,) = classify(model, tokenizer, [prompt])
        yield ", ".join(f"{model.config.labels[place]} {shares[place]:.1%}" for place in shares.argsort()[::-1][:3])


def _beginning(tokenizer: Any, prompt: str) -> Any:
    """The ids (T,) that a language model goes on from: of a prompt, or else of the start, which is a text, a sign, or nowhere."""
    if prompt or isinstance(tokenizer.start, str):
        return tokenizer.encode(prompt or tokenizer.start)
    if tokenizer.start is None:
        raise UserError("This tokenizer has no sign of the start: give something to go on from with --prompt.", code=2)
    return [tokenizer.start]
