"""Where things are written: the work folder, Ray's own folder, and shared memory."""

from __future__ import annotations

import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from vibesweep.cluster.session import check_ray_folder, ray_folder
from vibesweep.doctor.finding import Finding, note, problem, refused
from vibesweep.errors import VibesweepError
from vibesweep.storage import StoragePath
from vibesweep.storage.early import check_folder_writable, nearest_folder
from vibesweep.storage.filesystems import store_errors

GIB = 2**30
LEAST_GIB = 1.0
"""Each trial of mel-small keeps its best weights, 47 MB."""
ENOUGH_GIB = 20.0
"""VibeVoice's 1.5B has 2.7 billion weights of 2 bytes; an export has as many again."""
RAYS_LIMIT = 0.95
"""Ray writes no more objects to a disk that is fuller than this (local_fs_capacity_threshold)."""
LEAST_SHARED_GIB = 1.0
SHARED_MEMORY = Path("/dev/shm")  # nosec B108


def look_at_disks(work: str) -> Iterator[Finding]:
    """Look whether the folders can be written to and have room."""
    yield _work_folder(StoragePath.of(work))
    yield _rays_folder()
    temporary = Path(tempfile.gettempdir())
    yield _room("temporary folder", temporary)
    if SHARED_MEMORY.is_dir():
        yield _shared_memory()


def _work_folder(work: StoragePath) -> Finding:
    subject = "work folder"
    if work.local is None:
        return _store(subject, work)
    try:
        check_folder_writable(work, "--work")
    except VibesweepError as error:
        return refused(subject, error)
    return _room(subject, work.local)


def _store(subject: str, work: StoragePath) -> Finding:
    """Write a small file into a store and read it back."""
    probe = work / f".vibesweep-{secrets.token_hex(8)}"
    try:
        probe.write_bytes(b"vibesweep")
        with store_errors(str(probe)):
            came_back = probe.read_bytes() == b"vibesweep"
        probe.remove()
    except VibesweepError as error:
        return refused(subject, error)
    if not came_back:
        return problem(subject, f"{work} gives back other bytes", "name another store by --work")
    return Finding(subject, f"{work} takes files and gives them back")


def _room(subject: str, folder: Path) -> Finding:
    usage = shutil.disk_usage(nearest_folder(folder))
    free_gib = usage.free / GIB
    found = f"{folder}: {free_gib:.0f} of {usage.total / GIB:.0f} GiB free"
    if free_gib < LEAST_GIB:
        return problem(subject, found, "make room on that disk")
    if free_gib < ENOUGH_GIB:
        return note(subject, found, "make room before VibeVoice or long corpora")
    return Finding(subject, found)


def _rays_folder() -> Finding:
    subject = "Ray's folder"
    try:
        check_ray_folder()
    except VibesweepError as error:
        return refused(subject, error)
    folder = Path(ray_folder())
    usage = shutil.disk_usage(nearest_folder(folder))
    if usage.used > RAYS_LIMIT * (usage.used + usage.free):
        found = f"{folder}: its disk is over {RAYS_LIMIT:.0%} full, so that Ray writes no objects"
        fix = f"make room, as by removing old sessions in {folder}/ray, or set RAY_TMPDIR"
        return problem(subject, found, fix)
    return Finding(subject, f"{folder}: short enough for sockets, and writable")


def _shared_memory() -> Finding:
    size_gib = shutil.disk_usage(SHARED_MEMORY).total / GIB
    found = f"{SHARED_MEMORY}: {size_gib:.1f} GiB"
    if size_gib < LEAST_SHARED_GIB:
        fix = "start the container with --shm-size=2g: Ray keeps its objects there, or on a disk"
        return note("shared memory", found, fix)
    return Finding("shared memory", found)
