"""Small tensors on one thread: threads wait for each other longer than they work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """Have torch compute on one thread for the block.

    On 2 busy cores two threads took 3.3 to 10.8 s of CPU to speak 14 latents, a row or two at a
    step; one took 0.33 s. To read a base of 12 million parameters they took 0.41 s, one 0.12 s.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
