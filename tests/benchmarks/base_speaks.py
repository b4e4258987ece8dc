"""Does the shipped base speak? 40 sentences it never met, in voices it knows, chosen among all 40 by pocketsphinx.

    python -m tests.benchmarks.base_speaks [MODEL]

The recordings, eSpeak NG's own audio, are judged the same way and set the measure: eSpeak's voices are hard for the recogniser.
"""

from __future__ import annotations

import re
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tests.benchmarks.measure import Measure, print_measures
from vibesweep.corpus.demo.voices import BASE_VOICES, ESPEAK_RATE_HZ, speak
from vibesweep.corpus.ingest.decoding import decode
from vibesweep.corpus.sound.levels import at_level
from vibesweep.corpus.sound.mel import log_mel
from vibesweep.corpus.sound.rates import FRAMES_PER_PATCH, seconds_of
from vibesweep.corpus.sound.resampling import resample
from vibesweep.corpus.sound.vocoder import griffin_lim
from vibesweep.corpus.text.phonemes import phonemize
from vibesweep.models.bundle import load_bundle
from vibesweep.models.mel.model import MelModel
from vibesweep.models.mel.speak import SpeakingSettings
from vibesweep.models.mel.speak import speak as speak_latents

SENTENCES = Path(__file__).with_name("held_out_sentences.txt").read_text().splitlines()
PROMPT = "This is a sample of my voice, nothing more."
SPHINX_RATE_HZ = 16_000
EDGE_SAMPLES = SPHINX_RATE_HZ // 4
VOICES = [voice for voice in BASE_VOICES if voice.language == "en"][
    :: len(BASE_VOICES) // len(SENTENCES)
]

Array = npt.NDArray[np.float32]


class ClosedSet:
    """pocketsphinx with a grammar that allows the sentences and nothing else."""

    def __init__(self, sentences: list[str]) -> None:
        """Compile the grammar."""
        from pocketsphinx import Decoder

        self._words = [" ".join(re.findall(r"[a-z']+", sentence.lower())) for sentence in sentences]
        self._decoder = Decoder(lm=None, logfn="/dev/null", loglevel="FATAL")
        unknown = {
            word
            for words in self._words
            for word in words.split()
            if self._decoder.lookup_word(word) is None
        }
        assert not unknown, f"not in the recogniser's dictionary: {unknown}"
        self._decoder.add_jsgf_string(
            "closed", "#JSGF V1.0; grammar g; public <s> = " + " | ".join(self._words) + ";"
        )
        self._decoder.activate_search("closed")

    def choose(self, waveform: Array, rate_hz: int) -> int | None:
        """Return the number of the sentence it hears, or None."""
        samples = resample(waveform, rate_hz, SPHINX_RATE_HZ)
        # A room around the words: eSpeak's pauses are digital silence, which the recogniser's features cannot take.
        room = np.random.default_rng(0).normal(0, 20, len(samples) + 2 * EDGE_SAMPLES)
        room[EDGE_SAMPLES:-EDGE_SAMPLES] += samples / np.abs(samples).max() * 20_000
        self._decoder.start_utt()
        self._decoder.process_raw(room.astype(np.int16).tobytes(), full_utt=True)
        self._decoder.end_utt()
        heard = self._decoder.hyp()
        return self._words.index(heard.hypstr) if heard and heard.hypstr in self._words else None


def mel_of(text: str, number: int, model: MelModel) -> Tensor:
    """Log-mel [T, M] of eSpeak's own reading, by the path that a recording takes."""
    import soundfile

    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        soundfile.write(file.name, speak(text, VOICES[number % len(VOICES)]), ESPEAK_RATE_HZ)
        decoded = decode(Path(file.name), model.mel.sample_rate_hz)
    levelled = at_level(decoded.samples, model.mel.level_dbfs)
    return torch.from_numpy(log_mel(levelled, model.mel))


def main() -> None:
    """Speak, listen, count."""
    model = load_bundle(sys.argv[1] if len(sys.argv) > 1 else "mel-tiny").model
    assert isinstance(model, MelModel)
    torch.set_num_threads(2)
    listener = ClosedSet(SENTENCES)
    heard: dict[str, list[bool]] = {"recording": [], "resynthesised": [], "spoken": []}
    stop_errors, spoken_s, audio_s, vocoder_s = [], 0.0, 0.0, 0.0
    for number, (text, phonemes) in enumerate(zip(SENTENCES, phonemize(SENTENCES), strict=True)):
        true = mel_of(text, number, model)
        prompt = model.codec.encode(mel_of(PROMPT, number, model))[: model.shape.prompt_patches]
        began = time.perf_counter()
        latents = speak_latents(
            model,
            [(0, model.phonemes.encode(phonemes.symbols))],
            [prompt],
            SpeakingSettings(seed=number),
        )
        spoken_s += time.perf_counter() - began
        began = time.perf_counter()
        waveform = griffin_lim(model.codec.decode(latents).numpy(), model.mel)
        vocoder_s += time.perf_counter() - began
        audio_s += seconds_of(len(latents) * FRAMES_PER_PATCH, model.mel)
        stop_errors.append(abs(len(latents) - len(true) / FRAMES_PER_PATCH))
        raw = speak(text, VOICES[number % len(VOICES)]).astype(np.float32)
        copy = griffin_lim(model.codec.decode(model.codec.encode(true)).numpy(), model.mel)
        for kind, audio, rate_hz in (
            ("recording", raw, ESPEAK_RATE_HZ),
            ("resynthesised", copy, model.mel.sample_rate_hz),
            ("spoken", waveform, model.mel.sample_rate_hz),
        ):
            heard[kind].append(listener.choose(audio, rate_hz) == number)
    rates = {kind: statistics.fmean(right) for kind, right in heard.items()}
    print_measures(
        "the base speaks",
        [
            Measure("identified, recordings", rates["recording"]),
            Measure("identified, recordings through PCA and Griffin-Lim", rates["resynthesised"]),
            Measure("identified, spoken by the base", rates["spoken"]),
            Measure("generated, times real time without vocoder", audio_s / spoken_s),
            Measure("generated, times real time", audio_s / (spoken_s + vocoder_s), 2.0),
            Measure("mean stop error, patches", statistics.fmean(stop_errors), 1.0, at_least=False),
            Measure(
                "identified, share of what the recordings reach",
                rates["spoken"] / rates["recording"],
                0.85,
            ),
        ],
    )


if __name__ == "__main__":
    main()
