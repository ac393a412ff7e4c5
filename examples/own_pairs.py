"""Pairs of your own: an encoder-decoder learns to write "forty two" as "42", and is asked for numbers that it never saw."""

import functools

import numpy as np

import minigrad as mg
import transformer as tf

tens = "twenty thirty forty fifty sixty seventy eighty ninety".split()
ones = "one two three four five six seven eight nine".split()
pairs = [(f"{ten} {one}", f"{t}{o}") for t, ten in enumerate(tens, 2) for o, one in enumerate(ones, 1)]
pairs = [pairs[i] for i in np.random.default_rng(0).permutation(len(pairs))]
sources, targets = zip(*pairs[15:])  # to learn from; the first 15 are to be asked for

tokenizer = tf.Vocabulary(sorted(set("".join(sources + targets))))  # one for both sides
source = tokenizer.batch(sources, end=True)  # (N, S)
so_far, target = tokenizer.batch(targets, start=True), tokenizer.batch(targets, end=True)  # (N, T), shifted by one place
V, S, T = tokenizer.vocab_size, source.shape[1], target.shape[1]
model = tf.EncoderDecoder(tf.EncoderDecoderConfig(V, V, S, T, layers=2, width=64, heads=4))
loss = functools.partial(mg.cross_entropy, ignore_index=tokenizer.pad)  # padding is nothing to learn
history = tf.fit(model, ((source, so_far), target), loss=loss, epochs=60, lr=3e-3, progress=False)
for step, value in enumerate(history["train_loss"]):
    if step % 20 == 0:
        print(f"step {step:3}  loss {value:.4f}")

answers = tf.answer(model, tokenizer, [asked for asked, _ in pairs[:15]], T)
accuracy = float(np.mean([wrote == right for wrote, (_, right) in zip(answers, pairs)]))
print(f"{pairs[0][0]}: {answers[0]}; right: {accuracy:.0%}")
