"""From a sweep's best checkpoint to a folder that stands alone, with its provenance."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from vibesweep.errors import ModelError
from vibesweep.models.family import ModelFamily, SpeechChange, TunedTrial
from vibesweep.models.registry import ModelRef
from vibesweep.progress import telling
from vibesweep.storage.early import check_folder_writable
from vibesweep.storage.json_text import parse_json
from vibesweep.storage.os_errors import disk_errors
from vibesweep.sweep.record.folder import SweepFolder
from vibesweep.sweep.record.record import SweepRecord, TrialRecord
from vibesweep.training.state.checkpoint import fetched_checkpoint

PROVENANCE = "provenance.json"
SPEECH_CHANGE = "speech_change"


def export(
    sweep: SweepFolder, out: Path, layout: str | None = None, number: int | None = None
) -> Path:
    """Write the best trial of a sweep as its model's family lays it out.

    ``provenance.json`` is always there, with how far the speech is from the base's. An earlier
    export is replaced; any other folder with files is left alone.

    Args:
        sweep: the sweep's folder.
        out: the folder to write.
        layout: one of the family's layouts; None for its first.
        number: of another trial to write in place of the best.

    Raises:
        SweepError: no trial has a checkpoint, or not the one that is asked for.
        ModelError: the base or the checkpoint cannot be read, the layout does not fit them, or
            ``out`` holds something else.
        ShardsError: the shards are gone, or others than the sweep's.
        StorageError: ``out`` cannot be written to.
    """
    record, best, _ = sweep.best_checkpoint(number)
    _refuse_foreign(out)
    check_folder_writable(out, "--out")
    model = ModelRef.parse(record.model)
    chosen = _layout_of(model.family, layout)
    with _replacing(out) as draft, telling("exporting", "steps") as tell:
        tell(0, 2, "writing the model")
        with tuned_trial(sweep, record, best) as trial:
            model.family.export(trial, draft, chosen)
            tell(1, 2, "comparing it with its base")
            change = model.family.speech_change(trial, draft, chosen)
        facts = _provenance(record, best) | {SPEECH_CHANGE: asdict(change)}
        provenance = json.dumps(facts, indent=1)
        (draft / PROVENANCE).write_text(provenance + "\n", encoding="utf-8")
    return out


@contextmanager
def tuned_trial(
    sweep: SweepFolder, record: SweepRecord, trial: TrialRecord
) -> Iterator[TunedTrial]:
    """Give what a trial's export starts from, its checkpoint fetched for the block.

    Raises:
        ModelError: the checkpoint cannot be read.
    """
    checkpoint = sweep.checkpoints / trial.id
    with fetched_checkpoint(checkpoint) as (weights, settings):
        yield TunedTrial(
            base=ModelRef.parse(record.model).address,
            weights=weights,
            settings=settings,
            shards=record.shards,
            shards_signature=record.shards_signature,
        )


def speech_change_of(exported: Path) -> SpeechChange:
    """Return how far an export's speech is from its base's, as was found when it was written."""
    provenance = parse_json((exported / PROVENANCE).read_text(encoding="utf-8"))
    return SpeechChange(**provenance[SPEECH_CHANGE])


def _layout_of(family: ModelFamily, layout: str | None) -> str:
    if layout is None:
        return family.layouts[0]
    if layout not in family.layouts:
        found = f"models of the family {family.name} have no such layout"
        fix = f"choose one of {', '.join(family.layouts)}, or leave --layout out"
        raise ModelError(found, where=f"--layout {layout}", fix=fix)
    return layout


@contextmanager
def _replacing(out: Path) -> Iterator[Path]:
    """Yield a folder that takes the place of ``out`` when the block ends.

    Where the block fails, the folder is removed.

    Raises:
        StorageError: the disk does not take it.
    """
    place = Path(os.path.realpath(out))  # a link stays a link
    draft = place.with_name(f".{place.name}.writing")
    shutil.rmtree(draft, ignore_errors=True)
    try:
        with disk_errors(str(out), draft):
            draft.mkdir(parents=True)
            yield draft
            shutil.rmtree(place, ignore_errors=True)
            draft.rename(place)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def refuse_exported(out: Path) -> None:
    """Refuse to write over an earlier export.

    Raises:
        ModelError: there is one.
    """
    if (out / PROVENANCE).is_file():
        fix = "--force replaces it, or name another folder with --out"
        raise ModelError("an export is there already", where=str(out), fix=fix)


def _refuse_foreign(out: Path) -> None:
    """Refuse to write over anything but an earlier export or an empty folder."""
    if not out.exists():
        return
    is_ours = (out / PROVENANCE).is_file()
    is_empty = out.is_dir() and not any(out.iterdir())
    if not (is_ours or is_empty):
        found = "it is there and is no bundle that was exported"
        raise ModelError(found, where=str(out), fix="name another folder with --out")


def _provenance(record: SweepRecord, best: TrialRecord) -> dict[str, object]:
    facts = {key: value for key, value in asdict(record).items() if key != "trials"}
    return {
        "exported_unix_s": round(time.time()),
        "trial": asdict(best),
        "trials_tried": len(record.trials),
        "sweep": facts,
    }
