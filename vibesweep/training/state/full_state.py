"""All that a trial needs to resume as if it had never stopped, as safetensors and JSON. No pickle.

A trial's state is a tree of dicts, lists and plain values with tensors for leaves. The tensors go
into one file under numbered names. The tree goes into the JSON file beside it, with those names in
place of the tensors.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import torch
import torch.distributed
from safetensors import SafetensorError
from torch import Tensor

from vibesweep.errors import ModelError
from vibesweep.storage import StorageAddress, StoragePath
from vibesweep.training.state.tensor_folder import (
    copy_tensor_folder,
    is_tensor_folder,
    read_facts,
    read_tensor_folder,
    write_tensor_folder,
)
from vibesweep.training.workers import World, is_cuda

STATE_JSON = "state.json"
PLAIN_TYPES = (str, int, float, bool, type(None))


def save_state(tree: Any, folder: StorageAddress) -> None:
    """Write a state in place of an earlier one.

    Args:
        tree: dicts, lists, tuples, numbers, strings and tensors.
        folder: a folder for this state alone.
    """
    tensors: dict[str, Tensor] = {}
    plain = _take_out_tensors(tree, tensors)
    write_tensor_folder(StoragePath.of(folder), STATE_JSON, tensors, {"tree": plain})


def has_state(folder: StorageAddress) -> bool:
    """Return whether a state was written there."""
    return is_tensor_folder(StoragePath.of(folder), STATE_JSON)


def load_state(folder: StorageAddress) -> Any:
    """Read a state; its tensors are on the CPU.

    Raises:
        ModelError: the state is missing or broken.
    """
    try:
        tensors, facts = read_tensor_folder(StoragePath.of(folder), STATE_JSON)
        return _put_back_tensors(facts["tree"], tensors)
    except (OSError, KeyError, ValueError, TypeError, RuntimeError, SafetensorError) as error:
        raise _unreadable(folder, error) from error


def saved_step(folder: StorageAddress) -> int:
    """Return the step that a state was saved after, without reading its tensors; 0 for no state.

    Raises:
        ModelError: the state is broken.
    """
    try:
        facts = read_facts(StoragePath.of(folder), STATE_JSON)
        no_tensors: defaultdict[str, Any] = defaultdict(lambda: None)
        state = _put_back_tensors(facts["tree"], no_tensors)
        return int(state["progress"][0])
    except FileNotFoundError:
        return 0
    except (OSError, KeyError, ValueError, TypeError, IndexError) as error:
        raise _unreadable(folder, error) from error


def copy_state(folder: StorageAddress, copy: StorageAddress) -> None:
    """Copy a state, which its trial may be about to replace.

    Raises:
        ModelError: it is missing or broken, or was replaced meanwhile.
    """
    try:
        copy_tensor_folder(StoragePath.of(folder), StoragePath.of(copy), STATE_JSON)
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise _unreadable(folder, error) from error


def _unreadable(folder: StorageAddress, error: Exception) -> ModelError:
    found = f"the trial's state cannot be read: {error}"
    return ModelError(found, where=str(folder), fix="start the trial anew")


def gather_random_states(world: World) -> list[Tensor]:
    """Return torch's random state [bytes] of each worker, by rank; every worker must call."""
    own = _random_state(world.device)
    if world.size == 1:
        return [own]
    states = [torch.empty_like(own, device=world.device) for _ in range(world.size)]
    torch.distributed.all_gather(states, own.to(world.device))
    return [state.cpu() for state in states]


def set_random_state(states: list[Tensor], world: World) -> None:
    """Set torch's random state to this worker's; a worker that had none draws afresh.

    Args:
        states: states [bytes] of the workers that there were, by rank.
        world: this process among the workers.
    """
    if world.rank >= len(states):
        return
    state = states[world.rank]
    if is_cuda(world.device):
        torch.cuda.set_rng_state(state, world.device)
    else:
        torch.set_rng_state(state)


def _random_state(device: str) -> Tensor:
    """Return the state of the generator that dropout draws from on a device."""
    if is_cuda(device):
        return torch.cuda.get_rng_state(device)
    return torch.get_rng_state()


def _take_out_tensors(tree: Any, tensors: dict[str, Tensor]) -> Any:
    """Turn the tree into JSON and collect its tensors.

    JSON has no tensors, no tuples and no dicts with numbers for keys. Each of these, and each list,
    becomes an object with one key, its kind.
    """
    if isinstance(tree, Tensor):
        name = str(len(tensors))
        # Cloned, because two leaves may share memory, which safetensors refuses
        tensors[name] = tree.detach().cpu().contiguous().clone()
        return {"tensor": name}
    if isinstance(tree, dict):
        items = [[key, _take_out_tensors(value, tensors)] for key, value in tree.items()]
        return {"dict": items}
    if isinstance(tree, list | tuple):
        kind = type(tree).__name__
        return {kind: [_take_out_tensors(value, tensors) for value in tree]}
    assert isinstance(tree, PLAIN_TYPES), f"a {type(tree).__name__} in a trial's state"
    return tree


def _put_back_tensors(plain: Any, tensors: Mapping[str, Any]) -> Any:
    """Undo :func:`_take_out_tensors`."""
    if not isinstance(plain, dict):
        return plain
    ((kind, content),) = plain.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "dict":
        return {key: _put_back_tensors(value, tensors) for key, value in content}
    values = [_put_back_tensors(value, tensors) for value in content]
    return tuple(values) if kind == "tuple" else values
