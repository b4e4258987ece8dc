"""All that a trial needs to go on as if it had never stopped, as safetensors and JSON: nobody has to unpickle a file.

The state of a trial is a tree of dicts, lists and plain values with tensors for leaves. The tensors go into one file under numbered
names; the tree, with those names in their places, into the card beside it.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed
from safetensors import SafetensorError
from torch import Tensor

from vibesweep.errors import ModelError
from vibesweep.storage import StorageAddress, StoragePath
from vibesweep.training.state.pair import has_pair, read_pair, write_pair

CARD = "state.json"
_PLAIN = (str, int, float, bool, type(None))


def save_state(tree: Any, folder: StorageAddress) -> None:
    """Write a state; a former one is replaced.

    Args:
        tree: dicts, lists, tuples, numbers, strings and tensors.
        folder: of this state alone.
    """
    tensors: dict[str, Tensor] = {}
    plain = _without_tensors(tree, tensors)
    write_pair(StoragePath.of(folder), CARD, tensors, {"tree": plain})


def has_state(folder: StorageAddress) -> bool:
    """Whether a state was written there."""
    return has_pair(StoragePath.of(folder), CARD)


def load_state(folder: StorageAddress) -> Any:
    """Read a state; its tensors are on the CPU.

    Raises:
        ModelError: it is not there, or broken.
    """
    try:
        tensors, facts = read_pair(StoragePath.of(folder), CARD)
        return _with_tensors(facts["tree"], tensors)
    except (OSError, KeyError, ValueError, TypeError, RuntimeError, SafetensorError) as error:
        raise ModelError(
            f"the trial's state cannot be read: {error}",
            where=str(folder),
            fix="start the trial anew",
        ) from error


def random_states(device: str, size: int) -> list[Tensor]:
    """Torch's random states of all workers, [bytes] each, in the order of their ranks; every worker must ask."""
    own = _own_random_state(device)
    if size == 1:
        return [own]
    found = [torch.empty_like(own, device=device) for _ in range(size)]
    torch.distributed.all_gather(found, own.to(device))
    return [state.cpu() for state in found]


def take_random_state(states: list[Tensor], rank: int, device: str) -> None:
    """Go on with a worker's random state; one that there was none of draws anew."""
    if rank < len(states):
        if torch.device(device).type == "cuda":
            torch.cuda.set_rng_state(states[rank], device)
        else:
            torch.set_rng_state(states[rank])


def _own_random_state(device: str) -> Tensor:
    """Of the generator that dropout draws from on that device."""
    return (
        torch.cuda.get_rng_state(device)
        if torch.device(device).type == "cuda"
        else torch.get_rng_state()
    )


def _without_tensors(tree: Any, tensors: dict[str, Tensor]) -> Any:
    """The tree as JSON. What JSON has no form for is an object of one key: its kind."""
    if isinstance(tree, Tensor):
        name = str(len(tensors))
        tensors[name] = (
            tree.detach().cpu().contiguous().clone()
        )  # two leaves may share memory, which safetensors refuses
        return {"tensor": name}
    if isinstance(tree, dict):
        return {"dict": [[key, _without_tensors(value, tensors)] for key, value in tree.items()]}
    if isinstance(tree, list | tuple):
        return {type(tree).__name__: [_without_tensors(value, tensors) for value in tree]}
    assert isinstance(tree, _PLAIN), f"a {type(tree).__name__} in a trial's state"
    return tree


def _with_tensors(plain: Any, tensors: dict[str, Tensor]) -> Any:
    if not isinstance(plain, dict):
        return plain
    ((kind, content),) = plain.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "dict":
        return {key: _with_tensors(value, tensors) for key, value in content}
    values = [_with_tensors(value, tensors) for value in content]
    return tuple(values) if kind == "tuple" else values
