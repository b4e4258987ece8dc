"""What there is to encode in a corpus, looked at before Ray starts and anything is decoded."""

from __future__ import annotations

from dataclasses import dataclass

from vibesweep.config import CorpusSettings
from vibesweep.corpus.clip_encoder import ClipEncoder
from vibesweep.corpus.ingest.metadata import read_metadata
from vibesweep.corpus.preprocess.fingerprints import Planned, fingerprint_all, signature_of
from vibesweep.corpus.rejects import RecordingWarning, Reject
from vibesweep.progress import Say
from vibesweep.storage import StorageAddress, StoragePath


@dataclass(frozen=True)
class Survey:
    """A corpus as it is found.

    Attributes:
        source: the corpus.
        settings: how it is cut and split.
        planned: recordings whose files are there.
        unread: rejects that are known before anything is encoded.
        near_misses: warnings of files that were found under nearly the name that was asked for.
    """

    source: StoragePath
    settings: CorpusSettings
    planned: list[Planned]
    unread: list[Reject]
    near_misses: list[RecordingWarning]

    @property
    def signature(self) -> str:
        """Hash of all that the shards depend on."""
        return signature_of(self.planned, self.unread, self.settings)


def survey(
    corpus: StorageAddress,
    encoder: ClipEncoder,
    settings: CorpusSettings | None,
    say: Say | None,
) -> Survey:
    """Read a corpus's table, find its files and fingerprint its recordings.

    Args:
        corpus: as for :func:`vibesweep.corpus.preprocess.run.preprocess`.
        encoder: makes the columns of a model family.
        settings: how the corpus is cut and split; None for the defaults.
        say: told how the table was understood.

    Raises:
        CorpusError: the table cannot be read.
        StorageError: the store cannot be reached.
    """
    settings = settings or CorpusSettings()
    source = StoragePath.of(corpus)
    metadata = read_metadata(source, settings.columns)
    if say is not None:
        say(metadata.summary())
    planned, missing, near_misses = fingerprint_all(
        metadata.recordings,
        source,
        settings.max_duration_s,
        encoder.fingerprint,
        settings.max_edge_silence_s,
    )
    unread = [*metadata.rejects, *missing]
    return Survey(source, settings, planned, unread, near_misses)
