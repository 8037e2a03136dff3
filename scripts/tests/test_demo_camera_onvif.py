"""The demo camera's ONVIF side, asked with hand-written SOAP, HTTP Digest by urllib and curl, and UDP probes."""

import base64
import hashlib
import os
import re
import socket
import struct
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from datetime import UTC, datetime

import pytest

TDS = "http://www.onvif.org/ver10/device/wsdl"
TRT = "http://www.onvif.org/ver10/media/wsdl"
TR2 = "http://www.onvif.org/ver20/media/wsdl"


@pytest.fixture(scope="module")
def camera(start_camera):
    return start_camera("--count", "2", "--clock-offset", "7200")


def token(password: str, at: float, user: str = "admin") -> str:
    nonce = os.urandom(16)
    created = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    digest = base64.b64encode(hashlib.sha1(nonce + created.encode() + password.encode()).digest()).decode()
    kind = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-username-token-profile-1.0#PasswordDigest"
    base = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity"
    return (
        f'<w:Security xmlns:w="{base}-secext-1.0.xsd" xmlns:u="{base}-utility-1.0.xsd"><w:UsernameToken>'
        f'<w:Username>{user}</w:Username><w:Password Type="{kind}">{digest}</w:Password>'
        f"<w:Nonce>{base64.b64encode(nonce).decode()}</w:Nonce><u:Created>{created}</u:Created>"
        "</w:UsernameToken></w:Security>"
    )


def envelope(namespace: str, operation: str, inner: str = "", header: str = "") -> bytes:
    return (
        '<e:Envelope xmlns:e="http://www.w3.org/2003/05/soap-envelope">'
        f'<e:Header>{header}</e:Header><e:Body><x:{operation} xmlns:x="{namespace}">{inner}</x:{operation}></e:Body>'
        "</e:Envelope>"
    ).encode()


def post(url: str, body: bytes) -> tuple[int, str, list[str]]:
    request = urllib.request.Request(url, data=body, headers={"Content-Type": "application/soap+xml"})
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, answer.read().decode(), []
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(), error.headers.get_all("WWW-Authenticate") or []


def ask(camera, namespace, operation, inner="", index=0, password=None, offset=7200.0):
    header = token(password or camera.info["password"], time.time() + offset)
    return post(camera.cameras[index]["onvif"], envelope(namespace, operation, inner, header))


def test_clock_is_public_and_wrong_by_the_offset(camera):
    status, text, _ = post(camera.cameras[0]["onvif"], envelope(TDS, "GetSystemDateAndTime"))
    assert status == 200
    hour, minute = (int(re.search(rf"<tt:{name}>(\d+)<", text)[1]) for name in ("Hour", "Minute"))
    now = datetime.fromtimestamp(time.time() + 7200, UTC)
    assert abs((hour * 60 + minute) - (now.hour * 60 + now.minute)) in (0, 1, 1439)


def test_services_name_the_three_namespaces(camera):
    _, text, _ = post(camera.cameras[0]["onvif"], envelope(TDS, "GetServices"))
    assert all(namespace in text for namespace in (TDS, TRT, TR2))
    _, text, _ = post(camera.cameras[0]["onvif"], envelope(TDS, "GetCapabilities"))
    assert "/onvif/media_service</tt:XAddr>" in text


def test_without_credentials_is_challenged(camera):
    status, text, challenges = post(camera.cameras[0]["onvif"], envelope(TDS, "GetDeviceInformation"))
    assert status == 401 and "ter:NotAuthorized" in text
    assert {re.search(r"algorithm=([\w-]+)", c)[1] for c in challenges} == {"MD5", "SHA-256"}


def test_username_token(camera):
    status, text, _ = ask(camera, TDS, "GetDeviceInformation")
    assert status == 200 and "<tds:Manufacturer>GT-Vision<" in text


def test_replayed_and_stale_tokens_are_refused(camera):
    header = token(camera.info["password"], time.time() + 7200)
    body = envelope(TDS, "GetScopes", header=header)
    assert post(camera.cameras[0]["onvif"], body)[0] == 200
    assert post(camera.cameras[0]["onvif"], body)[0] == 400
    assert ask(camera, TDS, "GetScopes", offset=0.0)[0] == 400
    assert ask(camera, TDS, "GetScopes")[0] == 200


def test_profiles_and_uris(camera):
    _, text, _ = ask(camera, TRT, "GetProfiles")
    assert re.findall(r'<trt:Profiles token="(\w+)"', text) == ["main", "sub"]
    assert "<tt:Encoding>H264</tt:Encoding>" in text
    for namespace in (TRT, TR2):
        _, text, _ = ask(camera, namespace, "GetStreamUri", "<x:ProfileToken>sub</x:ProfileToken>")
        assert f">{camera.cameras[0]['sub']}<" in text
    status, text, _ = ask(camera, TRT, "GetStreamUri", "<x:ProfileToken>none</x:ProfileToken>")
    assert status == 400 and "ter:NoProfile" in text


def test_unknown_operation_and_bad_xml_are_faults(camera):
    status, text, _ = ask(camera, TDS, "SystemReboot")
    assert status == 500 and "ter:ActionNotSupported" in text
    for junk in (b"not xml", b"<a/>", b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'):
        status, text, _ = post(camera.cameras[0]["onvif"], junk)
        assert status == 400 and "ter:WellFormed" in text


@pytest.mark.parametrize("scheme", ["MD5", "SHA-256"])
def test_http_digest(camera, scheme):
    url = camera.cameras[0]["onvif"]
    body = envelope(TDS, "GetDeviceInformation")
    challenge = next(c for c in post(url, body)[2] if f"algorithm={scheme}" in c)
    nonce, realm = (re.search(rf'{name}="([^"]*)"', challenge)[1] for name in ("nonce", "realm"))
    hasher = hashlib.md5 if scheme == "MD5" else hashlib.sha256

    def h(text):
        return hasher(text.encode()).hexdigest()

    path = "/onvif/device_service"
    a1, a2 = h(f"admin:{realm}:{camera.info['password']}"), h(f"POST:{path}")
    value = (
        f'Digest username="admin", realm="{realm}", nonce="{nonce}", uri="{path}", algorithm={scheme}, qop=auth, '
        f'nc=00000001, cnonce="c", response="{h(f"{a1}:{nonce}:00000001:c:auth:{a2}")}"'
    )
    request = urllib.request.Request(url, data=body, headers={"Authorization": value})
    with urllib.request.urlopen(request, timeout=5) as answer:
        assert answer.status == 200
    with pytest.raises(urllib.error.HTTPError) as replay:
        urllib.request.urlopen(request, timeout=5)
    assert replay.value.code == 401 and "stale=true" in str(replay.value.headers)


def test_snapshot_by_curl(camera, tmp_path):
    target = tmp_path / "s.jpg"
    login = f"admin:{camera.info['password']}"
    command = ["curl", "-sf", "--digest", "-u", login, "-o", str(target), camera.cameras[0]["snapshot"]]
    subprocess.run(command, check=True, timeout=10)
    assert target.read_bytes()[:2] == b"\xff\xd8"


def test_five_wrong_passwords_lock_the_camera(camera):
    for _ in range(5):
        assert ask(camera, TDS, "GetScopes", index=1, password="wrong")[0] == 400
    assert ask(camera, TDS, "GetScopes", index=1)[0] == 400
    stats = camera.stats(1)
    assert stats["failed_tries"]["onvif"] == 6 and stats["lockouts"] == 1 and 50 < stats["locked_for_s"] <= 60
    camera.fault("none", 1)
    assert ask(camera, TDS, "GetScopes", index=1)[0] == 200


def probe(to: str, types: str) -> list[str]:
    message = (
        '<e:Envelope xmlns:e="http://www.w3.org/2003/05/soap-envelope" '
        'xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing" '
        'xmlns:d="http://schemas.xmlsoap.org/ws/2005/04/discovery" '
        'xmlns:n="http://www.onvif.org/ver10/network/wsdl"><e:Header>'
        "<a:Action>http://schemas.xmlsoap.org/ws/2005/04/discovery/Probe</a:Action>"
        f"<a:MessageID>uuid:{uuid.uuid4()}</a:MessageID></e:Header>"
        f"<e:Body><d:Probe><d:Types>{types}</d:Types></d:Probe></e:Body></e:Envelope>"
    ).encode()
    answers = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", 0))
        s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, struct.pack("4s", socket.inet_aton("127.0.0.1")))
        s.settimeout(0.7)
        s.sendto(message, (to, 3702))
        try:
            while True:
                answers.append(s.recv(65535).decode())
        except TimeoutError:
            return answers


def test_discovery_by_multicast_on_loopback(camera):
    # A busy machine may answer later than a probe waits.
    for _ in range(20):
        answers = probe("239.255.255.250", "n:NetworkVideoTransmitter")
        if all(any(one["onvif"] in text for text in answers) for one in camera.cameras):
            break
    for one in camera.cameras:
        mine = [text for text in answers if one["onvif"] in text]
        assert len(mine) == 1 and one["endpoint"] in mine[0]
    assert not any(camera.cameras[0]["onvif"] in text for text in probe("239.255.255.250", "n:Printer"))
