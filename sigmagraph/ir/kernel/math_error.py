"""Expansions of the error function and its complement."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from sigmagraph.dtypes import F32, F64, DType
from sigmagraph.ir.kernel.math_exponential import exp, reduced_exp
from sigmagraph.ir.kernel.math_term import Term, estrin, fast_two_sum, horner, power_of_two, two_product

# Coefficients of 1, z, z^2, ... in erf(x) / x - 1, z = x^2 <= 1.
_ERF: Mapping[DType, tuple[float, ...]] = MappingProxyType({
    F32: (
        0.12837916612625122, -0.3761262595653534, 0.11283578723669052, -0.026853347197175026, 0.005187162198126316,
        -0.0007997852517291903, 7.806897338014096e-05,
    ),
    F64: (
        0.1283791670955126, -0.376126389031841, 0.11283791670971065, -0.02686617064801912, 0.005223977652524259,
        -0.0008548328523395137, 0.0001205538564828145, -1.4926866285698336e-05, 1.6480784189993259e-06,
        -1.65539079928527e-07, 1.5989609492001824e-08, -1.6366384693044725e-09, 1.4165977512246607e-10,
    ),
})  # fmt: skip
# Coefficients of 1, q, q^2, ... in (1 + 2 x) exp(x^2) erfc(x), q = (x - 4) / (x + 4), 1/2 <= x; the first has a rest.
# The form is that of M. Shepherd and J. Laframboise, Mathematics of Computation 36 (1981).
_ERFC: Mapping[DType, tuple[float, ...]] = MappingProxyType({
    F32: (
        1.2329951524734497, -0.1396210640668869, 0.015379812568426132, 0.06809455901384354, -0.10104431957006454,
        0.0937676802277565, -0.0662626326084137, 0.03699296712875366, -0.01657174713909626, 0.005275148898363113,
    ),
    F64: (
        1.2329951186255526, -0.1396211168405625, 0.015379652102618874, 0.06809705425468941, -0.10103906603624374,
        0.09373283499848752, -0.06633036581385801, 0.037167515534779864, -0.01619773403512083, 0.005031970007592037,
        -0.0007577734710588265, -0.00019925689401620688, 0.00015062259120053815, -2.4398343813111816e-05,
        -1.1224985586801016e-05, 5.707208285249926e-06, 2.999590883574457e-07, -8.20585143200924e-07,
        6.667462850030468e-08, 1.0415699740532243e-07, -1.2094920340403764e-08, -9.972303677361743e-09,
    ),
})  # fmt: skip
_FIRST_REST: Mapping[DType, float] = MappingProxyType({F32: -3.4810270221896644e-08, F64: -4.3490783022448963e-17})
_POLE = 4.0
# Coefficients of 1, x, x^2, ... in log(erfc(x)), 1 <= x <= 4, with weights erfc(x).
_LOG_ERFC = (
    -0.00035154950455762446, -1.1270484924316406, -0.6382122039794922, -0.10304860025644302, 0.021810485050082207,
    -0.0029408512637019157, 0.00018569653911981732,
)  # fmt: skip
# From here on erf is 1, and erfc is 0.
_ERF_TOP: Mapping[DType, float] = MappingProxyType({F32: 4.0, F64: 6.0})
_ERFC_TOP: Mapping[DType, float] = MappingProxyType({F32: 10.5, F64: 28.0})


def erf(x: Term) -> Term:
    """X + x P(x^2) up to 1, and 1 - erfc|x| with the sign of x beyond.

    In f32 a fraction of erfc's accuracy is enough there, which the exponential of a polynomial has.
    """
    a = abs(x)
    small = _small(a)
    far = a.at_most(_ERF_TOP[x.dtype])
    large = 1.0 - (exp(horner(far, _LOG_ERFC)) if x.dtype is F32 else _complement(far))
    return (a < 1.0).select(small, large).copysign(x)


def erfc(x: Term) -> Term:
    """1 - erf(x) up to 1/2, else the form above, or 2 less that for negative x."""
    a = abs(x)
    tail = _complement(a.at_most(_ERFC_TOP[x.dtype]))
    outer = (x < 0.0).select(2.0 - tail, tail)
    return (a < 0.5).select(1.0 - _small(a).copysign(x), outer)


def _small(a: Term) -> Term:
    """erf(a) for 0 <= a <= 1."""
    return a.fma(horner(a * a, _ERF[a.dtype]), a)


def _complement(x: Term) -> Term:
    """erfc(x) for x >= 1/2 up to where it is 0.

    One reciprocal serves both quotients; what it lacks in accuracy the second makes up for by its remainder.
    """
    first, *others = _ERFC[x.dtype]
    above = x + _POLE
    below, below_low = fast_two_sum(x + x, x.constant(1.0))
    reciprocal = 1.0 / (above * below)
    q = (x - _POLE) * (below * reciprocal)
    top, top_low = fast_two_sum(x.constant(first), q * estrin(q, others))
    top_low = top_low + _FIRST_REST[x.dtype]
    share = above * reciprocal
    quotient = top * share
    rest = ((-quotient).fma(below, top) + (-quotient).fma(below_low, top_low)) * share
    square, square_low = two_product(x, x)
    s, e, t = reduced_exp(-square, -square_low, steps=2)
    factor = power_of_two(t)
    return s.fma(quotient, s.fma(rest, e * quotient)) * factor * factor
