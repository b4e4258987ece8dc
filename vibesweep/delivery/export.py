"""From a sweep's best checkpoint to a bundle that stands alone: merged weights, the LoRA adapter, voices, provenance."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import asdict
from pathlib import Path

from peft import PeftModel
from torch import Tensor

from vibesweep.corpus.manifest import read_manifest, read_rows
from vibesweep.errors import ModelError, ShardsError
from vibesweep.models.adapters import merged
from vibesweep.models.base import SpeechModel
from vibesweep.models.bundle import CONFIG, load_bundle, save_bundle
from vibesweep.sweep.record import SweepFolder, SweepRecord, TrialRecord
from vibesweep.training.checkpoint import load_checkpoint

ADAPTER, PROVENANCE = "adapter", "provenance.json"


def export(sweep: SweepFolder, out: Path) -> Path:
    """Write the best trial of a sweep as a bundle.

    ``out`` then holds what :mod:`vibesweep.models.bundle` says, ``provenance.json``, and for LoRA ``adapter/``, which
    ``PeftModel.from_pretrained(base, out / "adapter")`` loads. A bundle there is replaced; any other folder with files is left alone.

    Raises:
        SweepError: no trial has a checkpoint.
        ModelError: the base or the checkpoint cannot be read, or ``out`` holds something else.
        ShardsError: the shards, from which the voices are taken, are gone or are others than the sweep's.
    """
    record, best, checkpoint = sweep.best_checkpoint()
    _refuse_foreign(out)
    base = load_bundle(record.model).model
    model, _, _ = load_checkpoint(base, checkpoint)
    voices = _voices(record, base)
    aside = out.with_name(f".{out.name}.writing")
    shutil.rmtree(aside, ignore_errors=True)
    save_bundle(merged(model), voices, aside)
    if isinstance(model, PeftModel):
        model.save_pretrained(str(aside / ADAPTER))
    (aside / PROVENANCE).write_text(json.dumps(_provenance(record, best), indent=1) + "\n", encoding="utf-8")
    shutil.rmtree(out, ignore_errors=True)
    aside.rename(out)
    return out


def _refuse_foreign(out: Path) -> None:
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / CONFIG).is_file())):
        raise ModelError("it is there and is no bundle", where=str(out), fix="name another folder with --out")


def _voices(record: SweepRecord, base: SpeechModel) -> dict[str, Tensor]:
    """Voice prompts of the corpus's own people: the tuned voices speak with them."""
    shards = record.shards
    if read_manifest(shards).signature != record.shards_signature:
        fix = "preprocess the corpus as it was, or run the sweep again"
        raise ShardsError("the shards have changed since the sweep", where=shards, fix=fix)
    return base.voice_prompts([base.encode(row) for row in read_rows(shards, "train")])


def _provenance(record: SweepRecord, best: TrialRecord) -> dict[str, object]:
    facts = {key: value for key, value in asdict(record).items() if key != "trials"}
    return {"exported_unix_s": round(time.time()), "trial": asdict(best), "trials_tried": len(record.trials), "sweep": facts}
