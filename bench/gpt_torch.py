"""The GPT of ``bench.gpt`` in PyTorch, as PyTorch's own documentation would have one write it."""

import contextlib
import os

import torch
from torch import nn
from torch.nn import functional as F

from bench import gpt


class SelfAttention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.output = (nn.Linear(width, width) for _ in range(4))

    def project(self, x):
        return self.query(x), self.key(x), self.value(x)

    def forward(self, x):
        B, T, E = x.shape
        # (B,T,E) -> (B,T,h,d) -> (B,h,T,d)
        query, key, value = (z.view(B, T, self.heads, -1).transpose(1, 2) for z in self.project(x))
        y = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        return self.output(y.transpose(1, 2).reshape(B, T, E))  # (B,h,T,d) -> (B,T,h,d) -> (B,T,E)

    def join(self):
        """One product instead of three: the same numbers, the way one writes it for speed."""
        three = self.query, self.key, self.value
        self.joined = nn.Linear(three[0].in_features, 3 * three[0].out_features)
        with torch.no_grad():
            self.joined.weight.copy_(torch.cat([layer.weight for layer in three]))
            self.joined.bias.copy_(torch.cat([layer.bias for layer in three]))
        del self.query, self.key, self.value
        self.project = lambda x: self.joined(x).chunk(3, dim=-1)


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width, gpt.EPSILON), nn.LayerNorm(width, gpt.EPSILON)
        self.attention = SelfAttention(width, heads)
        self.widen, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.narrow(F.gelu(self.widen(self.norm2(x)), approximate="tanh"))


class GPT(nn.Module):
    def __init__(self, vocabulary, block, layers, heads, width, batch):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(vocabulary, width), nn.Embedding(block, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width, gpt.EPSILON)

    def forward(self, ids):
        x = self.tokens(ids) + self.positions.weight[:ids.shape[1]]
        for block in self.blocks:
            x = block(x)
        return F.linear(self.norm(x), self.tokens.weight)

    def named(self):
        """Parameters by their common names; a Linear's matrix, (out, in) here, is turned round where it is "kernel"."""
        names = {nn.LayerNorm: {"weight": "gamma", "bias": "beta"}, nn.Linear: {"weight": "kernel"}}
        return {f"{path}.{names.get(type(module), {}).get(name, name)}": parameter
                for path, module in self.named_modules() for name, parameter in module.named_parameters(recurse=False)}


def build(size):
    """The model with the common first values."""
    model = GPT(**size)
    with torch.no_grad():
        for name, parameter in model.named().items():
            there = parameter.T if name.endswith("kernel") else parameter
            there.copy_(torch.from_numpy(gpt.weights(name, tuple(there.shape))))
    return model


def training_step(size, variant):
    """A function that does one step of training and returns the loss.

    Variants: "qkv", one projection for all three; "compile", model and loss compiled; "autocast", in bfloat16 where PyTorch thinks fit.
    """
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    model = build(size)
    if variant == "qkv":
        for block in model.blocks:
            block.attention.join()
    parameters = list(model.parameters())
    matrices, vectors = [p for p in parameters if p.dim() > 1], [p for p in parameters if p.dim() == 1]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": gpt.DECAY}, {"params": vectors, "weight_decay": 0.0}],
        lr=gpt.LEARNING_RATE, betas=gpt.BETAS, eps=gpt.ADAM_EPSILON, fused=True)
    data, done = torch.from_numpy(gpt.batches(size)), 0

    def forward(ids, targets):
        return F.cross_entropy(model(ids).flatten(0, 1), targets.flatten())  # (B,T,V) -> (B*T,V)

    loss_of = torch.compile(forward) if variant == "compile" else forward
    precision = torch.autocast("cpu", torch.bfloat16) if variant == "autocast" else contextlib.nullcontext()

    def step():
        nonlocal done
        ids, targets = data[done % len(data)]
        done += 1
        optimizer.zero_grad(set_to_none=True)
        with precision:
            loss = loss_of(ids, targets)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, gpt.CLIP)
        optimizer.step()
        return loss.item()

    return step


class Cached:
    """Decoding with a model: room for the keys and values of ``length`` tokens, and a step that reads one more."""

    def __init__(self, model, length):
        self.model, self.done = model, 0
        attention, width = model.blocks[0].attention, model.norm.normalized_shape[0]
        # (2,h,L,d) for each block: keys and values
        self.known = [torch.empty(2, attention.heads, length, width // attention.heads) for _ in model.blocks]

    def attend(self, attention, known, x):
        """x (1,E) -> (1,E), with all that was read before it."""
        query, key, value = (z.view(attention.heads, 1, -1) for z in attention.project(x))  # (1,E) -> (h,1,d)
        known[0, :, self.done:self.done + 1], known[1, :, self.done:self.done + 1] = key, value
        keys, values = known[:, :, :self.done + 1]  # (h,S,d)
        return attention.output(F.scaled_dot_product_attention(query, keys, values).view(1, -1))  # (h,1,d) -> (1,E)

    def read(self, word):
        """The logits of the next token.   -> (V)"""
        model = self.model
        x = model.tokens.weight[word:word + 1] + model.positions.weight[self.done:self.done + 1]  # (1,E)
        for block, known in zip(model.blocks, self.known):
            x = x + self.attend(block.attention, known, block.norm1(x))
            x = x + block.narrow(F.gelu(block.widen(block.norm2(x)), approximate="tanh"))
        self.done += 1
        return F.linear(model.norm(x), model.tokens.weight)[0]


def generation(size, tokens):
    """A function that writes so many tokens."""
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    model = build(size).eval()
    for block in model.blocks:
        block.attention.join()

    @torch.inference_mode()
    def step():
        return gpt.greedy(Cached(model, tokens).read, tokens)

    return step
