"""At a sweep's end: its best trials and the untouched base are heard, and it is said in words."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from vibesweep.delivery.evaluate import quality_of
from vibesweep.delivery.export import tuned_trial
from vibesweep.delivery.synthesize import fetched_model
from vibesweep.models.registry import ModelRef
from vibesweep.quality.choice import preferred_of, ranked_by_ear
from vibesweep.quality.listening import Voice, base_voice, listen
from vibesweep.quality.measures import Measure
from vibesweep.quality.passages import choose_passages
from vibesweep.quality.quality_file import Quality, Row, name_of_trial, write_quality
from vibesweep.quality.scorers import make_scorers
from vibesweep.quality.verdict import faults_of, verdict, wins
from vibesweep.storage.folders import upload_folder
from vibesweep.sweep.record.folder import SweepFolder
from vibesweep.sweep.record.record import SweepRecord, TrialRecord
from vibesweep.sweep.record.table import format_loss, ranked

HEARD_TRIALS = 3
TEXTS = 6
LIMIT_S = 80.0
"""Most seconds that texts after the first may take: the first command is to end in 5 minutes."""
MOST_BYTES = 500_000_000
"""Where a model is larger than this, no runner-up is written only to be heard."""
SOUNDS = "quality"


class Judged(NamedTuple):
    """What was heard.

    Attributes:
        quality: the figures, as they lie in the sweep's folder.
        speaks: whether nothing is known against the voice that is to be handed over.
        preferred: the trial to be handed over in place of the one of the smallest loss, because it
            is clearly better by ear; mostly None.
        remark: which other trial may sound better, in one line; mostly empty.
    """

    quality: Quality
    speaks: bool
    preferred: TrialRecord | None = None
    remark: str = ""


def judge(sweep: SweepFolder) -> Judged:
    """Hear the trials of the smallest losses and the untouched base, and keep the figures.

    Args:
        sweep: a sweep whose best trial has been exported.

    Raises:
        CorpusError: no held-out recording can be compared with.
        VibesweepError: a model, the shards or the store cannot be used.
    """
    record = sweep.read()
    trials = [trial for trial in ranked(record) if trial.best_loss_val is not None]
    with (
        fetched_model(str(sweep.best)) as model,
        tempfile.TemporaryDirectory(prefix="vibesweep-") as scratch,
        _kept(sweep) as folder,
    ):
        language = model.family.language(model.address)
        chosen = choose_passages(record.shards, language, TEXTS)
        listeners = make_scorers(chosen.english)
        voices = _voices(sweep, record, trials, model, Path(scratch))
        sounds = folder / SOUNDS
        rows = listen(voices, chosen.passages, listeners.scorers, folder, sounds, LIMIT_S)
        recording, _, *heard = rows
        first = preferred_of(heard, recording, listeners.measures)
        words = _words(rows, first, record, trials[0], listeners.measures)
        quality = quality_of(rows, chosen.passages, listeners, words)
        remark = _remark(sweep, first, rows, trials, listeners.measures)
    write_quality(quality, sweep.quality)
    speaks = faults_of(first, recording).speaks
    preferred = None if first is heard[0] else _trial_named(first.name, trials)
    return Judged(quality, speaks, preferred, remark)


def _voices(
    sweep: SweepFolder,
    record: SweepRecord,
    trials: Sequence[TrialRecord],
    model: ModelRef,
    scratch: Path,
) -> list[Voice]:
    """Return the untouched base, the exported best trial, and runners-up with a checkpoint."""
    base = base_voice(record.model, model, scratch)
    best, *others = trials
    voices = [base, Voice(name_of_trial(best.number), model)]
    if _bytes_of(Path(model.address)) > MOST_BYTES:
        return voices
    kept = []
    for trial in others:
        checkpoint = sweep.checkpoints / trial.id
        if checkpoint.is_dir():
            kept.append(trial)
    for trial in kept[: HEARD_TRIALS - 1]:
        runner_up = _voice_of(sweep, record, trial, scratch)
        voices.append(runner_up)
    return voices


def _words(
    rows: Sequence[Row],
    first: Row,
    record: SweepRecord,
    best: TrialRecord,
    measures: Sequence[Measure],
) -> str:
    """Say how the first voice by ear stands to the base, and to the best trial where it is not."""
    recording, _, *heard = rows
    words = verdict(rows, first.name, measures)
    if not any(faults_of(row, recording).speaks for row in heard):
        return _refusal(words, best)
    if first is heard[0]:
        return words
    why = "which ranks first" if record.aim.measures else "whose loss is smaller"
    return f"{words}. It is preferred to {name_of_trial(best.number)}, {why}"


def _remark(
    sweep: SweepFolder,
    first: Row,
    rows: Sequence[Row],
    trials: Sequence[TrialRecord],
    measures: Sequence[Measure],
) -> str:
    """Name the trial that won on most measures, where that was not enough to hand it over."""
    recording, _, *heard = rows
    favourite = ranked_by_ear(heard, recording, measures)[0]
    better, worse = wins(favourite, first, measures)
    if better <= worse or not faults_of(favourite, recording).speaks:
        return ""
    number = _trial_named(favourite.name, trials).number
    texts = len(favourite.by_text)
    return (
        f"{favourite.name} may sound better than {first.name}: better by {better} measures, worse"
        f" by {worse}, on {texts} texts, which may be chance;"
        f" `vibesweep export {sweep.place} --trial {number} --out FOLDER` writes it"
    )


def _trial_named(name: str, trials: Sequence[TrialRecord]) -> TrialRecord:
    (found,) = [trial for trial in trials if name_of_trial(trial.number) == name]
    return found


def _refusal(words: str, best: TrialRecord) -> str:
    """Say that there is no voice yet, and what may bring one."""
    loss = format_loss(best.best_loss_val)
    return (
        f"no trial speaks yet, at the smallest loss of {loss}: {words};"
        " more steps, more recordings, or a base nearer to these voices may help"
    )


@contextmanager
def _kept(sweep: SweepFolder) -> Iterator[Path]:
    """Give a folder of this machine whose sounds end in the sweep's own."""
    if sweep.place.local is not None:
        yield sweep.place.local
        return
    with tempfile.TemporaryDirectory(prefix="vibesweep-") as name:
        folder = Path(name)
        yield folder
        first = sorted(folder.rglob("*.wav"))[0]
        upload_folder(folder / SOUNDS, sweep.place / SOUNDS, first.name)


def _voice_of(sweep: SweepFolder, record: SweepRecord, trial: TrialRecord, scratch: Path) -> Voice:
    """Write a runner-up, only to be heard."""
    model = ModelRef.parse(record.model)
    family = model.family
    folder = scratch / trial.id
    folder.mkdir()
    with tuned_trial(sweep, record, trial) as tuned:
        family.export(tuned, folder, family.layouts[0])
    return Voice(name_of_trial(trial.number), ModelRef(model.family_name, str(folder)))


def _bytes_of(folder: Path) -> int:
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    return sum(sizes)
