"""Models of further libraries: equivariant, tabular, spectral, EEG, speech."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from corpus.case import Case, floats


def cases() -> Iterator[Case]:
    from e3nn import nn as equivariant
    from e3nn import o3

    x = floats(3, 16)
    yield Case("e3nn Linear", partial(o3.Linear, "4x0e + 4x1o", "3x0e + 2x1o"), x)
    yield Case("e3nn Norm", partial(o3.Norm, "4x0e + 4x1o"), x)
    yield Case("e3nn BatchNorm", partial(equivariant.BatchNorm, "4x0e + 4x1o"), x)
