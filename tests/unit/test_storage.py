"""Storage paths on this machine, in fsspec's memory and on an S3 server of our own."""

from __future__ import annotations

import functools
import os
import secrets
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from moto.server import ThreadedMotoServer

from vibesweep.errors import StorageError
from vibesweep.storage import StoragePath

QUERY = "?endpoint_override=127.0.0.1:9&scheme=http"


@pytest.fixture(scope="module")
def s3_port() -> Iterator[int]:
    """Start a server that keeps objects in memory, on a free port."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield server.get_host_and_port()[1]
    server.stop()


@pytest.fixture
def s3_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set credentials; that server takes any."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
    # Off Amazon, asking for it takes seconds
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def bucket(s3_port: int, s3_credentials: None) -> StoragePath:
    """Make a new bucket; its address says where the server is."""
    name = f"corpus-{secrets.token_hex(4)}"
    options = f"endpoint_override=127.0.0.1:{s3_port}&scheme=http&allow_bucket_creation=true"
    made = StoragePath.of(f"s3://{name}?{options}")
    made.filesystem.create_dir(name)
    return made


@pytest.fixture(params=["local", "memory", "s3"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> StoragePath:
    """Name a folder that does not exist yet, on each kind of store."""
    if request.param == "s3":
        found: StoragePath = request.getfixturevalue("bucket")
        return found / "some" / "folder"
    if request.param == "local":
        return StoragePath.of(tmp_path / "folder")
    return StoragePath.of(f"memory://{secrets.token_hex(4)}/folder")


@pytest.mark.parametrize(
    ("address", "known_as"),
    [
        ("/data//x/../corpus/", "/data/corpus"),
        ("/", "/"),
        ("file:///data/a%20b%23", "/data/a b#"),
        ("file://localhost/data", "/data"),
        ("s3://bucket/", "s3://bucket"),
        ("s3://bucket/f//", "s3://bucket/f"),
        (f"s3://bucket/f/{QUERY}", f"s3://bucket/f{QUERY}"),
        ("memory://", "memory://"),
    ],
)
def test_an_address_is_known_by_one_form(address: str, known_as: str) -> None:
    assert StoragePath.of(address).address == str(StoragePath.of(address)) == known_as
    assert StoragePath.of(known_as) == StoragePath.of(address)


def test_a_relative_path_starts_from_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert StoragePath.of("a/../b") == StoragePath.of(tmp_path / "b")
    assert StoragePath.of(Path("b")).local == tmp_path / "b"


def test_a_file_uri_with_a_host_is_refused() -> None:
    with pytest.raises(StorageError, match="three slashes"):
        StoragePath.of("file://data/corpus")


@pytest.mark.parametrize(
    "base",
    [
        "/f",
        "s3://bucket",
        "s3://bucket/f",
        f"s3://bucket/f{QUERY}",
        f"s3://bucket{QUERY}",
        "memory://x/f",
    ],
)
@pytest.mark.parametrize(
    "name", ["a.wav", "a/b.wav", "what?.wav", "100%.wav", "take#2.wav", "ü b", "wavs/x:y"]
)
def test_the_parts_of_a_path_fit_together(base: str, name: str) -> None:
    folder = StoragePath.of(base)
    path = folder / name
    inner_folder, _, last_part = name.rpartition("/")
    assert path.name == last_part
    assert path.relative_to(folder) == name
    assert path.parent == (folder / inner_folder if inner_folder else folder)
    assert path.address.endswith(base.partition("?")[2])
    assert StoragePath.of(path.address) == StoragePath.of(path) == path
    assert folder / path.address == path


@pytest.mark.parametrize(
    ("base", "name", "expected"),
    [
        ("/f", "../a//./b", "/a/b"),
        ("/", "a", "/a"),
        (f"s3://b/f{QUERY}", "../a/./c.wav", f"s3://b/a/c.wav{QUERY}"),
        ("s3://b/f", "../../../a", "s3://b/a"),
        ("s3://b/f", ".", "s3://b/f"),
        ("s3://b/f", "/local/a", "/local/a"),
        ("/f", "s3://b/a", "s3://b/a"),
        ("/f", "wavs/s3://b", "/f/wavs/s3:/b"),
    ],
)
def test_a_name_in_a_table_leads_to_a_path(base: str, name: str, expected: str) -> None:
    assert (StoragePath.of(base) / name).address == expected


def test_the_parent_of_a_root_is_the_root() -> None:
    for root in ("/", "s3://bucket", f"s3://bucket{QUERY}", "memory://"):
        assert StoragePath.of(root).parent == StoragePath.of(root)
    assert StoragePath.of(f"s3://bucket{QUERY}").name == "bucket"


@pytest.mark.parametrize("other", ["/fo", "/f/oo", "s3://b/f", f"s3://b/f{QUERY}", "s3://c"])
def test_a_path_relative_to_another_folder_keeps_its_address(other: str) -> None:
    for address in ("/foo/a", "s3://b/foo/a"):
        assert StoragePath.of(address).relative_to(StoragePath.of(other)) == address


def test_a_file_is_written_read_and_removed(folder: StoragePath) -> None:
    file = folder / "deep" / "what? 100%#ü.bin"
    assert not any((file.is_file(), file.is_dir(), folder.is_dir()))
    assert (file.stat(), folder.files()) == (None, [])
    file.remove()
    file.write_bytes(b"first")
    file.write_bytes(b"second")
    assert (file.is_file(), file.is_dir()) == (True, False)
    deep = folder / "deep"
    assert (deep.is_dir(), deep.is_file(), deep.stat()) == (True, False, None)
    assert file.read_bytes() == b"second"
    file.remove()
    assert not file.is_file()
    with pytest.raises(FileNotFoundError):
        file.read_bytes()


def test_files_of_a_folder_are_those_right_inside(folder: StoragePath) -> None:
    for name in ("b.wav", "a.wav", "inner/c.wav", "empty"):
        (folder / name).write_bytes(b"" if name == "empty" else b"12")
    sizes = [(stat.name, stat.size) for stat in folder.files()]
    assert sizes == [("a.wav", 2), ("b.wav", 2), ("empty", 0)]
    assert [(folder / stat.name).stat() for stat in folder.files()] == folder.files()
    folder.remove()
    assert not (folder / "inner" / "c.wav").is_file()
    assert folder.files() == []


def write_half(file: StoragePath) -> None:
    with file.writing() as stream:
        stream.write(b"half")
        raise KeyboardInterrupt


def test_a_block_that_fails_leaves_what_was_there(folder: StoragePath) -> None:
    file = folder / "a.bin"
    for before in (None, b"whole"):
        if before:
            file.write_bytes(before)
        with pytest.raises(KeyboardInterrupt):
            write_half(file)
        assert (file.read_bytes() if file.is_file() else None) == before
        assert [stat.name for stat in folder.files()] == (["a.bin"] if before else [])


def test_a_file_is_not_seen_before_it_is_whole(folder: StoragePath) -> None:
    file = folder / "a.bin"
    with file.writing() as stream:
        stream.write(b"x" * 6_000_000)  # more than one part of an upload
        assert not file.is_file()
    assert file.stat() is not None
    assert len(file.read_bytes()) == 6_000_000
    assert [stat.name for stat in folder.files()] == ["a.bin"]


def test_one_file_written_by_many_at_once_is_whole(folder: StoragePath) -> None:
    contents = [bytes([i]) * 10_000 for i in range(4)]
    writers = [
        threading.Thread(target=(folder / "a.bin").write_bytes, args=(content,))
        for content in contents
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert (folder / "a.bin").read_bytes() in contents
    assert [stat.name for stat in folder.files()] == ["a.bin"]


def test_a_fetched_file_has_a_path(folder: StoragePath) -> None:
    file = folder / "a.wav"
    file.write_bytes(b"sound")
    with file.fetched() as path:
        assert path.read_bytes() == b"sound"
        assert path.suffix == ".wav"
    assert path.exists() == (file.local is not None)
    if file.local is None:
        with pytest.raises(FileNotFoundError), (folder / "none.wav").fetched():
            pass


def test_folders_are_those_right_inside(folder: StoragePath) -> None:
    for name in ("b/x", "a/y", "a/inner/z", "file"):
        (folder / name).write_bytes(b"1")
    assert folder.folders() == [folder / "a", folder / "b"]
    assert (folder / "none").folders() == []


def test_files_are_uploaded_and_downloaded(folder: StoragePath, tmp_path: Path) -> None:
    (tmp_path / "here").write_bytes(b"content")
    (folder / "deep" / "there").upload(tmp_path / "here")
    (folder / "deep" / "there").download(tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == b"content"
    with pytest.raises(FileNotFoundError):
        (folder / "none").download(tmp_path / "back")


def test_a_draft_becomes_the_file_when_it_is_whole(folder: StoragePath) -> None:
    file = folder / "deep" / "file.bin"
    with file.drafted() as path:
        path.write_bytes(b"first")
        assert not file.is_file()
    with pytest.raises(FileNotFoundError), file.drafted() as path:
        (path.parent / "none").rename(path)
    assert file.read_bytes() == b"first"
    assert [stat.name for stat in file.parent.files()] == ["file.bin"], "no draft is left"


def test_local_files_have_exact_times_and_may_have_odd_names(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    os.utime(tmp_path / "a", ns=(5, 1_234_567_890_123_456_789))
    (found,) = StoragePath.of(tmp_path).files()
    assert found.mtime_ns == 1_234_567_890_123_456_789
    assert StoragePath.of(tmp_path / "a").stat() == found
    assert StoragePath("/a\x00b").stat() is None
    with open(os.fsencode(tmp_path) + b"/\xff", "w"):
        assert len(StoragePath.of(tmp_path).files()) == 2


def test_removing_a_link_to_a_folder_leaves_the_folder(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a").touch()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    StoragePath.of(tmp_path / "link").remove()
    assert not (tmp_path / "link").exists()
    assert (tmp_path / "real" / "a").exists()


def test_the_server_may_be_named_by_an_environment_variable(
    bucket: StoragePath, s3_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    (bucket / "a").write_bytes(b"1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{s3_port}")
    assert (StoragePath.of(f"s3://{bucket.name}") / "a").read_bytes() == b"1"


def test_parquet_is_written_and_read(folder: StoragePath) -> None:
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.table({"id": ["a", "b"]})
    with (folder / "a.parquet").writing() as stream:
        pyarrow.parquet.write_table(table, stream)
    assert (
        pyarrow.parquet.read_table((folder / "a.parquet").path, filesystem=folder.filesystem)
        == table
    )


def test_a_store_that_cannot_be_reached_is_named() -> None:
    for address in (
        "nowhere://bucket/a",
        "s3://bucket/a?colour=red",
        "ftp://127.0.0.1:9/a",  # nobody listens there
    ):
        with pytest.raises(StorageError) as caught:
            StoragePath.of(address).is_file()
        assert caught.value.where.startswith(address.partition("/a")[0])
        assert caught.value.fix


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError) as caught:
        StoragePath.of(tmp_path / "file" / "a").write_bytes(b"1")
    assert caught.value.where == str(tmp_path / "file" / "a")
    with pytest.raises(StorageError):
        StoragePath.of(tmp_path / "file").files()


def test_a_missing_bucket_is_named(bucket: StoragePath) -> None:
    address = bucket.address.replace(bucket.name, "no-such-bucket")
    missing = StoragePath.of(address.removesuffix("&allow_bucket_creation=true")) / "a"
    assert not missing.is_file()
    with pytest.raises(StorageError) as caught:
        missing.write_bytes(b"1")
    assert caught.value.where == missing.address


def test_a_server_that_does_not_answer_is_named(
    s3_credentials: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pyarrow.fs import AwsStandardS3RetryStrategy, S3FileSystem

    once = AwsStandardS3RetryStrategy(max_attempts=1)  # by itself pyarrow tries for 6 s
    store = S3FileSystem(
        endpoint_override="127.0.0.1:9", scheme="http", region="us-east-1", retry_strategy=once
    )
    monkeypatch.setattr(
        "vibesweep.storage.paths.remote_filesystem", lambda root, query: (store, "bucket")
    )
    path = StoragePath.of(f"s3://bucket/a{QUERY}")
    write = functools.partial(path.write_bytes, b"1")
    for ask in (path.is_file, path.is_dir, path.stat, path.files, path.remove, write):
        with pytest.raises(StorageError, match=r"127\.0\.0\.1") as caught:
            ask()
        assert caught.value.where == path.address
        assert "credentials" in caught.value.fix
