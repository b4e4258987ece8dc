"""Folders that are fetched, uploaded and mirrored: to fsspec's memory, which is a store with no disk."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from tests.waiting import wait_until
from vibesweep.errors import StorageError
from vibesweep.storage import Mirror, StoragePath, fetched_folder, upload_folder


@pytest.fixture
def store() -> StoragePath:
    """A folder that is not there yet."""
    return StoragePath.of(f"memory://{secrets.token_hex(4)}/folder")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "source" / "inner" / "deep").mkdir(parents=True)
    for name in ("a", "last", "inner/b", "inner/deep/c"):
        (tmp_path / "source" / name).write_text(name)
    return tmp_path / "source"


def below(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in folder.rglob("*")
        if path.is_file()
    }


class Stubborn:
    """A store that takes nothing until it is told to, and the order in which it was asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.refuses, self.asked = False, list[str]()
        upload = StoragePath.upload

        def watched(place: StoragePath, source: Path) -> None:
            self.asked.append(place.name)
            if self.refuses:
                raise StorageError("no answer", where=str(place))
            upload(place, source)

        monkeypatch.setattr(StoragePath, "upload", watched)


@pytest.fixture
def stubborn(monkeypatch: pytest.MonkeyPatch) -> Stubborn:
    return Stubborn(monkeypatch)


def test_a_folder_goes_there_and_comes_back(source: Path, store: StoragePath) -> None:
    upload_folder(source, store, "last")
    with fetched_folder(store) as copy:
        assert copy.name == "folder"
        assert below(copy) == below(source)
    assert not copy.exists()


def test_a_local_folder_is_not_copied(source: Path) -> None:
    with fetched_folder(StoragePath.of(source)) as same:
        assert same == source


def test_a_folder_that_is_not_there_is_named(store: StoragePath) -> None:
    with pytest.raises(StorageError, match="no such folder"), fetched_folder(store):
        pytest.fail("there is none")


def test_only_what_has_changed_is_uploaded_and_the_last_comes_last(
    source: Path, store: StoragePath, stubborn: Stubborn
) -> None:
    mirror = Mirror(source, store, "last")
    mirror.copy()
    assert stubborn.asked == ["a", "b", "c", "last"]
    stubborn.asked.clear()
    with (source / "a").open("a") as file:
        file.write("!")
    draft = source / "draft"
    draft.write_text("LAST")  # as long as the one that it replaces
    draft.rename(source / "last")
    mirror.copy()
    assert stubborn.asked == ["a", "last"]
    assert (store / "last").read_bytes() == b"LAST"


def test_drafts_links_and_what_is_to_stay_here_stay(source: Path, store: StoragePath) -> None:
    (source / ".x.writing").write_text("half")
    (source / "lock").symlink_to(source / "a")
    (source / "inner" / "inner").mkdir()
    (source / "inner" / "inner" / "d").write_text("d")
    mirror = Mirror(source, store, "last", skip={"deep", "inner"})
    mirror.copy()
    assert {file.name for file in store.files()} == {"a", "last"}
    assert store.folders() == []


def test_it_follows_until_it_is_closed(source: Path, store: StoragePath) -> None:
    mirror = Mirror(source, store, "last")
    mirror.start()
    mirror.push()
    assert wait_until(lambda: (store / "last").is_file(), 10.0)
    (source / "a").write_text("changed, and nobody was told")
    mirror.close()
    assert (store / "a").read_bytes() == b"changed, and nobody was told"


def test_a_store_that_does_not_answer_is_told_of_once_and_tried_again(
    source: Path, store: StoragePath, stubborn: Stubborn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vibesweep.storage.mirror.RETRY_S", 0.01)
    told: list[str] = []
    mirror = Mirror(source, store, "last", tell=told.append)
    stubborn.refuses = True
    mirror.start()
    mirror.push()
    assert wait_until(lambda: len(stubborn.asked) >= 3, 10.0)
    stubborn.refuses = False
    assert wait_until(lambda: len(told) == 2, 10.0)
    mirror.close()
    assert "no answer" in told[0]
    assert str(source) in told[0]
    assert "can be written to again" in told[1]
    assert (store / "inner" / "deep" / "c").is_file()


def test_what_could_not_be_uploaded_in_the_end_is_an_error(
    source: Path, store: StoragePath, stubborn: Stubborn
) -> None:
    mirror = Mirror(source, store, "last")
    mirror.start()
    stubborn.refuses = True
    with pytest.raises(StorageError, match="no answer"):
        mirror.close()
