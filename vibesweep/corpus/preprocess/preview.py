"""Shows how recordings would be read, before anything is decoded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from vibesweep.corpus.ingest.metadata import find_table, read_metadata
from vibesweep.corpus.preprocess.files import FoundFiles, find_files
from vibesweep.corpus.recordings import Metadata, Recording
from vibesweep.corpus.rejects import REASONS
from vibesweep.storage import StorageAddress, StoragePath

ROWS = 5
_TEXT_LETTERS = 60


def preview(corpus: StorageAddress, columns: Sequence[str] = ()) -> tuple[str, RenderableType]:
    """Read a corpus's table as preprocessing does.

    Args:
        corpus: a folder or a table.
        columns: what the table's columns hold, where that cannot be seen.

    Returns:
        How the table was understood, in one line; and its first rows and its rejects.

    Raises:
        CorpusError: there is no table, or it cannot be read.
        StorageError: the store cannot be reached.
    """
    table = find_table(StoragePath.of(corpus))
    metadata = read_metadata(table, columns)
    first = metadata.recordings[:ROWS]
    files = find_files(first, table)
    usable = len(metadata.recordings)
    rejected = len(metadata.rejects)
    parts: list[RenderableType] = [
        _rows(files, table.parent),
        Text(f"{usable} recordings, {rejected} rows rejected"),
    ]
    for warned in files.warnings:
        line = f"{warned.reason}: {warned.detail}"
        parts.append(Text(line))
    if metadata.rejects:
        parts.append(_rejects(metadata))
    return metadata.summary(), Group(*parts)


def _rows(files: FoundFiles, folder: StoragePath) -> Table:
    rows = Table("id", "audio", "speaker", "text")
    for recording in files.recordings:
        audio = StoragePath(recording.audio).relative_to(folder)
        is_there = files.stats[recording.audio] is not None
        people = [person for _, person in recording.speakers]
        cells = (
            recording.id,
            audio if is_there else f"{audio} (not there)",
            ", ".join(people),
            _beginning(recording),
        )
        rows.add_row(*[Text(cell) for cell in cells])
    return rows


def _beginning(recording: Recording) -> str:
    """Return the first words that are said, read from the text file where the table has none."""
    words = recording.words
    if words is None:
        try:
            content = StoragePath(recording.text).read_bytes()
            words = content.decode("utf-8-sig")
        except (OSError, ValueError) as error:
            return f"{recording.text} ({type(error).__name__})"
    line = " ".join(words.split())
    if len(line) > _TEXT_LETTERS:
        return f"{line[:_TEXT_LETTERS]}..."
    return line


def _rejects(metadata: Metadata) -> Table:
    """Make a table of the reasons for which rows were rejected, with an example of each."""
    counts: Counter[str] = Counter()
    examples: dict[str, str] = {}
    for reject in metadata.rejects:
        counts[reject.reason] += 1
        example = f"{reject.path}: {reject.detail}"
        examples.setdefault(reject.reason, example)
    table = Table("reason", "rows", "what it means", "the first")
    for reason, count in counts.most_common():
        example = examples[reason]
        table.add_row(reason, str(count), REASONS[reason], Text(example))
    return table
