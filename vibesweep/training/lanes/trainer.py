"""The ``TorchTrainer`` of a lane. Importing this module imports torch."""

from __future__ import annotations

from typing import Any

from ray import train
from ray.train.torch import TorchTrainer

from vibesweep.cluster.ray_internals import DatasetsCallback
from vibesweep.training.lanes.admission import LaneAdmissionCallback
from vibesweep.training.lanes.failures import WorkerFailureCallback
from vibesweep.training.lanes.network_callback import NetworkInterfaceCallback
from vibesweep.training.lanes.process_group import LaneBackendConfig
from vibesweep.training.lanes.spec import LaneSpec
from vibesweep.training.lanes.worker import lane_worker


class LaneTrainer(TorchTrainer):
    """A ``TorchTrainer`` without an actor that deals datasets.

    Each worker reads its own clips, and a process of 200 MB would come up before it for nothing.
    """

    def _create_default_callbacks(self) -> list[Any]:
        # mypy reads the classes of Train V1
        callbacks = super()._create_default_callbacks()  # type: ignore[misc]
        return [one for one in callbacks if not isinstance(one, DatasetsCallback)]


def make_trainer(spec: LaneSpec, dispatcher: Any) -> LaneTrainer:
    """Make the trainer that runs one lane's worker group."""
    backend: Any = LaneBackendConfig("nccl" if spec.resources.gpus_per_worker else "gloo")
    return LaneTrainer(
        lane_worker,
        train_loop_config={"spec": spec, "dispatcher": dispatcher},
        torch_config=backend,
        scaling_config=_scaling_config(spec),
        run_config=_run_config(spec, dispatcher),
    )


def _scaling_config(spec: LaneSpec) -> train.ScalingConfig:
    resources = spec.resources
    held = {"CPU": resources.cpus_per_worker, "GPU": resources.gpus_per_worker}
    return train.ScalingConfig(
        num_workers=resources.workers,
        use_gpu=resources.gpus_per_worker > 0,
        resources_per_worker={name: amount for name, amount in held.items() if amount},
        placement_strategy="PACK",  # on one host where one has room, on several otherwise
        accelerator_type=resources.accelerator_type,
    )


def _run_config(spec: LaneSpec, dispatcher: Any) -> train.RunConfig:
    callbacks = [
        WorkerFailureCallback(spec.name, dispatcher),
        LaneAdmissionCallback(spec.name, dispatcher),
        NetworkInterfaceCallback(),
    ]
    # The dispatcher counts the worker groups that are lost, and closes a lane that has lost too
    # many. The controller's own failures have no limit: they are hosts that are not there yet.
    # mypy reads the classes of Train V1.
    failures = train.FailureConfig(  # type: ignore[call-arg]
        max_failures=-1, controller_failure_limit=-1
    )
    return train.RunConfig(  # type: ignore[call-arg]
        name=spec.name,
        storage_path=str(spec.scratch),
        failure_config=failures,
        callbacks=callbacks,  # type: ignore[arg-type]
        logging_config=train.LoggingConfig(log_level="CRITICAL"),
    )
