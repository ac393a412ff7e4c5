"""A question to a language model that was taught to answer, and its answer."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Any

from transformer import fetch
from transformer.config import GenerateConfig
from transformer.console import Report
from transformer.errors import UserError
from transformer.generation import stream, text_stream
from transformer.models import LanguageModel

TURN = re.compile(  # how a template in the language of Jinja writes one turn of a conversation in ChatML
    r"""['"]<\|im_start\|>['"]\+message(?:\[['"]role['"]\]|\.role)\+['"](?:\n|\\n)['"]"""
    r"""\+message(?:\[['"]content['"]\]|\.content)\+['"]<\|im_end\|>['"]"""
)
SYSTEM = re.compile(r"<\|im_start\|>system(?:\n|\\n)(.*?)<\|im_end\|>", re.DOTALL)  # what it says first where nobody else does


def chatml(prompt: str, system: str | None = None) -> str:
    """A question as a model of ChatML reads it, up to where its answer begins.

    >>> print(chatml("Hi", system="You are kind."))
    <|im_start|>system
    You are kind.<|im_end|>
    <|im_start|>user
    Hi<|im_end|>
    <|im_start|>assistant
    <BLANKLINE>
    """
    turns = [("system", system)] if system else []
    said = [f"<|im_start|>{role}\n{text}<|im_end|>\n" for role, text in (*turns, ("user", prompt))]
    return "".join(said) + "<|im_start|>assistant\n"


def asked(template: str | None, prompt: str, system: str | None = None) -> str | None:
    """A question in the words of a chat template; None where there is none that is known, which is ChatML.

    Without a ``system`` text the one that the template holds, if any, comes first.

    >>> asked("{{'<|im_start|>' + message['role'] + '\\\\n' + message['content'] + '<|im_end|>' + '\\\\n'}}", "Hi")
    '<|im_start|>user\\nHi<|im_end|>\\n<|im_start|>assistant\\n'
    """
    if not template or not TURN.search(re.sub(r" *\+ *", "+", template)):
        return None
    usual = SYSTEM.search(template)
    return chatml(prompt, system if system is not None or not usual else usual.group(1))


def reply(config: GenerateConfig, report: Report) -> Iterator[str]:
    """What a language model answers, or how it goes on, a piece at a time: the command `transformer generate`."""
    if not config.prompt:
        raise UserError("There is nothing to answer: give it something with --prompt.", code=2)
    with report.busy("Reading the model"):
        model, tokenizer = fetch.load(config.model)
    if not isinstance(model, LanguageModel):
        hint = f": transformer sample {config.model} has it answer" if hasattr(model, "decode") else ""
        raise UserError(f"{config.model} is a model of the kind {type(model).__name__}, which does not go on with a text{hint}.")
    question = None if config.raw else asked(getattr(tokenizer, "chat_template", None), config.prompt, config.system or None)
    if question is None and config.system:
        raise UserError("--system changes nothing where the prompt is gone on with as it is.", code=2)
    ids = tokenizer.encode(question or config.prompt)
    if len(ids) > model.config.block_size:
        raise UserError(f"This model reads at most {model.config.block_size} tokens. Received: a prompt of {len(ids)}.")
    if question is None:
        if not config.raw:
            note = f"{config.model} has no chat template that is known here (ChatML), so the prompt is gone on with as it is."
            print(f"transformer: {note}", file=sys.stderr)
        yield config.prompt
    tokens = stream(model, ids, config.tokens, end_ids=ends(model, tokenizer), generator=config.seed, **config.sampling())
    said = False
    for piece in text_stream(tokenizer, tokens, after=ids):
        said = True
        yield piece
    if not said:
        print("transformer: the model ended at once, with nothing to add.", file=sys.stderr)


def ends(model: Any, tokenizer: Any) -> tuple[int, ...]:
    """The ids that end a text, as the model's config or else its tokenizer says."""
    end = getattr(tokenizer, "end", None)  # one of characters has no signs
    return model.config.end_ids or (() if end is None else (end,))
