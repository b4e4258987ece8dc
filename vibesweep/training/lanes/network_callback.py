"""Chooses the network interface of a lane's process group, in each worker."""

from __future__ import annotations

from vibesweep.cluster.network import use_interface_of
from vibesweep.cluster.nodes import own_node
from vibesweep.cluster.ray_internals import WorkerCallback


class NetworkInterfaceCallback(WorkerCallback):
    """Has the process group use the interface that carries the host's Ray address.

    Train calls the hook in each worker before it makes the process group.
    """

    def after_init_train_context(self) -> None:
        """Choose the interface for this worker."""
        use_interface_of(own_node()["NodeManagerAddress"])
