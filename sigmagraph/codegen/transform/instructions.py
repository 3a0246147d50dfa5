"""Which instructions a processor has, of those that kernels would use and not every processor offers."""

from __future__ import annotations

from dataclasses import dataclass

from sigmagraph.dtypes import BF16, F16, DType


@dataclass(frozen=True, slots=True)
class Instructions:
    """What is an instruction; whatever is not is written in others.

    Attributes:
        fma, fma_f64: multiply-add in f32, in f64.
        f16_casts, bf16_casts: conversions between f16 and f32, between bf16 and f32.
        rounding: floor, ceil and rounding to a whole number in f32.
        rounding_f64: the same in f64.
        f64: arithmetic in f64 at all; without it, helpers of the ABI add, multiply and divide.
    """

    fma: bool = True
    fma_f64: bool = True
    f16_casts: bool = False
    bf16_casts: bool = False
    rounding: bool = True
    rounding_f64: bool = True
    f64: bool = True

    @property
    def halves(self) -> tuple[DType, ...]:
        """The 16-bit floats that are converted from and to f32 by instructions."""
        return tuple(dtype for dtype, has in ((F16, self.f16_casts), (BF16, self.bf16_casts)) if has)


USUAL = Instructions()
