"""Digest authentication of the replay camera (RFC 7616 without qop, as cameras do it)."""

import hashlib
import re

REALM, NONCE = "replay", "7f3a90c1"
_HASHES = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}


def challenge(algorithm: str) -> str:
    return f'WWW-Authenticate: Digest realm="{REALM}", nonce="{NONCE}", algorithm={algorithm}'


def is_right(header: str, method: str, user: str, password: str, algorithm: str) -> bool:
    fields = dict(re.findall(r'(\w+)="?([^",]*)"?', header))

    def h(text: str) -> str:
        return _HASHES[algorithm](text.encode()).hexdigest()

    secret = h(f"{user}:{REALM}:{password}")
    request = h(f"{method}:{fields.get('uri', '')}")
    expected = h(f"{secret}:{NONCE}:{request}")
    return fields.get("username") == user and fields.get("response") == expected
