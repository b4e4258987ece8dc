"""A corpus becomes a folder of Parquet shards, on as many hosts as Ray has.

Two stages: recordings are encoded part by part, and the rows of parts and former shards are packed
into shards. Ray Data writes Parquet files too, but puts a random number into each file's name and
chooses a file's rows by the sizes of blocks, and its ``groupby`` and ``sort`` would send all mels
through the object store. So which rows are in which file is a plan made here, the same on every
machine, and a task that is run again writes the same file again. The folder must be one that all
hosts see.

Nothing is taken for whole before the manifest names it, so a run may be killed at any time. The
next one goes on: what parts or former shards hold already is not encoded again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

import ray

from vibesweep.cluster.nodes import SHARED_FOLDERS_FIX, check_hosts
from vibesweep.cluster.session import running_ray
from vibesweep.config import CorpusSettings
from vibesweep.corpus.clip_encoder import ClipEncoder
from vibesweep.corpus.preprocess.fingerprints import Planned
from vibesweep.corpus.preprocess.pack import ShardSummary
from vibesweep.corpus.preprocess.people import warnings_of_people
from vibesweep.corpus.preprocess.plan import ClipEntry, Part, duplicates, parts_of, plan_shards
from vibesweep.corpus.preprocess.progress import Encoded
from vibesweep.corpus.preprocess.shard_folder import (
    LABEL_LENGTH,
    Known,
    ShardFolder,
    entries_in,
)
from vibesweep.corpus.preprocess.splits import assign_splits
from vibesweep.corpus.preprocess.survey import Survey, survey
from vibesweep.corpus.preprocess.tasks import PartJob, encode_parts, pack_shards, remark_on_gpus
from vibesweep.corpus.rejects import RecordingWarning, Reject
from vibesweep.corpus.shards.manifest import (
    REJECTS_FILE,
    SPLITS,
    EncoderRecord,
    Manifest,
    ShardFile,
)
from vibesweep.corpus.shards.statistics import Moments, added_up
from vibesweep.errors import CorpusError, ShardsError
from vibesweep.progress import Say
from vibesweep.storage import StorageAddress, StoragePath

Tell = Callable[[Encoded], None]
FingerprintedRejects = list[tuple[str, Reject]]


def preprocess(
    corpus: StorageAddress,
    out: StorageAddress,
    encoder: ClipEncoder,
    settings: CorpusSettings | None = None,
    *,
    gpus_may_come: bool = False,
    tell: Tell | None = None,
    say: Say | None = None,
) -> Manifest:
    """Make shards of a corpus, unless they are there already for the same input and settings.

    Shards that a sweep reads must not be made anew in their place: see :func:`preprocess_beside`.

    Ray is used where it runs already; otherwise a local one is started, and stopped at the end.

    Args:
        corpus: a path or URI of one of the layouts that :mod:`vibesweep.corpus.ingest` reads.
        out: the folder of shards; former ones are replaced when the new ones are whole.
        encoder: makes the columns of a model family.
        settings: how long clips may be and which are held out.
        gpus_may_come: whether the encoder waits for a GPU that the cluster's autoscaler brings up,
            where there is none yet.
        tell: called with the progress of the encoding, first with what was there before.
        say: told, before work starts, how the corpus's table was understood, and whether an encoder
            that wants a GPU has none.

    Raises:
        CorpusError: the corpus cannot be read, or too many of its recordings cannot be used;
            rejects.parquet says why.
        ShardsError: ``out`` holds something else than shards.
        ModelError: the encoder's weights cannot be read, or do not fit the GPU's memory.
        ResourceError: a host of the cluster does not see the corpus or ``out``.
        StorageError: a store cannot be reached.
    """
    found = survey(corpus, encoder, settings, say)
    folder = ShardFolder(StoragePath.of(out))
    return _make(found, folder, encoder, gpus_may_come, tell, say)


def preprocess_beside(
    corpus: StorageAddress,
    out: StorageAddress,
    encoder: ClipEncoder,
    *,
    gpus_may_come: bool = False,
    tell: Tell | None = None,
    say: Say | None = None,
) -> tuple[StoragePath, Manifest]:
    """Make shards in a folder of their own for each state of the corpus.

    A sweep may be reading the shards of a former state. So these stay, and what they hold is not
    encoded again.

    Args:
        corpus: as for :func:`preprocess`.
        out: the beginning of the folder's name; the shards' signature is added to it.
        encoder: as for :func:`preprocess`.
        gpus_may_come: as for :func:`preprocess`.
        tell: as for :func:`preprocess`.
        say: as for :func:`preprocess`.

    Returns:
        The folder of shards, and its manifest.

    Raises:
        VibesweepError: as :func:`preprocess` does.
    """
    found = survey(corpus, encoder, None, say)
    folder = ShardFolder.of_signature(StoragePath.of(out), found.signature)
    return folder.place, _make(found, folder, encoder, gpus_may_come, tell, say)


def _make(
    found: Survey,
    folder: ShardFolder,
    encoder: ClipEncoder,
    gpus_may_come: bool,
    tell: Tell | None,
    say: Say | None,
) -> Manifest:
    """Make a folder of shards whole, or find it so."""
    signature = found.signature
    former = folder.manifest()
    if former is not None and former.signature == signature:
        return former
    folder.check()
    with running_ray():
        check_hosts(folder.place, [found.source])
        _remark_on_gpus(encoder, gpus_may_come, say)
        job = _job(folder, encoder, found.settings, gpus_may_come)
        _encode(found.planned, folder, job, tell or _tell_nobody)
        known = folder.known()
        clips, rejects = _clips_and_rejects(found, folder, known)
        splits = assign_splits(clips, found.settings, [reject.id for _, reject in rejects])
        label = signature[:LABEL_LENGTH]
        plans = plan_shards(clips, splits, encoder.bytes_per_patch, label)
        summaries = pack_shards(plans, folder.place, encoder)
    warnings = _warnings(summaries, clips, found)
    manifest = _manifest(signature, summaries, rejects, warnings, encoder)
    folder.write_findings(rejects, warnings)
    folder.commit(manifest)
    return manifest


def _tell_nobody(encoded: Encoded) -> None:
    pass


def _remark_on_gpus(encoder: ClipEncoder, gpus_may_come: bool, say: Say | None) -> None:
    """Say it where the encoder wants a GPU and the cluster has none."""
    cluster = ray.cluster_resources()
    remark = remark_on_gpus(encoder, cluster, gpus_may_come=gpus_may_come)
    if remark is not None and say is not None:
        say(remark)


def _clips_and_rejects(
    found: Survey, folder: ShardFolder, known: Known
) -> tuple[list[ClipEntry], FingerprintedRejects]:
    """Sort out what of a corpus, all of which is encoded, can be used.

    Raises:
        ShardsError: some of it was written where this host does not see it.
        CorpusError: too many recordings cannot be used.
    """
    planned, unread = found.planned, found.unread
    _check_all_came_back(planned, known, folder.place)
    fingerprints = {item.fingerprint for item in planned}
    clips = entries_in(known, fingerprints)
    rejects = [("", reject) for reject in unread] + _rejected(planned, known)
    recordings = len(planned) + len(unread)
    _check_rejects(folder, rejects, recordings, found.settings, str(found.source))
    return clips, rejects


def _job(
    folder: ShardFolder, encoder: ClipEncoder, settings: CorpusSettings, gpus_may_come: bool
) -> PartJob:
    name = encoder.sidecar_file
    return PartJob(
        encoder=encoder,
        max_duration_s=settings.max_duration_s,
        max_edge_silence_s=settings.max_edge_silence_s,
        parts=folder.parts,
        sidecar=None if name is None else folder.place / name,
        gpus_may_come=gpus_may_come,
    )


def _encode(planned: Sequence[Planned], folder: ShardFolder, job: PartJob, tell: Tell) -> None:
    """Encode what no file holds yet."""
    known = folder.known()
    done = sum(item.fingerprint in known for item in planned)
    encoded = Encoded(done, len(planned))
    tell(encoded)
    parts = parts_of([item for item in planned if item.fingerprint not in known])
    if not parts and job.sidecar is not None and not job.sidecar.is_file():
        parts = [Part(())]  # whoever opens the encoder writes the sidecar
    for summary in encode_parts(parts, job):
        encoded = encoded.plus(summary)
        tell(encoded)


def _check_all_came_back(planned: Sequence[Planned], known: Known, out: StoragePath) -> None:
    lost = sum(item.fingerprint not in known for item in planned)
    if lost:
        found = (
            f"{lost} of {len(planned)} recordings were written where this host does not see them"
        )
        raise ShardsError(found, where=str(out), fix=SHARED_FOLDERS_FIX)


def _rejected(planned: Sequence[Planned], known: Known) -> FingerprintedRejects:
    fingerprints = [item.fingerprint for item in planned]
    return [(key, known.rejects[key]) for key in fingerprints if key in known.rejects]


def _check_rejects(
    folder: ShardFolder,
    rejects: FingerprintedRejects,
    recordings: int,
    settings: CorpusSettings,
    corpus: str,
) -> None:
    """Refuse a corpus of which too much, or all, cannot be used."""
    most = settings.max_reject_fraction * recordings
    if len(rejects) < recordings and len(rejects) <= most:
        return
    folder.write_findings(rejects, [])
    counts = Counter(reject.reason for _, reject in rejects)
    reasons = [f"{reason} {count}" for reason, count in counts.most_common()]
    listed = ", ".join(reasons)
    _, first = rejects[0]
    found = (
        f"{len(rejects)} of its {recordings} recordings cannot be used"
        f" ({listed}; the first: {first.path}, {first.detail})"
    )
    fix = (
        f"see {folder.place / REJECTS_FILE}, mend the recordings or take their rows out,"
        " or allow more with --max-reject-fraction"
    )
    raise CorpusError(found, where=corpus, fix=fix)


def _warnings(
    summaries: Sequence[ShardSummary], clips: Sequence[ClipEntry], found: Survey
) -> list[RecordingWarning]:
    """Collect what is odd: about single recordings, their files, and those of one person."""
    of_recordings = [warned for summary in summaries for warned in summary.warnings]
    return [
        *of_recordings,
        *_duplicate_warnings(clips),
        *found.near_misses,
        *warnings_of_people(clips),
    ]


def _duplicate_warnings(clips: Sequence[ClipEntry]) -> list[RecordingWarning]:
    files = {clip.id: clip.source for clip in clips}
    return [
        RecordingWarning(twin, files[twin], "duplicate_audio", f"the same samples as {first}")
        for twin, first in duplicates(clips).items()
    ]


def _manifest(
    signature: str,
    summaries: Sequence[ShardSummary],
    rejects: FingerprintedRejects,
    warnings: Sequence[RecordingWarning],
    encoder: ClipEncoder,
) -> Manifest:
    clips = dict.fromkeys(SPLITS, 0)
    hours = dict.fromkeys(SPLITS, 0.0)
    for summary in summaries:
        clips[summary.split] += summary.rows
        hours[summary.split] += summary.seconds / 3_600
    counts = _summed(summaries)
    speakers = counts.pop("speakers", {})
    languages = counts.pop("languages", {})
    train = [summary for summary in summaries if summary.split == "train"]
    reject_reasons = Counter(reject.reason for _, reject in rejects)
    warning_reasons = Counter(warned.reason for warned in warnings)
    return Manifest(
        signature=signature,
        clips=clips,
        hours=hours,
        speakers=speakers,
        languages=languages,
        rejects=_sorted(reject_reasons),
        warnings=_sorted(warning_reasons),
        shards=tuple(ShardFile(s.name, s.split, s.rows, s.seconds) for s in summaries),
        encoder=_encoder_record(encoder, counts, train),
    )


def _encoder_record(
    encoder: ClipEncoder, counts: Mapping[str, Mapping[str, int]], train: Sequence[ShardSummary]
) -> EncoderRecord:
    names = dict.fromkeys(name for summary in train for name in summary.moments)
    moments = {
        name: _mean_and_std([s.moments[name] for s in train if name in s.moments]) for name in names
    }
    return EncoderRecord(
        family=encoder.family,
        name=encoder.name,
        fingerprint=encoder.fingerprint,
        summary=encoder.summary,
        settings=dict(encoder.settings),
        picture=encoder.picture,
        counts=counts,
        moments=moments,
        sidecar=encoder.sidecar_file,
    )


def _mean_and_std(parts: Sequence[Moments]) -> dict[str, float]:
    """Reduce the moments of one column of numbers."""
    total = added_up(parts)
    variance = float(total.covariance[0])
    return {"mean": float(total.mean[0]), "std": variance**0.5}


def _summed(summaries: Iterable[ShardSummary]) -> dict[str, dict[str, int]]:
    totals: dict[str, Counter[str]] = {}
    for summary in summaries:
        for kind, found in summary.counts.items():
            total = totals.setdefault(kind, Counter())
            total.update(found)
    return {kind: _sorted(total) for kind, total in totals.items()}


def _sorted(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items()))
