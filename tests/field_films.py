"""H.264 films of gray fields, as camcorders' (AVCHD), which no encoder at hand writes.

First fields hold their samples, second ones repeat them. Headers are those of H.264, 7.3.
"""

from fractions import Fraction
from pathlib import Path

import av

FPS = 25
# Rows and columns of a frame; a field has two macroblocks.
SIDE = 32
# Frames between those from which a decoder can begin.
KEY_SPACING = 12
# Ticks of a transport stream.
CLOCK = Fraction(1, 90_000)
FRAME_TICKS = 3600


def gray_code(frame: int) -> int:
    """Return the luma of a frame."""
    return 40 + 5 * frame


def write_fields(path: Path, frames: int, *, apart: bool) -> None:
    """Write a film; if `apart`, each field is a packet with a time of its own."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.height, stream.width, stream.pix_fmt = SIDE, SIDE, "yuv420p"
        stream.time_base = CLOCK
        for number in range(frames):
            fields = [first_field(number), second_field(number)]
            units = fields if apart else [b"".join(fields)]
            for field, unit in enumerate(units):
                packet = av.Packet(unit)
                packet.stream, packet.time_base = stream, CLOCK
                packet.pts = packet.dts = (
                    FRAME_TICKS * number + FRAME_TICKS // 2 * field
                )
                container.mux(packet)


def first_field(frame: int) -> bytes:
    """Return the upper field: macroblocks of samples, with headers where a decoder can begin."""
    order = frame % KEY_SPACING
    is_key = order == 0
    bits = exp_golomb(0, 7, 0) + f"{order:08b}" + "10"
    if is_key:
        bits += exp_golomb(frame // KEY_SPACING % 2)
    bits += f"{2 * order:08b}" + ("00" if is_key else "0") + exp_golomb(0, 1)
    for _ in range(2):
        bits = aligned(bits + exp_golomb(25))
        bits += f"{gray_code(frame):08b}" * 256 + f"{128:08b}" * 128
    headers = sequence() + unit(0x68, "11" + "00" + "111" + "000" + "111" + "100")
    return (headers if is_key else b"") + unit(0x65 if is_key else 0x61, bits)


def second_field(frame: int) -> bytes:
    """Return the lower field, of which all macroblocks are skipped."""
    order = frame % KEY_SPACING
    bits = exp_golomb(0, 5, 0) + f"{order:08b}" + "11" + f"{2 * order + 1:08b}"
    return unit(0x61, bits + "00" + "0" + exp_golomb(0, 1, 2))


def sequence() -> bytes:
    """Return the parameters of films of the Main profile: their size, fields and rate."""
    bits = f"{77:08b}{0:08b}{30:08b}" + exp_golomb(0, 4, 0, 4, 1) + "0"
    bits += exp_golomb(SIDE // 16 - 1, SIDE // 32 - 1) + "00" + "1" + "0"
    timing = f"{1:032b}{2 * FPS:032b}1"
    return unit(0x67, bits + "1" + "0000" + "1" + timing + "0000")


def unit(header: int, bits: str) -> bytes:
    """Return a unit of a stream; three bytes below 4 must not follow one another."""
    bits = aligned(bits + "1")
    escaped = bytearray()
    for byte in int(bits, 2).to_bytes(len(bits) // 8):
        if byte <= 3 and escaped[-2:] == b"\0\0":
            escaped.append(3)
        escaped.append(byte)
    return b"\0\0\0\1" + bytes([header]) + bytes(escaped)


def exp_golomb(*numbers: int) -> str:
    """Return the bits of numbers by their variable-length code (9.1)."""
    binary = [f"{number + 1:b}" for number in numbers]
    return "".join("0" * (len(x) - 1) + x for x in binary)


def aligned(bits: str) -> str:
    """Return bits up to a whole byte."""
    return bits + "0" * (-len(bits) % 8)
