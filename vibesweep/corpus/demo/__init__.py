"""A corpus for those who have none yet: eSpeak NG speaks made-up dialogues.

``sentences`` makes up texts, ``dialogues`` puts them together, ``voices`` speaks them, and
``corpus_folder`` writes a corpus of them.
"""

from vibesweep.corpus.demo.corpus_folder import write_corpus, write_demo_corpus
from vibesweep.corpus.demo.dialogues import Dialogue, demo_dialogues
from vibesweep.corpus.demo.sentences import sentence
from vibesweep.corpus.demo.voices import BASE_VOICES, DEMO_VOICES, ESPEAK_RATE_HZ, Voice, speak

__all__ = [
    "BASE_VOICES",
    "DEMO_VOICES",
    "ESPEAK_RATE_HZ",
    "Dialogue",
    "Voice",
    "demo_dialogues",
    "sentence",
    "speak",
    "write_corpus",
    "write_demo_corpus",
]
