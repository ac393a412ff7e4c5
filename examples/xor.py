"""Exclusive or: the smallest problem that one layer cannot solve."""

import numpy as np

import minigrad as mg

questions = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)  # (4, 2)
answers = np.array([0, 1, 1, 0])

mg.manual_seed(0)
model = mg.Sequential(mg.Dense(8, "tanh"), mg.Dense(2))
model(questions)  # the first call makes the parameters
optimiser = mg.optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
for step in range(101):
    scores = model(questions)  # (4, 2) -> (4, 2)
    loss = mg.cross_entropy(scores, answers)
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    if step % 20 == 0:
        print(f"step {step:3}  loss {loss.item():.4f}")

accuracy = float((model(questions).numpy().argmax(axis=1) == answers).mean())
print(f"right: {accuracy:.0%}")
