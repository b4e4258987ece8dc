"""Figures beside the words that they are spoken as, in English."""

from __future__ import annotations

import random

SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen"
).split()
TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
SCALES = ((1_000_000, "million"), (1_000, "thousand"))
NARROW_BLANKS = ("\u00a0", "\u202f", "\u2009")


def in_words(number: int) -> str:
    """Say a number below a thousand million."""
    for scale, name in SCALES:
        if number >= scale:
            rest = number % scale
            head = f"{in_words(number // scale)} {name}"
            return f"{head} {in_words(rest)}" if rest else head
    if number >= 100:
        rest = number % 100
        head = f"{SMALL[number // 100]} hundred"
        return f"{head} {in_words(rest)}" if rest else head
    if number < 20:
        return SMALL[number]
    ten, one = divmod(number, 10)
    return f"{TENS[ten - 2]} {SMALL[one]}" if one else TENS[ten - 2]


def figures_and_words(rng: random.Random) -> tuple[str, str]:
    """Make a sentence with figures in it, and the same in words."""
    kind = rng.choice(("minus", "blanks", "signs", "euros", "inches", "telephone"))
    if kind == "minus":
        number = rng.randint(1, 40)
        return f"It was −{number} degrees.", f"It was minus {in_words(number)} degrees."
    if kind == "blanks":
        number = rng.randint(1_000_000, 9_000_000)
        written = f"{number:,}".replace(",", rng.choice((*NARROW_BLANKS, " ")))
        return f"There were {written} people.", f"There were {in_words(number)} people."
    if kind == "signs":
        number = rng.randint(1_000_000, 9_000_000)
        written = f"{number:,}".replace(",", rng.choice(".,'"))
        return f"There were {written} people.", f"There were {in_words(number)} people."
    if kind == "euros":
        return _euros(rng)
    if kind == "inches":
        number = rng.randint(11, 99)
        return f'The board was {number}" wide.', f"The board was {in_words(number)} inches wide."
    digits = [rng.randint(0, 9) for _ in range(6)]
    written = "".join(str(digit) for digit in digits)
    spoken = " ".join(SMALL[digit] for digit in digits)
    figures = f"Call 0800 {written[:3]} {written[3:]} now."
    return figures, f"Call zero eight zero zero {spoken} now."


def _euros(rng: random.Random) -> tuple[str, str]:
    euros, cents = rng.randint(1_001, 99_999), rng.randint(10, 99)
    grouped = f"{euros:,}"
    if rng.random() < 0.5:
        written = f"€{grouped}.{cents}"
    else:
        written = f"€{grouped.replace(',', '.')},{cents}"
    words = f"{in_words(euros)} euros and {in_words(cents)} cents"
    return f"It cost {written} then.", f"It cost {words} then."
