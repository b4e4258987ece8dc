"""The folder of shards while it is made: what is there already, what was found, and when it is whole. No ray here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from itertools import chain

import pyarrow as pa
import pyarrow.parquet as pq

from vibesweep.corpus.preprocess.fingerprints import STORE_THREADS
from vibesweep.corpus.preprocess.pack import entries_of
from vibesweep.corpus.preprocess.parts import parts_in, read_tried
from vibesweep.corpus.preprocess.plan import ClipEntry
from vibesweep.corpus.rejects import Reject, Warned
from vibesweep.corpus.shards.manifest import (
    MANIFEST_FILE,
    REJECTS_FILE,
    SPLITS,
    WARNINGS_FILE,
    Manifest,
    read_manifest,
    write_manifest,
)
from vibesweep.corpus.shards.schema import FINDING_SCHEMA, REJECTS_SCHEMA, open_parquet
from vibesweep.corpus.shards.statistics import Moments
from vibesweep.errors import ShardsError
from vibesweep.storage import StoragePath

PARTS = "parts"
_SHARD = rf"({'|'.join(SPLITS)})-([0-9a-f]{{12}}-)?\d+\.parquet"
_TENSORS = r"(patches|silence)-[0-9a-f]{12}\.safetensors"
_OWN = re.compile(
    "|".join(
        [
            *map(re.escape, (MANIFEST_FILE, REJECTS_FILE, WARNINGS_FILE)),
            _SHARD,
            _TENSORS,
            r"\..*\.writing",
        ]
    )
)


@dataclass
class Known:
    """What need not be encoded again: fingerprints of recordings by the file that holds their clips, and rejects by fingerprint."""

    files: dict[str, str] = field(default_factory=dict)
    rejects: dict[str, Reject] = field(default_factory=dict)

    def __contains__(self, fingerprint: str) -> bool:
        """Whether a recording was tried."""
        return fingerprint in self.files or fingerprint in self.rejects


@dataclass(frozen=True)
class ShardFolder:
    """A folder of shards, there or to be made."""

    place: StoragePath

    @property
    def parts(self) -> StoragePath:
        """Where encoded recordings wait to become shards."""
        return self.place / PARTS

    def manifest(self) -> Manifest | None:
        """The manifest, where the folder is whole and of this version."""
        try:
            return read_manifest(self.place)
        except ShardsError:
            return None

    def check(self) -> None:
        """Refuse a folder that somebody else uses.

        Raises:
            ShardsError: it is a file, or holds one that is none of ours.
        """
        if self.place.is_file():
            raise ShardsError("it is a file", where=str(self.place), fix="choose another folder")
        foreign = [stat.name for stat in self.place.files() if not _OWN.fullmatch(stat.name)]
        if foreign:
            found = f"the folder holds {foreign[0]}, which is none of the shards' files"
            raise ShardsError(found, where=str(self.place), fix="choose another folder")

    def known(self) -> Known:
        """What parts and former shards hold."""
        found = Known()
        former = self.manifest()
        if former is not None:
            for shard in former.shards:
                place = self.place / shard.name
                found.files |= dict.fromkeys(
                    open_parquet(place).read(columns=["fingerprint"])["fingerprint"].to_pylist(),
                    str(place),
                )
            found.rejects |= self._former_rejects()
        parts = parts_in(self.parts)
        with ThreadPoolExecutor(STORE_THREADS) as pool:
            for place, tried in zip(parts, pool.map(read_tried, parts), strict=True):
                found.files |= dict.fromkeys(tried.used, str(place))
                found.rejects |= tried.rejects
        return found

    def write_findings(
        self, rejects: Sequence[tuple[str, Reject]], warnings: Sequence[Warned]
    ) -> None:
        """Write rejects.parquet, of (fingerprint, reject) pairs, and warnings.parquet."""
        rows = [{**asdict(reject), "fingerprint": fingerprint} for fingerprint, reject in rejects]
        self._write(REJECTS_FILE, pa.Table.from_pylist(rows, schema=REJECTS_SCHEMA))
        self._write(
            WARNINGS_FILE,
            pa.Table.from_pylist([asdict(warned) for warned in warnings], schema=FINDING_SCHEMA),
        )

    def write_statistics(self, name: str, patches: Moments) -> None:
        """Write the moments of the training split's patches."""
        (self.place / name).write_bytes(patches.to_bytes())

    def commit(self, manifest: Manifest) -> None:
        """Make the folder whole: from now on it holds what the manifest names, and nothing else of ours."""
        write_manifest(self.place, manifest)
        named = {
            MANIFEST_FILE,
            REJECTS_FILE,
            WARNINGS_FILE,
            manifest.patch_statistics,
            *(shard.name for shard in manifest.shards),
        }
        named |= {manifest.features.silence} if manifest.features else set()
        for stat in self.place.files():
            if stat.name not in named and _OWN.fullmatch(stat.name):
                (self.place / stat.name).remove()
        self.parts.remove()

    def _former_rejects(self) -> dict[str, Reject]:
        place = self.place / REJECTS_FILE
        rows = open_parquet(place).read().to_pylist() if place.is_file() else []
        return {
            fingerprint: Reject(**row) for row in rows if (fingerprint := row.pop("fingerprint"))
        }

    def _write(self, name: str, table: pa.Table) -> None:
        with (self.place / name).writing() as stream:
            pq.write_table(table, stream)


def entries_in(known: Known, wanted: set[str]) -> list[ClipEntry]:
    """The clips of the wanted recordings, by fingerprint, each from one file."""
    by_file: dict[str, set[str]] = {}
    for fingerprint in wanted & known.files.keys():
        by_file.setdefault(known.files[fingerprint], set()).add(fingerprint)
    with ThreadPoolExecutor(STORE_THREADS) as pool:
        found = pool.map(
            lambda item: list(entries_of(StoragePath.of(item[0]), item[1])), sorted(by_file.items())
        )
    return list(chain.from_iterable(found))
