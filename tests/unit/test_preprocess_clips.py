"""Recordings to rows of a part, and parts to shards, in one process and without ray."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests import tiny
from tests.checkpoint import write_checkpoint
from tests.encoders import MEL_ENCODER, vibevoice_encoder
from vibesweep.config import MelSettings
from vibesweep.corpus.clip_encoder import ClipEncoder
from vibesweep.corpus.demo import write_demo_corpus
from vibesweep.corpus.ingest.decoding import decode
from vibesweep.corpus.ingest.metadata import read_metadata
from vibesweep.corpus.preprocess.clips import share_times
from vibesweep.corpus.preprocess.fingerprints import Planned, fingerprint_all
from vibesweep.corpus.preprocess.pack import ShardSummary, entries_of, write_shard
from vibesweep.corpus.preprocess.parts import (
    Tried,
    decode_part,
    encode_sounds,
    read_part,
    read_tried,
    write_part,
)
from vibesweep.corpus.preprocess.plan import Part, ShardPlan
from vibesweep.corpus.recordings import Recording
from vibesweep.corpus.shards.manifest import ShardFile, read_clips, read_table, write_manifest
from vibesweep.corpus.sound.levels import at_level
from vibesweep.corpus.sound.mel import log_mel
from vibesweep.errors import ResourceError
from vibesweep.models.mel.encoder import MelEncoder
from vibesweep.storage import StoragePath

MEL = MelSettings()
MAX_S = 300.0


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_demo_corpus(tmp_path_factory.mktemp("corpus"), recordings=3)


def planned(
    corpus: Path, max_duration_s: float = MAX_S, encoder: ClipEncoder = MEL_ENCODER
) -> list[Planned]:
    recordings = read_metadata(corpus).recordings
    fingerprint = encoder.fingerprint
    return fingerprint_all(recordings, StoragePath.of(corpus), max_duration_s, fingerprint)[0]


def encoded(
    out: Path,
    recordings: list[Planned],
    max_duration_s: float = MAX_S,
    encoder: ClipEncoder = MEL_ENCODER,
) -> tuple[StoragePath, Tried]:
    """Write a part of the recordings; return it and what became of them."""
    part = decode_part(Part(tuple(recordings)), encoder, max_duration_s)
    rows = encode_sounds(part, encoder.open_sound("cpu"), encoder.columns)
    write_part(part, rows, encoder.columns, StoragePath.of(out))
    place = StoragePath.of(out) / part.name
    return place, read_tried(place)


def packed(out: Path, *parts: StoragePath, split: str = "train") -> ShardSummary:
    """Write a folder with one shard of all rows of the parts."""
    numbers = [(str(part), tuple(range(len(read_part(part))))) for part in parts]
    plan = ShardPlan(f"{split}-0.parquet", split, tuple(numbers))
    summary = write_shard(plan, StoragePath.of(out), MEL_ENCODER)
    shard = ShardFile(summary.name, split, summary.rows, summary.seconds)
    write_manifest(out, tiny.manifest(shard))
    return summary


def reasons(tried: Tried) -> dict[str, str]:
    return {reject.id: reject.reason for reject in tried.rejects.values()}


def spoken(
    folder: Path,
    *,
    seconds: float = 4.0,
    rate_hz: int = 24_000,
    text: str = "It was a quiet morning in the old town.",
) -> Recording:
    """One recording of 4 s of a noise that swells and falls like words."""
    rate_hz = 24_000
    time = np.arange(4 * rate_hz) / rate_hz
    noise = np.random.default_rng(0).normal(0, 0.1, len(time)) * (1 + np.sin(2 * np.pi * 3 * time))
    soundfile.write(folder / "a.wav", noise, rate_hz)
    return Recording("a", str(folder / "a.wav"), words=text)


def test_times_are_shared_out_by_phonemes() -> None:
    assert share_times([1, 3, 4], 4.0) == [(0.0, 0.5), (0.5, 2.0), (2.0, 4.0)]


def test_a_recording_is_opened_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recording = spoken(tmp_path)
    opened: list[str] = []

    class Counted(soundfile.SoundFile):
        def __init__(self, file: str) -> None:
            opened.append(file)
            super().__init__(file)

    monkeypatch.setattr(soundfile, "SoundFile", Counted)
    _, tried = encoded(tmp_path / "parts", [Planned(recording, "0")])
    assert tried == Tried(("0",))
    assert opened == [recording.audio]


def test_a_shard_holds_what_was_recorded(corpus: Path, tmp_path: Path) -> None:
    part, tried = encoded(tmp_path / "parts", planned(corpus))
    assert tried == Tried(tuple(item.fingerprint for item in planned(corpus)))
    summary = packed(tmp_path / "out", part)
    recordings = {recording.id: recording for recording in read_metadata(corpus).recordings}
    rows = list(read_clips(tmp_path / "out", "train"))
    assert [row.duration_s for row in rows] == sorted(row.duration_s for row in rows)
    assert {row.id for row in rows} == set(recordings)
    for row in rows:
        recording = recordings[row.id]
        decoded = decode(Path(recording.audio), MEL.sample_rate_hz)
        levelled = at_level(decoded.samples, MEL.level_dbfs, found=decoded.level_dbfs)
        expected = log_mel(levelled, MEL)
        assert np.array_equal(tiny.mel_of(row), expected.astype(np.float16))
        assert row.patches == len(expected) // 10
        assert row.tokens == sum(len(turn.columns["phonemes"]) + 1 for turn in row.turns)
        assert row.duration_s == pytest.approx(recording.duration_s, abs=1 / 75)
        assert [(turn.tag, turn.start_s) for turn in row.turns] == [
            (s.tag, s.start_s) for s in recording.segments
        ]
        assert all(
            turn.timed and turn.columns["phonemes"] and turn.end_s <= row.duration_s
            for turn in row.turns
        )
    assert summary.seconds == pytest.approx(sum(row.duration_s for row in rows))
    assert summary.counts["speakers"] == {"Alex": 3, "Belinda": 3}
    assert sum(summary.counts["symbols"].values()) == sum(
        len(turn.columns["phonemes"]) for row in rows for turn in row.turns
    )


def test_columns_are_read_alone(corpus: Path, tmp_path: Path) -> None:
    packed(tmp_path / "out", encoded(tmp_path / "parts", planned(corpus))[0])
    table = read_table(tmp_path / "out", "train", columns=["id", "patches"])
    assert table.column_names == ["id", "patches"]
    assert table.num_rows == 3


def test_rows_are_found_again_by_the_hash_of_what_they_depend_on(
    corpus: Path, tmp_path: Path
) -> None:
    part, tried = encoded(tmp_path, planned(corpus))
    (entry,) = entries_of(part, {tried.used[1]})
    assert entry.recording == planned(corpus)[1].recording.id
    assert set(entry.people) == {"Alex", "Belinda"}
    rows = read_part(part).to_pylist()
    assert rows[entry.row]["fingerprint"] == tried.used[1]
    assert rows[entry.row]["patches"] == entry.patches


def test_without_segments_times_are_estimated(corpus: Path, tmp_path: Path) -> None:
    recordings = [
        Planned(Recording(**{**vars(item.recording), "segments": ()}), item.fingerprint)
        for item in planned(corpus)
    ]
    packed(tmp_path / "out", encoded(tmp_path / "parts", recordings[:1])[0])
    (row,) = read_clips(tmp_path / "out")
    assert not any(turn.timed for turn in row.turns)
    assert row.turns[0].start_s == 0.0
    assert row.turns[-1].end_s == pytest.approx(row.duration_s)


def test_recordings_of_no_use_are_told_and_the_others_are_kept(
    corpus: Path, tmp_path: Path
) -> None:
    good = planned(corpus)[0]
    broken = tmp_path / "broken.flac"
    broken.write_bytes(b"not audio")
    audio_file = good.recording.audio
    bad = {
        "audio": Recording("audio", str(broken), words="Hello."),
        "letters": Recording("letters", audio_file, words="[SPEAKER_A] Hello.\n[SPEAKER_B] ☃ ☃"),
        "said": Recording("said", audio_file, words="Hello there, my friend.", duration_s=99.0),
        "little": Recording("little", audio_file, words="No."),
        "much": Recording("much", audio_file, words="No, this is by far too much for it. " * 40),
        "empty": Recording("empty", audio_file, words=" \n"),
        "count": Recording("count", audio_file, words="Hello there, my friend.", num_speakers=2),
    }
    part, tried = encoded(
        tmp_path / "parts", [good, *(Planned(recording, name) for name, recording in bad.items())]
    )
    assert reasons(tried) == {
        "audio": "unreadable_audio",
        "letters": "no_phonemes",
        "said": "duration_mismatch",
        "little": "speech_rate",
        "much": "speech_rate",
        "empty": "empty_text",
        "count": "speaker_count",
    }
    assert {tried.rejects[name].id for name in bad} == set(bad)
    assert tried.used == (good.fingerprint,)
    assert read_part(part)["id"].to_pylist() == [good.recording.id]


def test_a_part_of_which_nothing_can_be_used_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_text("no sound")
    part, tried = encoded(
        tmp_path, [Planned(Recording("a", str(tmp_path / "a.wav"), words="Hello."), "f")]
    )
    assert tried.used == ()
    assert reasons(tried) == {"a": "unreadable_audio"}
    assert len(read_part(part)) == 0


@pytest.mark.parametrize("words", ["Hello.", None], ids=["audio", "text"])
def test_a_file_that_this_host_does_not_see_is_no_fault_of_the_recording(
    tmp_path: Path, words: str | None
) -> None:
    spoken(tmp_path)
    gone = tmp_path / ("gone.wav" if words else "gone.txt")
    recording = (
        Recording("a", str(gone), words=words)
        if words
        else Recording("a", str(tmp_path / "a.wav"), text=str(gone))
    )
    with pytest.raises(ResourceError, match=f"this host does not see {gone}"):
        decode_part(Part((Planned(recording, "f"),)), MEL_ENCODER, MAX_S)


def test_oddities_become_warnings(tmp_path: Path) -> None:
    recording = spoken(tmp_path, text="It was a quiet ☃ morning in the old town. ☃")
    loud, rate_hz = soundfile.read(tmp_path / "a.wav")
    soundfile.write(tmp_path / "a.wav", np.clip(loud * 20, -1, 1), rate_hz)
    prompts = (str(tmp_path / "a.wav"),) * 2
    part, _ = encoded(
        tmp_path / "parts",
        [Planned(Recording(**{**vars(recording), "voice_prompts": prompts}), "f")],
    )
    summary = packed(tmp_path / "out", part)
    found = [warned.reason for warned in summary.warnings]
    assert found == ["clipped_audio", "unknown_characters", "voice_prompts", "own_voice_prompt"]
    assert "SNOWMAN (2)" in summary.warnings[1].detail
    assert summary.counts["unknown_characters"] == {"SNOWMAN": 2}


def test_one_person_under_two_tags_has_one_voice_prompt(tmp_path: Path) -> None:
    recording = spoken(tmp_path, text="[A] It was a quiet morning. [B] It was a quiet morning.")
    voice = tmp_path / "voice.wav"
    soundfile.write(voice, np.random.default_rng(1).normal(0, 0.1, 16_000 * 4), 16_000)
    same = dataclasses.replace(
        recording, speakers=(("A", "Ann"), ("B", "Ann")), voice_prompts=(str(voice),)
    )
    part, _ = encoded(tmp_path / "parts", [Planned(same, "f")])
    assert packed(tmp_path / "out", part).warnings == []
    (clip,) = read_clips(tmp_path / "out")
    assert [prompt.person for prompt in clip.voice_prompts] == ["Ann"]


def test_voice_prompts_and_further_columns_are_kept(tmp_path: Path) -> None:
    recording = spoken(tmp_path)
    soundfile.write(
        tmp_path / "voice.wav", np.random.default_rng(1).normal(0, 0.1, 16_000 * 40), 16_000
    )
    full = Recording(
        **{
            **vars(recording),
            "voice_prompts": (str(tmp_path / "voice.wav"),),
            "extra": (("mood", "calm"),),
        }
    )
    part, _ = encoded(tmp_path / "parts", [Planned(full, "f")])
    packed(tmp_path / "out", part)
    (row,) = read_clips(tmp_path / "out")
    (prompt,) = row.voice_prompts
    assert prompt.person == "SPEAKER_A"
    assert len(prompt.columns["mel"]) == 30 * 75 * 80, "the first 30 s"
    assert dict(read_table(tmp_path / "out")["extra"].to_pylist()[0]) == {"mood": "calm"}


@pytest.mark.parametrize("copied", [False, True], ids=["itself", "a copy of it"])
def test_a_voice_prompt_that_is_the_recording_itself_is_left_out(
    tmp_path: Path, copied: bool
) -> None:
    recording = spoken(tmp_path)
    shutil.copy(recording.audio, tmp_path / "copy.wav")
    prompts = (str(tmp_path / "copy.wav") if copied else recording.audio,)
    part, _ = encoded(
        tmp_path / "parts",
        [Planned(Recording(**{**vars(recording), "voice_prompts": prompts}), "f")],
    )
    summary = packed(tmp_path / "out", part)
    assert [(warned.reason, warned.detail) for warned in summary.warnings] == [
        ("own_voice_prompt", "1 of 1")
    ]
    assert next(iter(read_clips(tmp_path / "out"))).voice_prompts == ()


@pytest.mark.parametrize(("own_s", "copied_s"), [(40, 40), (40, 35), (12, 40), (40, 12)])
def test_a_voice_prompt_that_begins_as_the_recording_does_is_left_out(
    tmp_path: Path, own_s: int, copied_s: int
) -> None:
    rate_hz = 16_000
    samples = np.random.default_rng(2).normal(0, 0.1, rate_hz * 40)
    words = 2 * own_s * "word "
    soundfile.write(tmp_path / "a.wav", samples[: own_s * rate_hz], rate_hz)
    soundfile.write(tmp_path / "copy.wav", samples[: copied_s * rate_hz], rate_hz)
    recording = Recording(
        "a", str(tmp_path / "a.wav"), words=words, voice_prompts=(str(tmp_path / "copy.wav"),)
    )
    part, _ = encoded(tmp_path / "parts", [Planned(recording, "f")])
    summary = packed(tmp_path / "out", part)
    assert [warned.reason for warned in summary.warnings] == ["own_voice_prompt"]
    (clip,) = read_clips(tmp_path / "out")
    assert clip.voice_prompts == ()
    assert clip.samples_hash


def test_a_language_that_has_no_phonemes_here_is_for_models_that_read_texts(tmp_path: Path) -> None:
    recording = spoken(tmp_path, text="[SPEAKER_A] สวัสดีตอนเช้าครับ\n[SPEAKER_B] ดีใจที่ได้ chat")
    part = Part((Planned(recording, "f"),))
    tried = decode_part(part, MEL_ENCODER, MAX_S).tried
    assert reasons(tried) == {"a": "no_phonemes"}
    advice = "the text is in Thai letters, --language is en-us: say --language th"
    assert tried.rejects["f"].detail == f"'สวัสดีตอนเช้าครับ': {advice}"
    reader = vibevoice_encoder(write_checkpoint(tmp_path / "checkpoint"))
    (row,) = decode_part(part, reader, MAX_S).rows
    assert row["warnings"] == []
    assert 1.6 < row["turns"][1]["start_s"] < 2.6, "times are shared out by the script's letters"
    nothing = Part((Planned(spoken(tmp_path, text="[SPEAKER_A] …\n[SPEAKER_B] !"), "f"),))
    tried = decode_part(nothing, reader, MAX_S).tried
    assert reasons(tried) == {"a": "no_phonemes"}
    assert tried.rejects["f"].detail == "'…': there are no words in it"


def test_long_recordings_are_cut_at_the_turn_ends_that_are_known(
    corpus: Path, tmp_path: Path
) -> None:
    (item,) = [item for item in planned(corpus, 4.0) if len(item.recording.segments) >= 3][:1]
    part, tried = encoded(tmp_path / "parts", [item], 4.0)
    assert not tried.rejects
    packed(tmp_path / "out", part)
    rows = sorted(read_clips(tmp_path / "out"), key=lambda row: row.id)
    assert len(rows) >= 2
    assert [row.id for row in rows] == [
        f"{item.recording.id}#{number:03d}" for number in range(len(rows))
    ]
    assert all(row.duration_s <= 4.0 for row in rows)
    turns = [turn for row in rows for turn in row.turns]
    assert [turn.tag for turn in turns] == [segment.tag for segment in item.recording.segments]
    for turn, segment in zip(turns, item.recording.segments, strict=True):
        assert turn.end_s - turn.start_s == pytest.approx(
            segment.end_s - segment.start_s, abs=1 / 75
        )


def test_a_recording_that_cannot_be_cut_is_rejected(tmp_path: Path) -> None:
    _, tried = encoded(tmp_path / "parts", [Planned(spoken(tmp_path), "f")], 2.0)
    assert reasons(tried) == {"a": "too_long"}


def test_a_split_without_files_is_empty(tmp_path: Path) -> None:
    write_manifest(tmp_path, tiny.manifest())
    assert read_table(tmp_path, "val").num_rows == 0
    assert list(read_clips(tmp_path, "val")) == []


def test_what_clips_depend_on_changes_their_fingerprint(corpus: Path, tmp_path: Path) -> None:
    def fingerprint(max_duration_s: float = MAX_S, encoder: ClipEncoder = MEL_ENCODER) -> str:
        return planned(tmp_path / "corpus", max_duration_s, encoder)[0].fingerprint

    write_demo_corpus(tmp_path / "corpus", recordings=2)
    seen = [
        fingerprint(),
        fingerprint(9.0),
        fingerprint(encoder=MelEncoder(MEL, "de")),
        fingerprint(encoder=MelEncoder(MelSettings(n_mels=40), "en-us")),
    ]
    with (tmp_path / "corpus/text/demo_0000.txt").open("a", encoding="utf-8") as file:
        file.write("more\n")
    seen.append(fingerprint())
    segments = json.loads((tmp_path / "corpus/segments.json").read_text())
    del segments["demo_0000"]
    (tmp_path / "corpus/segments.json").write_text(json.dumps(segments))
    seen.append(fingerprint())
    assert len(set(seen)) == len(seen)
    (tmp_path / "corpus").rename(tmp_path / "moved")
    assert planned(tmp_path / "moved")[0].fingerprint == seen[-1], (
        "a corpus that was moved is the same"
    )
