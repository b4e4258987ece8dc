"""What may be wrong with one recording.

A recording that cannot be used is left out, counted by reason and kept in ``rejects.parquet``. One
that is used although something is odd is listed in ``warnings.parquet``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vibesweep.errors import CorpusError

REASONS = {
    "bad_row": "a row of the table lacks a value or holds one that cannot be read",
    "duplicate_id": "an id that an earlier row has already",
    "missing_audio": "the audio file is not there",
    "missing_prompt": "the recording of a voice is not there",
    "missing_text": "the text file is not there",
    "unreadable_text": "the text file cannot be read as UTF-8",
    "empty_text": "the text file has no words",
    "no_phonemes": "a turn has nothing that can be spoken in the language of --language",
    "speaker_count": (
        "the tags in the text are not as many as num_speakers says, or more than a clip may have"
    ),
    "speech_rate": "the text is far too long or far too short for the audio",
    "bad_segments": "the clip's entry in segments.json does not fit its turns",
    "unreadable_audio": "the audio file cannot be decoded",
    "sample_rate": "the audio file's header names a sample rate at which nobody records speech",
    "truncated_audio": "the audio file ends before its header says",
    "short_audio": "the recording, or the speech in it, is shorter than one patch",
    "silent_audio": "the recording is silence",
    "non_finite_audio": "the recording holds NaN or infinite samples",
    "duration_mismatch": "the recording is not as long as duration_sec says",
    "too_long": (
        "the recording is longer than a clip may be"
        " and has no certain place between turns to cut it"
    ),
}

WARNINGS = {
    "clipped_audio": "many samples are at full scale",
    "long_silence": "there is a long silence at the start or end, which is cut off, or inside",
    "unspoken": (
        "no phonemes were found for turns;"
        " a model that reads texts itself can learn from them, a mel base cannot"
    ),
    "unknown_characters": "characters that no language here can say were left out",
    "other_language": (
        "the table names another language than texts are read in;"
        " preprocess each language by itself, with --language"
    ),
    "not_normalised": (
        "numbers and signs are read as eSpeak NG does, because the text could not be normalized"
    ),
    "doubtful_numbers": (
        "numbers can be read in two ways, and were read as is usual in the language;"
        " write them in words where that is wrong"
    ),
    "left_out_tags": "tags of sounds, times and footnotes in the text were left out",
    "unclear_tags": "tags in the text may be a person or something else",
    "duplicate_audio": (
        "another recording has the same samples; both are kept on one side of the split"
    ),
    "several_folders": "one speaker tag covers recordings from different folders",
    "several_voices": "one speaker tag covers recordings whose pitches are those of two people",
    "voice_prompts": "there are more or fewer voice prompts than speakers",
    "path_backslashes": "the file is there with / where the table has \\",
    "path_unicode_form": "the file's name has the same letters in another Unicode form",
    "path_letter_case": "the file's name differs in capital letters",
    "path_other_ending": "the audio file is there with another ending",
    "path_other_folder": "the file is in another folder than the table says",
    "own_voice_prompt": "a voice prompt that is the recording itself was left out",
}


class RecordingError(CorpusError):
    """One recording that cannot be used. ``reason`` is a key of :data:`REASONS`."""

    def __init__(self, reason: str, detail: str, *, where: str = "") -> None:
        assert reason in REASONS, reason
        super().__init__(
            f"{REASONS[reason]} ({detail})",
            where=where,
            fix="mend the file or take its row out of the table",
        )
        self.reason = reason
        self.detail = detail

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle with the reason."""
        return _rebuild, (self.reason, self.detail, self.where)


def _rebuild(reason: str, detail: str, where: str) -> RecordingError:
    return RecordingError(reason, detail, where=where)


@dataclass(frozen=True)
class RecordingWarning:
    """A recording that is used although something is odd.

    Attributes:
        id: of the recording.
        path: the file to look at.
        reason: a key of :data:`WARNINGS`.
        detail: what was found.
    """

    id: str
    path: str
    reason: str
    detail: str


@dataclass(frozen=True)
class Reject:
    """A recording that was left out.

    Attributes:
        id: of the recording; empty where the row has none.
        path: the file or row to look at.
        reason: a key of :data:`REASONS`.
        detail: what was found.
    """

    id: str
    path: str
    reason: str
    detail: str

    @classmethod
    def of(cls, recording_id: str, error: RecordingError) -> Reject:
        """Keep what an error says of a recording."""
        return cls(recording_id, error.where, error.reason, error.detail)
