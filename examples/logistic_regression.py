"""Tell even from odd digits by logistic regression: a loss, its gradient and a second derivative, written by hand."""

import numpy as np

import sigmagraph as sg

train, held_out = sg.data.datasets.digits().split(0.8, 0.2, seed=1)

batch = sg.Dim("batch")
image = sg.placeholder("image", (batch, 8, 8))
digit = sg.placeholder("digit", (batch,), dtype="int32")
rate = sg.placeholder("rate", ())
w = sg.parameter("w", np.zeros(64, np.float32))
b = sg.parameter("b", np.zeros((), np.float32))

odd = sg.concatenate([sg.one_hot(digit, 10)[:, n, None] for n in range(1, 10, 2)], axis=1).sum(axis=1)
score = image.reshape(-1, 64) @ w + b
# log(1 + exp(-s)) without overflow, for the score s counted towards the right side
margin = sg.where(odd > 0.5, score, -score)
loss = (sg.maximum(-margin, 0.0) + sg.log(1.0 + sg.exp(-abs(margin)))).mean() + 1e-3 * (w * w).sum()
dw, db = sg.gradients(loss, [w, b])
curvature = sg.gradients(db, [b])[0]

step = sg.compile(
    [image, digit, rate],
    {"loss": loss, "slope": (dw * dw).sum() + db * db, "curvature": curvature},
    {w: w - rate * dw, b: b - rate * db},
)
decide = sg.compile([image], {"odd": score > 0.0})

batches = train.batches(64, seed=1)
for epoch in range(30):
    for inputs, targets in batches.epoch(epoch):
        out = step(inputs, targets, 0.5)
    if epoch % 10 == 9:
        print(f"epoch {epoch + 1}: loss {out['loss']:.4f}, second derivative by b {out['curvature']:.4f}")

right = decide(held_out.inputs)["odd"] == (held_out.targets % 2 == 1)
print(f"accuracy on {len(held_out)} held-out digits: {100 * right.mean():.1f} %")
