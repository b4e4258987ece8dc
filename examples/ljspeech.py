"""A corpus of one reader in LJSpeech's layout, and a sweep of it.

    python examples/ljspeech.py reader        # eSpeak NG reads: use recordings of your own
    vibesweep inspect reader
    vibesweep run examples/ljspeech.py

The layout is a folder `wavs/` and a `metadata.csv` without a header, `id|text|normalised text`.
It is read as it is; docs/corpus.md has all layouts.
"""

import random
import sys
from pathlib import Path

import optuna
import soundfile

from vibesweep import Budget, Sweep, TrialSettings
from vibesweep.corpus.demo import DEMO_VOICES, ESPEAK_RATE_HZ, sentence, speak

READER = DEMO_VOICES[0]


def space(trial: optuna.Trial) -> None:
    """Suggest one trial."""
    trial.suggest_float("learning_rate", 1e-4, 1e-2, log=True)
    trial.suggest_categorical("lora_rank", [8, 16, 32])


sweep = Sweep(
    space=space,
    corpus="reader",
    model="mel-small",
    settings=TrialSettings(batch_clips=4, ema_decay=0.99),
    budget=Budget(max_epochs=8, grace_epochs=8 / 27, least_steps=120),
    trials=8,
)


def write_reader(folder: Path, recordings: int) -> None:
    """Write a corpus of single sentences."""
    rng = random.Random(0)
    (folder / "wavs").mkdir(parents=True)
    rows = []
    for number in range(recordings):
        name = f"RD001-{number:04d}"
        text = f"{sentence('en', rng)} {sentence('en', rng)}"
        soundfile.write(folder / "wavs" / f"{name}.wav", speak(text, READER), ESPEAK_RATE_HZ)
        rows.append(f"{name}|{text}|{text}\n")
    (folder / "metadata.csv").write_text("".join(rows), encoding="utf-8")


if __name__ == "__main__":
    write_reader(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 48)
