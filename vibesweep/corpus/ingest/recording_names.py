"""Names recordings after their audio files, where a table gives them no ids."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence

from vibesweep.storage import StoragePath


def names_of(
    folder: StoragePath, own_ids: Sequence[str | None], audios: Sequence[str]
) -> list[str]:
    """Give each row an id, the same in whichever order the rows come.

    It is the audio file's stem, or its path where others share the stem, and empty where a row has
    no audio to be named after.

    Args:
        folder: the table's.
        own_ids: of each row; ``None`` where it is to be named after its audio.
        audios: the address of each row's audio file; empty where there is none.
    """
    taken = {name for name in own_ids if name}
    audios_by_stem: dict[str, set[str]] = defaultdict(set)
    for own_id, audio in zip(own_ids, audios, strict=True):
        if own_id is None:
            audios_by_stem[_stem(audio)].add(audio)

    def name_after(audio: str) -> str:
        if not audio:
            return ""
        stem = _stem(audio)
        is_shared = stem in taken or len(audios_by_stem[stem]) > 1
        if stem and not is_shared:
            return stem
        return StoragePath(audio).relative_to(folder)

    names = []
    for own_id, audio in zip(own_ids, audios, strict=True):
        name = name_after(audio) if own_id is None else own_id
        names.append(name)
    return names


def _stem(audio: str) -> str:
    # Windows' sign too: the same table gets the same ids there
    *_, name = re.split(r"[/\\]", audio)
    if "?" in audio:
        name = StoragePath(audio).name
    stem, _, _ = name.rpartition(".")
    return stem or name
