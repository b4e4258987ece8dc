"""The one door to Ray's private names: no other file of the package imports one.

Ray may move these names in any minor version. Each was read in Ray 2.60.0, and each says why no
public name does. tests/unit/test_ray_internals.py checks them all, so that an upgrade of Ray fails
there first, with the name that moved and the files that use it.

Names that load Ray Train, or the whole autoscaler, are imported when they are first asked for:
most commands need neither.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

# Ray 2.60.0. Where a Ray that is started here keeps its sockets and logs. It says so only once it
# runs, and with too long a path it does not.
from ray._common.utils import get_default_system_temp_dir

# Ray 2.60.0. What raylets tell every driver is printed through it, whatever `log_to_driver` says.
# The environment variable that names what to leave out is read when Ray is imported: too early.
from ray._private.ray_logging import stdout_deduplicator

# Ray 2.60.0. What `ray.init` takes this machine's CPUs, GPUs and memory to be. It says so only once
# it runs, and a sweep that asks for more can be refused before.
from ray._private.resource_and_label_spec import ResourceAndLabelSpec

# Ray 2.60.0. `ray.init` alone also tries to join a cluster that is long dead, for a quarter of an
# hour. The first is the cluster that the last `ray start` of this host wrote down, the second are
# those to which a raylet that runs on this host belongs.
from ray._private.services import find_bootstrap_address, find_gcs_addresses

# Ray 2.60.0. `ray.init` returns the dashboard's address to the process that called it, but a sweep
# may join a Ray that was initialized before.
from ray._private.worker import get_dashboard_url

# Ray 2.60.0. The autoscaler says only in the control store what it is doing about lanes that wait,
# and hosts say only there of which type they are. `ray status` prints it as text.
from ray._raylet import GcsClient  # type: ignore[attr-defined]
from ray.core.generated.autoscaler_pb2 import (  # type: ignore[attr-defined]
    GetClusterStatusReply,
    NodeStatus,
)

if TYPE_CHECKING:
    from ray.autoscaler.v2.instance_manager.config import FileConfigReader
    from ray.train._internal.utils import get_address_and_port
    from ray.train.v2._internal.callbacks.datasets import DatasetsCallback
    from ray.train.v2._internal.constants import ENV_VARS_TO_PROPAGATE
    from ray.train.v2._internal.exceptions import WorkerGroupStartupFailedError
    from ray.train.v2._internal.execution.callback import (
        ControllerCallback,
        WorkerCallback,
        WorkerGroupCallback,
    )
    from ray.train.v2._internal.execution.context import get_train_context

__all__ = [
    "AUTOSCALER_SCRIPTS",
    "ENV_VARS_TO_PROPAGATE",
    "LOADED_WHEN_ASKED",
    "ControllerCallback",
    "DatasetsCallback",
    "FileConfigReader",
    "GcsClient",
    "GetClusterStatusReply",
    "NodeStatus",
    "ResourceAndLabelSpec",
    "WorkerCallback",
    "WorkerGroupCallback",
    "WorkerGroupStartupFailedError",
    "find_bootstrap_address",
    "find_gcs_addresses",
    "get_address_and_port",
    "get_dashboard_url",
    "get_default_system_temp_dir",
    "get_train_context",
    "stdout_deduplicator",
]

AUTOSCALER_SCRIPTS = ("autoscaler/v2/monitor.py", "autoscaler/_private/monitor.py")
"""Ray 2.60.0: the autoscaler's program, in its second and its first version.

The autoscaler reports to nobody which hosts it may bring up. Its command line names the file that
lists them, and these names tell its process from others.
"""

LOADED_WHEN_ASKED = {
    # Ray 2.60.0. Reads that file as the autoscaler does, Ray's defaults filled in.
    "FileConfigReader": "ray.autoscaler.v2.instance_manager.config",
    # Ray 2.60.0. Environment variables that Train passes from the driver to its controller. A lane
    # adds the State API's address: Train's own helper actors would ask another cluster.
    "ENV_VARS_TO_PROPAGATE": "ray.train.v2._internal.constants",
    # Ray 2.60.0. Has an actor brought up for the trainer's datasets, of which a lane has none.
    # `TorchTrainer._create_default_callbacks` names it; there is no option that leaves it out.
    "DatasetsCallback": "ray.train.v2._internal.callbacks.datasets",
    # Ray 2.60.0. The first worker's host and a free port of it, at which the process group meets.
    "get_address_and_port": "ray.train._internal.utils",
    # Ray 2.60.0. What Train's controller keeps when a process dies before the lane's code begins;
    # `UserCallback`, which is public, is not called then.
    "WorkerGroupStartupFailedError": "ray.train.v2._internal.exceptions",
    # Ray 2.60.0. Whether a host of the worker group is drained, as Train's watcher last told this
    # worker. The public `get_preemption_info` is a collective of all workers, at each call.
    "get_train_context": "ray.train.v2._internal.execution.context",
    # Ray 2.60.0. Hooks before a worker group is asked for, when its processes are there, at each
    # change of the controller's state, and in each worker before the process group is made. The
    # public `UserCallback` hears of reports and of exceptions alone. Marked as developer API.
    "ControllerCallback": "ray.train.v2._internal.execution.callback",
    "WorkerCallback": "ray.train.v2._internal.execution.callback",
    "WorkerGroupCallback": "ray.train.v2._internal.execution.callback",
}
"""Names that this module imports when they are first asked for, and where Ray has them."""


def __getattr__(name: str) -> Any:
    """Import a name of :data:`LOADED_WHEN_ASKED`."""
    source = LOADED_WHEN_ASKED.get(name)
    if source is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(source)
    return getattr(module, name)
