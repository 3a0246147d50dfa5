from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sigmagraph.data import (
    Dataset,
    FillMissing,
    Lambda,
    Learner,
    Normalise,
    OneHot,
    PerIndexNormalise,
    Permute,
    Preprocessor,
    Shuffle,
    Standardise,
    preprocessor_from_json,
)
from sigmagraph.data.preprocessors import moments
from sigmagraph.errors import AttributeValueError, DTypeError, FileFormatError, InputError, ShapeError

RNG = np.random.default_rng(0)


def dataset(inputs: Any, targets: Any = None) -> Dataset:
    x = np.asarray(inputs)
    return Dataset(x, np.arange(len(x)) if targets is None else targets)


def applied(preprocessor: Preprocessor, inputs: Any) -> Any:
    return dataset(inputs).preprocess(preprocessor).inputs


def test_normalise_maps_range_to_range() -> None:
    bytes_ = np.array([[0, 51, 255]], np.uint8)
    out = applied(Normalise(0, 255), bytes_)
    assert out.dtype == np.float32
    np.testing.assert_allclose(out, [[0, 0.2, 1]], rtol=1e-6)
    np.testing.assert_allclose(applied(Normalise(0, 255, -1, 1), bytes_), [[-1, -0.6, 1]], rtol=1e-6)
    np.testing.assert_allclose(applied(Normalise(0, 10, 2, 4), np.array([[20.0]])), [[6]])


def test_numbers_with_a_point_keep_their_type() -> None:
    for dtype in (np.float16, np.float32, np.float64):
        assert applied(Normalise(0, 2), np.ones((2, 1), dtype)).dtype == dtype
    assert applied(Standardise(0, 1), np.ones((2, 1), np.int64)).dtype == np.float32


def test_fitted_ranges_are_those_of_all_records_and_not_cut_to_whole_numbers() -> None:
    x = RNG.uniform(-0.75, 0.75, (50, 3))
    fitted = Normalise().fit(dataset(x))
    assert (fitted.low["inputs"], fitted.high["inputs"]) == (x.min(), x.max())
    out = applied(fitted, x)
    np.testing.assert_allclose((out.min(), out.max()), (0, 1), atol=1e-12)


def test_per_index_formula_is_right_where_outputs_do_not_start_at_nought() -> None:
    x = np.array([[0.0, 10, 5], [1, 30, 5], [0.25, 20, 5]])
    fitted = PerIndexNormalise(out_low=2, out_high=6).fit(dataset(x))
    np.testing.assert_allclose(applied(fitted, x), [[2, 2, 2], [6, 6, 2], [3, 4, 2]])
    given = PerIndexNormalise([0, 10, 5], [1, 30, 5], 2, 6)
    np.testing.assert_allclose(applied(given, x), applied(fitted, x))


def test_standardise_gives_mean_nought_and_deviation_one() -> None:
    x = RNG.normal(3, [1, 20, 1e-3], (1000, 3))
    out = applied(Standardise().fit(dataset(x)), x)
    np.testing.assert_allclose(out.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(out.std(axis=0), 1, rtol=1e-9)


@pytest.mark.parametrize("value", [0.1, 1e20, -7, 0])
def test_constant_columns_become_nought_whatever_the_rounding(value: float) -> None:
    x = np.full((997, 2), value)
    x[:, 1] = np.arange(997)
    fitted = Standardise().fit(dataset(x))
    assert fitted.deviation["inputs"][0] == 0
    assert (applied(fitted, x)[:, 0] == 0).all()
    assert applied(PerIndexNormalise(out_low=-1).fit(dataset(x)), x)[:, 0].tolist() == [-1] * 997


def test_measuring_in_pieces_is_as_good_as_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    # A large mean and a small deviation: naive sums of squares would lose every digit.
    x = 1e9 + RNG.normal(0, 1e-2, (4001, 2))
    reads: list[int] = []
    data = dataset(x)
    read = data.read
    monkeypatch.setattr(data, "read", lambda a, b: (reads.append(b - a), read(a, b))[1])
    monkeypatch.setattr(moments, "_PIECE", 8 * 2 * 97)
    fitted = Standardise().fit(data)
    assert max(reads) == 97
    np.testing.assert_allclose(fitted.mean["inputs"], 1e9 + (x - 1e9).mean(axis=0), rtol=1e-15)
    np.testing.assert_allclose(fitted.deviation["inputs"], (x - 1e9).std(axis=0), rtol=1e-9)


def test_whoever_learns_sees_only_what_it_is_given() -> None:
    x = RNG.normal(size=(40, 2))
    train, held_out = dataset(x).split(0.5, 0.5)
    held_out.inputs[:] = 1e6
    for kind in (Normalise, PerIndexNormalise, Standardise, FillMissing):
        assert kind().fit(train) == kind().fit(Dataset(train.inputs, train.targets))
        with pytest.raises(AttributeValueError, match=r"fit\(train\)"):
            train.preprocess(kind())
    fitted = Standardise().fit(train)
    expected = (1e6 - train.inputs.mean(axis=0)) / train.inputs.std(axis=0)
    np.testing.assert_allclose(held_out.preprocess(fitted).inputs, np.broadcast_to(expected, (20, 2)))


def test_missing_values_become_the_mean_of_those_there() -> None:
    nan = np.nan
    x = np.array([[1.0, nan], [nan, 4], [5, 6], [nan, nan]])
    fitted = FillMissing().fit(dataset(x))
    assert applied(fitted, x).tolist() == [[1, 5], [3, 4], [5, 6], [3, 5]]
    assert applied(FillMissing(0), x).tolist() == [[1, 0], [0, 4], [5, 6], [0, 0]]
    with pytest.raises(InputError, match="no value at all"):
        FillMissing().fit(dataset([[1, nan], [2, nan]]))
    for kind in (Normalise, Standardise):
        with pytest.raises(InputError, match="missing values"):
            kind().fit(dataset(x))
        with pytest.raises(InputError, match="infinite"):
            kind().fit(dataset([[1, np.inf]]))


def test_one_hot_takes_values_counts_and_several_axes() -> None:
    assert OneHot(3).change("targets", np.array([2, 0])).tolist() == [[0, 0, 1], [1, 0, 0]]
    steps = OneHot(("b", "a"), sections=("inputs",)).change("inputs", np.array([["a", "b"], ["b", "b"]]))
    assert steps.tolist() == [[[0, 1], [1, 0]], [[1, 0], [1, 0]]]
    assert OneHot((-1.5, 7)).change("targets", np.array([[7.0], [-1.5]])).shape == (2, 1, 2)
    labels = Dataset(np.zeros((2, 1)), np.array([1, 0])).preprocess(OneHot(2))
    assert labels.targets.tolist() == [[0, 1], [1, 0]]
    assert labels.inputs.tolist() == [[0], [0]]
    assert OneHot(3).change("targets", np.zeros((0, 2), int)).shape == (0, 2, 3)


@pytest.mark.parametrize("wrong", [[0, 3], [-1, 0], [0.5], [np.nan], ["0"]])
def test_one_hot_refuses_what_it_does_not_know(wrong: list[Any]) -> None:
    with pytest.raises(InputError, match="does not know"):
        OneHot(3).change("targets", np.array(wrong))


def test_permute_reorders_axes_of_records() -> None:
    x = RNG.normal(size=(2, 3, 4, 5))
    out = applied(Permute((2, 0, 1)), x)
    assert out.shape == (2, 5, 3, 4)
    assert out[1, 4, 2, 3] == x[1, 2, 3, 4]
    with pytest.raises(ShapeError, match="another rank"):
        applied(Permute((1, 0)), x)
    with pytest.raises(AttributeValueError, match="order of axes"):
        Permute((0, 2))


def test_shuffle_keeps_records_together_and_every_order_is_as_likely() -> None:
    data = Dataset({"a": np.arange(50), "b": 2 * np.arange(50)}, -np.arange(50)).preprocess(Shuffle(1))
    assert sorted(data.inputs["a"]) == list(range(50))
    assert data.inputs["a"].tolist() != list(range(50))
    assert (data.inputs["b"] == 2 * data.inputs["a"]).all()
    assert (data.targets == -data.inputs["a"]).all()
    orders = [tuple(Shuffle(seed).change("inputs", np.arange(3))) for seed in range(1200)]
    counts = np.unique(orders, axis=0, return_counts=True)[1]
    assert len(counts) == 6
    assert ((counts - 200) ** 2 / 200).sum() < 20  # chi-squared with 5 degrees of freedom: 0.1 % of all are above 20.5


def half(x: Any) -> Any:
    return x / 2


def test_lambda_applies_a_function_and_is_known_by_its_source_or_key() -> None:
    assert applied(Lambda(half), [[2.0, 4]]).tolist() == [[1, 2]]

    def make(by: int) -> Callable[[Any], Any]:
        return lambda x: x / by

    assert Lambda(half).fingerprint() == Lambda(half).fingerprint()
    assert Lambda(half).fingerprint() != Lambda(half, key="half").fingerprint()
    assert Lambda(make(2), key="half").fingerprint() == Lambda(make(3), key="half").fingerprint()
    for unsaid in (make(2), np.sqrt, eval("lambda x: x")):
        with pytest.raises(AttributeValueError, match="does not say"):
            Lambda(unsaid)
    with pytest.raises(ShapeError, match="another number of records"):
        applied(Lambda(lambda x: x[1:]), [[1.0], [2]])
    with pytest.raises(AttributeValueError, match="cannot be stored"):
        Lambda(half).to_json()


@pytest.mark.parametrize(
    "preprocessor",
    [
        Normalise(0, 255, -1, 1),
        PerIndexNormalise([0.1, 1], [1 / 3, 1]),
        Standardise({"inputs": [1e-300, 2 / 3]}, {"inputs": [0.1, 1]}),
        FillMissing(0.1),
        OneHot(("b", "a")),
        OneHot(3, sections=("targets", "inputs.a")),
        Permute((1, 0)),
        Shuffle(3),
        Normalise(),
    ],
    ids=repr,
)
def test_what_is_stored_comes_back_to_the_bit(preprocessor: Preprocessor) -> None:
    back = preprocessor_from_json(preprocessor.to_json())
    assert back == preprocessor
    assert type(back) is type(preprocessor)
    assert back.fingerprint() == preprocessor.fingerprint()
    assert back.ready == preprocessor.ready
    assert hash(back) == hash(preprocessor)


def test_a_fitted_one_comes_back_and_does_the_same() -> None:
    x = RNG.normal(size=(20, 2, 3)).astype(np.float32)
    kinds: list[type[Learner]] = [Normalise, PerIndexNormalise, Standardise, FillMissing]
    for kind in kinds:
        fitted = kind().fit(dataset(x))
        assert (applied(preprocessor_from_json(fitted.to_json()), x) == applied(fitted, x)).all()
        assert fitted != kind()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"preprocessor": "Lambda"}', '{"preprocessor": "Shuffle", "x": 1}'])
def test_other_texts_are_no_preprocessors(text: str) -> None:
    with pytest.raises(FileFormatError, match="no stored preprocessor"):
        preprocessor_from_json(text)
    state = {**json.loads(Shuffle().to_json()), "seed": -1}
    with pytest.raises(FileFormatError, match="no stored preprocessor"):
        preprocessor_from_json(json.dumps(state))


def test_sections_are_chosen_by_name_or_part() -> None:
    data = Dataset({"a": np.array([[0.0], [2]]), "b": np.array([[0.0], [4]])}, np.array([[0.0], [8]]))
    out = data.preprocess(Normalise().fit(data))
    assert (out.inputs["a"].tolist(), out.inputs["b"].tolist()) == ([[0], [1]], [[0], [1]])
    assert out.targets.tolist() == [[0], [8]]
    only = data.preprocess(Normalise(sections="inputs.b").fit(data))  # type: ignore[arg-type]
    assert only.inputs["a"].tolist() == [[0], [2]]
    assert data.preprocess(Normalise(0, 8, sections=("targets",))).targets.tolist() == [[0], [1]]
    with pytest.raises(AttributeValueError, match="section that the records lack"):
        data.preprocess(Normalise(0, 1, sections=("weights",)))
    assert data.inputs["a"].tolist() == [[0], [2]]


@pytest.mark.parametrize(
    "make",
    [
        lambda: Normalise(1),
        lambda: Normalise(2, 1),
        lambda: Normalise(0, np.nan),
        lambda: Normalise("a", "b"),
        lambda: PerIndexNormalise([0, 1], [0]),
        lambda: Standardise(0),
        lambda: Standardise(0, -1),
        lambda: OneHot(0),
        lambda: OneHot(()),
        lambda: OneHot((1, 1)),
        lambda: Shuffle(-1),
        lambda: Lambda(3),  # type: ignore[arg-type]
        lambda: Normalise(0, 1, sections=()),
    ],
)
def test_parameters_that_mean_nothing_are_refused(make: Callable[[], Any]) -> None:
    with pytest.raises(AttributeValueError):
        make()


def test_records_of_another_kind_than_those_learnt_from_are_refused() -> None:
    fitted = Standardise().fit(dataset(np.zeros((3, 2))))
    with pytest.raises(ShapeError, match="another shape"):
        applied(fitted, np.zeros((3, 4)))
    with pytest.raises(DTypeError, match="no numbers"):
        Normalise().fit(dataset(np.array([["a"]])))
    with pytest.raises(DTypeError, match="shifted and scaled"):
        applied(Normalise(0, 1), np.array([["a"]]))
    with pytest.raises(AttributeValueError, match="no records to learn from"):
        Normalise().fit(dataset(np.zeros((0, 2))))
