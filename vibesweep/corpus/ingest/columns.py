"""The names that the columns of a corpus's table go by, and what each of them holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vibesweep.errors import CorpusError

ID = "id"
AUDIO = "audio"
TEXT = "text"
RAW = "raw"
SPEAKER = "speaker"
TEXT_PATH = "text_path"
UNUSED = "-"

OWN_COLUMNS = ("num_speakers", "duration_sec", "speakers", "voice_prompts")
"""Further columns of vibesweep's own layout, which no other table has."""

ROLES = (ID, AUDIO, TEXT, RAW, SPEAKER, TEXT_PATH, *OWN_COLUMNS, UNUSED)

# The first name of a role that a header has is taken; a further one is kept as it is
NAMES: Mapping[str, tuple[str, ...]] = {
    ID: ("id", "utt_id", "utterance_id", "clip_id", "segment_id", "sample_id", "uid", "utt"),
    AUDIO: (
        *("audio_path", "audio_file", "audio_filepath", "audio_filename", "audio_file_path"),
        *("audio", "wav_path", "wav_file", "wav_filename", "wav_filepath", "wav", "wavs"),
        *("file_path", "filepath", "file_name", "filename", "file", "path", "clip", "sound"),
    ),
    TEXT: (
        *("normalized_text", "normalised_text", "text_normalized", "text_normalised"),
        *("normalized_transcription", "normalised_transcription", "normalized_transcript"),
        *("normalised_transcript", "normalized", "normalised"),
        *("text", "sentence", "transcript", "transcription", "transcripts", "words"),
        *("utterance", "caption", "content"),
    ),
    RAW: ("raw", "raw_text", "text_raw", "raw_transcription", "raw_transcript", "original_text"),
    SPEAKER: (
        *("speaker", "speaker_name", "speaker_id", "speakerid", "spk", "spk_id", "client_id"),
        *("voice", "voice_id", "reader", "narrator"),
    ),
    TEXT_PATH: ("text_path", "text_file", "transcript_path", "transcript_file"),
    **{name: (name,) for name in OWN_COLUMNS},
    UNUSED: (UNUSED,),
}
_NORMALISED = NAMES[TEXT][:9]

_ROLE_OF = {name: role for role, names in NAMES.items() for name in names}


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        role: one of :data:`ROLES`.
        name: as the header has it; empty in a table without a header.
    """

    role: str
    name: str = ""

    def __str__(self) -> str:
        """Return the role, with the header's name where that is another word."""
        is_same = self.name in ("", self.role)
        return self.role if is_same else f"{self.role} ({self.name})"


def plain_name(cell: str) -> str:
    """Return a column's name in small letters, with ``_`` for blanks and hyphens."""
    name = cell.strip().strip('"').lower()
    return "_".join(name.replace("-", " ").split()) or name


def is_header(cells: Sequence[str]) -> bool:
    """Tell whether cells name columns: one for the recording and one for what is said."""
    names = [plain_name(cell) for cell in cells]
    if "audio_path" in names or "text_path" in names:
        return True
    roles = {_ROLE_OF.get(name) for name in names}
    has_recording = bool(roles & {ID, AUDIO})
    has_words = bool(roles & {TEXT, RAW, TEXT_PATH})
    return has_recording and has_words


def columns_of_header(cells: Sequence[str], where: str) -> list[Column]:
    """Say what the columns of a header hold; those that no role is known for are kept as they are.

    Raises:
        CorpusError: a name is there twice, or no column has the recording or what is said.
    """
    names = [cell.strip().strip('"') for cell in cells]
    _refuse_twice(names, where)
    plain_names = [plain_name(name) for name in names]
    roles = [UNUSED] * len(names)
    for role, index in _chosen_columns(plain_names).items():
        roles[index] = role
    refuse_incomplete(roles, where)
    return [Column(role, name) for role, name in zip(roles, names, strict=True)]


def _chosen_columns(names: Sequence[str]) -> dict[str, int]:
    """Map each role that a header has to the index of its column."""
    chosen = {}
    for role, wanted in NAMES.items():
        found = [name for name in wanted if name in names and name != UNUSED]
        if found:
            chosen[role] = names.index(found[0])
        if role == TEXT and len(found) > 1 and found[0] in _NORMALISED:
            chosen[RAW] = names.index(found[1])
    if TEXT_PATH in chosen:  # a copy in the table is a further column
        chosen.pop(TEXT, None)
        chosen.pop(RAW, None)
    elif TEXT not in chosen and RAW in chosen:
        chosen[TEXT] = chosen.pop(RAW)
    return chosen


def columns_of_option(names: Sequence[str], count: int, header: Sequence[str]) -> list[Column]:
    """Say what the columns hold that somebody has named.

    Args:
        names: roles, or other names of them.
        count: columns of the table.
        header: the table's own names, if it has any.

    Raises:
        CorpusError: a name is not known, or there are too few or too many.
    """
    where = f"--columns {','.join(names)}"
    unknown = [name for name in names if plain_name(name) not in _ROLE_OF]
    if unknown:
        raise CorpusError(
            f"no column is called {', '.join(unknown)}",
            where=where,
            fix=f"choose among {', '.join(ROLES)} (- for a column that is not used)",
        )
    if len(names) != count:
        shown = f" ({', '.join(header)})" if header else ""
        raise CorpusError(
            f"it names {len(names)} columns, the table has {count}{shown}",
            where=where,
            fix=f"name every column, with {UNUSED} for one that is not used",
        )
    roles = [_ROLE_OF[plain_name(name)] for name in names]
    _refuse_twice([role for role in roles if role != UNUSED], where)
    refuse_incomplete(roles, where)
    own_names = [name.strip() for name in header] or [""] * count
    return [Column(role, name) for role, name in zip(roles, own_names, strict=True)]


def refuse_incomplete(roles: Sequence[str], where: str) -> None:
    """Refuse a table that cannot be read.

    Raises:
        CorpusError: no column has the recording, or none what is said.
    """
    missing = []
    if ID not in roles and AUDIO not in roles:
        missing.append("id or audio_path")
    if TEXT not in roles and TEXT_PATH not in roles:
        missing.append("text or text_path")
    if missing:
        raise CorpusError(
            f"the columns {' and '.join(missing)} are missing",
            where=where,
            fix="name the columns in the first row, or with --columns id,text,speaker or the like",
        )


def _refuse_twice(names: Sequence[str], where: str) -> None:
    counts = Counter(name for name in names if name)
    twice = sorted(name for name, count in counts.items() if count > 1)
    if twice:
        raise CorpusError(
            f"the columns {', '.join(twice)} are there twice",
            where=where,
            fix="rename or remove one of each",
        )
