"""Train a base of the family ``mel`` from nothing, on speech that free teachers make.

    pip install -e ".[mel]" hibari-tts; apt-get install flite
    python -m examples.base.train OUT --texts northanger.txt northsouth.txt

Texts and chunks of speech go into OUT and are taken up where they were left; the training begins
anew. It begins with the first few chunks and hears the others as they are spoken: the speaking
takes the cores, the training the GPU. Both end with their time. OUT/base is then a bundle to tune.
docs/design/base.md says what is made of what.
"""

from __future__ import annotations

import argparse
import os
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from examples.base.clips import Chunk, chunks, read_chunk, speak_chunks, spoken_of
from examples.base.stock import Reading
from examples.base.teachers import TEACHERS, installed
from examples.base.texts import utterances
from examples.base.training import Training
from vibesweep.config import MelSettings
from vibesweep.corpus.shards.statistics import Moments, added_up
from vibesweep.corpus.sound.rates import seconds_of
from vibesweep.corpus.text.phoneme_table import PhonemeTable
from vibesweep.models.clips import Augmentation
from vibesweep.models.mel.encoder import MEL
from vibesweep.models.mel.model import MelModel
from vibesweep.models.mel.shape import MelShape
from vibesweep.models.packing import RowShape

CODEC_CHUNKS = 60
"""So many chunks show what mels there are; the training waits for them."""
POLL_S = 1.0
MOST_DROPPED = 0.05


def fit_model(
    shape: MelShape, table: PhonemeTable, spoken: Sequence[Chunk], mel: MelSettings
) -> tuple[MelModel, float]:
    """Make a model whose codec is fitted on the clips of chunks.

    Returns:
        The model, untrained, and the share of the log-mels' variance that its latents keep.
    """
    model = MelModel(shape, table, mel)
    moments = added_up(chunk_moments(model, chunk) for chunk in spoken)
    if not (np.isfinite(moments.mean).all() and np.isfinite(moments.products).all()):
        raise SystemExit("the log-mels are not finite: speak the chunks anew")
    return model, model.codec.fit(moments)


def chunk_moments(model: MelModel, chunk: Chunk) -> Moments:
    """Return the moments of a chunk's log-mel patches, with all products of pairs."""
    patches = []
    for clip in read_chunk(chunk, model.mel):
        frames = clip.columns[MEL].reshape(-1, model.mel.n_mels).astype(np.float32)
        patches.append(model.codec.patches(torch.from_numpy(frames)))
    return Moments.of(torch.cat(patches).numpy(), pairs=True)


def parsed_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    texts_help = "plain English text files to read aloud"
    parser.add_argument("--texts", type=Path, nargs="*", default=[], help=texts_help)
    parser.add_argument("--english", type=int, default=120_000, help="English sentences")
    mandarin_help = "Mandarin sentences, made by the demo corpus's grammar"
    parser.add_argument("--mandarin", type=int, default=12_000, help=mandarin_help)
    teachers_help = "who speaks, of those that are installed"
    parser.add_argument(
        "--teachers", nargs="+", choices=list(TEACHERS), default=installed(), help=teachers_help
    )
    parser.add_argument("--chunks", type=int, default=2_000, help="of 64 clips, 4 minutes, each")
    speech_help = "folder of the chunks, which several trainings can share; OUT/chunks without it"
    parser.add_argument("--speech", type=Path, help=speech_help)
    processes_help = "that speak; with 0, what is spoken by others is heard"
    cores = os.cpu_count() or 1
    parser.add_argument("--processes", type=int, default=max(1, cores - 8), help=processes_help)
    parser.add_argument("--minutes", type=float, default=9.0, help="of training")
    parser.add_argument("--row", type=int, default=20_480, help="tokens of a step")
    parser.add_argument("--hidden", type=int, default=320, help="size of the network")
    noise_help = "spread of the noise on the latents that are fed back"
    parser.add_argument("--input-noise", type=float, default=0.1, help=noise_help)
    hidden_help = "share of the latents that are fed back, in spans, that are hidden"
    parser.add_argument("--hide", type=float, default=0.0, help=hidden_help)
    parser.add_argument("--weight-decay", type=float, default=0.01)
    return parser.parse_args()


def first_chunks(planned: Sequence[Chunk], speaking: threading.Thread | None) -> list[Chunk]:
    """Wait until there are enough chunks to fit the codec on, and return those."""
    wanted = min(CODEC_CHUNKS, len(planned))
    while True:
        ended = speaking is not None and not speaking.is_alive()
        spoken = [chunk for chunk in planned if chunk.listing.exists()]
        if len(spoken) >= wanted:
            return spoken[:wanted]
        if ended:
            raise SystemExit(f"no more than {len(spoken)} chunks could be spoken")
        time.sleep(POLL_S)


def begun(planned: Sequence[Chunk], processes: int, enough: threading.Event) -> threading.Thread:
    """Have the chunks spoken by other processes, from a thread of this one."""
    speaking = threading.Thread(target=speak_chunks, args=(planned, processes, enough), daemon=True)
    speaking.start()
    return speaking


def check_dropped(spoken: Sequence[Chunk]) -> None:
    """End where too much of what was spoken is no speech."""
    clips = spoken_of(spoken).clips
    dropped = clips.total() - clips["clips"]
    if dropped > MOST_DROPPED * clips.total():
        raise SystemExit(f"{dropped} of {clips.total()} clips are no speech: {dict(clips)}")


def facts_of(planned: Sequence[Chunk], mel: MelSettings) -> dict[str, Any]:
    """Say how much has been spoken."""
    spoken = spoken_of(planned)
    hours = seconds_of(spoken.frames, mel) / 3_600
    return {"hours": round(hours, 1), "people": len(spoken.people), "clips": dict(spoken.clips)}


def main() -> None:
    """Speak, and fit and train meanwhile."""
    asked = parsed_arguments()
    speech = asked.speech or asked.out / "chunks"
    speech.mkdir(parents=True, exist_ok=True)
    asked.out.mkdir(exist_ok=True)
    said = utterances(speech / "texts.jsonl", asked.texts, asked.english, asked.mandarin)
    planned = list(chunks(speech, said, asked.chunks, tuple(asked.teachers)))
    enough = threading.Event()
    speaking = begun(planned, asked.processes, enough) if asked.processes else None
    spoken = first_chunks(planned, speaking)
    check_dropped(spoken)
    everything = [utterance.symbols for stock in said.values() for utterance in stock]
    shape = MelShape(
        hidden_size=asked.hidden, ffn_size=3 * asked.hidden, input_noise=asked.input_noise
    )
    mel = MelSettings()
    model, kept = fit_model(shape, PhonemeTable.fit(everything), spoken, mel)
    row = RowShape(asked.row, asked.row // 3, asked.row // 50)
    augmentation = Augmentation(time_share=asked.hide)
    reading = Reading(model.encoder(), mel, shape, row, augmentation)
    training = Training(
        model,
        [replace(chunk, said=()) for chunk in planned],
        reading,
        asked.out,
        asked.weight_decay,
    )
    training.run(asked.minutes * 60)
    enough.set()
    facts = {"variance_kept": round(kept, 3), "shape": asdict(shape), "hide": asked.hide}
    training.save({**facts, **facts_of(planned, mel)})


if __name__ == "__main__":
    main()
