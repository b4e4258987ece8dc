"""The folder of shards while it is made: what is there, what was found, and when it is whole."""

from __future__ import annotations

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from itertools import chain

import pyarrow as pa
import pyarrow.parquet as pq

from vibesweep.corpus.preprocess.files import STORE_THREADS
from vibesweep.corpus.preprocess.pack import entries_of
from vibesweep.corpus.preprocess.parts import parts_in, read_tried
from vibesweep.corpus.preprocess.plan import ClipEntry
from vibesweep.corpus.rejects import RecordingWarning, Reject
from vibesweep.corpus.shards.manifest import (
    MANIFEST_FILE,
    REJECTS_FILE,
    SPLITS,
    WARNINGS_FILE,
    Manifest,
    read_manifest,
    write_manifest,
)
from vibesweep.corpus.shards.schema import FINDING_SCHEMA, REJECTS_SCHEMA
from vibesweep.errors import ShardsError
from vibesweep.storage import StoragePath
from vibesweep.storage.early import check_folder_writable
from vibesweep.storage.parquet import open_parquet

PARTS = "parts"
LABEL_LENGTH = 12
"""Digits of the signature that stand in the names of shards, and of folders named after it."""
_FIXED_NAMES = (MANIFEST_FILE, REJECTS_FILE, WARNINGS_FILE)
_SHARD = rf"({'|'.join(SPLITS)})-([0-9a-f]{{{LABEL_LENGTH}}}-)?\d+\.parquet"
_SIDECAR = r"(sidecar|patches|silence)-[0-9a-f]{12}\.safetensors"  # the latter: former versions
_UNFINISHED = r"\..*\.writing"
_OWN_NAME = re.compile("|".join([*map(re.escape, _FIXED_NAMES), _SHARD, _SIDECAR, _UNFINISHED]))


@dataclass
class Known:
    """What need not be encoded again.

    Attributes:
        files: the file that holds a recording's clips, by fingerprint.
        rejects: recordings that cannot be used, by fingerprint.
    """

    files: dict[str, str] = field(default_factory=dict)
    rejects: dict[str, Reject] = field(default_factory=dict)

    def __contains__(self, fingerprint: str) -> bool:
        """Tell whether a recording was tried."""
        return fingerprint in self.files or fingerprint in self.rejects


@dataclass(frozen=True)
class ShardFolder:
    """A folder of shards, there or to be made.

    Attributes:
        place: where it is.
        kin: folders of the same corpus as it was at other times. What they hold need not be encoded
            again; they stay as they are.
    """

    place: StoragePath
    kin: tuple[StoragePath, ...] = ()

    @classmethod
    def of_signature(cls, place: StoragePath, signature: str) -> ShardFolder:
        """Make the folder whose name is that of ``place`` and the shards' signature."""
        own_name = f"{place.name}-{signature[:LABEL_LENGTH]}"
        parent = place.parent
        alike = re.compile(rf"{re.escape(place.name)}(-[0-9a-f]{{{LABEL_LENGTH}}})?")
        beside = [one for one in parent.folders() if one.name != own_name]
        kin = [one for one in beside if alike.fullmatch(one.name)]
        return cls(parent / own_name, tuple(kin))

    @property
    def parts(self) -> StoragePath:
        """Where encoded recordings wait to become shards."""
        return self.place / PARTS

    def manifest(self) -> Manifest | None:
        """Read the manifest, where the folder is whole and of this version."""
        try:
            return read_manifest(self.place)
        except ShardsError:
            return None

    def check(self) -> None:
        """Refuse a folder that somebody else uses, or that cannot be written to.

        Raises:
            ShardsError: it is a file, or holds a file that is not one of ours.
            StorageError: it cannot be written to.
        """
        fix = "choose another folder"
        if self.place.is_file():
            raise ShardsError("it is a file", where=str(self.place), fix=fix)
        foreign = [stat.name for stat in self.place.files() if not _OWN_NAME.fullmatch(stat.name)]
        if foreign:
            found = f"the folder holds {foreign[0]}, which is none of the shards' files"
            raise ShardsError(found, where=str(self.place), fix=fix)
        check_folder_writable(self.place, "the folder of shards")

    def known(self) -> Known:
        """List what parts and former shards hold, here and in the kin."""
        found = Known()
        for place in self.kin:
            kin = ShardFolder(place).known()
            found.files |= kin.files
            found.rejects |= kin.rejects
        former = self.manifest()
        if former is not None:
            for shard in former.shards:
                place = self.place / shard.name
                table = open_parquet(place).read(columns=["fingerprint"])
                fingerprints = table["fingerprint"].to_pylist()
                found.files |= dict.fromkeys(fingerprints, str(place))
            found.rejects |= self._former_rejects()
        parts = parts_in(self.parts)
        with ThreadPoolExecutor(STORE_THREADS) as pool:
            outcomes = list(pool.map(read_tried, parts))
        for place, tried in zip(parts, outcomes, strict=True):
            found.files |= dict.fromkeys(tried.used, str(place))
            found.rejects |= tried.rejects
        return found

    def write_findings(
        self, rejects: Sequence[tuple[str, Reject]], warnings: Sequence[RecordingWarning]
    ) -> None:
        """Write rejects.parquet, of (fingerprint, reject) pairs, and warnings.parquet."""
        rejected = [{**asdict(reject), "fingerprint": key} for key, reject in rejects]
        warned = [asdict(warning) for warning in warnings]
        self._write(REJECTS_FILE, rejected, REJECTS_SCHEMA)
        self._write(WARNINGS_FILE, warned, FINDING_SCHEMA)

    def commit(self, manifest: Manifest) -> None:
        """Make the folder whole: from now on it holds only what the manifest names."""
        write_manifest(self.place, manifest)
        named = {*_FIXED_NAMES, *(shard.name for shard in manifest.shards)}
        if manifest.encoder.sidecar is not None:
            named.add(manifest.encoder.sidecar)
        for stat in self.place.files():
            is_own = _OWN_NAME.fullmatch(stat.name) is not None
            if is_own and stat.name not in named:
                old = self.place / stat.name
                old.remove()
        self.parts.remove()

    def _former_rejects(self) -> dict[str, Reject]:
        place = self.place / REJECTS_FILE
        if not place.is_file():
            return {}
        rejects = {}
        table = open_parquet(place).read()
        for row in table.to_pylist():
            fingerprint = row.pop("fingerprint")
            if fingerprint:
                rejects[fingerprint] = Reject(**row)
        return rejects

    def _write(self, name: str, rows: list[dict[str, str]], schema: pa.Schema) -> None:
        table = pa.Table.from_pylist(rows, schema=schema)
        place = self.place / name
        with place.writing() as stream:
            pq.write_table(table, stream)


def entries_in(known: Known, wanted: set[str]) -> list[ClipEntry]:
    """List the clips of the recordings with the wanted fingerprints, each from one file."""
    by_file: dict[str, set[str]] = {}
    for fingerprint in wanted & known.files.keys():
        file = known.files[fingerprint]
        by_file.setdefault(file, set()).add(fingerprint)

    def entries(file: str) -> list[ClipEntry]:
        place = StoragePath.of(file)
        return list(entries_of(place, by_file[file]))

    with ThreadPoolExecutor(STORE_THREADS) as pool:
        found = pool.map(entries, sorted(by_file))
        return list(chain.from_iterable(found))
