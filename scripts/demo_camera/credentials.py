"""Who may ask: WS-Security UsernameToken, HTTP Digest, and the lock-out that real cameras have."""

import base64
import binascii
import hashlib
import hmac
import re
import secrets
import threading
import time
from collections import OrderedDict
from datetime import UTC, datetime

MAX_FAILURES = 5
LOCK_S = 60.0
CREATED_WINDOW_S = 60.0
NONCE_LIFE_S = 300.0
MAX_REMEMBERED = 4096
_HASHES = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}


class Guard:
    """Credentials of one camera, its failed tries and what it remembers against replay."""

    def __init__(self, user: str, password: str, realm: str, algorithms: list[str], camera_time) -> None:
        self.user, self.password, self.realm = user, password, realm
        self.failed_tries = {"onvif": 0, "rtsp": 0}
        self.accepted_tries = {"onvif": 0, "rtsp": 0}
        self.lockouts = 0
        self._algorithms = algorithms
        self._camera_time = camera_time
        self._recent_failures = 0
        self._locked_until = 0.0
        self._key = secrets.token_bytes(16)
        self._token_nonces: OrderedDict[str, float] = OrderedDict()
        self._digest_counts: OrderedDict[str, int] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def locked_for_s(self) -> float:
        return max(0.0, self._locked_until - time.monotonic())

    def unlock(self) -> None:
        """As a restart of the camera does."""
        with self._lock:
            self._locked_until, self._recent_failures = 0.0, 0

    def settle(self, right: bool, door: str = "onvif") -> bool:
        """Counts the try at a door ("onvif" or "rtsp"); a locked camera refuses the right password too."""
        with self._lock:
            if self.locked_for_s > 0:
                self.failed_tries[door] += 1
                return False
            if right:
                self._recent_failures = 0
                self.accepted_tries[door] += 1
                return True
            self.failed_tries[door] += 1
            self._recent_failures += 1
            if self._recent_failures >= MAX_FAILURES:
                self._locked_until = time.monotonic() + LOCK_S
                self._recent_failures = 0
                self.lockouts += 1
            return False

    # WS-Security ---------------------------------------------------------------------------------

    def check_username_token(self, user: str, password: str, kind: str, nonce: str, created: str) -> bool:
        """`kind` is the Type URI of the Password element; PasswordText needs no nonce."""
        if kind.endswith("#PasswordDigest"):
            right = self._digest_is_right(password, nonce, created)
        else:
            right = hmac.compare_digest(password.encode(), self.password.encode())
        return self.settle(right and hmac.compare_digest(user.encode(), self.user.encode()))

    def _digest_is_right(self, digest: str, nonce: str, created: str) -> bool:
        at = parse_created(created)
        if at is None or abs(at - self._camera_time()) > CREATED_WINDOW_S:
            return False
        try:
            raw = base64.b64decode(nonce, validate=True)
        except (binascii.Error, ValueError):
            return False
        want = base64.b64encode(hashlib.sha1(raw + created.encode() + self.password.encode()).digest())
        if not hmac.compare_digest(want, digest.strip().encode()):
            return False
        with self._lock:
            if nonce in self._token_nonces:
                return False
            self._token_nonces[nonce] = at
            while len(self._token_nonces) > MAX_REMEMBERED:
                self._token_nonces.popitem(last=False)
        return True

    # HTTP Digest ---------------------------------------------------------------------------------

    def challenges(self, stale: bool = False) -> list[str]:
        """Values for WWW-Authenticate headers, one for each algorithm."""
        stamp = f"{int(time.monotonic())}.{secrets.token_hex(4)}"
        nonce = f"{stamp}-{self._sign(stamp)}"
        end = ", stale=true" if stale else ""
        return [
            f'Digest realm="{self.realm}", qop="auth", algorithm={name}, nonce="{nonce}"{end}'
            for name in self._algorithms
        ]

    def check_http_digest(self, header: str, method: str, uri: str) -> str:
        """ "ok", "wrong", or "stale": right but the nonce is too old, which is not a failed try."""
        fields = parse_digest(header)
        hasher = _HASHES.get(fields.get("algorithm", "MD5").upper())
        nonce = fields.get("nonce", "")
        stamp, _, signature = nonce.partition("-")
        if hasher is None or not hmac.compare_digest(signature.encode(), self._sign(stamp).encode()):
            return self._verdict(False)
        if fields.get("uri") != uri or not fields.get("username"):
            return self._verdict(False)

        def h(text: str) -> str:
            return hasher(text.encode()).hexdigest()

        a1 = h(f"{fields['username']}:{self.realm}:{self.password}")
        a2 = h(f"{method}:{uri}")
        if fields.get("qop"):
            want = h(f"{a1}:{nonce}:{fields.get('nc', '')}:{fields.get('cnonce', '')}:{fields['qop']}:{a2}")
        else:
            want = h(f"{a1}:{nonce}:{a2}")
        right = hmac.compare_digest(want, fields.get("response", "").lower())
        if not right or fields["username"] != self.user:
            return self._verdict(False)
        age_s = time.monotonic() - int(stamp.partition(".")[0])
        if age_s > NONCE_LIFE_S or not self._count_is_new(nonce, fields.get("nc")):
            return "stale"
        return self._verdict(True)

    def _verdict(self, right: bool) -> str:
        return "ok" if self.settle(right) else "wrong"

    def _count_is_new(self, nonce: str, count: str | None) -> bool:
        if count is None:
            return True
        try:
            number = int(count, 16)
        except ValueError:
            return False
        with self._lock:
            if number <= self._digest_counts.get(nonce, 0):
                return False
            self._digest_counts[nonce] = number
            while len(self._digest_counts) > MAX_REMEMBERED:
                self._digest_counts.popitem(last=False)
        return True

    def _sign(self, stamp: str) -> str:
        return hmac.new(self._key, stamp.encode(), hashlib.sha256).hexdigest()[:24]


def parse_digest(header: str) -> dict[str, str]:
    """Fields of an `Authorization: Digest` value."""
    pairs = re.findall(r'(\w+)\s*=\s*(?:"([^"]*)"|([^\s,]+))', header.partition(" ")[2])
    return {name.lower(): quoted or plain for name, quoted, plain in pairs}


def parse_created(text: str) -> float | None:
    """Seconds since 1970 of an xs:dateTime, or None."""
    try:
        at = datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
    except ValueError:
        return None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
