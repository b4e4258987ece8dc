"""What reads texts and decodes recordings: eSpeak NG and ffmpeg."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

from vibesweep.corpus.text.mel_extra import PACKAGES, is_installed
from vibesweep.corpus.text.phonemes import phonemize
from vibesweep.doctor.finding import Finding, note, problem, refused
from vibesweep.errors import VibesweepError


def look_at_sounds() -> Iterator[Finding]:
    """Look whether eSpeak NG reads a word, and whether ffmpeg is here."""
    if all(is_installed(module) for module in PACKAGES):
        yield _espeak()
    if shutil.which("ffmpeg") is None:
        fix = "install ffmpeg if you have m4a, wma or video; wav, flac, ogg and mp3 need none"
        yield note("ffmpeg", "not here", fix)
    else:
        yield Finding("ffmpeg", "reads what libsndfile does not")


def _espeak() -> Finding:
    subject = "eSpeak NG"
    try:
        (hello,) = phonemize(["hello"])
    except VibesweepError as error:
        return refused(subject, error)
    except (OSError, RuntimeError) as error:  # the library does not load
        reason = " ".join(str(error).split())
        fix = "pip install --force-reinstall espeakng-loader"
        return problem(subject, f"does not load: {reason}", fix)
    symbols = "".join(hello.symbols)
    return Finding(subject, f'reads "hello" as {symbols}')
