"""A user's folder becomes recordings, and audio files become samples.

``metadata`` finds a corpus's table. ``sheet`` splits one into cells, ``table_columns`` decides what
its columns hold (``columns`` by their names, ``guess`` with ``column_content`` by their values) and
``table`` reads it; ``jsonl`` reads JSON lines, with ``rows`` and ``recording_names`` for what both
share and ``segments`` for turn times. ``audio_names`` finds the file that an id means, and
``near_misses`` the one that a path nearly names. ``audio_file`` reads headers (``piped_wav`` for
sizes of 0) and ``blocks`` samples, ``other_formats`` has ffmpeg decode what libsndfile does not;
``decoding`` makes waveforms of them, with ``channel_statistics``, and ``envelope`` measures levels.
"""

from vibesweep.corpus.ingest.audio_file import AudioHeader, OpenRecording, probe
from vibesweep.corpus.ingest.decoding import Waveform, decode, decode_stretch, stretch_hash
from vibesweep.corpus.ingest.envelope import ENVELOPE_HOP_S, level_envelope
from vibesweep.corpus.ingest.metadata import METADATA_FILE, read_metadata
from vibesweep.corpus.ingest.other_formats import open_recording

__all__ = [
    "ENVELOPE_HOP_S",
    "METADATA_FILE",
    "AudioHeader",
    "OpenRecording",
    "Waveform",
    "decode",
    "decode_stretch",
    "level_envelope",
    "open_recording",
    "probe",
    "read_metadata",
    "stretch_hash",
]
