"""Pure. The reader's alphabet, slots and layouts, and text to slot indices and back."""

import zlib

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_"
PAD = ALPHABET.index("_")
SLOTS = 9
LAYOUTS = ("br-old", "br-old-moto", "br-mercosul", "br-mercosul-moto", "mercosur", "eu", "us", "other")
# What the plate's colors say of the vehicle's use, where they say it.
CATEGORIES = ("private", "commercial", "official", "special", "diplomatic", "collector", "other")
UNKNOWN = -1  # a layout or category that nobody knows; not learned from
# The plate as the reader sees it: both axes stretched, with this margin outside the plate's corners on each side.
INPUT_WIDTH, INPUT_HEIGHT = 128, 64
MARGIN_X, MARGIN_Y = 0.04, 0.08


def encode(text: str) -> list[int]:
    """Slot indices of `text`, padded. Raises ValueError for a text that does not fit or has other characters."""
    if not 0 < len(text) <= SLOTS or any(c not in ALPHABET[:PAD] for c in text):
        raise ValueError(f"label {text!r}: expected 1 to {SLOTS} characters of 0-9 and A-Z")
    return [ALPHABET.index(c) for c in text] + [PAD] * (SLOTS - len(text))


def decode(indices) -> str:
    """The text of one row of slot indices; padding is dropped wherever it stands."""
    return "".join(ALPHABET[i] for i in indices if i != PAD)


def is_held_out(text: str, share: float) -> bool:
    """Whether plates with this text belong to the held-out part: by text, so that no plate is on both sides."""
    return zlib.crc32(text.encode()) % 1000 < share * 1000
