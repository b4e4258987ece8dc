"""A script as token ids, by a VibeVoice checkpoint's own tokenizer and chat template.

The sequence that the template renders, up to the first latent of the speech::

    system prompt
    Voice input: Speaker 0: ⟨begin⟩ ▒ ⟨end⟩ …    one ▒ stands for a whole voice prompt
    Text input: Speaker 0: …                     the turns
    Speech output: ⟨begin⟩
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from transformers import AutoTokenizer

from vibesweep.errors import ModelError
from vibesweep.models.library_errors import UNUSABLE
from vibesweep.models.vibevoice.checkpoint.locate import reason_of

MOST_SPEAKERS = 4
"""The number of speakers that VibeVoice was trained for (Peng et al. 2025, section 1)."""

TEMPLATE_SAMPLE = ((0, "One."), (1, "Two."))
"""Two turns with which a checkpoint's template is tried."""

_DOWNLOAD_AGAIN = "download the checkpoint again"
_TAKE_ITS_TOKENIZER = "take the tokenizer that belongs to the checkpoint"

Turns = Sequence[tuple[int, str]]
"""(speaker, text) of each turn; speakers count from 0 in the order in which they first speak."""


@dataclass(frozen=True)
class SpecialIds:
    """Ids of the tokens that are not text.

    Attributes:
        begin: before the first latent of a stretch of sound.
        latent: in the place of each latent; as a prediction, "go on".
        end: after the last latent; as a prediction, "stop".
        close: the end of the sequence.
    """

    begin: int
    latent: int
    end: int
    close: int

    @classmethod
    def of(cls, config: Any) -> SpecialIds:
        """Take the ids from a checkpoint's configuration."""
        return cls(
            begin=config.audio_bos_token_id,
            latent=config.audio_token_id,
            end=config.audio_eos_token_id,
            close=config.eos_token_id,
        )


class TextLayout:
    """Renders scripts as token ids; small enough to be sent to other processes."""

    def __init__(self, tokenizer: Any, special: SpecialIds) -> None:
        self._tokenizer = tokenizer
        self._special = special

    @classmethod
    def load(cls, folder: Path, config: Any) -> TextLayout:
        """Load the tokenizer and the chat template of a checkpoint.

        Raises:
            ModelError: the tokenizer cannot be read, there is no template, or the ids do not
                fit the configuration.
        """
        try:
            tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        except UNUSABLE as error:
            raise ModelError(
                f"its tokenizer cannot be read: {reason_of(error)}",
                where=str(folder),
                fix=_DOWNLOAD_AGAIN,
            ) from error
        if not tokenizer.chat_template:
            tokenizer.chat_template = _read_template(folder)
        if not tokenizer.chat_template:
            raise ModelError(
                "it has no chat template",
                where=str(folder),
                fix=f"{_DOWNLOAD_AGAIN}, with its chat_template.jinja",
            )
        layout = cls(tokenizer, SpecialIds.of(config))
        layout._check_ids(folder, config)
        return layout

    def ids(self, turns: Turns, voiced: bool) -> list[int]:
        """Return every id before the first latent of the speech.

        Args:
            turns: the script.
            voiced: whether each speaker has a voice prompt, for which one ``latent`` id stands.
        """
        prompted: set[int] = set()
        messages = []
        for speaker, text in turns:
            content: list[dict[str, str]] = [{"type": "text", "text": text.strip()}]
            if voiced and speaker not in prompted:
                content.append({"type": "audio"})
                prompted.add(speaker)
            messages.append({"role": str(speaker), "content": content})
        # Control tokens that are spelt out in a transcript are encoded as ordinary text
        ids = self._tokenizer.apply_chat_template(
            messages, tokenize=True, return_dict=False, sanitize_control_tokens=True
        )
        return cast(list[int], ids)

    def bare(self, turns: Turns) -> list[int]:
        """Return the ids of a script without voice prompts."""
        return self.ids(turns, voiced=False)

    def _check_ids(self, folder: Path, config: Any) -> None:
        """Check that the tokenizer and the configuration agree on the special ids."""
        begin, latent, end = self._special.begin, self._special.latent, self._special.end
        ids = self.ids(TEMPLATE_SAMPLE, voiced=True)
        expected = [begin, latent, end] * len(TEMPLATE_SAMPLE) + [begin]
        found = [token for token in ids if token in (begin, latent, end)]
        if found != expected or ids[-1] != begin:
            raise ModelError(
                "the tokenizer's special ids differ: two voices and the begin of the speech "
                f"came out as {found}, the configuration says {expected}",
                where=str(folder),
                fix=_TAKE_ITS_TOKENIZER,
            )
        vocabulary_size = config.text_config.vocab_size
        if max(ids) >= vocabulary_size:
            raise ModelError(
                f"the tokenizer's id {max(ids)} is beyond the model's vocabulary "
                f"of {vocabulary_size}",
                where=str(folder),
                fix=_TAKE_ITS_TOKENIZER,
            )


def _read_template(folder: Path) -> str | None:
    """Read the processor's template, which a tokenizer that is loaded alone may not bring."""
    path = folder / "chat_template.jinja"
    return path.read_text(encoding="utf-8") if path.is_file() else None
