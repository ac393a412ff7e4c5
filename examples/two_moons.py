"""Two half moons that lie inside each other; judged on points that were not learned from."""

import numpy as np

import minigrad as mg

rng = np.random.default_rng(0)
moon = np.arange(600) % 2  # on which of the two a point is
angle = rng.uniform(0, np.pi, 600)
arc = np.stack([np.cos(angle), np.sin(angle)], axis=1)  # (600, 2)
points = np.where(moon[:, None] == 0, arc, [1.0, 0.5] - arc) + rng.normal(0, 0.1, arc.shape)

mg.manual_seed(0)
model = mg.Sequential(mg.Dense(16, "tanh"), mg.Dense(16, "tanh"), mg.Dense(2))
model(points)
optimiser = mg.optim.AdamW(model.parameters(), lr=0.02)
for step in range(201):
    loss = mg.cross_entropy(model(points[:400]), moon[:400])
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    if step % 50 == 0:
        print(f"step {step:3}  loss {loss.item():.4f}")

accuracy = float((model(points[400:]).numpy().argmax(axis=1) == moon[400:]).mean())
print(f"right on 200 new points: {accuracy:.1%}")
