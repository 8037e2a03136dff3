"""SOAP 1.2 in and out: the request's operation and token, and answers and faults as ONVIF shapes them."""

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

ENVELOPE = "http://www.w3.org/2003/05/soap-envelope"
WSSE = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"
WSU = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd"
NAMESPACES = {
    "s": ENVELOPE,
    "ter": "http://www.onvif.org/ver10/error",
    "tt": "http://www.onvif.org/ver10/schema",
    "tds": "http://www.onvif.org/ver10/device/wsdl",
    "trt": "http://www.onvif.org/ver10/media/wsdl",
    "tr2": "http://www.onvif.org/ver20/media/wsdl",
}
_DECLARED = "".join(f" xmlns:{prefix}={quoteattr(uri)}" for prefix, uri in NAMESPACES.items())

__all__ = ["NAMESPACES", "Fault", "Request", "UsernameToken", "envelope", "escape", "parse", "quoteattr"]


class Fault(Exception):
    """A SOAP fault: HTTP status, env code (Sender or Receiver), ONVIF subcodes and a reason for a person."""

    def __init__(self, status: int, code: str, subcodes: list[str], reason: str) -> None:
        super().__init__(reason)
        self.status, self.code, self.subcodes, self.reason = status, code, subcodes, reason

    def to_xml(self) -> bytes:
        inner = ""
        for subcode in reversed(self.subcodes):
            inner = f"<s:Subcode><s:Value>ter:{subcode}</s:Value>{inner}</s:Subcode>"
        return envelope(
            f"<s:Fault><s:Code><s:Value>s:{self.code}</s:Value>{inner}</s:Code>"
            f'<s:Reason><s:Text xml:lang="en">{escape(self.reason)}</s:Text></s:Reason></s:Fault>'
        )


@dataclass(frozen=True)
class UsernameToken:
    user: str
    password: str
    kind: str
    nonce: str
    created: str


@dataclass(frozen=True)
class Request:
    """The operation is the first element of the body: its namespace, its name and the element itself."""

    namespace: str
    operation: str
    element: ElementTree.Element
    token: UsernameToken | None

    def text(self, name: str) -> str:
        """Text of the first descendant with this local name, or an empty string."""
        for element in self.element.iter():
            if _local(element.tag) == name:
                return (element.text or "").strip()
        return ""


def envelope(body: str) -> bytes:
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><s:Envelope{_DECLARED}><s:Body>{body}</s:Body></s:Envelope>'
    ).encode()


def parse(data: bytes) -> Request:
    """Raises `Fault` (ter:WellFormed) for anything that is not a SOAP 1.2 request."""
    if b"<!DOCTYPE" in data[:2048]:
        raise Fault(400, "Sender", ["WellFormed"], "a SOAP message holds no document type declaration")
    try:
        root = ElementTree.fromstring(data)
    except ElementTree.ParseError as error:
        raise Fault(400, "Sender", ["WellFormed"], f"the request is not well-formed XML: {error}") from error
    body = root.find(f"{{{ENVELOPE}}}Body")
    if root.tag != f"{{{ENVELOPE}}}Envelope" or body is None or len(body) == 0:
        raise Fault(400, "Sender", ["WellFormed"], "the request is not a SOAP 1.2 envelope with a body")
    namespace, _, operation = body[0].tag.rpartition("}")
    return Request(namespace.lstrip("{"), operation, body[0], _token(root))


def _token(root: ElementTree.Element) -> UsernameToken | None:
    node = root.find(f"{{{ENVELOPE}}}Header/{{{WSSE}}}Security/{{{WSSE}}}UsernameToken")
    if node is None:
        return None
    password = node.find(f"{{{WSSE}}}Password")
    return UsernameToken(
        user=node.findtext(f"{{{WSSE}}}Username", "").strip(),
        password="" if password is None else (password.text or "").strip(),
        kind="" if password is None else password.get("Type", ""),
        nonce=node.findtext(f"{{{WSSE}}}Nonce", "").strip(),
        created=node.findtext(f"{{{WSU}}}Created", "").strip(),
    )


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]
