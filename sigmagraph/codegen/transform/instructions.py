"""Which instructions a processor has, of those that kernels would use and not every processor offers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Instructions:
    """What is an instruction; whatever is not is written in others.

    Attributes:
        fma, fma_f64: multiply-add in f32, in f64.
        f16_casts: conversions between f16 and f32.
        rounding: floor, ceil and rounding to a whole number in f32.
        rounding_f64: the same in f64.
        f64: arithmetic in f64 at all; without it, helpers of the ABI add, multiply and divide.
    """

    fma: bool = True
    fma_f64: bool = True
    f16_casts: bool = False
    rounding: bool = True
    rounding_f64: bool = True
    f64: bool = True


USUAL = Instructions()
