"""A script to token ids, by a VibeVoice checkpoint's own tokenizer and chat template.

The sequence that the template renders, and every id before the first latent::

    system prompt   Voice input: Speaker 0: ⟨start⟩ ▒ ⟨end⟩ …   Text input: Speaker 0: …   Speech output: ⟨start⟩
                    one ▒ for each latent of a voice prompt       the turns
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from transformers import AutoTokenizer

from vibesweep.errors import ModelError

MOST_SPEAKERS = 4
"""What VibeVoice was trained for (Peng et al. 2025, section 1)."""

TEMPLATE_SAMPLE = ((0, "One."), (1, "Two."))

Turns = Sequence[tuple[int, str]]
"""(slot, text) of each turn; slots count from 0 in the order in which people first speak."""


@dataclass(frozen=True)
class SpecialIds:
    """Token ids that are no text.

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
        """Those of a checkpoint."""
        return cls(
            config.audio_bos_token_id,
            config.audio_token_id,
            config.audio_eos_token_id,
            config.eos_token_id,
        )


class TextLayout:
    """Renders scripts; light enough to be sent to other processes."""

    def __init__(self, tokenizer: Any, special: SpecialIds) -> None:
        self._tokenizer, self._special = tokenizer, special

    @classmethod
    def load(cls, folder: Path, config: Any) -> TextLayout:
        """Load the tokenizer and the template of a checkpoint.

        Raises:
            ModelError: they cannot be read, there is no template, or the ids of the special tokens are not the configuration's.
        """
        try:
            tokenizer = AutoTokenizer.from_pretrained(folder)
        except (OSError, ValueError, KeyError, TypeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ModelError(
                f"its tokenizer cannot be read: {reason}",
                where=str(folder),
                fix="download the checkpoint again",
            ) from error
        tokenizer.chat_template = tokenizer.chat_template or _template(folder)
        layout = cls(tokenizer, SpecialIds.of(config))
        layout._check(folder, config)
        return layout

    def ids(self, turns: Turns, voiced: bool) -> list[int]:
        """Every id before the first latent, with one latent's id for each slot's whole voice prompt, or with no voice prompts."""
        heard: set[int] = set()
        messages = []
        for slot, text in turns:
            content: list[dict[str, str]] = [{"type": "text", "text": text.strip()}]
            if voiced and slot not in heard:
                content.append({"type": "audio"})
            heard.add(slot)
            messages.append({"role": str(slot), "content": content})
        # What looks like a control token in a transcript is text
        rendered = self._tokenizer.apply_chat_template(
            messages, tokenize=True, return_dict=False, sanitize_control_tokens=True
        )
        return cast(list[int], rendered)

    def bare(self, turns: Turns) -> list[int]:
        """The ids with no voice prompts."""
        return self.ids(turns, voiced=False)

    def _check(self, folder: Path, config: Any) -> None:
        if not self._tokenizer.chat_template:
            raise ModelError(
                "it has no chat template",
                where=str(folder),
                fix="download the checkpoint again, with its chat_template.jinja",
            )
        special = self._special
        ids = self.ids(TEMPLATE_SAMPLE, voiced=True)
        wanted = [special.begin, special.latent, special.end] * 2 + [special.begin]
        found = [token for token in ids if token in (special.begin, special.latent, special.end)]
        if found != wanted or ids[-1] != special.begin:
            raise ModelError(
                f"the tokenizer's special ids differ: two voices and a speech's begin came out as {found}, the configuration says {wanted}",
                where=str(folder),
                fix="take the tokenizer that belongs to the checkpoint",
            )
        if max(ids) >= config.text_config.vocab_size:
            found_ids = f"the tokenizer's id {max(ids)} is beyond the model's vocabulary of {config.text_config.vocab_size}"
            raise ModelError(
                found_ids,
                where=str(folder),
                fix="take the tokenizer that belongs to the checkpoint",
            )


def _template(folder: Path) -> str | None:
    """The processor's template: a tokenizer that is loaded alone does not always bring it."""
    path = folder / "chat_template.jinja"
    return path.read_text(encoding="utf-8") if path.is_file() else None
