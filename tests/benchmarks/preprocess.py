"""How fast a corpus becomes shards, against a plain loop in one process; how much memory that takes; where the time goes.

    python -m tests.benchmarks.preprocess [--hours 8]

Speech is the real speech beside the project where it is there, otherwise the demo corpus, under as many names as the hours need. The plain
loop does the torchaudio work and no more: decode, mix down, resample, level, mel. It speaks no phonemes and writes nothing.
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
import statistics
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import soundfile
import torch
import torchaudio

from tests.benchmarks.measure import Measure, tell
from vibesweep.cluster.session import running_ray
from vibesweep.config import MelSettings
from vibesweep.corpus.demo.dialogues import write_demo_corpus
from vibesweep.corpus.preprocess.progress import Encoded
from vibesweep.corpus.preprocess.run import preprocess
from vibesweep.corpus.sound.mel import LOG_FLOOR
from vibesweep.corpus.sound.resampling import SINC_BETA, SINC_ROLLOFF, SINC_ZEROS

SHARED_SPEECH = Path(__file__).parents[3] / "shared" / "data" / "speech"
MEL = MelSettings()
SPEECH_STAGES = ("audio", "mel", "phonemes")
CORES = len(os.sched_getaffinity(0))
SAMPLE_EVERY_S = 0.2


@dataclass(frozen=True)
class Run:
    """What a run took: seconds, speech, seconds of work by stage, and the most memory of the driver and of any worker."""

    hours: float
    seconds: float
    worked_s: dict[str, float]
    driver_mb: float
    worker_mb: float


def copies(corpus: Path, out: Path, hours: float) -> Path:
    """A corpus of so many hours: the same files under many names."""
    with (corpus / "metadata.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    (out / "audio").mkdir(parents=True)
    (out / "text").mkdir()
    with (out / "metadata.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        left_s, number = hours * 3_600, 0
        while left_s > 0:
            row, copy = rows[number % len(rows)], f"c{number:06d}"
            names = {
                "audio_path": f"audio/{copy}{Path(row['audio_path']).suffix}",
                "text_path": f"text/{copy}.txt",
            }
            for column, name in names.items():
                os.link(corpus / row[column], out / name)
            table.writerow({**row, "id": copy, **names})
            left_s, number = left_s - float(row["duration_sec"]), number + 1
    return out


def plain(corpus: Path) -> float:
    """Hours of speech a minute of a plain loop, all cores open to torch, by the time that the second half of the files takes."""
    mel = torchaudio.transforms.MelSpectrogram(
        MEL.sample_rate_hz, MEL.n_fft, hop_length=MEL.hop_samples, n_mels=MEL.n_mels, power=1.0
    )
    resamplers: dict[int, torch.nn.Module] = {}
    files = sorted((corpus / "audio").iterdir())
    seconds = began = 0.0
    for number, path in enumerate(files):
        if number == len(files) // 2:
            seconds, began = 0.0, time.perf_counter()
        samples, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
        waveform = torch.from_numpy(samples).mean(1)
        if rate_hz not in resamplers:
            resamplers[rate_hz] = torchaudio.transforms.Resample(
                rate_hz,
                MEL.sample_rate_hz,
                lowpass_filter_width=SINC_ZEROS,
                rolloff=SINC_ROLLOFF,
                resampling_method="sinc_interp_kaiser",
                beta=SINC_BETA,
            )
        waveform = resamplers[rate_hz](waveform)
        waveform = waveform * 10 ** (MEL.level_dbfs / 20) / waveform.square().mean().sqrt()
        mel(waveform).clamp_min(LOG_FLOOR).log().T.half()
        seconds += len(samples) / rate_hz
    return seconds / 60 / (time.perf_counter() - began)


class Memory(threading.Thread):
    """Watches the most resident memory of this process, and of any of its descendants that is a Ray worker."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.driver_mb = self.worker_mb = 0.0
        self.done = threading.Event()

    def run(self) -> None:
        """Look every so often until told to end."""
        me = psutil.Process()
        while not self.done.wait(SAMPLE_EVERY_S):
            self.driver_mb = max(self.driver_mb, _own_mb(me))
            for child in me.children(recursive=True):
                try:
                    if "ray::" in " ".join(child.cmdline()[:1]):
                        self.worker_mb = max(self.worker_mb, _own_mb(child))
                except psutil.Error:
                    continue  # it has just ended


def _own_mb(process: psutil.Process) -> float:
    found = process.memory_info()
    return float(found.rss - found.shared) / 1e6  # the object store's pages are shared


def measured(corpus: Path, out: Path, hours: float) -> Run:
    """Make shards of so many hours."""
    shutil.rmtree(out, ignore_errors=True)
    told: list[Encoded] = []
    memory = Memory()
    memory.start()
    began = time.perf_counter()
    preprocess(corpus, out, tell=told.append)
    seconds = time.perf_counter() - began
    memory.done.set()
    memory.join()
    return Run(
        told[-1].speech_s / 3_600,
        seconds,
        dict(told[-1].worked_s),
        memory.driver_mb,
        memory.worker_mb,
    )


def main() -> None:
    """Make the corpora, run the plain loop before and after, and tell."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--hours", type=float, default=8.0)
    hours = parser.parse_args().hours
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        source = work / "source"
        if SHARED_SPEECH.is_dir():
            shutil.copytree(SHARED_SPEECH, source)
        else:
            write_demo_corpus(source)
        small, large = copies(source, work / "small", 1.0), copies(source, work / "large", hours)
        loops = [plain(small)]
        with running_ray():
            measured(
                copies(source, work / "warm", 0.2), work / "out", 0.2
            )  # the workers import torch
            one, many = measured(small, work / "out", 1.0), measured(large, work / "out", hours)
        loops.append(plain(small))
        torch.set_num_threads(1)
        single = plain(small)
    report(statistics.median(loops), single, one, many)


def report(loop: float, single: float, one: Run, many: Run) -> None:
    """Tell all figures, the headline last."""
    speed = many.hours / many.seconds * 60
    other = 1 - sum(many.worked_s[stage] for stage in SPEECH_STAGES) / (CORES * many.seconds)
    stages = [
        Measure(f"{stage}, core seconds an hour of speech", worked / many.hours)
        for stage, worked in many.worked_s.items()
    ]
    tell(
        f"{many.hours:.1f} h of speech to shards, Ray up before",
        [
            *stages,
            Measure("plain loop, torch on all cores, hours of speech a minute", loop),
            Measure("plain loop, torch on one core, hours of speech a minute", single),
            Measure("shards, hours of speech a minute", speed),
            Measure(
                f"driver's peak memory, {many.hours:.0f} h against 1 h",
                many.driver_mb / one.driver_mb,
                1.25,
                at_least=False,
            ),
            Measure(
                f"a worker's peak memory, {many.hours:.0f} h against 1 h",
                many.worker_mb / one.worker_mb,
                1.25,
                at_least=False,
            ),
            Measure(
                "share of the cores' time that is not decode, resample, mel or phonemes",
                other,
                0.2,
                at_least=False,
            ),
            Measure("shards against the plain loop on one core", speed / single),
            Measure("shards against the plain loop", speed / loop, 1.6),
        ],
    )


if __name__ == "__main__":
    main()
