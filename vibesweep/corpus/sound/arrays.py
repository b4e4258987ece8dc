"""The types of the arrays that sound is held in."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]
"""Mono samples [S]; full scale is 1."""

LogMel = npt.NDArray[np.float32]
"""Natural logarithm of mel magnitudes [T, M]: ``T`` frames of ``M`` mel bins."""

Floats = npt.NDArray[np.floating]
Ints = npt.NDArray[np.int64]
