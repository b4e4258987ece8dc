"""Does the shipped base speak? pocketsphinx chooses among 40 sentences that the base never met.

    python -m tests.benchmarks.base_speaks [MODEL]

The sentences are spoken in voices that the base knows. The recordings, eSpeak NG's own audio, are
judged in the same way and set the measure: eSpeak's voices are hard for the recognizer.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import torch
from torch import Tensor

from tests.benchmarks.measure import Measure, print_measures
from vibesweep.corpus.demo.voices import BASE_VOICES, ESPEAK_RATE_HZ, Voice, speak
from vibesweep.corpus.ingest import decode
from vibesweep.corpus.sound.arrays import Samples
from vibesweep.corpus.sound.levels import at_level
from vibesweep.corpus.sound.mel import log_mel
from vibesweep.corpus.sound.rates import FRAMES_PER_PATCH, seconds_of
from vibesweep.corpus.sound.vocoder import griffin_lim
from vibesweep.corpus.text import phonemize
from vibesweep.models.family import SpeakingSettings
from vibesweep.models.mel.model import MelModel
from vibesweep.models.mel.speech import sample_latents
from vibesweep.models.registry import ModelRef
from vibesweep.quality.recognition import RATE_HZ, ClosedSet
from vibesweep.quality.scorer import Sound

SENTENCES = Path(__file__).with_name("held_out_sentences.txt").read_text().splitlines()
PROMPT = "This is a sample of my voice, nothing more."
ENGLISH = [voice for voice in BASE_VOICES if voice.language == "en"]
VOICES = ENGLISH[:: len(BASE_VOICES) // len(SENTENCES)]
LEAST_SPEED = 2.0
MOST_STOP_ERROR = 1.0
LEAST_SHARE = 0.85


@dataclass
class Tally:
    """What was heard and measured, over all sentences."""

    identified: dict[str, list[bool]] = field(
        default_factory=lambda: {"recording": [], "resynthesized": [], "spoken": []}
    )
    stop_errors: list[float] = field(default_factory=list)
    sampling_s: float = 0.0
    vocoder_s: float = 0.0
    audio_s: float = 0.0

    def share(self, kind: str) -> float:
        """Return the share of one kind's sentences that were identified."""
        return statistics.fmean(self.identified[kind])


def mel_of(samples: npt.NDArray[np.int16], model: MelModel) -> Tensor:
    """Return the log-mel [T, M] of eSpeak's audio [S], made as preprocessing makes it."""
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        soundfile.write(file.name, samples, ESPEAK_RATE_HZ)
        decoded = decode(Path(file.name), model.mel.sample_rate_hz)
    level, found = model.mel.level_dbfs, decoded.level_dbfs
    levelled = at_level(decoded.samples, level, found=found)
    return torch.from_numpy(log_mel(levelled, model.mel))


def waveform_of(model: MelModel, latents: Tensor) -> Samples:
    """Return the waveform [S] of latents [P, D]."""
    return griffin_lim(model.codec.decode(latents).numpy(), model.mel)


def judge(number: int, voice: Voice, model: MelModel, listener: ClosedSet, tally: Tally) -> None:
    """Speak one sentence and listen to the recording, its resynthesis and the base."""
    text = SENTENCES[number]
    recording = speak(text, voice)
    true = mel_of(recording, model)
    prompt_mel = mel_of(speak(PROMPT, voice), model)
    prompt = model.codec.encode(prompt_mel)[: model.shape.prompt_patches]
    (phonemes,) = phonemize([text])
    turns = [(0, model.phonemes.encode(phonemes.symbols))]
    began = time.perf_counter()
    latents, _ = sample_latents(model, turns, [prompt], SpeakingSettings(seed=number))
    tally.sampling_s += time.perf_counter() - began
    began = time.perf_counter()
    spoken = waveform_of(model, latents)
    tally.vocoder_s += time.perf_counter() - began
    tally.audio_s += seconds_of(len(latents) * FRAMES_PER_PATCH, model.mel)
    tally.stop_errors.append(abs(len(latents) - len(true) / FRAMES_PER_PATCH))
    resynthesized = waveform_of(model, model.codec.encode(true))
    rate_hz = model.mel.sample_rate_hz
    sounds = {
        "recording": Sound(recording.astype(np.float32), ESPEAK_RATE_HZ),
        "resynthesized": Sound(resynthesized, rate_hz),
        "spoken": Sound(spoken, rate_hz),
    }
    for kind, sound in sounds.items():
        is_right = listener.hears(sound.at(RATE_HZ), text)
        tally.identified[kind].append(is_right)


def measures(tally: Tally) -> list[Measure]:
    """Return the figures, the headline last."""
    copies = "identified, recordings through PCA and Griffin-Lim"
    speed = tally.audio_s / (tally.sampling_s + tally.vocoder_s)
    stop_error = statistics.fmean(tally.stop_errors)
    share = tally.share("spoken") / tally.share("recording")
    return [
        Measure("identified, recordings", tally.share("recording")),
        Measure(copies, tally.share("resynthesized")),
        Measure("identified, spoken by the base", tally.share("spoken")),
        Measure("times real time, without vocoder", tally.audio_s / tally.sampling_s),
        Measure("times real time", speed, LEAST_SPEED),
        Measure("mean stop error, patches", stop_error, MOST_STOP_ERROR, at_least=False),
        Measure("identified, share of what the recordings reach", share, LEAST_SHARE),
    ]


def main() -> None:
    """Speak, listen, and print the figures."""
    model = ModelRef.parse(sys.argv[1] if len(sys.argv) > 1 else "mel-small").load()
    assert isinstance(model, MelModel)
    torch.set_num_threads(2)
    listener = ClosedSet(SENTENCES)
    tally = Tally()
    for number in range(len(SENTENCES)):
        judge(number, VOICES[number % len(VOICES)], model, listener, tally)
    print_measures("the base speaks", measures(tally))


if __name__ == "__main__":
    main()
