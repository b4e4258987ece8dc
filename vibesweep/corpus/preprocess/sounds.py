"""The samples of a part's clips and voice prompts, trimmed and levelled.

Shapes: ``S`` samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vibesweep.config.corpus import EDGE_SILENCE_S
from vibesweep.corpus.ingest import OpenRecording, Waveform, decode_stretch
from vibesweep.corpus.preprocess.trimming import Trim
from vibesweep.corpus.recordings import Segment
from vibesweep.corpus.sound.arrays import Samples
from vibesweep.corpus.sound.levels import at_level
from vibesweep.corpus.sound.segmentation import Cut


@dataclass(frozen=True)
class SoundFormat:
    """What sounds are made to be.

    Attributes:
        sample_rate_hz: that an encoder takes.
        level_dbfs: RMS of their speech, that an encoder takes.
        max_edge_silence_s: longer silence at either end is cut off.
    """

    sample_rate_hz: int
    level_dbfs: float
    max_edge_silence_s: float = EDGE_SILENCE_S


class Sounds:
    """The samples of a part's clips and voice prompts, decoded and levelled.

    Rows name them by number.
    """

    def __init__(self, sound_format: SoundFormat) -> None:
        """Collect sounds of this format."""
        self.samples: list[Samples] = []
        self._format = sound_format

    def decode(self, audio: OpenRecording, start_s: float, end_s: float | None) -> Waveform:
        """Decode a stretch of a recording at the format's rate; it is not kept yet."""
        return decode_stretch(audio, self._format.sample_rate_hz, start_s, end_s)

    def trim(self, waveform: Waveform, cut: Cut, segments: Sequence[Segment] = ()) -> Trim:
        """Choose how much silence is cut off a clip, whose turns may have known times."""
        end_s = cut.start_s + waveform.duration_s
        most_s = self._format.max_edge_silence_s
        return Trim.of(waveform.activity, most_s, segments, cut.start_s, end_s)

    def keep(self, waveform: Waveform, trim: Trim, where: str) -> int:
        """Trim a waveform, bring it to the format's level and keep it; return its number.

        Raises:
            RecordingError: it is silence.
        """
        rate_hz = self._format.sample_rate_hz
        trimmed = trim.applied(waveform.samples, rate_hz)
        level, found = self._format.level_dbfs, waveform.level_dbfs
        samples = at_level(trimmed, level, found=found, where=where)
        self.samples.append(samples)
        return len(self.samples) - 1

    def duration_s(self, number: int) -> float:
        """Length of a sound."""
        return len(self.samples[number]) / self._format.sample_rate_hz
