"""The README.md of an exported adapter, which says how to load it."""

from __future__ import annotations

_INTRODUCTION = """\
A LoRA adapter for VibeVoice, tuned with vibesweep; `provenance.json` has the details.
Its base is `{base}`."""

_PEFT = """\
---
library_name: peft
tags:
- text-to-speech
- vibevoice
---
# A tuned VibeVoice voice

{introduction}

```python
from peft import PeftModel
{imports}from transformers import VibeVoiceForConditionalGeneration, VibeVoiceProcessor

base = "{base}"
model = VibeVoiceForConditionalGeneration.from_pretrained(base, dtype="auto")
{load_full_weights}model = PeftModel.from_pretrained(model, ".")
processor = VibeVoiceProcessor.from_pretrained(base)
```
"""

_LOAD_FILE_IMPORT = "from safetensors.torch import load_file\n"
_LOAD_FULL_WEIGHTS = """\
# The weights that were trained in full
model.load_state_dict(load_file("trained.safetensors"), strict=False)
"""

_COMMUNITY = """\
# A tuned VibeVoice voice

{introduction}

It belongs to the same base in the original repository's layout, of the same size (such as
vibevoice/VibeVoice-1.5B). {how}

Both loaders log what they do not find and go on. If the voice does not change, see that the log
names this folder, and that the base is of the same size.
"""

_LORA = """\
With vibevoice-community's VibeVoice, where `BASE` is that base:

```sh
python demo/inference_from_file.py --model_path BASE --checkpoint_path .
```

The `.bin` files are torch pickles, the only format that this loader reads."""

_COMFYUI = """\
Copy this whole folder into
`ComfyUI/models/vibevoice/loras/` and choose it in the node "VibeVoice LoRA"."""


def peft_card(base: str, has_full_weights: bool) -> str:
    """Return the README of the ``peft`` layout.

    Args:
        base: the folder or hub id of the base.
        has_full_weights: whether ``trained.safetensors`` lies beside the adapter.
    """
    return _PEFT.format(
        introduction=_INTRODUCTION.format(base=base),
        base=base,
        imports=_LOAD_FILE_IMPORT if has_full_weights else "",
        load_full_weights=_LOAD_FULL_WEIGHTS if has_full_weights else "",
    )


def lora_card(base: str) -> str:
    """Return the README of the ``lora`` layout."""
    return _COMMUNITY.format(introduction=_INTRODUCTION.format(base=base), how=_LORA)


def comfyui_card(base: str) -> str:
    """Return the README of the ``comfyui`` layout."""
    return _COMMUNITY.format(introduction=_INTRODUCTION.format(base=base), how=_COMFYUI)
