"""A corpus of dialogues in Mandarin, and a sweep of it.

    python examples/mandarin_dialogues.py talks    # eSpeak NG speaks: use recordings of your own
    vibesweep inspect talks
    vibesweep run examples/mandarin_dialogues.py

Texts are Han characters with a tag before each turn. `mel-small` reads them as pinyin with tones,
VibeVoice as they are.
"""

import sys
from pathlib import Path

import optuna

from vibesweep import Budget, Sweep, TrialSettings
from vibesweep.corpus.demo import DEMO_VOICES, write_demo_corpus

SPEAKERS = [voice for voice in DEMO_VOICES if voice.language == "zh"]


def space(trial: optuna.Trial) -> None:
    """Suggest one trial."""
    trial.suggest_float("learning_rate", 1e-4, 1e-2, log=True)
    trial.suggest_categorical("lora_head", ["lora", "full"])


sweep = Sweep(
    space=space,
    corpus="talks",
    model="mel-small",
    settings=TrialSettings(batch_clips=4, ema_decay=0.99),
    budget=Budget(max_epochs=8, grace_epochs=8 / 27, least_steps=120),
    trials=8,
)

if __name__ == "__main__":
    recordings = int(sys.argv[2]) if len(sys.argv) > 2 else 48
    write_demo_corpus(Path(sys.argv[1]), recordings=recordings, voices=SPEAKERS)
