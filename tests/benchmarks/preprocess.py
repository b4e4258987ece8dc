"""How fast a corpus becomes shards, against a plain loop in one process, and the memory it takes.

    python -m tests.benchmarks.preprocess [--hours 8]

The speech is the real speech beside the project where it is there, otherwise the demo corpus,
linked under as many names as the hours need. The plain loop does the work of torchaudio and no
more: decode, mix down, resample, level, mel. It makes no phonemes and writes nothing.
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

from tests.benchmarks.measure import DATA, Measure, print_measures
from vibesweep.cluster.session import running_ray
from vibesweep.config import CorpusSettings, MelSettings
from vibesweep.corpus.demo import write_demo_corpus
from vibesweep.corpus.preprocess.pack import write_shard
from vibesweep.corpus.preprocess.parts import decode_part, encode_sounds, write_part
from vibesweep.corpus.preprocess.plan import parts_of, plan_shards
from vibesweep.corpus.preprocess.progress import Encoded
from vibesweep.corpus.preprocess.run import preprocess
from vibesweep.corpus.preprocess.shard_folder import LABEL_LENGTH, ShardFolder, entries_in
from vibesweep.corpus.preprocess.survey import survey
from vibesweep.corpus.sound.mel import LOG_FLOOR
from vibesweep.corpus.sound.resampling import SINC_BETA, SINC_ROLLOFF, SINC_ZEROS
from vibesweep.models.registry import ModelRef
from vibesweep.storage import StoragePath

SHARED_SPEECH = DATA / "speech"
MODEL = ModelRef.parse("mel-small")
MEL = MelSettings()
SAMPLE_EVERY_S = 0.2
WARM_UP_HOURS = 0.2
LEAST_GAIN = 1.6
MOST_OVERHEAD = 0.2
MOST_MEMORY_GROWTH = 1.25


@dataclass(frozen=True)
class Run:
    """One preprocessing run.

    Attributes:
        hours: hours of speech in the shards.
        seconds: wall time.
        driver_mb: the driver's peak memory, shared pages left out.
        worker_mb: the peak memory of the largest Ray worker, shared pages left out.
    """

    hours: float
    seconds: float
    driver_mb: float
    worker_mb: float

    @property
    def hours_a_minute(self) -> float:
        """Hours of speech a minute of wall time."""
        return self.hours / self.seconds * 60


def repeated_corpus(corpus: Path, out: Path, hours: float) -> Path:
    """Write a corpus of so many hours: the same files linked under many names."""
    with (corpus / "metadata.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    (out / "audio").mkdir(parents=True)
    (out / "text").mkdir()
    with (out / "metadata.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        written_s = 0.0
        number = 0
        while written_s < hours * 3_600:
            row = rows[number % len(rows)]
            table.writerow(linked_row(row, f"c{number:06d}", corpus, out))
            written_s += float(row["duration_sec"])
            number += 1
    return out


def linked_row(row: dict[str, str], name: str, corpus: Path, out: Path) -> dict[str, str]:
    """Link a row's files under a new name and return the row of the copy."""
    copies = {
        "audio_path": f"audio/{name}{Path(row['audio_path']).suffix}",
        "text_path": f"text/{name}.txt",
    }
    for column, path in copies.items():
        os.link(corpus / row[column], out / path)
    return {**row, "id": name, **copies}


def resampler_from(rate_hz: int) -> torch.nn.Module:
    """Return the resampler that preprocessing uses too."""
    resampler: torch.nn.Module = torchaudio.transforms.Resample(
        rate_hz,
        MEL.sample_rate_hz,
        lowpass_filter_width=SINC_ZEROS,
        rolloff=SINC_ROLLOFF,
        resampling_method="sinc_interp_kaiser",
        beta=SINC_BETA,
    )
    return resampler


def plain_loop(corpus: Path) -> float:
    """Return hours of speech a minute of a plain loop, timed over the second half of the files."""
    mel = torchaudio.transforms.MelSpectrogram(
        MEL.sample_rate_hz, MEL.n_fft, hop_length=MEL.hop_samples, n_mels=MEL.n_mels, power=1.0
    )
    resamplers: dict[int, torch.nn.Module] = {}
    files = sorted((corpus / "audio").iterdir())
    level = 10 ** (MEL.level_dbfs / 20)
    seconds = 0.0
    began = 0.0
    for number, path in enumerate(files):
        if number == len(files) // 2:
            seconds = 0.0
            began = time.perf_counter()
        samples, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
        if rate_hz not in resamplers:
            resamplers[rate_hz] = resampler_from(rate_hz)
        waveform = resamplers[rate_hz](torch.from_numpy(samples).mean(1))
        levelled = waveform * level / waveform.square().mean().sqrt()
        mel(levelled).clamp_min(LOG_FLOOR).log().T.half()
        seconds += len(samples) / rate_hz
    return seconds / 60 / (time.perf_counter() - began)


def own_work(corpus: Path, folder: StoragePath) -> float:
    """Return the core seconds that the tasks' own work takes for an hour, here and without Ray."""
    encoder = MODEL.family.clip_encoder(MODEL.address)
    planned = survey(corpus, encoder, None, None).planned
    sounds = encoder.open_sound("cpu")
    shards = ShardFolder(folder)
    speech_s = 0.0
    began = time.process_time()
    for part in parts_of(planned):
        decoded = decode_part(part, encoder, CorpusSettings().max_duration_s)
        rows = encode_sounds(decoded, sounds, encoder.columns)
        speech_s += write_part(decoded, rows, encoder.columns, shards.parts).speech_s
    clips = entries_in(shards.known(), {item.fingerprint for item in planned})
    splits = dict.fromkeys([clip.recording for clip in clips], "train")
    for plan in plan_shards(clips, splits, encoder.bytes_per_patch, "0" * LABEL_LENGTH):
        write_shard(plan, folder, encoder)
    return (time.process_time() - began) / speech_s * 3_600


class MemoryWatch(threading.Thread):
    """Records the peak memory of this process and of its largest Ray worker."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.driver_mb = 0.0
        self.worker_mb = 0.0
        self.done = threading.Event()

    def run(self) -> None:
        """Look every so often until the event is set."""
        driver = psutil.Process()
        while not self.done.wait(SAMPLE_EVERY_S):
            self.driver_mb = max(self.driver_mb, own_mb(driver))
            for child in driver.children(recursive=True):
                try:
                    if is_ray_worker(child):
                        self.worker_mb = max(self.worker_mb, own_mb(child))
                except psutil.Error:
                    continue  # it has just ended


def is_ray_worker(process: psutil.Process) -> bool:
    """Return whether a process runs Ray's tasks or actors."""
    return "ray::" in " ".join(process.cmdline()[:1])


def own_mb(process: psutil.Process) -> float:
    """Return a process's memory in MB without shared pages: the object store is shared."""
    memory = process.memory_info()
    return float(memory.rss - memory.shared) / 1e6


def timed_preprocess(corpus: Path, out: Path) -> Run:
    """Make shards of a corpus and return what it took."""
    shutil.rmtree(out, ignore_errors=True)
    progress: list[Encoded] = []
    watch = MemoryWatch()
    watch.start()
    began = time.perf_counter()
    encoder = MODEL.family.clip_encoder(MODEL.address)
    preprocess(corpus, out, encoder, tell=progress.append)
    seconds = time.perf_counter() - began
    watch.done.set()
    watch.join()
    hours = progress[-1].speech_s / 3_600
    return Run(hours, seconds, watch.driver_mb, watch.worker_mb)


def main() -> None:
    """Make the corpora, run the plain loop before and after, and print the figures."""
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
        warm_up = repeated_corpus(source, work / "warm_up", WARM_UP_HOURS)
        small = repeated_corpus(source, work / "small", 1.0)
        large = repeated_corpus(source, work / "large", hours)
        loops = [plain_loop(small)]
        with running_ray():
            timed_preprocess(warm_up, work / "out")  # the workers import torch
            one_hour = timed_preprocess(small, work / "out")
            all_hours = timed_preprocess(large, work / "out")
        loops.append(plain_loop(small))
        torch.set_num_threads(1)
        one_core = plain_loop(small)
        work_s = own_work(small, StoragePath.of(work / "alone"))
    report(statistics.median(loops), one_core, work_s, one_hour, all_hours)


def report(all_cores: float, one_core: float, work_s: float, one_hour: Run, all_hours: Run) -> None:
    """Print the figures.

    Args:
        all_cores: the plain loop's hours of speech a minute.
        one_core: the same with one thread.
        work_s: core seconds of the tasks' own work for an hour of speech.
        one_hour: a preprocessing of an hour.
        all_hours: a preprocessing of all hours.
    """
    share = "share of the cores' time that is no such work"
    cores = psutil.cpu_count() or 1
    overhead = 1 - work_s / cores * all_hours.hours / all_hours.seconds
    against = f"{all_hours.hours:.0f} h against 1 h"
    driver_growth = all_hours.driver_mb / one_hour.driver_mb
    worker_growth = all_hours.worker_mb / one_hour.worker_mb
    speed = all_hours.hours_a_minute
    most = MOST_MEMORY_GROWTH
    print_measures(
        f"{all_hours.hours:.1f} h of speech to shards, with Ray already up",
        [
            Measure("plain loop, torch on all cores, hours of speech a minute", all_cores),
            Measure("plain loop, torch on one core, hours of speech a minute", one_core),
            Measure("tasks' own work, core seconds for an hour of speech", work_s),
            Measure("shards, hours of speech a minute", speed),
            Measure(share, overhead, MOST_OVERHEAD, at_least=False),
            Measure(f"driver's peak memory, {against}", driver_growth, most, at_least=False),
            Measure(f"a worker's peak memory, {against}", worker_growth, most, at_least=False),
            Measure("shards against the plain loop on one core", speed / one_core),
            Measure("shards against the plain loop", speed / all_cores, LEAST_GAIN),
        ],
    )


if __name__ == "__main__":
    main()
