"""A corpus becomes a folder of Parquet shards, by Ray Data.

Two stages, each a Ray Data map whose tasks write their files themselves while only summaries come back: recordings are encoded into
parts, and the parts' rows are packed into shards. Where the encoders of a checkpoint are to hear the recordings too, a pool of actors
that hold their weights stands between the two. ``Dataset.write_parquet`` would put a random id into each file's name and choose the
rows of a file by the sizes of blocks, and its ``groupby`` and ``sort`` would send all mels through the object store. So, which rows are
in which file is a plan made here, the same on every machine, and a task that is run again writes the same file again. The folder must
be one that all hosts see.

Nothing is taken for whole before the manifest names it, so a run may be killed at any time. The next one goes on: what parts or former
shards hold already is not encoded again.
"""

from __future__ import annotations

import logging
import pickle
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from os import PathLike
from typing import Any

import numpy as np
import ray
import ray.data

from vibesweep.cluster.nodes import SHARED, check_hosts
from vibesweep.cluster.session import running_ray
from vibesweep.config import CorpusSettings
from vibesweep.corpus.ingest.metadata import read_metadata
from vibesweep.corpus.preprocess.encoder_batches import Heard, hear, with_features
from vibesweep.corpus.preprocess.fingerprints import Planned, fingerprint_all, signature_of
from vibesweep.corpus.preprocess.pack import (
    COUNTED,
    ShardSummary,
    plan_from_json,
    plan_to_json,
    write_shard,
)
from vibesweep.corpus.preprocess.parts import (
    PartSummary,
    make_part,
    part_from_json,
    part_to_json,
    write_part,
)
from vibesweep.corpus.preprocess.plan import (
    ClipEntry,
    Part,
    ShardPlan,
    assign_splits,
    duplicates,
    parts_of,
    plan_shards,
)
from vibesweep.corpus.preprocess.progress import Encoded
from vibesweep.corpus.preprocess.shard_folder import Known, ShardFolder, entries_in
from vibesweep.corpus.rejects import Reject, Warned
from vibesweep.corpus.shards.features import (
    SILENCE_S,
    FeatureEncoder,
    check_rate,
    identity_of,
    silence_file,
)
from vibesweep.corpus.shards.manifest import (
    REJECTS_FILE,
    SPLITS,
    FeatureRecord,
    Manifest,
    ShardFile,
)
from vibesweep.corpus.shards.statistics import added_up
from vibesweep.corpus.sound.rates import seconds_of
from vibesweep.corpus.text.phonemes import check_language
from vibesweep.errors import CorpusError, ShardsError, VibesweepError
from vibesweep.storage import StoragePath

ROWS_A_TASK, FEW_TASKS = 4, 8
"""Ray Data took 0.2 s to hand a core its next task, in which that core stood still; few rows get a task each, for the sake of all cores."""

Row = dict[str, Any]
Tell = Callable[[Encoded], None]
FingerprintedRejects = list[tuple[str, Reject]]


def preprocess(
    corpus: str | PathLike[str],
    out: str | PathLike[str],
    settings: CorpusSettings | None = None,
    *,
    encoder: FeatureEncoder | None = None,
    gpus_may_come: bool = False,
    tell: Tell | None = None,
) -> Manifest:
    """Make shards of a corpus, unless they are there already for the same input, settings and encoder.

    Ray is used where it runs already; otherwise a local one is started, and stopped at the end.

    Args:
        corpus: a path or URI of one of the layouts that :mod:`vibesweep.corpus.ingest.metadata` reads.
        out: the path or URI of the folder of shards; former ones are replaced when the new ones are whole.
        settings: how.
        encoder: adds the features of a checkpoint's encoders; on GPUs, where the cluster has any.
        gpus_may_come: the encoder waits for a GPU that the cluster's autoscaler brings up, where there is none yet.
        tell: is called with the progress of the encoding, first with what was there before.

    Raises:
        CorpusError: the corpus cannot be read, or too many of its recordings cannot be used; rejects.parquet says why.
        ShardsError: ``out`` holds something else than shards.
        ModelError: the encoder's weights cannot be read, or do not fit the GPU's memory.
        ResourceError: a host of the cluster does not see the corpus or ``out``.
        StorageError: a store cannot be reached.
    """
    settings, folder = settings or CorpusSettings(), ShardFolder(StoragePath.of(out))
    check_language(settings.language)
    check_rate(encoder, settings)
    metadata = read_metadata(corpus)
    planned, missing = fingerprint_all(
        metadata.recordings, StoragePath.of(corpus), settings, identity_of(encoder)
    )
    unread = [*metadata.rejects, *missing]
    signature = signature_of(planned, unread, settings)
    former = folder.manifest()
    if former is not None and former.signature == signature:
        return former
    folder.check()
    with running_ray():
        check_hosts(folder.place, [StoragePath.of(corpus)])
        _encode(planned, folder, settings, encoder, gpus_may_come, tell or (lambda encoded: None))
        tried = folder.known()
        _check_all_came_back(planned, tried, folder.place)
        clips = entries_in(tried, {item.fingerprint for item in planned})
        rejects = [("", reject) for reject in unread] + _rejected(planned, tried)
        _check_rejects(folder, rejects, len(planned) + len(unread), settings, str(corpus))
        splits = assign_splits(clips, settings, (reject.id for _, reject in rejects))
        summaries = _pack(
            plan_shards(clips, splits, settings.mel, signature[:12]), folder.place, settings
        )
    warnings = [warned for summary in summaries for warned in summary.warnings] + _twins(clips)
    manifest = _manifest(signature, settings, summaries, rejects, warnings, encoder)
    folder.write_findings(rejects, warnings)
    folder.write_statistics(
        manifest.patch_statistics, added_up(summary.patches for summary in summaries)
    )
    folder.commit(manifest)
    return manifest


def _check_all_came_back(planned: Sequence[Planned], tried: Known, out: StoragePath) -> None:
    lost = sum(item.fingerprint not in tried for item in planned)
    if lost:
        found = (
            f"{lost} of {len(planned)} recordings were written where this host does not see them"
        )
        raise ShardsError(found, where=str(out), fix=SHARED)


def _encode(
    planned: Sequence[Planned],
    folder: ShardFolder,
    settings: CorpusSettings,
    encoder: FeatureEncoder | None,
    gpus_may_come: bool,
    tell: Tell,
) -> None:
    """Encode what no file holds yet."""
    known, parts_folder = folder.known(), folder.parts
    encoded = Encoded(sum(item.fingerprint in known for item in planned), len(planned))
    tell(encoded)

    def encode_part(row: Row) -> Row:
        return write_part(make_part(part_from_json(row["part"]), settings), parts_folder).to_row()

    lacking = parts_of([item for item in planned if item.fingerprint not in known])
    if encoder is not None and not lacking and not (folder.place / silence_file(encoder)).is_file():
        lacking = [Part(())]  # whoever opens the encoder writes the silence
    rows = [{"part": part_to_json(part)} for part in lacking]
    for row in (
        _mapped(encode_part, rows)
        if encoder is None
        else _through_encoder(rows, folder, settings, encoder, gpus_may_come)
    ):
        encoded = encoded.plus(PartSummary.from_row(row))
        tell(encoded)


class _Encoding:
    """An actor that holds the weights of an encoder."""

    def __init__(self, encoder: FeatureEncoder, folder: ShardFolder) -> None:
        self._parts, silence = folder.parts, folder.place / silence_file(encoder)
        self._failed: VibesweepError | None = None
        try:
            self._encoder = encoder.open("cuda" if ray.get_gpu_ids() else "cpu")
            if not silence.is_file():
                silence.write_bytes(
                    self._encoder.encode(
                        np.zeros(round(SILENCE_S * encoder.sample_rate_hz), np.float32)
                    ).to_bytes()
                )
        except VibesweepError as error:
            self._failed = error

    def __call__(self, row: Row) -> Row:
        return _telling(self._hear, {"summary": ""})(row)

    def _hear(self, row: Row) -> Row:
        if self._failed is not None:
            raise self._failed
        return write_part(with_features(Heard.from_row(row), self._encoder), self._parts).to_row()


def _through_encoder(
    rows: Sequence[Row],
    folder: ShardFolder,
    settings: CorpusSettings,
    encoder: FeatureEncoder,
    gpus_may_come: bool,
) -> Iterator[Row]:
    """Tasks of a part each, then actors with a GPU each. Without GPUs Ray Data fuses the two, as both ask for one CPU."""
    if not rows:
        return
    cluster = ray.cluster_resources()
    gpus = int(cluster.get("GPU", 0)) or int(gpus_may_come)
    pool = ray.data.ActorPoolStrategy(
        min_size=1, max_size=min(len(rows), gpus or max(1, int(cluster["CPU"])))
    )

    def decode_part(row: Row) -> Row:
        return hear(part_from_json(row["part"]), settings).to_row()

    nothing = Heard(make_part(Part(()), settings), []).to_row()

    with _quiet_ray_data():
        heard = ray.data.from_items(list(rows), override_num_blocks=len(rows)).map(
            _telling(decode_part, nothing), num_cpus=1
        )
        share: dict[str, Any] = {"num_cpus": 0, "num_gpus": 1} if gpus else {"num_cpus": 1}
        stage: Any = _Encoding  # Ray Data takes classes, and is typed for functions
        yield from _raising(
            heard.map(
                stage, fn_constructor_args=(encoder, folder), compute=pool, **share
            ).iter_rows()
        )


def _telling(work: Callable[[Row], Row], nothing: Row) -> Callable[[Row], Row]:
    """Work whose row says what a user can mend, in ``failed``: of what a task or an actor raises Ray Data tells in words alone.

    Args:
        work: of a row whose own ``failed``, where it has one, is handed on.
        nothing: the row where there is no outcome, of the same columns as one.
    """

    @wraps(work)  # the dashboard shows its name
    def tell(row: Row) -> Row:
        if row.get("failed"):
            return {**nothing, "failed": row["failed"]}
        try:
            return {**work(row), "failed": b""}
        except VibesweepError as error:
            return {**nothing, "failed": pickle.dumps(error)}

    return tell


def _raising(rows: Iterable[Row]) -> Iterator[Row]:
    """The rows, until one of them failed."""
    for row in rows:
        if row["failed"]:
            raise pickle.loads(
                row["failed"]
            )  # of our own task, through Ray's memory: no file is unpickled
        yield row


def _pack(
    plans: Sequence[ShardPlan], folder: StoragePath, settings: CorpusSettings
) -> list[ShardSummary]:
    """Write the shards; summaries in the order of the plans, whatever order the tasks end in."""

    def pack_shard(row: Row) -> Row:
        return write_shard(plan_from_json(row["plan"]), folder, settings.mel).to_row()

    summaries = map(
        ShardSummary.from_row, _mapped(pack_shard, [{"plan": plan_to_json(plan)} for plan in plans])
    )
    found = {summary.name: summary for summary in summaries}
    return [found[plan.name] for plan in plans]


def _mapped(work: Callable[[Row], Row], rows: Sequence[Row]) -> Iterator[Row]:
    """Ray Data tasks of a few rows each, which Ray's dashboard shows under the name of ``work``; summaries as they come."""
    if rows:
        tasks = max(len(rows) // ROWS_A_TASK, min(len(rows), FEW_TASKS))
        with _quiet_ray_data():
            told = _telling(work, {"summary": ""})
            yield from _raising(
                ray.data.from_items(list(rows), override_num_blocks=tasks).map(told).iter_rows()
            )


def _rejected(planned: Sequence[Planned], tried: Known) -> FingerprintedRejects:
    return [
        (item.fingerprint, tried.rejects[item.fingerprint])
        for item in planned
        if item.fingerprint in tried.rejects
    ]


def _check_rejects(
    folder: ShardFolder,
    rejects: FingerprintedRejects,
    of: int,
    settings: CorpusSettings,
    corpus: str,
) -> None:
    if len(rejects) < of and len(rejects) <= settings.max_reject_fraction * of:
        return
    folder.write_findings(rejects, [])
    counts = Counter(reject.reason for _, reject in rejects)
    listed = ", ".join(f"{reason} {count}" for reason, count in counts.most_common())
    first = rejects[0][1]
    raise CorpusError(
        f"{len(rejects)} of its {of} recordings cannot be used ({listed}; the first: {first.path}, {first.detail})",
        where=corpus,
        fix=f"see {folder.place / REJECTS_FILE}, mend the recordings or take their rows out, or allow more with --max-reject-fraction",
    )


def _twins(clips: Sequence[ClipEntry]) -> list[Warned]:
    files = {clip.id: clip.source for clip in clips}
    return [
        Warned(twin, files[twin], "duplicate_audio", f"the same samples as {first}")
        for twin, first in duplicates(clips).items()
    ]


def _manifest(
    signature: str,
    settings: CorpusSettings,
    summaries: Sequence[ShardSummary],
    rejects: FingerprintedRejects,
    warnings: Sequence[Warned],
    encoder: FeatureEncoder | None,
) -> Manifest:
    frames = {split: sum(s.frames for s in summaries if s.split == split) for split in SPLITS}
    counts = {kind: _sum(s.counts[kind] for s in summaries) for kind in COUNTED}
    mel = added_up(s.mel for s in summaries if s.split == "train")
    return Manifest(
        signature=signature,
        mel=settings.mel,
        language=settings.language,
        mel_mean=tuple(mel.mean.tolist()),
        mel_std=tuple(np.sqrt(mel.covariance).tolist()),
        patch_statistics=f"patches-{signature[:12]}.safetensors",
        clips={split: sum(s.rows for s in summaries if s.split == split) for split in SPLITS},
        hours={split: seconds_of(frames[split], settings.mel) / 3_600 for split in SPLITS},
        speakers=counts["speakers"],
        languages=counts["languages"],
        symbols=counts["symbols"],
        unknown_characters=counts["unknown_characters"],
        rejects=_sum([Counter(reject.reason for _, reject in rejects)]),
        warnings=_sum([Counter(warned.reason for warned in warnings)]),
        shards=tuple(ShardFile(s.name, s.split, s.rows, s.frames) for s in summaries),
        features=None if encoder is None else _feature_record(encoder, summaries),
    )


def _feature_record(encoder: FeatureEncoder, summaries: Sequence[ShardSummary]) -> FeatureRecord:
    acoustic = added_up(s.acoustic for s in summaries if s.split == "train")
    return FeatureRecord(
        model=encoder.name,
        fingerprint=encoder.fingerprint,
        latent_size=encoder.latent_size,
        semantic_size=encoder.semantic_size,
        hop_samples=encoder.hop_samples,
        mean=float(acoustic.mean[0]),
        std=float(np.sqrt(acoustic.covariance[0])),
        silence=silence_file(encoder),
    )


def _sum(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for count in counts:
        total.update(count)
    return dict(sorted(total.items()))


@contextmanager
def _quiet_ray_data() -> Iterator[None]:
    """Ray Data without its own progress bars and log lines; progress is told in recordings."""
    context, logger = ray.data.DataContext.get_current(), logging.getLogger("ray.data")
    before = context.enable_progress_bars, logger.level
    context.enable_progress_bars = False
    logger.setLevel(logging.ERROR)  # it warns that its progress bars are off
    try:
        yield
    finally:
        context.enable_progress_bars = before[0]
        logger.setLevel(before[1])
