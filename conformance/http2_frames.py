"""HTTP/2 frames by hand (RFC 9113), so that a test can send what no client would."""

import socket
import ssl
import struct
from dataclasses import dataclass
from pathlib import Path

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, ACK, END_HEADERS = 1, 1, 4
INITIAL_WINDOW_SIZE = 4
REFUSED_STREAM, ENHANCE_YOUR_CALM = 7, 11


@dataclass(frozen=True)
class Frame:
    kind: int
    flags: int
    stream: int
    payload: bytes

    @property
    def error(self) -> int:
        """The error code of RST_STREAM or GOAWAY."""
        return struct.unpack(">I", self.payload[:4] if self.kind == RST_STREAM else self.payload[4:8])[0]

    @property
    def status(self) -> int:
        """The status of a HEADERS frame, whose first field it is: indexed, or a literal in its plain or Huffman form."""
        first = self.payload[0]
        known = {0x88: 200, 0x8C: 400, 0x8D: 404, 0x8E: 500}
        if first in known:
            return known[first]
        # `:status` by its index in the static table (8), then the value: h2 encodes digits by Huffman (RFC 7541).
        value = self.payload[2 : 2 + (self.payload[1] & 0x7F)]
        bits = "".join(f"{byte:08b}" for byte in value)
        short = {"00000": "0", "00001": "1", "00010": "2"}
        long = {f"{25 + digit - 3:06b}": str(digit) for digit in range(3, 10)}
        text, at = "", 0
        while len(text) < 3:
            code = bits[at : at + 5]
            text, at = (text + short[code], at + 5) if code in short else (text + long[bits[at : at + 6]], at + 6)
        return int(text)


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def settings(**values: int) -> bytes:
    pairs = {"initial_window_size": INITIAL_WINDOW_SIZE}
    return frame(SETTINGS, payload=b"".join(struct.pack(">HI", pairs[name], value) for name, value in values.items()))


def _integer(value: int, bits: int) -> bytes:
    most = (1 << bits) - 1
    if value < most:
        return bytes([value])
    rest, out = value - most, bytes([most])
    while rest >= 128:
        out += bytes([rest % 128 + 128])
        rest //= 128
    return out + bytes([rest])


def field(name: str, value: str) -> bytes:
    """A literal without indexing (RFC 7541 section 6.2.2)."""
    return b"\0" + _integer(len(name), 7) + name.encode() + _integer(len(value), 7) + value.encode()


def request_head(authority: str = "127.0.0.1", fields: list[tuple[str, str]] = ()) -> bytes:
    """POST / over https."""
    return b"\x83\x87\x84" + field(":authority", authority) + b"".join(field(n.lower(), v) for n, v in fields)


class Http2:
    """A connection that has said hello."""

    def __init__(self, port: int, ca: Path, first: bytes = settings()):
        context = ssl.create_default_context(cafile=ca)
        context.set_alpn_protocols(["h2"])
        self.socket = context.wrap_socket(
            socket.create_connection(("127.0.0.1", port), timeout=20), server_hostname="localhost"
        )
        assert self.socket.selected_alpn_protocol() == "h2"
        self.buffer = b""
        self.socket.sendall(PREFACE + first)

    def send(self, *frames: bytes) -> bool:
        """Whether the server let us send it all."""
        try:
            self.socket.sendall(b"".join(frames))
        except OSError:
            return False
        return True

    def read(self) -> Frame | None:
        """The next frame; None at the end of the connection, however it came."""
        try:
            while len(self.buffer) < 9 or len(self.buffer) < 9 + int.from_bytes(self.buffer[:3], "big"):
                chunk = self.socket.recv(65_536)
                if not chunk:
                    return None
                self.buffer += chunk
        except OSError as error:
            assert not isinstance(error, TimeoutError), "the server neither answers nor closes"
            return None
        length = int.from_bytes(self.buffer[:3], "big")
        kind, flags, stream = struct.unpack(">BBI", self.buffer[3:9])
        payload, self.buffer = self.buffer[9 : 9 + length], self.buffer[9 + length :]
        return Frame(kind, flags, stream, payload)

    def read_until(self, *kinds: int) -> Frame | None:
        while (found := self.read()) is not None and found.kind not in kinds:
            pass
        return found

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> "Http2":
        return self

    def __exit__(self, *_) -> None:
        self.close()
