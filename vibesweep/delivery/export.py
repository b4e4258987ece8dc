"""From a sweep's best checkpoint to a folder that stands alone: merged weights, the LoRA adapter, voices, provenance."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from peft import PeftModel
from torch import Tensor

from vibesweep.corpus.shards.manifest import read_manifest, read_rows
from vibesweep.errors import ModelError, ShardsError
from vibesweep.models.adapters import merged
from vibesweep.models.bundle import checkpoint_address, load_bundle, save_bundle
from vibesweep.models.family import SpeechModel
from vibesweep.models.vibevoice.checkpoint import Checkpoint
from vibesweep.models.vibevoice.export.layouts import LAYOUTS, write_layout
from vibesweep.models.vibevoice.rows import unit_rules
from vibesweep.models.vibevoice.export.trained import TrainedTensors
from vibesweep.storage import StoragePath
from vibesweep.sweep.record import SweepFolder, SweepRecord, TrialRecord
from vibesweep.training.state.checkpoint import fetched_checkpoint, load_checkpoint

ADAPTER, PROVENANCE = "adapter", "provenance.json"


def export(sweep: SweepFolder, out: Path, layout: str | None = None) -> Path:
    """Write the best trial of a sweep.

    For ``mel``, ``out`` then holds what :mod:`vibesweep.models.bundle` says and for LoRA ``adapter/``, which
    ``PeftModel.from_pretrained(base, out / "adapter")`` loads; for VibeVoice, what :mod:`vibesweep.models.vibevoice.export.layouts` says.
    ``provenance.json`` is always there. An earlier export is replaced; any other folder with files is left alone.

    Args:
        sweep: the sweep's folder.
        out: the folder to write.
        layout: one of VibeVoice's; ``None`` is the family's first, and the only one of ``mel``.

    Raises:
        SweepError: no trial has a checkpoint.
        ModelError: the base or the checkpoint cannot be read, the layout does not fit them, or ``out`` holds something else.
        ShardsError: the shards, from which the voices are taken, are gone or are others than the sweep's.
    """
    record, best, checkpoint = sweep.best_checkpoint()
    _refuse_foreign(out)
    address = checkpoint_address(record.model)
    if address is None and layout is not None:
        raise ModelError(
            "only VibeVoice is exported in several layouts",
            where=f"--layout {layout}",
            fix="leave --layout out",
        )
    with _replacing(out) as aside:
        if address is None:
            _write_mel(record, checkpoint, aside)
        else:
            _write_vibevoice(record, address, checkpoint, aside, layout)
        (aside / PROVENANCE).write_text(
            json.dumps(_provenance(record, best), indent=1) + "\n", encoding="utf-8"
        )
    return out


@contextmanager
def _replacing(out: Path) -> Iterator[Path]:
    """A folder beside it that takes its place when the block ends, and goes when the block fails."""
    aside = out.with_name(f".{out.name}.writing")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    try:
        yield aside
        shutil.rmtree(out, ignore_errors=True)
        aside.rename(out)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _write_mel(record: SweepRecord, checkpoint: StoragePath, out: Path) -> None:
    base = load_bundle(record.model).model
    model, _, _ = load_checkpoint(base, checkpoint)
    save_bundle(merged(model), _voices(record, base), out)
    if isinstance(model, PeftModel):
        model.save_pretrained(str(out / ADAPTER))


def _write_vibevoice(
    record: SweepRecord, address: str, checkpoint: StoragePath, out: Path, layout: str | None
) -> None:
    if layout is not None and layout not in LAYOUTS:
        raise ModelError(
            "there is no such layout",
            where=f"--layout {layout}",
            fix=f"choose one of {', '.join(LAYOUTS)}",
        )
    base, rules = Checkpoint.open(address), None
    if base.scale_and_bias is None:
        _check_shards(record)
        rules = unit_rules(record.shards, cast(Any, base.config).audio_config.vae_std)
    with fetched_checkpoint(checkpoint) as (file, settings):
        write_layout(
            layout or next(iter(LAYOUTS)), TrainedTensors.read(base, file, settings, rules), out, address
        )


def _refuse_foreign(out: Path) -> None:
    if out.exists() and (
        not out.is_dir() or (any(out.iterdir()) and not (out / PROVENANCE).is_file())
    ):
        raise ModelError(
            "it is there and is no bundle that was exported",
            where=str(out),
            fix="name another folder with --out",
        )


def _voices(record: SweepRecord, base: SpeechModel) -> dict[str, Tensor]:
    """Voice prompts of the corpus's own people: the tuned voices speak with them."""
    _check_shards(record)
    return base.voice_prompts([base.encode(row) for row in read_rows(record.shards, "train")])


def _check_shards(record: SweepRecord) -> None:
    if read_manifest(record.shards).signature != record.shards_signature:
        fix = "preprocess the corpus as it was, or run the sweep again"
        raise ShardsError("the shards have changed since the sweep", where=record.shards, fix=fix)


def _provenance(record: SweepRecord, best: TrialRecord) -> dict[str, object]:
    facts = {key: value for key, value in asdict(record).items() if key != "trials"}
    return {
        "exported_unix_s": round(time.time()),
        "trial": asdict(best),
        "trials_tried": len(record.trials),
        "sweep": facts,
    }
