"""`vibesweep new-space` writes a space file that the early checks take, whatever the corpus."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from tests import tiny
from vibesweep.cli import app
from vibesweep.corpus.preprocess.facts import CorpusFacts, corpus_facts
from vibesweep.errors import CorpusError, SpaceError
from vibesweep.models.mel.recipe import mel_recipe
from vibesweep.models.recipe import Recipe
from vibesweep.models.vibevoice.recipe import RECIPE
from vibesweep.sweep.checks.early import check_sweep
from vibesweep.sweep.search.draft import draft_space, file_name
from vibesweep.sweep.search.space_file import load_space


def write_corpus(folder: Path, count: int = 4) -> Path:
    """Write LJSpeech's layout: two seconds of noise each, one text in Mandarin."""
    (folder / "wavs").mkdir(parents=True)
    rng = np.random.default_rng(0)
    lines = []
    for number in range(count):
        samples = rng.normal(0, 0.1, 32_000)
        soundfile.write(folder / "wavs" / f"clip{number}.wav", samples, 16_000)
        lines.append(f"clip{number}|{'hello there' if number else '你好'}")
    (folder / "metadata.csv").write_text("\n".join(lines), encoding="utf-8")
    return folder


def test_what_it_writes_passes_the_early_checks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_corpus(tmp_path / "my talks")
    monkeypatch.chdir(tmp_path)
    typed = CliRunner().invoke(app, ["new-space", "my talks"], catch_exceptions=False)
    assert "About 4 clips" in typed.output
    assert "next:       vibesweep run my_talks.py" in typed.output
    sweep = load_space(Path("my_talks.py"))
    assert (sweep.corpus, sweep.model, sweep.settings.batch_clips) == ("my talks", "mel-small", 4)
    said: list[str] = []
    check_sweep(sweep, "mine", tmp_path, said.append, space_file=Path("my_talks.py"))
    assert said == []
    with pytest.raises(SpaceError, match="it is there already"):
        CliRunner().invoke(app, ["new-space", "my talks"], catch_exceptions=False)


def test_a_corpus_is_looked_at_without_being_decoded(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus")
    facts = corpus_facts(corpus, "en-us")
    assert (facts.clips, facts.people) == (4, ("corpus",))
    assert facts.hours * 3_600 == pytest.approx(8)
    assert facts.languages == {"zh": 1, "en": 3}
    shards = corpus_facts(tiny.write_shards(tmp_path / "shards"), "en-us")
    assert (shards.clips, shards.people) == (30, ("p0",))
    for sound in (corpus / "wavs").iterdir():
        sound.write_bytes(b"nothing")
    with pytest.raises(CorpusError, match="none of 4 recordings"):
        corpus_facts(corpus, "en-us")


@pytest.mark.parametrize("recipe", [Recipe(), mel_recipe(40), mel_recipe(4_000), RECIPE])
def test_every_recipe_makes_a_space(recipe: Recipe, tmp_path: Path) -> None:
    facts = CorpusFacts(900, 1.5, tuple(f"person {n}" for n in range(20)), {"en": 9})
    corpus = 'odd "na\\me"'
    text = draft_space("a space.py", corpus, "mel-small", facts, recipe)
    file = tmp_path / "a space.py"
    file.write_text(text)
    sweep = load_space(file)
    assert sweep.corpus == corpus
    assert "and 12 more" in text
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize(
    ("corpus", "name"),
    [
        ("my_recordings", "my_recordings.py"),
        ("/data/LJSpeech-1.1/", "LJSpeech_1.py"),
        ("talks/metadata.csv", "talks.py"),
        ("s3://bucket/a b", "a_b.py"),
        ("list.jsonl", "list.py"),
        (".", "space.py"),
    ],
)
def test_the_file_is_named_after_the_corpus(corpus: str, name: str) -> None:
    assert file_name(corpus) == name
