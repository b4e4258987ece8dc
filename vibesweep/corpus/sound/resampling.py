"""Resample a waveform with torchaudio's windowed-sinc filters, applied as a matrix product.

torch's convolution, which torchaudio uses, makes a plan for each new length. For clips of some
seconds that takes longer than the filtering itself.

Shapes: ``S`` samples, ``N`` steps, ``L`` taps of a filter, ``P`` phases (output samples of a step).
"""

from __future__ import annotations

import functools
import math
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vibesweep.corpus.sound.arrays import Samples

if TYPE_CHECKING:
    import torch

# This window is 82 dB down from Nyquist on, and 0.1 dB down at 0.90 of Nyquist
SINC_ZEROS = 46
SINC_ROLLOFF = 0.942
SINC_BETA = 8.0

LEAST_PHASES = 64  # fewer columns make the matrix product slow, and its windows overlap more
MOST_PHASES = 640  # 44.1 to 24 kHz takes 80 filters, 44.1 to 16 kHz 160, 11.025 to 16 kHz 640
STEPS_AT_ONCE = 256  # steps in one matrix product: the windows that it copies stay in the cache


class SincFilters(NamedTuple):
    """Filters for one pair of sample rates.

    Attributes:
        filters: [L, P].
        zeros_before: zeros to put in front of the waveform.
        stride: input samples from one step to the next.
    """

    filters: torch.Tensor
    zeros_before: int
    stride: int


def resample(waveform: Samples, from_hz: int, to_hz: int) -> Samples:
    """Resample [S] to another rate.

    Whatever lies above either Nyquist frequency ends up below -80 dB. Rates that have hardly a
    common factor, such as 44,101 and 24,000 Hz, are taken for near ones that have, because their
    filters would take gigabytes: 300 s are then at most 15 ms off.
    """
    exact_ratio = Fraction(from_hz, to_hz)
    ratio = exact_ratio.limit_denominator(MOST_PHASES)
    if ratio == 1 or not len(waveform):
        return waveform
    import torch

    sinc = _sinc_filters(ratio.numerator, ratio.denominator)
    windows = _windows(waveform, sinc)
    steps = len(windows)
    phases = sinc.filters.shape[1]
    resampled = torch.empty(steps, phases)
    for first in range(0, steps, STEPS_AT_ONCE):
        some = slice(first, first + STEPS_AT_ONCE)
        torch.matmul(windows[some], sinc.filters, out=resampled[some])
    exact_length = len(waveform) / exact_ratio
    length = math.ceil(exact_length)
    samples: Samples = resampled.flatten().numpy()
    return samples[:length]


def _windows(waveform: Samples, sinc: SincFilters) -> torch.Tensor:
    """Return the samples that each step looks at [N, L], as a view of [S] with zeros around it."""
    import torch
    from torch.nn import functional

    taps = len(sinc.filters)
    steps = _divide_up(len(waveform), sinc.stride)
    padded_length = sinc.stride * (steps - 1) + taps
    zeros_after = padded_length - sinc.zeros_before - len(waveform)
    contiguous = np.ascontiguousarray(waveform, dtype=np.float32)
    samples = torch.from_numpy(contiguous)
    padded = functional.pad(samples, (sinc.zeros_before, zeros_after))
    return padded.unfold(0, taps, sinc.stride)


@functools.lru_cache(maxsize=8)
def _sinc_filters(from_hz: int, to_hz: int) -> SincFilters:
    """Make the filters for a pair of rates.

    torchaudio has one filter for each phase of the ratio. They are repeated, each time shifted by
    one period, until there are ``LEAST_PHASES``: 48 to 24 kHz has a single phase, which would make
    the matrix product one with a vector.
    """
    import torch
    import torchaudio

    sinc = torchaudio.transforms.Resample(
        from_hz, to_hz, "sinc_interp_kaiser", SINC_ZEROS, SINC_ROLLOFF, SINC_BETA
    )
    kernel = sinc.kernel[:, 0].T  # [L of one period, P of one period]
    taps, phases = kernel.shape
    period = from_hz // math.gcd(from_hz, to_hz)
    repeats = _divide_up(LEAST_PHASES, phases)
    stride = repeats * period
    filters = torch.zeros(stride - period + taps, repeats * phases)
    for repeat in range(repeats):
        top = repeat * period
        left = repeat * phases
        filters[top : top + taps, left : left + phases] = kernel
    return SincFilters(filters, int(sinc.width), stride)


def _divide_up(number: int, divisor: int) -> int:
    """Divide and round up."""
    return -(-number // divisor)
