"""Every exception that sigmagraph raises on purpose, and how it is worded.

An error says what was expected, what came, and where: the node, the layer path and the user's line. The module imports
nothing of the package, so that every layer of the house can raise from it.
"""

from __future__ import annotations

from typing import Any


class SigmaError(Exception):
    """Base class of all errors raised by sigmagraph.

    Args:
        message: one sentence that says what is wrong.
        expected: what would have been right.
        got: what came instead.
        node: the graph node in text form, or its name.
        location: the user's line and layer path (anything whose ``str`` says so).
        hint: what to do about it.
    """

    def __init__(
        self,
        message: str,
        *,
        expected: Any = None,
        got: Any = None,
        node: Any = None,
        location: Any = None,
        hint: str | None = None,
    ) -> None:
        self.message = message
        self.expected = expected
        self.got = got
        self.node = node
        self.location = location
        self.hint = hint
        super().__init__(message)

    def at(self, *, node: Any = None, location: Any = None) -> SigmaError:
        """Fill in where it happened, unless that is known already, and return the error itself."""
        if self.node is None:
            self.node = node
        if self.location is None:
            self.location = location
        return self

    def __str__(self) -> str:
        lines = [self.message]
        for label, value in (
            ("expected", self.expected),
            ("got", self.got),
            ("node", self.node),
            ("at", self.location),
            ("hint", self.hint),
        ):
            if value is not None and str(value):
                lines.append(f"  {label}: {value}")
        return "\n".join(lines)


class ShapeError(SigmaError):
    """Shapes, ranks or axes that do not fit an operation."""


class DTypeError(SigmaError):
    """A data type that an operation does not take, or two that do not promote."""


class AttributeValueError(SigmaError):
    """An attribute of an operation, a layer or an optimiser that is missing, unknown or out of range."""


class GraphError(SigmaError):
    """A graph that is put together wrongly: unknown values, names used twice, missing inputs."""


class VerifyError(SigmaError):
    """A graph, a kernel or a plan that breaks its own rules: a defect of whoever made it."""


class DifferentiationError(SigmaError):
    """A derivative that does not exist or was asked for in the wrong way."""


class PassError(SigmaError):
    """A pass or a pipeline that is unknown, takes other options, or does not come to an end."""


class LoweringError(SigmaError):
    """A graph that cannot be turned into kernels for the target."""


class CompileError(SigmaError):
    """Code generation, LLVM or the loader refused."""


class TargetError(SigmaError):
    """A target that is unknown, or not available on this machine."""


class DeviceError(SigmaError):
    """A device that refused something, or on which a kernel failed."""


class DeviceMemoryError(DeviceError, MemoryError):
    """A device that has not as much memory as a program needs."""


class InputError(SigmaError):
    """A call of a compiled function with the wrong names, shapes, dtypes or values."""


class DimError(InputError):
    """A symbolic dimension that two inputs of one call disagree about, or that breaks a requirement."""


class IndexRangeError(InputError, IndexError):
    """A call with an index among its data that is out of range."""


class FileFormatError(SigmaError):
    """A file that is truncated, damaged or of another format."""


class IdentifierError(SigmaError, KeyError):
    """An identifier or pattern that names nothing, or too much; mappings by identifier raise it for KeyError."""


class HookError(SigmaError):
    """A hook that failed, or hooks that cannot work together."""


class NotFiniteError(SigmaError):
    """Numbers of a training step that are not finite, and the node that made them."""


class TrainingStateError(SigmaError):
    """Something was asked of a trainer that it cannot do in its present state."""


class OptionError(SigmaError):
    """An option or an environment variable with a value that means nothing."""


class ParseError(SigmaError):
    """Text that is not what the grammar asks for: file, line, column, the line itself and a caret.

    Attributes:
        file, line, column: where (line and column count from 1).
    """

    def __init__(
        self, message: str, *, file: str, line: int, column: int, source: str, expected: Any = None, got: Any = None
    ) -> None:
        self.file = file
        self.line = line
        self.column = column
        self.source = source
        super().__init__(message, expected=expected, got=got)

    def __str__(self) -> str:
        head = f"{self.file}:{self.line}:{self.column}: {self.message}"
        # Tabs are kept, so that the caret stands under the column in any terminal.
        pad = "".join("\t" if ch == "\t" else " " for ch in self.source[: self.column - 1])
        lines = [head, "  " + self.source, "  " + pad + "^"]
        if self.expected is not None:
            lines.append(f"  expected: {self.expected}")
        if self.got is not None:
            lines.append(f"  got: {self.got}")
        return "\n".join(lines)


class CacheWarning(UserWarning):
    """The persistent cache cannot be used; programs are compiled all the same."""


class DataWarning(UserWarning):
    """Records that were left out, because that was asked for; the message says how many."""
