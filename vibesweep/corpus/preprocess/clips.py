"""One recording becomes the rows of its clips. No ray here: shards.py hands out the work.

Shapes: ``T`` frames, ``M`` mel bins.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

from vibesweep.config import CorpusSettings
from vibesweep.corpus.ingest import decoding
from vibesweep.corpus.preprocess.fingerprints import Planned
from vibesweep.corpus.preprocess.stopwatch import Stopwatch
from vibesweep.corpus.recordings import Recording, Turn
from vibesweep.corpus.rejects import RecordingError
from vibesweep.corpus.sound.arrays import Samples
from vibesweep.corpus.sound.levels import at_level
from vibesweep.corpus.sound.mel import half_precision, log_mel
from vibesweep.corpus.sound.rates import seconds_of
from vibesweep.corpus.sound.segmentation import Cut, cuts_from_segments, cuts_from_silence
from vibesweep.corpus.text.phonemes import PAUSES, WORD_BOUNDARY, Phonemes
from vibesweep.storage import StoragePath

DURATION_TOLERANCE_S = 0.5
DURATION_TOLERANCE = 0.05
CLIPPED_SHARE = 0.001
"""From here on clipping is heard: a thousandth of the samples at full scale."""
SYMBOLS_A_SECOND = (1.5, 40.0)
"""Phoneme symbols a second of a clip; real speech has 8 to 20, with its pauses."""
PROMPT_S = 30.0
"""Of a voice prompt, this much is kept."""

Times = list[tuple[float, float]]
Row = dict[str, Any]
Sounds = list[Samples]


@dataclass(frozen=True)
class Spoken:
    """A recording and what is said in it."""

    planned: Planned
    turns: tuple[Turn, ...]
    phonemes: tuple[Phonemes, ...]

    @property
    def recording(self) -> Recording:
        """The row of the corpus's table."""
        return self.planned.recording

    @property
    def weights(self) -> list[int]:
        """How much is said in each turn: its phonemes, and what has none here."""
        return [length_of(said) for said in self.phonemes]


def sounds(phonemes: Phonemes) -> int:
    """How many symbols are neither pauses nor word boundaries."""
    return sum(symbol not in PAUSES and symbol != WORD_BOUNDARY for symbol in phonemes.symbols)


def length_of(said: Phonemes) -> int:
    """Phonemes, and characters that have none here: some languages that a model may learn by their script have nothing else."""
    return sounds(said) + sum(said.unknown.values())


def encode(
    spoken: Spoken, settings: CorpusSettings, watch: Stopwatch, sounds: Sounds | None = None
) -> list[Row]:
    """The rows of a recording's clips; one, unless the recording is too long.

    Args:
        spoken: the recording.
        settings: how.
        watch: counts the time.
        sounds: where the levelled samples of clips and voice prompts are kept for another encoder; each row, and each prompt, then
            says in ``sound`` which are its own.

    Raises:
        RecordingError: the recording cannot be used.
    """
    address = spoken.recording.audio
    with StoragePath.of(address).fetched() as path:
        with watch("audio"):
            duration_s = decoding.probe(path, where=address).duration_s
        _check_duration(spoken.recording, duration_s)
        cuts = _cuts(spoken, path, duration_s, settings.max_duration_s, watch)
        listen = _Listener(settings, watch, sounds)
        rows = [
            _clip(spoken, cut, number if len(cuts) > 1 else None, path, listen)
            for number, cut in enumerate(cuts)
        ]
    prompts = _voice_prompts(spoken, {row["samples_hash"] for row in rows}, listen)
    for row in rows:
        cast = {turn["speaker"] for turn in row["turns"]}
        row["voice_prompts"] = [prompt for prompt in prompts if prompt["speaker"] in cast]
    rows[0]["warnings"] += [
        *_warnings_of_texts(spoken),
        *_warnings_of_prompts(spoken, len(prompts)),
    ]
    return rows


def share_times(weights: Sequence[int], duration_s: float) -> Times:
    """Turn times where none are known: the clip's length shared out in proportion to the weights."""
    edges = [duration_s * done / sum(weights) for done in accumulate(weights, initial=0)]
    return list(pairwise(edges))


def _check_duration(recording: Recording, duration_s: float) -> None:
    said_s = recording.duration_s
    if said_s is not None and abs(duration_s - said_s) > max(
        DURATION_TOLERANCE_S, DURATION_TOLERANCE * said_s
    ):
        raise RecordingError(
            "duration_mismatch",
            f"{duration_s:.3f} s, duration_sec is {said_s} s",
            where=recording.audio,
        )


def _cuts(
    spoken: Spoken, path: Path, duration_s: float, max_s: float, watch: Stopwatch
) -> Sequence[Cut]:
    if duration_s <= max_s:
        return [Cut(0, len(spoken.turns), 0.0, duration_s)]
    recording = spoken.recording
    with watch("audio"):
        if recording.segments:
            cuts = cuts_from_segments(recording.segments, max_s)
        else:
            levels = decoding.envelope(path, where=recording.audio)
            cuts = cuts_from_silence(spoken.weights, levels, decoding.ENVELOPE_HOP_S, max_s)
    if cuts is None:
        how = "segments.json" if recording.segments else "its silences"
        raise RecordingError(
            "too_long", f"{duration_s:.1f} s of {max_s:g} s, by {how}", where=recording.audio
        )
    return cuts


@dataclass(frozen=True)
class _Listener:
    """From files to what is kept of their sound."""

    settings: CorpusSettings
    watch: Stopwatch
    sounds: Sounds | None

    def decode(
        self, path: Path, start_s: float, end_s: float | None, where: str
    ) -> decoding.Waveform:
        with self.watch("audio"):
            return decoding.decode(path, self.settings.mel, start_s, end_s, where=where)

    def columns(self, waveform: decoding.Waveform) -> Row:
        """``frames``, ``mel`` and, where the samples are kept, ``sound``."""
        with self.watch("mel"):
            levelled = at_level(
                waveform.samples, self.settings.mel.level_dbfs, found=waveform.level_dbfs
            )
            mel = half_precision(log_mel(levelled, self.settings.mel))
        columns = {"frames": len(mel), "mel": mel.tobytes()}
        if self.sounds is not None:
            columns["sound"] = len(self.sounds)
            self.sounds.append(levelled)
        return columns


def _clip(spoken: Spoken, cut: Cut, number: int | None, path: Path, listen: _Listener) -> Row:
    recording = spoken.recording
    waveform = listen.decode(
        path, cut.start_s, None if number is None else cut.end_s, recording.audio
    )
    columns = listen.columns(waveform)
    duration_s = seconds_of(columns["frames"], listen.settings.mel)
    said = spoken.phonemes[cut.first_turn : cut.past_turn]
    _check_rate(
        sum(map(sounds if listen.sounds is None else length_of, said)), duration_s, recording
    )
    return {
        "id": recording.id if number is None else f"{recording.id}#{number:03d}",
        "split": None,
        "duration_s": duration_s,
        **columns,
        "turns": _turns(spoken, cut, duration_s),
        "recording": recording.id,
        "source": recording.audio,
        "fingerprint": spoken.planned.fingerprint,
        "samples_hash": waveform.samples_hash,
        "level_dbfs": waveform.level_dbfs,
        "unknown_characters": list(_unknown(said).items()),
        "warnings": list(_warnings_of_audio(waveform)),
        "extra": list(recording.extra),
    }


def _check_rate(symbols: int, duration_s: float, recording: Recording) -> None:
    least, most = SYMBOLS_A_SECOND
    if not least <= symbols / duration_s <= most:
        detail = f"{symbols} symbols in {duration_s:.1f} s, {symbols / duration_s:.1f} a second; {least:g} to {most:g} is speech"
        raise RecordingError("speech_rate", detail, where=recording.text or recording.audio)


def _turns(spoken: Spoken, cut: Cut, duration_s: float) -> list[Row]:
    chosen = slice(cut.first_turn, cut.past_turn)
    segments = spoken.recording.segments[chosen]
    if segments:
        times = [
            (max(s.start_s - cut.start_s, 0.0), min(s.end_s - cut.start_s, duration_s))
            for s in segments
        ]
    else:
        times = share_times(spoken.weights[chosen], duration_s)
    return [
        {
            "tag": turn.tag,
            "speaker": spoken.recording.person(turn.tag),
            "language": said.language,
            "text": turn.text,
            "phonemes": list(said.symbols),
            "start_s": start_s,
            "end_s": end_s,
            "timed": bool(segments),
        }
        for turn, said, (start_s, end_s) in zip(
            spoken.turns[chosen], spoken.phonemes[chosen], times, strict=True
        )
    ]


def _voice_prompts(spoken: Spoken, own: set[str], listen: _Listener) -> list[Row]:
    """The voice prompts, one for each person in the order of their first words.

    One that is the recording itself, by its address or by its samples, is none: what is to be spoken would stand in the prompt.
    """
    people = dict.fromkeys(spoken.recording.person(turn.tag) for turn in spoken.turns)
    prompts = []
    for person, address in zip(people, spoken.recording.voice_prompts, strict=False):
        waveform = None if address == spoken.recording.audio else _prompt(address, listen)
        if waveform is not None and waveform.samples_hash not in own:
            prompts.append({"speaker": person, **listen.columns(waveform)})
    return prompts


def _prompt(address: str, listen: _Listener) -> decoding.Waveform:
    with StoragePath.of(address).fetched() as path:
        return listen.decode(path, 0.0, PROMPT_S, address)


def _warnings_of_audio(waveform: decoding.Waveform) -> Iterator[Row]:
    if waveform.clipped > CLIPPED_SHARE:
        yield {"reason": "clipped_audio", "detail": f"{waveform.clipped:.2%} of the samples"}


def _warnings_of_texts(spoken: Spoken) -> Iterator[Row]:
    unknown = _unknown(spoken.phonemes)
    if unknown:
        yield {
            "reason": "unknown_characters",
            "detail": ", ".join(f"{name} ({count})" for name, count in unknown.most_common()),
        }
    mute = sum(not sounds(said) for said in spoken.phonemes)
    if mute:
        yield {"reason": "unspoken", "detail": f"{mute} of {len(spoken.turns)} turns"}
    failed = sum(said.not_normalised for said in spoken.phonemes)
    if failed:
        yield {"reason": "not_normalised", "detail": f"{failed} stretches of the text"}


def _warnings_of_prompts(spoken: Spoken, kept: int) -> Iterator[Row]:
    people, prompts = {turn.tag for turn in spoken.turns}, spoken.recording.voice_prompts
    if prompts and len(prompts) != len(people):
        yield {"reason": "voice_prompts", "detail": f"{len(prompts)} for {len(people)} speakers"}
    if own := min(len(prompts), len(people)) - kept:
        yield {"reason": "own_voice_prompt", "detail": f"{own} of {len(prompts)}"}


def _unknown(phonemes: Sequence[Phonemes]) -> Counter[str]:
    total: Counter[str] = Counter()
    for said in phonemes:
        total.update(said.unknown)
    return total
