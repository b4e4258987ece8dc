"""Where a search of ``mel`` models may start."""

from __future__ import annotations

from vibesweep.models.recipe import Recipe

SPACE = """\
# The rate decides most. Lion's best one is some ten times below AdamW's, and that of training
# in full some three times below LoRA's: one wide range holds them all.
trial.suggest_float("learning_rate", 1e-4, 1e-2, log=True)
trial.suggest_categorical("optimizer", ["adamw", "lion"])
# LoRA's result is a small adapter too, which can be handed on by itself.
if trial.suggest_categorical("method", ["full", "lora"]) == "lora":
    trial.suggest_categorical("lora_rank", [8, 16, 32])
"""
FEW_CLIPS = 200


def mel_recipe(clips: int) -> Recipe:
    """Return the recipe for a corpus of about this number of clips."""
    few = clips < FEW_CLIPS
    kept = "a quarter of the base stays in what is saved, which keeps it clear"
    steps = "Small steps for few clips" if few else "Steps of 8 clips"
    return Recipe(
        space=SPACE,
        settings={"batch_clips": 4 if few else 8, "ema_decay": 0.99, "base_share": 0.25},
        settings_why=f"{steps}; {kept}",
        budget={"max_epochs": 4.0, "grace_epochs": 0.5, "least_steps": 120},
        budget_why="A base that knows natural voices is at its smallest loss after 2 to 4 epochs",
        try_first=(
            {"learning_rate": 1e-3, "optimizer": "adamw", "method": "full"},
            {"learning_rate": 3e-3, "optimizer": "adamw", "method": "lora", "lora_rank": 32},
        ),
    )
