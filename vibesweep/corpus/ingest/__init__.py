"""A user's folder becomes recordings, and audio files become samples.

``metadata`` finds the layout of a corpus's table. ``table``, ``jsonl`` and ``ljspeech`` read one
layout each, with ``rows`` for what they share and ``segments`` for turn times. ``audio_file`` reads
headers (``piped_wav`` for sizes of 0) and ``blocks`` samples, ``other_formats`` has ffmpeg decode
what libsndfile does not; ``decoding`` makes waveforms of them, with ``channel_statistics``, and
``envelope`` measures levels.
"""

from vibesweep.corpus.ingest.audio_file import AudioHeader, probe
from vibesweep.corpus.ingest.decoding import Waveform, decode
from vibesweep.corpus.ingest.envelope import ENVELOPE_HOP_S, level_envelope
from vibesweep.corpus.ingest.metadata import METADATA_FILE, read_metadata
from vibesweep.corpus.ingest.other_formats import readable_audio

__all__ = [
    "ENVELOPE_HOP_S",
    "METADATA_FILE",
    "AudioHeader",
    "Waveform",
    "decode",
    "level_envelope",
    "probe",
    "read_metadata",
    "readable_audio",
]
