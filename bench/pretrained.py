"""Models that others trained, in minigrad and in Hugging Face's transformers, for ``bench.decode``: from the same file or folder."""

import os
from pathlib import Path

import numpy as np

from bench import gpt


def text(count):
    """Ids of a text of so many tokens, which the words of every model include.   (count,) int64"""
    return np.random.default_rng(0).integers(1, 60, count)


def texts(count):
    """Texts of 6 to 48 tokens in one batch, with 0 behind them; a single one has 12.   (B,T) int64"""
    rng = np.random.default_rng(0)
    lengths = rng.integers(6, 49, count) if count > 1 else np.array([12])
    ids = rng.integers(1, 60, (count, lengths.max()))
    return np.where(np.arange(lengths.max()) < lengths[:, None], ids, 0)


def minigrad_model(path):
    """The model in a file or folder."""
    from transformer import from_pretrained

    return from_pretrained(path)


def weight_bytes(path):
    """Those of the weights that each token needs: all, of a model whose head is its embedding."""
    return sum(parameter.nbytes for parameter in minigrad_model(path).parameters())


def minigrad_step(case, model=None):
    """A function that writes, reads or embeds, as ``case["part"]`` says, with ``case["count"]`` tokens or texts."""
    import minigrad as mg
    from transformer.decoding import Decoding
    from transformer.programs import encoded

    model, count = model or minigrad_model(case["path"]), case["count"]
    if case["part"] == "embed":
        ids = texts(count)

        def embed():
            with mg.no_grad():
                return encoded(model, ids)

        return embed

    def decode():
        decoding = Decoding(model, batch=1, length=count)
        return gpt.greedy(lambda word: decoding.read(np.array([[word]]))[0], count)

    prompt = text(count)[None]  # (1,T)
    return decode if case["part"] == "decode" else lambda: Decoding(model, batch=1, length=count + 1).read(prompt)


def transformers_model(path, kind="AutoModelForCausalLM"):
    """The model in a file or folder, in float32."""
    import torch
    import transformers

    path = Path(path)
    place = (path,) if path.is_dir() else (path.parent,)
    more = {} if path.is_dir() else {"gguf_file": path.name}
    return getattr(transformers, kind).from_pretrained(*place, dtype=torch.float32, **more).eval()


def transformers_step(case, model=None):
    """The same function with transformers."""
    import torch
    from torch.nn import functional as F

    from bench.gpt_transformers import reader

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    kind = "AutoModel" if case["part"] == "embed" else "AutoModelForCausalLM"
    model, count = model or transformers_model(case["path"], kind), case["count"]
    ids = torch.from_numpy(texts(count) if case["part"] == "embed" else text(count)[None])  # (B,T)

    @torch.inference_mode()
    def embed():
        mask = (ids != 0).long()
        x = model(input_ids=ids, attention_mask=mask).last_hidden_state  # (B,T,E)
        return F.normalize((x * mask[..., None]).sum(1) / mask.sum(1, keepdim=True), dim=-1)  # (B,T,E) -> (B,E)

    @torch.inference_mode()
    def prefill():
        return model(ids, use_cache=True, logits_to_keep=1).logits[:, -1]  # (1,V)

    @torch.inference_mode()
    def decode():
        return gpt.greedy(reader(model), count)

    return {"embed": embed, "prefill": prefill, "decode": decode}[case["part"]]
