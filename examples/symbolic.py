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

v = sg.placeholder("v", (784, 10))
hessian_times_v = sg.jvp(dw, {w: v})  # derivatives of derivatives, here forwards over backwards
curvature = sg.compile(inputs=[x, label, v], outputs={"product": hessian_times_v})

rng = np.random.default_rng(0)
images, digits = rng.random((20, 784)), rng.integers(0, 10, 20)
one, other = rng.standard_normal((2, 784, 10))
there, back = ((a * curvature(images, digits, b)["product"]).sum() for a, b in ((one, other), (other, one)))
print(f"the matrix of second derivatives is symmetric: {there:.2f} and {back:.2f}")

# Any batch size, compiled once.
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
