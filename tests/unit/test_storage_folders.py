"""Folders that are fetched, uploaded and mirrored, with fsspec's memory as the store."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest
from pyarrow.fs import FileInfo, FileSelector, FileType, PyFileSystem

from tests.waiting import wait_until
from vibesweep.errors import StorageError
from vibesweep.storage import Mirror, StoragePath, fetched_folder, upload_folder


@pytest.fixture
def store() -> StoragePath:
    """Name a folder that does not exist yet."""
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


class WatchedUploads:
    """Notes the order of uploads, and refuses them when it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.refuses, self.asked = False, list[str]()
        upload = StoragePath.upload

        def watched(target: StoragePath, source: Path) -> None:
            self.asked.append(target.name)
            if self.refuses:
                raise StorageError("no answer", where=str(target))
            upload(target, source)

        monkeypatch.setattr(StoragePath, "upload", watched)


@pytest.fixture
def uploads(monkeypatch: pytest.MonkeyPatch) -> WatchedUploads:
    return WatchedUploads(monkeypatch)


def test_a_folder_is_uploaded_and_fetched(source: Path, store: StoragePath) -> None:
    upload_folder(source, store, "last")
    with fetched_folder(store) as copy:
        assert copy.name == "folder"
        assert below(copy) == below(source)
    assert not copy.exists()


def test_a_local_folder_is_not_copied(source: Path) -> None:
    with fetched_folder(StoragePath.of(source)) as same:
        assert same == source


def test_names_of_all_kinds_and_empty_files_are_fetched(store: StoragePath) -> None:
    contents = {"what? 100%#ü.bin": b"1", "inner/empty": b"", "inner/.hidden": b"2"}
    for name, content in contents.items():
        (store / name).write_bytes(content)
    with fetched_folder(store) as copy:
        found = [path for path in copy.rglob("*") if path.is_file()]
        assert {str(path.relative_to(copy)): path.read_bytes() for path in found} == contents


def test_a_name_that_leads_out_of_the_folder_is_refused(
    store: StoragePath, monkeypatch: pytest.MonkeyPatch
) -> None:
    (store / "a").write_bytes(b"1")
    climbing = FileInfo(f"{store.path}/../evil", type=FileType.File)

    class ObjectStore(PyFileSystem):
        def get_file_info(self, asked: object) -> object:
            return [climbing] if isinstance(asked, FileSelector) else super().get_file_info(asked)

    there = ObjectStore(store.filesystem.handler)
    monkeypatch.setattr(
        "vibesweep.storage.paths.remote_filesystem",
        lambda root, query: (there, root.removeprefix("memory:/")),
    )
    with pytest.raises(StorageError, match="leads out of the folder"), fetched_folder(store):
        pytest.fail("it is refused")


def test_a_missing_folder_is_named(store: StoragePath) -> None:
    with pytest.raises(StorageError, match="no such folder"), fetched_folder(store):
        pytest.fail("there is none")


def test_only_what_has_changed_is_uploaded_and_the_last_comes_last(
    source: Path, store: StoragePath, uploads: WatchedUploads
) -> None:
    mirror = Mirror(source, store, "last")
    mirror.copy()
    assert uploads.asked == ["a", "b", "c", "last"]
    uploads.asked.clear()
    with (source / "a").open("a") as file:
        file.write("!")
    draft = source / "draft"
    draft.write_text("LAST")  # as long as the one that it replaces
    draft.rename(source / "last")
    mirror.copy()
    assert uploads.asked == ["a", "last"]
    assert (store / "last").read_bytes() == b"LAST"


def test_drafts_links_and_skipped_folders_are_not_uploaded(
    source: Path, store: StoragePath
) -> None:
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


def test_a_store_that_does_not_answer_is_reported_once_and_tried_again(
    source: Path, store: StoragePath, uploads: WatchedUploads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vibesweep.storage.mirror.RETRY_S", 0.01)
    told: list[str] = []
    mirror = Mirror(source, store, "last", tell=told.append)
    uploads.refuses = True
    mirror.start()
    mirror.push()
    assert wait_until(lambda: len(uploads.asked) >= 3, 10.0)
    uploads.refuses = False
    assert wait_until(lambda: len(told) == 2, 10.0)
    mirror.close()
    assert "no answer" in told[0]
    assert str(source) in told[0]
    assert "can be written to again" in told[1]
    assert (store / "inner" / "deep" / "c").is_file()


def test_closing_fails_if_something_could_not_be_uploaded(
    source: Path, store: StoragePath, uploads: WatchedUploads
) -> None:
    mirror = Mirror(source, store, "last")
    mirror.start()
    uploads.refuses = True
    with pytest.raises(StorageError, match="no answer"):
        mirror.close()
