"""One recording becomes one row of a shard, and a group of them one Parquet file. No ray here: shards.py hands out the work."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from vibesweep.config import MelSettings
from vibesweep.corpus import audio
from vibesweep.corpus.manifest import ROW_SCHEMA
from vibesweep.corpus.metadata import Recording, Turn, read_turns
from vibesweep.corpus.phonemes import PAUSES, WORD_BOUNDARY, Phonemes, phonemize
from vibesweep.corpus.plan import ShardPlan
from vibesweep.corpus.rejects import RecordingError, Reject

DURATION_TOLERANCE_S = 0.5
DURATION_TOLERANCE = 0.05

Times = list[tuple[float, float]]


@dataclass(frozen=True)
class ShardSummary:
    """What became of a plan: all that the manifest adds up. Sums are over the frames of the file, for each mel bin."""

    name: str
    split: str
    rows: int
    frames: int
    mel_sum: list[float]
    mel_square_sum: list[float]
    speakers: dict[str, int] = field(default_factory=dict)
    symbols: dict[str, int] = field(default_factory=dict)
    unknown_characters: dict[str, int] = field(default_factory=dict)
    rejects: tuple[Reject, ...] = ()


@dataclass(frozen=True)
class _Clip:
    recording: Recording
    mel: npt.NDArray[np.float32]  # [T, M]
    turns: tuple[Turn, ...]
    phonemes: list[Phonemes]


def write_shard(plan: ShardPlan, folder: Path, settings: MelSettings) -> ShardSummary:
    """Read a plan's recordings and write those that can be used; a plan of which none can leaves no file."""
    spoken, rejects = _read_texts(plan.recordings)
    clips = []
    for recording, turns, phonemes in spoken:
        try:
            clips.append(_Clip(recording, _read_mel(recording, settings), turns, phonemes))
        except RecordingError as error:
            rejects.append(Reject.of(recording.id, error))
    if clips:
        rows = [_row(clip, plan.split, settings) for clip in clips]
        columns = {name: [row[name] for row in rows] for name in ROW_SCHEMA.names}
        columns["mel"] = _mel_column([clip.mel for clip in clips])
        pq.write_table(pa.table(columns, schema=ROW_SCHEMA), folder / plan.name, compression="zstd", row_group_size=len(clips))
    return _summary(plan, clips, rejects, settings)


def share_times(weights: Sequence[int], duration_s: float) -> Times:
    """Turn times where none are known: the clip's length shared out in proportion to the weights."""
    edges = [duration_s * done / sum(weights) for done in accumulate(weights, initial=0)]
    return list(pairwise(edges))


def _read_texts(recordings: Sequence[Recording]) -> tuple[list[tuple[Recording, tuple[Turn, ...], list[Phonemes]]], list[Reject]]:
    """Turns and phonemes of the recordings, phonemized in one call."""
    read: list[tuple[Recording, tuple[Turn, ...]]] = []
    rejects = []
    for recording in recordings:
        try:
            read.append((recording, read_turns(recording)))
        except RecordingError as error:
            rejects.append(Reject.of(recording.id, error))
    answers = iter(phonemize([turn.text for _, turns in read for turn in turns]))
    spoken = []
    for recording, turns in read:
        phonemes = [next(answers) for _ in turns]
        mute = [turn.text for turn, said in zip(turns, phonemes, strict=True) if not _sounds(said)]
        if mute:
            rejects.append(Reject(recording.id, str(recording.text), "no_phonemes", f"{mute[0][:80]!r}"))
        else:
            spoken.append((recording, turns, phonemes))
    return spoken, rejects


def _sounds(phonemes: Phonemes) -> int:
    """How many symbols are neither pauses nor word boundaries."""
    return sum(symbol not in PAUSES and symbol != WORD_BOUNDARY for symbol in phonemes.symbols)


def _read_mel(recording: Recording, settings: MelSettings) -> npt.NDArray[np.float32]:
    waveform = audio.load(recording.audio, settings)
    seconds = len(waveform) / settings.sample_rate_hz
    if abs(seconds - recording.duration_s) > max(DURATION_TOLERANCE_S, DURATION_TOLERANCE * recording.duration_s):
        detail = f"{seconds:.3f} s, duration_sec is {recording.duration_s} s"
        raise RecordingError("duration_mismatch", detail, where=str(recording.audio))
    return audio.log_mel(waveform, settings)


def _row(clip: _Clip, split: str, settings: MelSettings) -> dict[str, Any]:
    recording, duration_s = clip.recording, audio.seconds_of(len(clip.mel), settings)
    timed = bool(recording.segments)
    times = (
        [(segment.start_s, min(segment.end_s, duration_s)) for segment in recording.segments]
        if timed
        else share_times([_sounds(said) for said in clip.phonemes], duration_s)
    )
    turns = [
        {
            "tag": turn.tag,
            "speaker": recording.person(turn.tag),
            "language": said.language,
            "text": turn.text,
            "phonemes": list(said.symbols),
            "start_s": start_s,
            "end_s": end_s,
            "timed": timed,
        }
        for turn, said, (start_s, end_s) in zip(clip.turns, clip.phonemes, times, strict=True)
    ]
    return {"id": recording.id, "split": split, "duration_s": duration_s, "frames": len(clip.mel), "mel": None, "turns": turns}


def _mel_column(mels: Sequence[npt.NDArray[np.float32]]) -> pa.ListArray:
    offsets = np.fromiter(accumulate((mel.size for mel in mels), initial=0), dtype=np.int32, count=len(mels) + 1)
    values = np.concatenate([mel.ravel() for mel in mels]).astype(np.float16)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values, type=pa.float16()))


def _summary(plan: ShardPlan, clips: Sequence[_Clip], rejects: Sequence[Reject], settings: MelSettings) -> ShardSummary:
    frames = np.concatenate([clip.mel for clip in clips] or [np.zeros((0, settings.n_mels), np.float32)]).astype(np.float64)
    said = [phonemes for clip in clips for phonemes in clip.phonemes]
    unknown: Counter[str] = Counter()
    for phonemes in said:
        unknown.update(phonemes.unknown)
    return ShardSummary(
        plan.name,
        plan.split,
        rows=len(clips),
        frames=len(frames),
        mel_sum=frames.sum(axis=0).tolist(),
        mel_square_sum=np.square(frames).sum(axis=0).tolist(),
        speakers=dict(Counter(person for clip in clips for person in {clip.recording.person(turn.tag) for turn in clip.turns})),
        symbols=dict(Counter(symbol for phonemes in said for symbol in phonemes.symbols)),
        unknown_characters=dict(unknown),
        rejects=tuple(rejects),
    )
