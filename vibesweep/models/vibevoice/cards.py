"""The README.md of an exported adapter: how to load it."""

from __future__ import annotations

from textwrap import dedent

_FROM = "A LoRA adapter for VibeVoice, tuned with vibesweep; `provenance.json` tells how. Its base is `{base}`."

_PEFT = """\
    ---
    library_name: peft
    tags:
    - text-to-speech
    - vibevoice
    ---
    # A tuned VibeVoice voice

    {told}

    ```python
    from peft import PeftModel
    {imports}from transformers import VibeVoiceForConditionalGeneration, VibeVoiceProcessor

    base = "{base}"
    model = VibeVoiceForConditionalGeneration.from_pretrained(base, dtype="auto")
    {in_full}model = PeftModel.from_pretrained(model, ".")
    processor = VibeVoiceProcessor.from_pretrained(base)
    ```
    """
_LORA = """\
    # A tuned VibeVoice voice

    {told}

    It is laid out as the fine-tuning scripts of vibevoice-community and voicepowered-ai do it, for the same base in the original
    repository's layout (`BASE`, such as vibevoice/VibeVoice-1.5B). With vibevoice-community's VibeVoice:

    ```sh
    python demo/inference_from_file.py --model_path BASE --checkpoint_path .
    ```

    For ComfyUI, copy this folder into `models/vibevoice/loras`. The `.bin` files are torch pickles: these loaders know nothing else.
    """


def peft_card(base: str, in_full: bool) -> str:
    """Of the ``peft`` layout; ``in_full`` says whether weights lie beside the adapter."""
    imports, load = "", ""
    if in_full:
        imports = "from safetensors.torch import load_file\n"
        load = 'model.load_state_dict(load_file("trained.safetensors"), strict=False)  # what was trained in full\n'
    return dedent(_PEFT).format(
        told=_FROM.format(base=base), base=base, imports=imports, in_full=load
    )


def lora_card(base: str) -> str:
    """Of the ``lora`` layout."""
    return dedent(_LORA).format(told=_FROM.format(base=base), base=base)
