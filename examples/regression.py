"""A curve through noisy points, and how far it is from the one that made them."""

import numpy as np

import minigrad as mg

rng = np.random.default_rng(0)
curve = lambda x: np.sin(3 * x) + 0.5 * x  # noqa: E731
x = rng.uniform(-2, 2, (300, 1)).astype(np.float32)
y = (curve(x) + rng.normal(0, 0.1, x.shape)).astype(np.float32)

mg.manual_seed(0)
model = mg.Sequential(mg.Dense(32, "tanh"), mg.Dense(32, "tanh"), mg.Dense(1))
model(x)
optimiser = mg.optim.Adam(model.parameters())
for step in range(601):
    optimiser.lr = mg.optim.cosine(step, 600, 0.02)
    loss = mg.mean((model(x) - y) ** 2)
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    if step % 100 == 0:
        print(f"step {step:3}  mean squared error {loss.item():.4f}")

new = np.linspace(-1.9, 1.9, 200, dtype=np.float32)[:, None]  # (200, 1)
error = float(np.sqrt(np.mean((model(new).numpy() - curve(new)) ** 2)))
print(f"distance from the true curve: {error:.3f}, where the noise is 0.1")
