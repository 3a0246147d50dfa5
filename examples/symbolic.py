"""Define a static graph, differentiate it, look at it, compile it."""

import numpy as np

import sigmagraph as sg

batch = sg.Dim("batch")
x = sg.placeholder("x", (batch, 784))
label = sg.placeholder("label", (batch,), dtype="int32")
lr = sg.placeholder("lr", ())
w = sg.parameter("w", np.zeros((784, 10), np.float32))
b = sg.parameter("b", np.zeros(10, np.float32))

logits = x @ w + b
loss = sg.losses.softmax_cross_entropy(logits, label).mean()
dw, db = sg.gradients(loss, [w, b])

train_step = sg.compile(
    inputs=[x, label, lr],
    outputs={"loss": loss},
    updates={w: w - lr * dw, b: b - lr * db},
    target="cpu",
)
predict = sg.compile(inputs=[x], outputs={"probabilities": sg.softmax(logits)})

# Any batch size, compiled once.
rng = np.random.default_rng(0)
for size in (32, 7, 1):
    out = train_step(x=rng.random((size, 784)), label=np.arange(size) % 10, lr=0.1)
    print(f"batch {size}: loss {out['loss']:.4f}")
print("the parameters live in the program's state:", w.value.shape, abs(w.value).max())
print("probabilities:", predict(x=rng.random((1, 784)))["probabilities"].round(3))

print(train_step.graph)
print("the text reads back:", str(sg.parse(str(train_step.graph))) == str(train_step.graph))
print(train_step.memory(batch=32))
print("as formulas of the batch:", train_step.memory(), sep="\n")
print("every stage:", train_step.dump("dump/symbolic"))
