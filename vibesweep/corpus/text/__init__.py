"""From a text file to turns, spelled-out words and phonemes."""
