"""Handwritten digits of 8 x 8 points, from scikit-learn: pip install 'minigrad[examples]'."""

import numpy as np
from sklearn.datasets import load_digits

import minigrad as mg

images, digits = load_digits(return_X_y=True)  # (1797, 64), (1797)
images = (images / 16).astype(np.float32)
order = np.random.default_rng(0).permutation(len(images))
learn, judge = order[:1437], order[1437:]

mg.manual_seed(0)
model = mg.Sequential(mg.Dense(64, "relu"), mg.Dense(10))
model(images)
optimiser = mg.optim.AdamW(model.parameters(), lr=3e-3)
generator = mg.Generator(1)
for epoch in range(20):
    for batch in np.array_split(learn[generator.permutation(len(learn))], 45):
        loss = mg.cross_entropy(model(images[batch]), digits[batch])  # (32, 10), (32)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    accuracy = float((model(images[judge]).numpy().argmax(axis=1) == digits[judge]).mean())
    print(f"epoch {epoch + 1:2}  loss {loss.item():.4f}  right on {len(judge)} new images: {accuracy:.1%}")
