"""What Train's controller has of a lane: no torch. Two workers that join are in tests/ray."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from ray import cloudpickle

from vibesweep.config import TrialResources
from vibesweep.models.registry import ModelRef
from vibesweep.storage import StoragePath
from vibesweep.training.lanes.lane import make_trainer
from vibesweep.training.lanes.process_group import LaneBackend
from vibesweep.training.lanes.spec import LaneSpec

IN_THE_CONTROLLER = """
import pickle, sys
backend, context = pickle.loads(sys.stdin.buffer.read())
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
    trainer = make_trainer(lane(tmp_path), dispatcher=None)
    sent = cloudpickle.dumps((trainer.backend_config, trainer.train_run_context))
    command = [sys.executable, "-c", IN_THE_CONTROLLER]
    done = subprocess.run(command, input=sent, capture_output=True, check=True)
    assert done.stdout.strip() == b"set()"


def test_one_worker_joins_nobody() -> None:
    class OneWorker:
        """Runs nothing."""

        def __len__(self) -> int:
            return 1

    LaneBackend().on_start(OneWorker(), backend_config=None)
