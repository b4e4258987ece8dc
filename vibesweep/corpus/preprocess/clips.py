"""One recording becomes the rows of its clips, their sound not encoded yet. No ray here.

Shapes: ``S`` samples.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

from vibesweep.corpus.clip_encoder import TextEncoder, TurnReading
from vibesweep.corpus.ingest import (
    ENVELOPE_HOP_S,
    OpenRecording,
    Waveform,
    level_envelope,
    open_recording,
    stretch_hash,
)
from vibesweep.corpus.preprocess.fingerprints import Planned
from vibesweep.corpus.preprocess.sounds import Sounds
from vibesweep.corpus.preprocess.trimming import Trim, long_silences
from vibesweep.corpus.recordings import Recording, Turn
from vibesweep.corpus.rejects import RecordingError
from vibesweep.corpus.sound.segmentation import Cut, cuts_from_segments, cuts_from_silence
from vibesweep.corpus.text.turns import ReadText
from vibesweep.storage import StoragePath

DURATION_TOLERANCE_S = 0.5
DURATION_TOLERANCE = 0.05
CLIPPED_SHARE = 0.001
"""From here on clipping is heard: a thousandth of the samples at full scale."""
PHONEMES_PER_SECOND = (1.5, 40.0)
"""Bounds of the speech rate of a clip; real speech has 8 to 20, its short pauses counted."""
PROMPT_S = 30.0
"""A voice prompt is cut to this length."""
LANGUAGE_COLUMNS = ("language", "lang", "locale")
_LANGUAGE_CODE = re.compile(r"(?P<base>[A-Za-z]{2,3})([-_]\w+)*$")

Times = list[tuple[float, float]]
Row = dict[str, Any]


@dataclass(frozen=True)
class ReadRecording:
    """A recording and what is said in it.

    Attributes:
        planned: the recording and its fingerprint.
        text: its text as it was read.
        readings: what the model family reads in each turn.
    """

    planned: Planned
    text: ReadText
    readings: tuple[TurnReading, ...]

    @property
    def recording(self) -> Recording:
        """The row of the corpus's table."""
        return self.planned.recording

    @property
    def turns(self) -> tuple[Turn, ...]:
        """Its turns."""
        return self.text.turns

    @property
    def lengths(self) -> list[int]:
        """How much is said in each turn, in phonemes."""
        return [reading.length for reading in self.readings]


def rows_of(
    read: ReadRecording, texts: TextEncoder, sounds: Sounds, max_duration_s: float
) -> list[Row]:
    """Make the rows of a recording's clips; one row, unless the recording is too long.

    Args:
        read: the recording.
        texts: the family's text encoder.
        sounds: takes the samples of clips and voice prompts; each row and each prompt names its
            own by number under ``sound``.
        max_duration_s: longer recordings are cut between turns.

    Raises:
        RecordingError: the recording cannot be used.
    """
    recording = read.recording
    with (
        StoragePath.of(recording.audio).fetched() as file,
        open_recording(file, recording.audio) as audio,
    ):
        duration_s = audio.header.duration_s
        _check_duration(recording, duration_s)
        cuts = _cuts(read, audio, max_duration_s)
        rows = []
        for number, cut in enumerate(cuts):
            name = recording.id if len(cuts) == 1 else f"{recording.id}#{number:03d}"
            # The length in a header may be a little too short
            end_s = cut.end_s if cut.end_s < duration_s else None
            row = _clip_row(read, cut, name, audio, end_s, texts, sounds)
            rows.append(row)
        hashes = {row["samples_hash"] for row in rows}
        prompts = _voice_prompts(read, audio, hashes, sounds)
    for row in rows:
        people = {turn["speaker"] for turn in row["turns"]}
        row["voice_prompts"] = [prompt for prompt in prompts if prompt["speaker"] in people]
    warnings = [*read.text.warnings(), *texts.warnings(read.readings)]
    warnings += _warnings_of_prompts(read, len(prompts))
    if texts.reads_in_a_language:
        warnings += _warnings_of_language(read)
    rows[0]["warnings"] += [_warning(reason, detail) for reason, detail in warnings]
    return rows


def share_times(weights: Sequence[int], duration_s: float) -> Times:
    """Share out a clip's length in proportion to the weights, for turns without known times."""
    total = sum(weights)
    edges = [duration_s * done / total for done in accumulate(weights, initial=0)]
    return list(pairwise(edges))


def _check_duration(recording: Recording, duration_s: float) -> None:
    told_s = recording.duration_s
    if told_s is None:
        return
    tolerance_s = max(DURATION_TOLERANCE_S, DURATION_TOLERANCE * told_s)
    if abs(duration_s - told_s) > tolerance_s:
        detail = f"{duration_s:.3f} s, duration_sec is {told_s} s"
        raise RecordingError("duration_mismatch", detail, where=recording.audio)


def _cuts(read: ReadRecording, audio: OpenRecording, max_s: float) -> Sequence[Cut]:
    """Find where a recording is cut: nowhere, at its segments, or in its silences."""
    recording = read.recording
    duration_s = audio.header.duration_s
    if duration_s <= max_s:
        return [Cut(0, len(read.turns), 0.0, duration_s)]
    if recording.segments:
        how = "segments.json"
        cuts = cuts_from_segments(recording.segments, max_s)
    else:
        how = "its silences"
        levels = level_envelope(audio)
        cuts = cuts_from_silence(read.lengths, levels, ENVELOPE_HOP_S, max_s)
    if cuts is None:
        detail = f"{duration_s:.1f} s of {max_s:g} s, by {how}"
        raise RecordingError("too_long", detail, where=recording.audio)
    return cuts


def _clip_row(
    read: ReadRecording,
    cut: Cut,
    name: str,
    audio: OpenRecording,
    end_s: float | None,
    texts: TextEncoder,
    sounds: Sounds,
) -> Row:
    """Make the row of one clip. ``end_s`` is None where the clip goes on to the file's end."""
    recording = read.recording
    waveform = sounds.decode(audio, cut.start_s, end_s)
    segments = recording.segments[cut.first_turn : cut.past_turn]
    trim = sounds.trim(waveform, cut, segments)
    sound = sounds.keep(waveform, trim, recording.audio)
    duration_s = sounds.duration_s(sound)
    turns = _turn_rows(read, cut, cut.start_s + trim.start_s, duration_s)
    readings = read.readings[cut.first_turn : cut.past_turn]
    phonemes = sum(reading.length for reading in readings)
    _check_speech_rate(phonemes, waveform.activity.speech_s, recording)
    spoken = [
        (turn["speaker"], turn["text"], reading)
        for turn, reading in zip(turns, readings, strict=True)
    ]
    return {
        "id": name,
        "split": None,
        "duration_s": duration_s,
        "tokens": texts.count_tokens(spoken),
        "sound": sound,
        "turns": turns,
        "recording": recording.id,
        "source": recording.audio,
        "fingerprint": read.planned.fingerprint,
        "samples_hash": waveform.samples_hash,
        "level_dbfs": waveform.level_dbfs,
        "warnings": list(_warnings_of_audio(waveform, trim)),
        "extra": list(recording.extra),
    }


def _check_speech_rate(phonemes: int, speech_s: float, recording: Recording) -> None:
    """Refuse a text that cannot be what is said in so many seconds of speech."""
    least, most = PHONEMES_PER_SECOND
    rate = phonemes / speech_s
    if not least <= rate <= most:
        detail = (
            f"{phonemes} phonemes in {speech_s:.1f} s of speech, {rate:.1f} a second;"
            f" {least:g} to {most:g} is speech"
        )
        raise RecordingError("speech_rate", detail, where=recording.text or recording.audio)


def _turn_rows(read: ReadRecording, cut: Cut, clip_start_s: float, duration_s: float) -> list[Row]:
    """Make the rows of a clip's turns; times count from where the clip begins."""
    chosen = slice(cut.first_turn, cut.past_turn)
    segments = read.recording.segments[chosen]
    if segments:
        times = []
        for segment in segments:
            start_s = max(segment.start_s - clip_start_s, 0.0)
            end_s = min(segment.end_s - clip_start_s, duration_s)
            times.append((start_s, end_s))
    else:
        times = share_times(read.lengths[chosen], duration_s)
    rows = []
    for turn, reading, (start_s, end_s) in zip(
        read.turns[chosen], read.readings[chosen], times, strict=True
    ):
        row = {
            "tag": turn.tag,
            "speaker": read.recording.person(turn.tag),
            "language": reading.language,
            "text": turn.text,
            "start_s": start_s,
            "end_s": end_s,
            "timed": bool(segments),
        }
        rows.append(row | dict(reading.columns))
    return rows


def _voice_prompts(
    read: ReadRecording, own: OpenRecording, own_hashes: set[str], sounds: Sounds
) -> list[Row]:
    """Decode the voice prompts, one for each person in the order of their first words.

    A prompt that is the recording itself, by its address or by its samples, is left out: what is
    to be spoken would stand in the prompt.

    Args:
        read: the recording.
        own: its audio.
        own_hashes: of the samples of its clips.
        sounds: takes the samples of the prompts.
    """
    recording = read.recording
    people = dict.fromkeys(recording.person(turn.tag) for turn in read.turns)
    prompts = []
    for person, address in zip(people, recording.voice_prompts, strict=False):
        if address == recording.audio:
            continue
        with StoragePath.of(address).fetched() as file, open_recording(file, address) as audio:
            waveform = sounds.decode(audio, 0.0, PROMPT_S)
            # A copy may be cut, or longer than a prompt: what both have is compared
            shared_s = min(own.header.duration_s, waveform.duration_s)
            start = stretch_hash(audio, shared_s)
        own_start = stretch_hash(own, shared_s)
        if start != own_start and waveform.samples_hash not in own_hashes:
            whole = Cut(0, 0, 0.0, waveform.duration_s)
            trim = sounds.trim(waveform, whole)
            prompts.append({"speaker": person, "sound": sounds.keep(waveform, trim, address)})
    return prompts


def _warning(reason: str, detail: str) -> Row:
    return {"reason": reason, "detail": detail}


def _warnings_of_audio(waveform: Waveform, trim: Trim) -> Iterator[Row]:
    silent = list(long_silences(waveform.activity, trim))
    if silent:
        yield _warning("long_silence", "; ".join(silent))
    if waveform.clipped > CLIPPED_SHARE:
        yield _warning("clipped_audio", f"{waveform.clipped:.2%} of the samples")


def _warnings_of_prompts(read: ReadRecording, kept: int) -> Iterator[tuple[str, str]]:
    recording = read.recording
    people = {recording.person(turn.tag) for turn in read.turns}
    prompts = recording.voice_prompts
    if prompts and len(prompts) != len(people):
        yield "voice_prompts", f"{len(prompts)} for {len(people)} speakers"
    left_out = min(len(prompts), len(people)) - kept
    if left_out:
        yield "own_voice_prompt", f"{left_out} of {len(prompts)}"


def _warnings_of_language(read: ReadRecording) -> Iterator[tuple[str, str]]:
    """Tell where the table's own column names another language than texts are read in."""
    languages = {reading.language for reading in read.readings}
    for column, value in read.recording.extra:
        if column.lower() not in LANGUAGE_COLUMNS:
            continue
        code = _LANGUAGE_CODE.match(value)
        if code and code["base"].lower() not in languages:
            listed = ", ".join(sorted(languages))
            yield "other_language", f"{column} is {value}, the texts are read as {listed}"
