"""Texts become turns, words and phonemes.

``turns`` finds who says what, by the ``speaker_tags`` of a text; ``left_out`` takes tags of sounds
out of it, and ``tag_forms`` tells by ``tag_words`` which is which.

``normalization`` puts numbers into words by ``english_rules`` and ``mandarin_rules``. ``phonemes``
cuts text by ``scripts`` and has ``espeak``, by ``espeak_library``, and ``pinyin`` say it;
``phoneme_table`` gives symbols ids, ``language`` names the voice that is taken unless another is
asked for. ``length`` estimates phonemes without any of the packages that ``mel_extra`` checks.
"""

from vibesweep.corpus.text.length import spoken_length
from vibesweep.corpus.text.normalization import NormalizedText, normalize
from vibesweep.corpus.text.phoneme_table import PhonemeTable
from vibesweep.corpus.text.phonemes import PAUSES, Phonemes, check_language, phonemize
from vibesweep.corpus.text.turns import parse_turns, read_turns

__all__ = [
    "PAUSES",
    "NormalizedText",
    "PhonemeTable",
    "Phonemes",
    "check_language",
    "normalize",
    "parse_turns",
    "phonemize",
    "read_turns",
    "spoken_length",
]
