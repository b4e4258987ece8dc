"""A family of another package goes the whole way.

tests/cli/test_family_verbs.py does the same by the ordinary verbs.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import soundfile
import torch

from examples.own_family.own_family import OwnEncoder, OwnFamily, OwnModel
from vibesweep.corpus.preprocess.fingerprints import Planned
from vibesweep.corpus.preprocess.parts import decode_part, encode_sounds
from vibesweep.corpus.preprocess.plan import Part
from vibesweep.corpus.recordings import Recording, Turn
from vibesweep.errors import ModelError
from vibesweep.models import registry
from vibesweep.models.bundle import load_bundle, save_bundle
from vibesweep.models.family import ModelFamily, SpeakingSettings
from vibesweep.models.registry import ModelRef, families


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> ModelFamily:
    """Put the example's family into the table."""
    family = OwnFamily()
    monkeypatch.setattr(registry, "families", lambda: {**families(), "own": family})
    return family


@pytest.fixture
def base(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    model = OwnModel()
    save_bundle(model, {"Ann": torch.zeros(4, 4)}, tmp_path / "base")
    return tmp_path / "base"


def test_a_folder_and_a_scheme_name_the_same_model(own: ModelFamily, base: Path) -> None:
    by_folder = ModelRef.parse(str(base))
    by_scheme = ModelRef.parse(f"own:{base}")
    assert by_folder == by_scheme
    assert by_folder.family is own
    assert str(by_folder.located()) == str(base.resolve())
    assert isinstance(by_folder.load(), OwnModel)


def test_a_family_that_is_not_in_the_table_is_unknown(base: Path) -> None:
    with pytest.raises(ModelError, match="of no known family"):
        ModelRef.parse(str(base))


def test_a_family_that_cannot_be_imported_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = EntryPoint("broken", "no_such_package:Family", registry.ENTRY_POINTS)
    monkeypatch.setattr(registry, "entry_points", lambda group: [broken])
    with pytest.raises(ModelError, match="'broken' cannot be imported"):
        families.__wrapped__()


def test_voice_prompts_may_share_memory(tmp_path: Path) -> None:
    latents = torch.arange(24.0).view(6, 4)
    prompts = {"Ann": latents[:4], "Bo": latents[:4], "Cy": latents[2:]}
    save_bundle(OwnModel(), prompts, tmp_path / "shared")
    voices = load_bundle(tmp_path / "shared", OwnModel).voices
    assert list(voices) == list(prompts)
    for name, prompt in prompts.items():
        assert torch.equal(voices[name], prompt)


def test_it_reads_a_corpus_and_speaks(own: ModelFamily, base: Path, tmp_path: Path) -> None:
    noise = torch.randn(48_000, generator=torch.Generator().manual_seed(0)).numpy() / 10
    soundfile.write(tmp_path / "a.wav", noise, 24_000)
    recording = Recording("a", str(tmp_path / "a.wav"), words="Hello there, my friend.")
    encoder = OwnEncoder()
    part = decode_part(Part((Planned(recording, "f"),)), encoder, 300.0)
    (row,) = encode_sounds(part, encoder.open_sound("cpu"), encoder.columns)
    assert (row["patches"], row["tokens"]) == (15, 19)
    assert len(row["bands"]) == 15 * 4 * 2
    model = ModelRef.parse(str(base))
    turns = [Turn("SPEAKER_A", "Hello there.")]
    speech = own.synthesize(model.address, turns, tmp_path / "b.wav", {}, SpeakingSettings())
    assert speech.voices == {"SPEAKER_A": "Ann"}
    assert soundfile.info(str(tmp_path / "b.wav")).duration == pytest.approx(speech.seconds)
