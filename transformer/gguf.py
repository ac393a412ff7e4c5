"""GGUF, the files of llama.cpp: a model of the LLaMA type in one file, with its numbers in blocks of few bits and its tokenizer.

What comes out speaks Hugging Face's words: their names of configs and of tensors, their order of rows, their tokenizer. The library gguf
knows the kinds of blocks; the header is read here, because the library makes two arrays for each string of a vocabulary (2 s for 98,000).
"""

from __future__ import annotations

import contextlib
import math
import mmap
import re
import struct
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minigrad.kernels.memory import empty
from transformer import runs
from transformer.errors import UserError, extra
from transformer.tokenizers import PretrainedTokenizer

ARCHITECTURE = "llama"
NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}  # kinds of values: struct's letters
TEXT, LIST = 8, 9  # the other two kinds
LENGTH = struct.Struct("<Q")  # of a word
TOGETHER = 2**17  # numbers that are unpacked at a time: what they need in between stays in the cache

FIELDS = {  # Hugging Face's words for what a header says
    "hidden_size": "embedding_length",
    "intermediate_size": "feed_forward_length",
    "num_hidden_layers": "block_count",
    "num_attention_heads": "attention.head_count",
    "rms_norm_eps": "attention.layer_norm_rms_epsilon",
    "max_position_embeddings": "context_length",
}
SIGNS = {"bos_token_id": "bos", "eos_token_id": "eos", "unk_token_id": "unknown", "pad_token_id": "padding"}
OUTSIDE = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}  # tensors outside of the blocks
INSIDE = {  # and in each of them
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def read(path: str | Path) -> Gguf:
    """What a file holds, of which the numbers are unpacked when they are asked for.

    Raises `UserError`, one sentence with the file, where it is missing, cut off or damaged, or holds another architecture than "llama".
    """
    path = Path(path)
    with runs.reading(path), path.open("rb") as file:
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)  # ValueError where there is nothing in it
    return Gguf(path, content)


class Gguf:
    """A model in a file: its ``config`` in Hugging Face's words, its ``tensors`` by their names, its ``tokenizer``."""

    def __init__(self, path: Path, content: mmap.mmap) -> None:
        with _damage(path):
            self.fields, packed = _header(content)
        self.path = path
        kind = self.fields.get("general.architecture")
        if kind != ARCHITECTURE:
            raise UserError(f"{path} holds a model of the architecture {kind!r}; the one that is read from GGUF is {ARCHITECTURE!r}.")
        if "rope_freqs.weight" in packed:
            raise UserError(
                f"{path} stretches each pair of its rotary positions by a number of its own (rope_freqs.weight), which is not read from "
                "GGUF. The same model as Hugging Face lays it out, with rope_type llama3 in its config.json, is."
            )
        with _damage(path):
            self.config = self._config(packed)
            self.tensors = Tensors(content, {_translated(name): tensor for name, tensor in packed.items()}, self._order)

    def _field(self, name: str, default: Any = None) -> Any:
        found = self.fields.get(f"{ARCHITECTURE}.{name}", default)
        if type(found) not in (int, float):
            raise ValueError(f"{ARCHITECTURE}.{name} is {found!r:.40}")
        return found

    def _config(self, packed: Mapping[str, _Packed]) -> dict[str, Any]:
        """The config of Hugging Face's Llama."""
        config = {word: self._field(name) for word, name in FIELDS.items()}
        heads, width = config["num_attention_heads"], config["hidden_size"]
        config["num_key_value_heads"] = self._field("attention.head_count_kv", heads)
        config["head_dim"] = self._field("attention.key_length", width // max(heads, 1))
        config["rope_theta"] = float(self._field("rope.freq_base", 10_000.0))
        if self._field("rope.dimension_count", config["head_dim"]) != config["head_dim"]:
            raise ValueError("rotary positions turn a part of each head only")
        config["rope_scaling"] = self._stretch()
        config["vocab_size"] = packed["token_embd.weight"].shape[0]
        config["tie_word_embeddings"] = "output.weight" not in packed
        signs = {word: self.fields.get(f"tokenizer.ggml.{name}_token_id") for word, name in SIGNS.items()}
        named = {word: number for word, number in signs.items() if number is not None}
        return {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", **config, **named}

    def _stretch(self) -> dict[str, Any] | None:
        """How rotary positions are stretched for longer texts: where a file does not say how, by a factor for all, as in llama.cpp."""
        kind = self.fields.get(f"{ARCHITECTURE}.rope.scaling.type", "linear")
        if kind not in ("none", "linear"):
            raise ValueError(f"it stretches its rotary positions (rope scaling) in the way {kind!r:.40}, and what is read is linear")
        factor = self._field("rope.scaling.factor", self._field("rope.scale_linear", 1.0))  # the second name is of old files
        return None if kind == "none" or factor in (0, 1) else {"rope_type": "linear", "factor": factor}

    def _order(self, name: str, rows: int) -> np.ndarray | None:
        """In which order the rows (out,) of a tensor come; None where they lie as they are wanted.

        Rotary positions turn pairs of numbers. llama.cpp pairs neighbours of a head, Hugging Face the first half with the second, so
        rows of questions and keys (h, dq / 2, 2) become (h, 2, dq / 2).
        """
        heads = {"q_proj": "num_attention_heads", "k_proj": "num_key_value_heads"}.get(name.split(".")[-2])
        if heads is None:
            return None
        return np.arange(rows).reshape(self.config[heads], -1, 2).swapaxes(1, 2).ravel()  # (h, dq / 2, 2) -> (h, 2, dq / 2) -> (out,)

    @cached_property
    def tokenizer(self) -> PretrainedTokenizer:
        """The tokenizer in the file; raises `UserError` where there is none, or one that cannot be made of the library's parts."""
        with _damage(self.path):
            return _tokenizer(self.path, {name.removeprefix("tokenizer.ggml."): value for name, value in self.fields.items()})


class Tensors(Mapping[str, np.ndarray]):
    """Arrays by their names; each is unpacked when it is asked for, and not kept.   matrices (out, in), vectors (out,); float32"""

    def __init__(self, content: mmap.mmap, packed: Mapping[str, _Packed], order: Any) -> None:
        self._content, self._packed, self._order = content, packed, order
        for name in packed:  # a shape that does not fit, or a kind that the library does not know, is found now
            _unpacked(self._rows(name)[:1], packed[name].kind)

    def __iter__(self) -> Iterator[str]:
        return iter(self._packed)

    def __len__(self) -> int:
        return len(self._packed)

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of an array, which is not unpacked for that."""
        return self._packed[name].shape

    def __getitem__(self, name: str) -> np.ndarray:
        return self.unpack(name, empty(self.shape(name), np.dtype(np.float32)))

    def unpack(self, name: str, out: np.ndarray) -> np.ndarray:
        """An array written into ``out``, which may be of any strides, as the transpose of one's own; little else is needed meanwhile."""
        packed, rows = self._packed[name], self._rows(name)
        matrix = out[None] if len(packed.shape) < 2 else out  # (in,) -> (1, in)
        step = max(1, TOGETHER // max(1, packed.shape[-1]))
        for first in range(0, len(rows), step):
            matrix[first : first + step] = _unpacked(rows[first : first + step], packed.kind)
        return out

    def _rows(self, name: str) -> np.ndarray:
        """The bytes of each row.   (out, bytes)"""
        packed = self._packed[name]
        rows = np.frombuffer(self._content, np.uint8, packed.size, packed.start)
        rows = rows.reshape(packed.shape[0] if len(packed.shape) > 1 else 1, -1)
        order = self._order(name, len(rows)) if len(packed.shape) > 1 else None
        return rows if order is None else rows[order]


def _unpacked(rows: np.ndarray, kind: Any) -> np.ndarray:
    """The numbers of rows; what is not finite among them is told to whoever reads weights.   (rows, bytes) -> (rows, in)"""
    from gguf.quants import dequantize

    with np.errstate(invalid="ignore", over="ignore"):
        numbers: np.ndarray = dequantize(rows, kind)
    return numbers


class _Packed(NamedTuple):
    """Where the numbers of a tensor lie in the file, and how."""

    shape: tuple[int, ...]
    kind: Any
    start: int
    size: int


class _Cursor:
    """Goes through a header. A number of things that cannot be there is found before anything is made of it."""

    def __init__(self, content: mmap.mmap) -> None:
        self.content, self.place = content, 0

    def take(self, letter: str, count: int = 1) -> tuple[Any, ...]:
        """So many numbers of a kind, in little-endian bytes."""
        if struct.calcsize(f"<{letter}") * count > len(self.content) - self.place:
            raise ValueError(f"it ends within its header, after {len(self.content):,} bytes")
        found = struct.unpack_from(f"<{count}{letter}", self.content, self.place)
        self.place += struct.calcsize(f"<{letter}") * count
        return found

    def count(self, least: int) -> int:
        """A number of things that need at least so many bytes each."""
        (number,) = self.take("Q")
        if number * least > len(self.content) - self.place:
            raise ValueError(f"it should hold {number:,} things where it has {len(self.content) - self.place:,} bytes")
        return int(number)

    def texts(self, count: int) -> list[str]:
        """So many words, each behind its length."""
        content, place, found = self.content, self.place, []
        for _ in range(count):
            if place + LENGTH.size > len(content):
                raise ValueError(f"it ends within its header, after {len(content):,} bytes")
            (length,) = LENGTH.unpack_from(content, place)
            place += LENGTH.size + length
            if place > len(content):
                raise ValueError(f"a word of {length:,} bytes would end behind its {len(content):,}")
            found.append(content[place - length : place].decode())
        self.place = place
        return found

    def text(self) -> str:
        """A word."""
        return self.texts(1)[0]

    def value(self, kind: int) -> Any:
        """A number, a word, or a list of these."""
        if kind == LIST:
            (kind,) = self.take("I")
            if kind == TEXT:
                return self.texts(self.count(LENGTH.size))
            letter = self.letter(kind)
            return list(self.take(letter, self.count(struct.calcsize(f"<{letter}"))))
        return self.text() if kind == TEXT else self.take(self.letter(kind))[0]

    def letter(self, kind: int) -> str:
        """How struct calls a kind of numbers."""
        if kind not in NUMBERS:
            raise ValueError(f"its header has a value of the kind {kind}, or a list of such")
        return NUMBERS[kind]


def _header(content: mmap.mmap) -> tuple[dict[str, Any], dict[str, _Packed]]:
    """What is said of the model, by its names, and where its tensors lie."""
    with extra("gguf"):
        from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType
    if content[:4] != b"GGUF":
        raise ValueError("it does not begin with the letters GGUF")
    cursor = _Cursor(content)
    cursor.place = 4
    (version,) = cursor.take("I")
    if version not in (2, 3):
        raise ValueError("its bytes are big-endian" if version and version % 65536 == 0 else f"its version is {version}, not 2 or 3")
    tensors, values = cursor.count(24), cursor.count(13)
    fields = {}
    for _ in range(values):
        name = cursor.text()
        fields[name] = cursor.value(*cursor.take("I"))
    found = {}
    for _ in range(tensors):
        name, (axes,) = cursor.text(), cursor.take("I")
        if not 1 <= axes <= 2 or name in found:
            raise ValueError(f"{name!r:.60} has {axes} axes, or is there twice")
        shape = cursor.take("Q", axes)[::-1]  # (in, out) -> (out, in)
        kind, (offset,) = GGMLQuantizationType(*cursor.take("I")), cursor.take("Q")
        numbers, size = GGML_QUANT_SIZES[kind]
        if shape[-1] % numbers or not shape[-1]:
            raise ValueError(f"rows of {shape[-1]} numbers do not consist of {kind.name} blocks of {numbers}")
        found[name] = _Packed(shape, kind, offset, math.prod(shape) // numbers * size)
    alignment = fields.get("general.alignment", 32)
    if type(alignment) is not int or alignment < 1:
        raise ValueError(f"general.alignment is {alignment!r:.40}")
    begin = -(-cursor.place // alignment) * alignment
    place = 0
    for name, tensor in sorted(found.items(), key=lambda item: (item[1].start, item[1].size)):
        if tensor.start < place:  # few numbers would be those of many tensors, which together need any memory
            raise ValueError(f"the numbers of {name} begin before those of another tensor end")
        place = tensor.start + tensor.size
        if begin + place > len(content):
            raise ValueError(f"the numbers of {name} end behind its {len(content):,} bytes")
    return fields, {name: tensor._replace(start=begin + tensor.start) for name, tensor in found.items()}


def _translated(name: str) -> str:
    """Hugging Face's name of a tensor.

    >>> _translated("blk.3.attn_q.weight")
    'model.layers.3.self_attn.q_proj.weight'
    """
    found = re.fullmatch(r"(?:blk\.(\d+)\.)?(\w+)\.(weight|bias)", name)
    block, part, what = found.groups() if found else (None, "", "")
    word = (OUTSIDE if block is None else INSIDE).get(part)
    if word is None:
        raise ValueError(f"there is no place for a tensor {name!r:.60} in a model of the LLaMA type")
    return f"{word}.{what}" if block is None else f"model.layers.{block}.{word}.{what}"


@contextlib.contextmanager
def _damage(path: Path) -> Iterator[None]:
    """What cannot be read is told in a sentence."""
    try:
        yield
    except UserError:
        raise
    except KeyError as error:
        raise UserError(f"{path} is damaged, or of a kind that is not read here: it has no {error}.") from error
    except (ValueError, TypeError, OverflowError, NotImplementedError, ZeroDivisionError, struct.error) as error:
        raise runs.damaged(path, f"is damaged, or of a kind that is not read here: {error}") from error


CONTROL, OWN = 3, 4  # types of tokens: signs that no text spells, and words that were added and are never cut
CUTS = {"smollm": True, "gpt-2": False}  # how text is cut before pieces are put together: whether every digit stands alone


def _tokenizer(path: Path, fields: Mapping[str, Any]) -> PretrainedTokenizer:
    """Byte pair encoding on bytes, as GPT-2's (Radford et al. 2019), made of the library's parts."""
    with extra("train"):
        from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
    model, cut = fields.get("model"), fields.get("pre")
    if model != "gpt2" or cut not in CUTS:
        raise UserError(
            f"{path} has a tokenizer of the kind {model!r} that cuts text as {cut!r} does; what is read here is 'gpt2' with "
            f"{' or '.join(map(repr, CUTS))}."
        )
    tokens, kinds = fields["tokens"], fields["token_type"]
    if len(kinds) != len(tokens):
        raise ValueError(f"there are {len(tokens)} tokens, and the types of {len(kinds)}")
    vocabulary = {token: number for number, token in enumerate(tokens)}
    merges = [tuple(merge.split(" ")) for merge in fields["merges"]]
    if any(len(merge) != 2 for merge in merges):
        raise ValueError("a merge of its tokenizer is no pair of pieces")
    try:
        pieces = Tokenizer(models.BPE(vocabulary, merges))
    except Exception as error:
        if type(error) is not Exception:  # which is what the library raises where pieces do not fit each other
            raise
        raise ValueError(error) from error
    bytewise = pre_tokenizers.ByteLevel(add_prefix_space=bool(fields.get("add_space_prefix", False)))
    pieces.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(True), bytewise]) if CUTS[cut] else bytewise
    pieces.decoder = decoders.ByteLevel()
    signs = [AddedToken(token, special=True, normalized=False) for token, kind in zip(tokens, kinds) if kind == CONTROL]
    pieces.add_special_tokens(signs)
    pieces.add_tokens([AddedToken(token, normalized=False) for token, kind in zip(tokens, kinds) if kind == OWN])
    ids = {name: fields.get(f"{word}_token_id") for name, word in zip(("start", "end", "unknown", "pad"), SIGNS.values())}
    around = [ids[name] if fields.get(f"add_{word}_token") else None for name, word in (("start", "bos"), ("end", "eos"))]
    before, behind = [[] if number is None else [(tokens[number], number)] for number in around]
    if before or behind:
        words = [*(sign for sign, _ in before), "$A", *(sign for sign, _ in behind)]
        pieces.post_processor = processors.TemplateProcessing(single=words, special_tokens=[*before, *behind])
    return PretrainedTokenizer(pieces, chat_template=fields.get("tokenizer.chat_template"), **ids)
