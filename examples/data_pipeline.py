"""From a table in a zip behind a web server to a trained network: fetched, checked, read, mended, streamed.

The server is this program's own; its table has gaps and words where a network wants numbers.
"""

import functools
import hashlib
import http.server
import io
import tempfile
import threading
import zipfile
from pathlib import Path

import numpy as np

import sigmagraph as sg
from sigmagraph import data, optimisers
from sigmagraph import layers as L


def write_table(path: Path) -> str:
    """Two thousand imagined patients; the checksum of the zip."""
    rng = np.random.default_rng(4)
    age, pressure = rng.integers(20, 80, 2000), rng.normal(125, 18, 2000)
    smokes = rng.random(2000) < 0.3
    risk = (age - 50) / 10 + (pressure - 125) / 12 + 2.0 * smokes + rng.normal(0, 0.7, 2000) > 0.8
    text = io.StringIO()
    text.write("age,pressure,smokes,outcome\n")
    for a, p, s, r in zip(age, pressure, smokes, risk, strict=True):
        measured = "" if rng.random() < 0.08 else f"{p:.1f}"  # some were never measured
        text.write(f"{a},{measured},{'yes' if s else 'no'},{'ill' if r else 'well'}\n")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("study/patients.csv", text.getvalue())
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files, and says nothing about it."""

    def log_message(self, *_: object) -> None:
        pass


with tempfile.TemporaryDirectory() as folder:
    served = Path(folder, "served")
    served.mkdir()
    checksum = write_table(served / "study.zip")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(served)))
    threading.Thread(target=server.serve_forever, daemon=True).start()

    # Where it comes from. What was fetched once is not fetched again; another content than this is refused.
    address = f"http://127.0.0.1:{server.server_port}/study.zip"
    table = data.Csv(
        data.Member(data.Url(address, sha256=checksum, folder=Path(folder, "downloads")), "study/patients.csv"),
        header=True,
        missing=float("nan"),
    )
    numbers = table.map_values("smokes", ["no", "yes"]).map_values("outcome", {"well": 0, "ill": 1})
    records = numbers.extract(inputs=["age", "pressure", "smokes"], targets="outcome")

    # Blocks of 256 records, of which four are in memory; what was read once lies in a cache on disk.
    patients = data.StreamedDataset(records, "patients", block=256, keep=4, cache=Path(folder, "cache"))
    train, held_out = patients.split(0.8, 0.2, seed=1)

    # What is learnt from data is learnt from the training records alone.
    fill = data.FillMissing().fit(train)
    train, held_out = train.preprocess(fill), held_out.preprocess(fill)
    scale = data.Standardise().fit(train)
    train, held_out = train.preprocess(scale), held_out.preprocess(scale)
    print(f"{len(train)} records to learn from, {len(held_out)} held out, {len(patients.sections)} sections")

    network = sg.Network("risk", L.Input(3) + L.Dense(16, activation="tanh") + L.Dense(2) + L.SoftmaxCrossEntropy())
    trainer = sg.Trainer(network, optimisers.Adam(0.01), train.batches(64), held_out)
    trainer.run(8, lines=False)
    print(f"accuracy on patients that were never seen: {trainer.evaluate(held_out).accuracy:.1%}")
    print(f"gaps were filled with {fill.value['inputs'][1]:.1f}, the mean pressure of the training records")
    server.shutdown()
    server.server_close()
