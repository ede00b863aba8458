"""Text from outside as it is shown: what would hide, reorder or erase text on a screen is written out.

Names of files and labels may hold control characters (an escape sequence recolours or overwrites a terminal's lines)
and characters without width that turn the direction of what follows (U+202E): a name can so look like another one.
They are shown as Python and JSON write them: a backslash, u, 202e.
"""

from __future__ import annotations

import re
from typing import Any

_UNSEEN = "\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f"
_ALL = re.compile(f"[\x00-\x1f\x7f-\x9f{_UNSEEN}]")
_TURNING = re.compile(f"[\x00-\x06\x0e-\x1a\x1c-\x1f\x7f-\x9f{_UNSEEN}]")  # a terminal's own are left
_UNTIL = "\x7f"


def plain(text: str) -> str:
    """The text with every character written out that has no shape of its own, line ends included."""
    return text if text.isascii() and text.isprintable() else _ALL.sub(_written, text)


def plain_json(text: str) -> str:
    """JSON text with the same characters written out, as JSON allows inside its strings; line ends and tabs stay."""
    return _TURNING.sub(_written_json, text)


class PlainStream:
    """A text stream that writes out what turns or hides text; colours and cursor moves of the program itself pass."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> Any:
        """Writes the text; as the stream's own."""
        return self._stream.write(text if text.isascii() and _UNTIL not in text else _TURNING.sub(_written, text))

    def writelines(self, lines: Any) -> None:
        """Writes each line; as the stream's own."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __iter__(self) -> Any:
        return iter(self._stream)


def _written(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _written_json(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x10000:
        return f"\\u{code:04x}"
    code -= 0x10000
    return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"
