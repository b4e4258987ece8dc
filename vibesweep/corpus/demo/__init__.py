"""A corpus for those who have none yet: eSpeak NG speaks made-up dialogues.

``sentences`` makes up texts, ``voices`` speaks them, ``dialogues`` writes them as a corpus folder.
"""

from vibesweep.corpus.demo.dialogues import Dialogue, write_corpus, write_demo_corpus
from vibesweep.corpus.demo.sentences import sentence
from vibesweep.corpus.demo.voices import BASE_VOICES, DEMO_VOICES, ESPEAK_RATE_HZ, Voice, speak

__all__ = [
    "BASE_VOICES",
    "DEMO_VOICES",
    "ESPEAK_RATE_HZ",
    "Dialogue",
    "Voice",
    "sentence",
    "speak",
    "write_corpus",
    "write_demo_corpus",
]
