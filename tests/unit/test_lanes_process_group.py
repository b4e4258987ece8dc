"""What Train's controller has of a lane: no torch. Two workers that join are in tests/ray."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ray import cloudpickle
from ray.train.torch import TorchTrainer

from vibesweep.config import TrialResources
from vibesweep.models.registry import ModelRef
from vibesweep.storage import StoragePath
from vibesweep.training.lanes.process_group import LaneBackend
from vibesweep.training.lanes.spec import LaneSpec
from vibesweep.training.lanes.trainer import make_trainer

IN_THE_CONTROLLER = """
import pickle, sys
backend, context, callbacks = pickle.loads(sys.stdin.buffer.read())
assert backend.backend_cls().share_cuda_visible_devices
print({"torch", "transformers"} & set(sys.modules))
"""


def lane(folder: Path) -> LaneSpec:
    place = StoragePath.of(folder)
    return LaneSpec(
        name="lane",
        model=ModelRef("mel", "mel-small"),
        shards=str(folder),
        shards_signature="tiny",
        checkpoints=place,
        states=place,
        clones=place,
        scratch=folder,
        max_steps=1,
        resources=TrialResources(),
    )


def test_the_controller_imports_no_torch(tmp_path: Path) -> None:
    trainer: Any = make_trainer(lane(tmp_path), dispatcher=None)
    callbacks = trainer._create_default_callbacks()
    sent = cloudpickle.dumps((trainer.backend_config, trainer.train_run_context, callbacks))
    command = [sys.executable, "-c", IN_THE_CONTROLLER]
    done = subprocess.run(command, input=sent, capture_output=True, check=True)
    assert done.stdout.strip() == b"set()"


def test_no_actor_comes_up_for_datasets_that_a_lane_does_not_have(tmp_path: Path) -> None:
    trainer: Any = make_trainer(lane(tmp_path), dispatcher=None)
    ours = trainer._create_default_callbacks()
    rays_trainer: Any = TorchTrainer
    rays = rays_trainer._create_default_callbacks(trainer)
    left_out = {type(one).__name__ for one in rays} - {type(one).__name__ for one in ours}
    assert left_out == {"DatasetsCallback"}


class Group:
    """A worker group that notes what it is asked to run."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.asked: list[str] = []

    def __len__(self) -> int:
        """Return the number of workers."""
        return self.size

    def __getattr__(self, name: str) -> Callable[..., None]:
        """Note whatever is called."""

        def ask(*_: object) -> None:
            self.asked.append(name)

        return ask


def test_one_worker_joins_and_leaves_nobody() -> None:
    alone = Group(1)
    backend = LaneBackend()
    backend.on_start(alone, backend_config=None)
    backend.on_shutdown(alone, backend_config=None)
    assert alone.asked == []
