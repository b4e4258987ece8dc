"""What may be wrong with one recording. Such a recording is left out, counted by reason and kept in ``rejects.parquet``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vibesweep.errors import CorpusError

REASONS = {
    "bad_row": "a row of metadata.csv lacks a value or holds one that cannot be read",
    "duplicate_id": "an id that an earlier row has already",
    "missing_audio": "the audio file is not there",
    "missing_text": "the text file is not there",
    "unreadable_text": "the text file is not UTF-8",
    "empty_text": "the text file has no words",
    "no_phonemes": "a turn has nothing that can be spoken",
    "speaker_count": "the tags in the text are not as many as num_speakers says, or more than a clip may have",
    "bad_segments": "the clip's entry in segments.json does not fit its turns",
    "unreadable_audio": "the audio file cannot be decoded",
    "short_audio": "the recording is shorter than one patch",
    "silent_audio": "the recording is silence",
    "non_finite_audio": "the recording holds NaN or infinite samples",
    "duration_mismatch": "the recording is not as long as duration_sec says",
}


class RecordingError(CorpusError):
    """One recording that cannot be used. ``reason`` is a key of :data:`REASONS`."""

    def __init__(self, reason: str, detail: str, *, where: str = "") -> None:
        assert reason in REASONS, reason
        super().__init__(f"{REASONS[reason]} ({detail})", where=where, fix="mend the file or take its row out of metadata.csv")
        self.reason = reason
        self.detail = detail

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle with the reason."""
        return _rebuild, (self.reason, self.detail, self.where)


def _rebuild(reason: str, detail: str, where: str) -> RecordingError:
    return RecordingError(reason, detail, where=where)


@dataclass(frozen=True)
class Reject:
    """A recording that was left out: its id, the file or row to look at, a key of :data:`REASONS`, and what was found."""

    id: str
    path: str
    reason: str
    detail: str

    @classmethod
    def of(cls, recording_id: str, error: RecordingError) -> Reject:
        """The record kept of an error."""
        return cls(recording_id, error.where, error.reason, error.detail)
