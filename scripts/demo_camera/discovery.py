"""WS-Discovery: answers Probe and Resolve for every camera, says Hello and Bye."""

import random
import socket
import struct
import threading
import time
import uuid
import xml.etree.ElementTree as ElementTree

from .soap import escape

GROUP, PORT = "239.255.255.250", 3702
#: Linux: without this a socket gets every group that any process of the machine joined, on any interface.
IP_MULTICAST_ALL = 49
TYPES = ("NetworkVideoTransmitter", "Device")
_WSA = "http://schemas.xmlsoap.org/ws/2004/08/addressing"
_WSD = "http://schemas.xmlsoap.org/ws/2005/04/discovery"
_HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?>'
    f'<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" xmlns:a="{_WSA}" xmlns:d="{_WSD}" '
    'xmlns:dn="http://www.onvif.org/ver10/network/wsdl" xmlns:tds="http://www.onvif.org/ver10/device/wsdl">'
)


class Discovery:
    """One socket for all cameras of the process; each camera answers by itself."""

    def __init__(self, cameras: list, interface: str, log) -> None:
        self._cameras, self._interface, self._log = cameras, interface, log
        self._instance = int(time.time())
        self._number = 0
        self._stop = threading.Event()
        self.probes = 0
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_UDP)
        # Several demo cameras on one machine share the port: multicast reaches them all.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.setsockopt(socket.IPPROTO_IP, IP_MULTICAST_ALL, 0)
        self._socket.bind(("", PORT))
        own = socket.inet_aton(interface)
        member = struct.pack("4s4s", socket.inet_aton(GROUP), own)
        self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
        self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, own)
        self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)
        self._socket.settimeout(0.5)
        self._thread = threading.Thread(target=self._run, name="discovery", daemon=True)

    def start(self) -> None:
        self._thread.start()
        for camera in self._cameras:
            self._announce("Hello", camera)

    def stop(self) -> None:
        for camera in self._cameras:
            self._announce("Bye", camera)
        self._stop.set()
        self._thread.join(1)
        self._socket.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                data, sender = self._socket.recvfrom(65535)
            except TimeoutError:
                continue
            except OSError:
                return
            self._answer(data, sender)

    def _answer(self, data: bytes, sender: tuple) -> None:
        try:
            root = ElementTree.fromstring(data)
        except ElementTree.ParseError:
            return
        message_id = root.findtext(f".//{{{_WSA}}}MessageID", "").strip()
        probe, resolve = root.find(f".//{{{_WSD}}}Probe"), root.find(f".//{{{_WSD}}}Resolve")
        if not message_id or (probe is None and resolve is None):
            return
        self.probes += 1
        if probe is not None:
            types = (probe.findtext(f"{{{_WSD}}}Types") or "").split()
            if any(name.rpartition(":")[2] not in TYPES for name in types):
                return
            scopes = (probe.findtext(f"{{{_WSD}}}Scopes") or "").split()
            chosen = [c for c in self._cameras if all(any(s.startswith(w) for s in c.scopes) for w in scopes)]
            kind = "ProbeMatch"
        else:
            wanted = resolve.findtext(f".//{{{_WSA}}}Address", "").strip()
            chosen = [c for c in self._cameras if c.endpoint == wanted]
            kind = "ResolveMatch"
        for camera in chosen:
            if camera.answers_discovery:
                # Real devices spread their answers; a burst of 128 would overrun the asker's socket.
                time.sleep(random.uniform(0, 0.002))
                self._send(self._match(kind, camera, message_id), sender)

    def _match(self, kind: str, camera, relates_to: str) -> str:
        return self._message(
            f"{kind}es",
            f"<a:RelatesTo>{escape(relates_to)}</a:RelatesTo><a:To>{_WSA}/role/anonymous</a:To>",
            f"<d:{kind}es><d:{kind}>{self._description(camera)}</d:{kind}></d:{kind}es>",
        )

    def _announce(self, kind: str, camera) -> None:
        to = "<a:To>urn:schemas-xmlsoap-org:ws:2005:04:discovery</a:To>"
        body = f"<d:{kind}>{self._description(camera)}</d:{kind}>"
        self._send(self._message(kind, to, body), (GROUP, PORT))

    def _message(self, action: str, header: str, body: str) -> str:
        self._number += 1
        return (
            f"{_HEAD}<s:Header><a:MessageID>urn:uuid:{uuid.uuid4()}</a:MessageID>{header}"
            f"<a:Action>{_WSD}/{action}</a:Action>"
            f'<d:AppSequence InstanceId="{self._instance}" MessageNumber="{self._number}"/></s:Header>'
            f"<s:Body>{body}</s:Body></s:Envelope>"
        )

    def _description(self, camera) -> str:
        return (
            f"<a:EndpointReference><a:Address>{camera.endpoint}</a:Address></a:EndpointReference>"
            "<d:Types>dn:NetworkVideoTransmitter tds:Device</d:Types>"
            f"<d:Scopes>{escape(' '.join(camera.scopes))}</d:Scopes>"
            f"<d:XAddrs>{escape(camera.device_url(self._interface))}</d:XAddrs>"
            "<d:MetadataVersion>1</d:MetadataVersion>"
        )

    def _send(self, text: str, to: tuple) -> None:
        try:
            self._socket.sendto(text.encode(), to)
        except OSError as error:
            self._log(f"WS-Discovery: cannot send to {to[0]}:{to[1]}: {error}")
