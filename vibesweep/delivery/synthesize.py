"""From a model and a text to a sound file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from vibesweep.corpus.recordings import MAX_SPEAKERS, Turn
from vibesweep.corpus.sound.speech_file import check_speech_file
from vibesweep.corpus.text.turns import parse_turns
from vibesweep.errors import SpeechError
from vibesweep.models.bundle_folder import find_folder
from vibesweep.models.family import SpeakingSettings, Speech
from vibesweep.models.registry import ModelRef
from vibesweep.progress import Say
from vibesweep.storage import StorageAddress, StoragePath
from vibesweep.storage.folders import fetched_folder


def _tell_nobody(line: str) -> None:
    pass


def synthesize(
    model: ModelRef,
    text: str | Sequence[Turn],
    out: Path,
    *,
    voices: Sequence[str] | Mapping[str, str] = (),
    settings: SpeakingSettings | None = None,
    tell: Say = _tell_nobody,
) -> Speech:
    """Speak a text with a model and write it as a sound file, whole or not at all.

    Args:
        model: what speaks.
        text: turns, ``[SPEAKER_A] …`` or ``Anna: …``, one after another or a line each; no tag is
            one speaker. Or turns that were read before.
        out: the file; its ending, .wav, .flac, .ogg or .mp3, chooses the format.
        voices: names of the model's voices (the rest are given out in the model's order), or
            recordings where the family takes voices from these (the rest speak with whatever voice
            the model chooses); by tag, or in the order in which the tags appear.
        settings: how it is sampled.
        tell: called with a line on how the text's tags were read, before it is spoken, where there
            is something to tell.

    Raises:
        ModelError: the model cannot be read, or lacks much of the text's phonemes.
        CorpusError: the language is unknown.
        SpeechError: there is nothing to say, too many speakers, an unknown voice, or more text
            than fits; or the file's ending is of no format that is written.
        StorageError: the file cannot be written.
    """
    check_speech_file(out)
    turns = _parse(text, tell) if isinstance(text, str) else text
    out.parent.mkdir(parents=True, exist_ok=True)
    settings = settings or SpeakingSettings()
    voice_of_tag = _by_tag(voices, turns)
    return model.family.synthesize(model.address, turns, out, voice_of_tag, settings)


def model_named(name: str, work: StorageAddress) -> str:
    """Return a model's name as it is, and a sweep's best model for the sweep's name.

    Args:
        name: a folder, a shipped base, a hub's model or a sweep.
        work: where sweeps lie.
    """
    if find_folder(name) is not None:
        return name
    from vibesweep.sweep.record import find_sweep  # a model's folder speaks sooner without it

    sweep = find_sweep(name, work)
    return str(sweep.best) if sweep.holds_sweep() else name


@contextmanager
def fetched_model(name: str) -> Iterator[ModelRef]:
    """Parse a model's name; a bundle at a URI is fetched for as long as the block lasts.

    Raises:
        ModelError: there is no such model.
    """
    if "://" not in name:
        yield ModelRef.parse(name)
        return
    with fetched_folder(StoragePath.of(name)) as folder:
        yield ModelRef.parse(str(folder))


def _by_tag(voices: Sequence[str] | Mapping[str, str], turns: Sequence[Turn]) -> Mapping[str, str]:
    if isinstance(voices, Mapping):
        return voices
    tags = list(dict.fromkeys(turn.tag for turn in turns))
    if len(voices) > len(tags):
        found = f"{len(voices)} voices for {len(tags)} speakers"
        raise SpeechError(found, where="--voice", fix="give one for each speaker at most")
    return dict(zip(tags, voices, strict=False))


def _parse(text: str, tell: Say) -> tuple[Turn, ...]:
    """Cut a text into turns."""
    read = parse_turns(text)
    summary = read.summary()
    if summary:
        tell(summary)
    if not read.turns:
        fix = 'write for example --text "[SPEAKER_A] Hello."'
        raise SpeechError("the text is empty", where="--text", fix=fix)
    speakers = {turn.tag for turn in read.turns}
    if len(speakers) > MAX_SPEAKERS:
        found = f"{len(speakers)} speakers"
        raise SpeechError(found, where="--text", fix=f"use at most {MAX_SPEAKERS}")
    return read.turns
