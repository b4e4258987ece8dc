"""A corpus for those who have none yet: eSpeak NG speaks made-up ``dialogues`` of made-up ``sentences`` in many ``voices``."""
