"""Files from strangers: they run nothing, reach nothing outside their folder, and fill no memory.

docs/security.md says what is promised.
"""

from __future__ import annotations

import json
import pickle
import re
import struct
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
import torch
from safetensors.torch import save_file

from tests import tiny
from tests.import_graph import modules, source_of
from tests.sweeps import write_sweep
from vibesweep.corpus.preprocess.fingerprints import Planned
from vibesweep.corpus.preprocess.parts import decode_part
from vibesweep.corpus.preprocess.plan import Part
from vibesweep.corpus.recordings import Recording
from vibesweep.corpus.shards.manifest import read_clips, read_manifest
from vibesweep.delivery.evaluate import evaluate
from vibesweep.delivery.report.facts import read_facts
from vibesweep.delivery.report.sounds import spoken_texts
from vibesweep.errors import CorpusError, ModelError, ShardsError, StorageError, SweepError
from vibesweep.models.registry import ModelRef
from vibesweep.models.tensor_files import copy_companions
from vibesweep.quality.passages import choose_passages
from vibesweep.quality.quality_file import read_quality
from vibesweep.storage import StoragePath
from vibesweep.storage.json_text import parse_json
from vibesweep.storage.parquet import open_parquet
from vibesweep.sweep.record import SweepFolder
from vibesweep.training.state.checkpoint import CHECKPOINT_JSON, fetched_checkpoint
from vibesweep.training.state.full_state import STATE_JSON, load_state

DEEP = '{"a":' * 5_000 + "1" + "}" * 5_000
LEVELS_102 = "[" * 102 + "]" * 102
MOST_MB = 20.0
RATE_HZ = 8_000


class Pwned:
    """Writes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as a call."""
        return Path.touch, (self._mark,)


@contextmanager
def little_memory() -> Iterator[None]:
    """See that the block never holds more than some megabytes."""
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < MOST_MB * 1e6, f"{peak / 1e6:.0f} MB"


def load_bundle(folder: Path) -> object:
    return ModelRef.parse(str(folder)).family.load(str(folder))


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return tiny.write_base(tmp_path / "bundle")


# Code


def test_a_pickle_in_the_place_of_weights_is_not_run(tmp_path: Path, bundle: Path) -> None:
    mark = tmp_path / "pwned"
    content = pickle.dumps(Pwned(mark))
    pickle.loads(content)
    mark.unlink()  # it works
    for name in ("model.safetensors", "voices.safetensors", "config.json"):
        whole = (bundle / name).read_bytes()
        (bundle / name).write_bytes(content)
        with pytest.raises(ModelError):
            load_bundle(bundle)
        (bundle / name).write_bytes(whole)
    (bundle / "pytorch_model.bin").write_bytes(content)
    load_bundle(bundle)
    torch.save(Pwned(mark), tmp_path / STATE_JSON)
    with pytest.raises(ModelError):
        load_state(tmp_path)
    assert not mark.exists()


def test_nothing_in_the_package_unpickles_a_file_or_parses_json_by_itself() -> None:
    own_tasks = {"vibesweep.corpus.preprocess.tasks", "vibesweep.training.data.stream"}
    for name in modules():
        source = source_of(name)
        assert not re.search(r"torch\.load\(|yaml\.(unsafe_)?load\(|shell=True", source), name
        if name not in own_tasks:  # what passes through Ray's memory
            assert "pickle.load" not in source, name
        if name != "vibesweep.storage.json_text":
            assert "json.load" not in source, name


# Paths


@pytest.mark.parametrize("name", ["../secret", "/etc/secret", "s3://elsewhere/secret", "", 7, None])
def test_checkpoints_and_states_name_tensors_beside_them(tmp_path: Path, name: object) -> None:
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    save_file({"0": torch.zeros(1)}, tmp_path / "secret")
    for json_name in (CHECKPOINT_JSON, STATE_JSON):
        content = {"tensors": name, "settings": {}, "tree": {"tensor": "0"}}
        (folder / json_name).write_text(json.dumps(content))
    with pytest.raises(ModelError, match="outside of its folder"), fetched_checkpoint(folder):
        pass
    with pytest.raises(ModelError, match="outside of its folder"):
        load_state(folder)


@pytest.mark.parametrize("name", ["../../home", "/home", "..", "a/b", ""])
def test_a_record_names_no_trial_outside_its_folder(tmp_path: Path, name: str) -> None:
    folder = write_sweep(tmp_path / "made")
    record = json.loads(folder.record.read_bytes())
    record["trials"][0]["id"] = name
    folder.record.write_bytes(json.dumps(record).encode())
    with pytest.raises(SweepError, match="id"):
        folder.read()


def test_a_log_names_no_trial_outside_its_folder(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "made")
    running = write_sweep(tmp_path / "running", state=folder.read().state.RUNNING)
    content = running.events.read_bytes()
    running.events.write_bytes(content.replace(b'"id3"', b'"../../id3"'))
    with pytest.raises(SweepError, match="id"):
        running.read()


@pytest.mark.parametrize("name", ["../t.parquet", "/t.parquet", "a/../../t.parquet", "C:t", 3])
def test_a_manifest_names_no_file_outside_its_folder(tmp_path: Path, name: object) -> None:
    shards = tiny.write_shards(tmp_path / "shards")
    found = json.loads((shards / "manifest.json").read_bytes())
    for change in ({"shards": [found["shards"][0] | {"name": name}]}, {"sidecar": name}):
        broken = found | change
        if "sidecar" in change:
            broken = found | {"encoder": found["encoder"] | change}
        (shards / "manifest.json").write_text(json.dumps(broken))
        with pytest.raises(ShardsError):
            read_manifest(shards)


def test_removing_a_sweeps_folder_does_not_follow_its_links(tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir()
    (private / "letter").write_text("dear")
    sweep = tmp_path / "sweep"
    (sweep / "states").mkdir(parents=True)
    (sweep / "states" / "trial_000").symlink_to(private)
    (sweep / "checkpoints").symlink_to(private)
    folder = SweepFolder(sweep)
    folder.states.remove()
    folder.checkpoints.remove()
    assert not folder.states.is_dir()
    assert (private / "letter").read_text() == "dear"


def test_an_export_hands_on_no_file_that_a_link_leads_to(tmp_path: Path) -> None:
    secret = tmp_path / "home" / "key.txt"
    secret.parent.mkdir()
    secret.write_text("secret")
    hub = tmp_path / "hub" / "models--a--b"
    blob = hub / "blobs" / "123"
    base = hub / "snapshots" / "abc"
    for folder in (blob.parent, base, tmp_path / "out"):
        folder.mkdir(parents=True)
    blob.write_text("{}")
    (base / "tokenizer.json").symlink_to("../../blobs/123")
    copy_companions(base, tmp_path / "out")
    assert (tmp_path / "out" / "tokenizer.json").read_text() == "{}"
    (base / "notes.txt").symlink_to(secret)
    with pytest.raises(ModelError, match="a link to"):
        copy_companions(base, tmp_path / "out")
    assert not (tmp_path / "out" / "notes.txt").exists()


# Depth and sizes


@pytest.mark.parametrize("content", [DEEP, LEVELS_102, DEEP.encode()])
def test_deep_json_is_refused(content: str | bytes) -> None:
    with pytest.raises(ValueError, match="nested"):
        parse_json(content)
    assert parse_json(LEVELS_102[1:-1])


@pytest.mark.parametrize("content", [DEEP, LEVELS_102, "[]", "7", "null", "{", "\x00"])
def test_json_of_a_stranger_ends_in_one_line(tmp_path: Path, bundle: Path, content: str) -> None:
    shards = tiny.write_shards(tmp_path / "shards")
    sweep = write_sweep(tmp_path / "sweep")
    files: list[tuple[Path, Callable[[], object], type[Exception]]] = [
        (bundle / "provenance.json", lambda: evaluate(str(bundle), shards, print), ModelError),
        (bundle / "config.json", lambda: load_bundle(bundle), ModelError),
        (shards / "manifest.json", lambda: read_manifest(shards), ShardsError),
        (tmp_path / "sweep" / "sweep.json", sweep.read, SweepError),
        (tmp_path / "sweep" / "events.jsonl", sweep.replay, SweepError),
        (tmp_path / "quality.json", lambda: read_quality(StoragePath.of(file)), ModelError),
        (tmp_path / STATE_JSON, lambda: load_state(tmp_path), ModelError),
    ]
    for file, read, kind in files:
        file.write_text(content + "\n")
        with pytest.raises(kind) as caught:
            read()
        assert len(str(caught.value)) < 1_000


@pytest.mark.parametrize("value", [10**18, 2**31, -1, 0, "x", None, [], {}, True, 1e308])
def test_a_bundle_of_absurd_sizes_ends_in_one_line(bundle: Path, value: object) -> None:
    whole = json.loads((bundle / "config.json").read_bytes())
    changes = [("shape", name) for name in whole["shape"]]
    changes += [("mel", name) for name in ("n_fft", "hop_samples", "n_mels", "sample_rate_hz")]
    floats = ("prompt_drop", "condition_drop", "input_noise")
    for part, name in changes:
        if name in floats and value in (0, 1e308):
            continue
        broken = whole | {part: whole[part] | {name: value}}
        (bundle / "config.json").write_text(json.dumps(broken))
        with pytest.raises(ModelError):
            load_bundle(bundle)


def test_a_bundle_takes_no_more_memory_than_its_weights(bundle: Path) -> None:
    config = json.loads((bundle / "config.json").read_bytes())
    config["shape"] |= {"hidden_size": 1 << 18}
    (bundle / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=r"its config.json has"):
        load_bundle(bundle)


def test_a_safetensors_header_that_claims_more_than_there_is(bundle: Path) -> None:
    weights = bundle / "model.safetensors"
    header = json.dumps({"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}})
    for length, text in ((2**62, "{}"), (100_000_001, "{}"), (len(header), header), (2, "{}")):
        weights.write_bytes(struct.pack("<Q", length) + text.encode())
        with pytest.raises(ModelError):
            load_bundle(bundle)


def parquet_bomb(kind: str) -> pa.Table:
    if kind == "rows":
        return pa.table({"id": pa.nulls(1_000_000, pa.bool_())})
    if kind == "nested":
        inner = pa.nulls(1_000_000, pa.bool_())
        return pa.table({"turns": pa.ListArray.from_arrays([0, len(inner)], inner)})
    return pa.table({"mel": pa.array([bytes(20_000_000)])})


@pytest.mark.parametrize("kind", ["rows", "nested", "packed"])
def test_a_parquet_bomb_is_not_unpacked(tmp_path: Path, kind: str) -> None:
    shards = tiny.write_shards(tmp_path / "shards")
    file = shards / "train-00000.parquet"
    pq.write_table(parquet_bomb(kind), file, compression="zstd", use_dictionary=False)
    assert file.stat().st_size < 20_000
    with pytest.raises(StorageError, match="claims"):
        list(read_clips(shards, "train"))
    file.write_bytes(b"PAR1 and nothing of the kind")
    with pytest.raises(StorageError, match="no Parquet file"):
        open_parquet(StoragePath.of(file))


def test_a_parquet_file_without_columns_is_opened(tmp_path: Path) -> None:
    file = tmp_path / "none.parquet"
    pq.write_table(pa.table({"id": ["a"]}).select([]), file)
    assert open_parquet(StoragePath.of(file)).metadata.num_columns == 0


def silence(file: Path) -> Path:
    """Write ten minutes of silence, which take some kilobytes."""
    samples = np.zeros(600 * RATE_HZ, np.int16)
    soundfile.write(file, samples, RATE_HZ)
    assert file.stat().st_size < 50_000
    return file


def test_long_silence_in_a_small_file_is_not_decoded_whole(tmp_path: Path) -> None:
    audio = silence(tmp_path / "long.flac")
    recording = Recording("long", str(audio), words="Good morning.")
    part = decode_part(Part((Planned(recording, "f"),)), tiny.ENCODER, 300.0)
    (reject,) = part.tried.rejects.values()
    assert reject.reason == "too_long"
    assert not part.sounds.samples
    (tmp_path / "metadata.csv").write_text(f"id|audio|text|speaker\na|{audio.name}|Hello.|Ann\n")
    with pytest.raises(CorpusError, match="compared with"):
        choose_passages(tmp_path, "en-us", 1)


def test_a_report_reads_no_more_of_a_sound_than_it_shows(tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path / "made")
    (tmp_path / "made" / "best").mkdir()
    silence(tmp_path / "long.flac").rename(tmp_path / "made" / "best" / "sample.wav")
    facts = read_facts(sweep)
    with little_memory():
        (spoken,) = spoken_texts(facts)
    assert spoken.clips[0].cut
