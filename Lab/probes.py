"""Asking the virtual address from outside, on the host's clock, and the timeline that comes of it."""

import os
import select
import socket
import struct
import threading
import time

from config import OUTSIDE, VIP

EVERY = 0.1  # seconds between questions: polite, and precise enough


class Probe(threading.Thread):
    """Asks until the first answer; `answered` is the moment it came."""

    def __init__(self):
        super().__init__(daemon=True)
        self.answered = None
        self._over = threading.Event()

    def run(self):
        self.open()
        while not self._over.is_set() and self.answered is None:
            self.ask()
            until = time.monotonic() + EVERY
            while self.answered is None and (left := until - time.monotonic()) > 0:
                if select.select([self.socket], [], [], left)[0] and self.hear():
                    self.answered = time.monotonic()
        self.close()

    def stop(self):
        self._over.set()

    def close(self):
        self.socket.close()


class ARP(Probe):
    """Who has the address? The kernel of its holder answers."""

    def open(self):
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0806))
        self.socket.bind(("outside", 0x0806))
        self.mac = self.socket.getsockname()[4]

    def ask(self):
        question = struct.pack("!HHBBH6s4s6s4s", 1, 0x0800, 6, 4, 1, self.mac, socket.inet_aton(OUTSIDE["lab"]), b"\0" * 6,
                               socket.inet_aton(VIP))
        self.socket.sendto(question, ("outside", 0x0806, 0, 0, b"\xff" * 6))

    def hear(self):
        """The hardware address of who answered, if this is an answer to us."""
        packet, _ = self.socket.recvfrom(64)
        if len(packet) < 28 or packet[6:8] != b"\0\2" or packet[14:18] != socket.inet_aton(VIP) or packet[18:24] != self.mac:
            return None
        return packet[8:14].hex(":")


class Holders(threading.Thread):
    """Asks who has the address, all the time, and remembers every question that two nodes answered."""

    def __init__(self):
        super().__init__(daemon=True)
        self.clashes = []

    def run(self):
        ask = ARP()
        ask.open()
        while True:
            ask.ask()
            answers = set()
            until = time.monotonic() + 0.25
            while (left := until - time.monotonic()) > 0:
                if select.select([ask.socket], [], [], left)[0] and (holder := ask.hear()):
                    answers.add(holder)
            if len(answers) > 1:
                self.clashes.append(sorted(answers))


class _UDP(Probe):
    def __init__(self, address=VIP):
        super().__init__()
        self.address = address

    def open(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.connect((self.address, self.port))

    def send(self, packet):
        try:
            self.socket.send(packet)
        except OSError:
            pass  # refused or unreachable: the answer to an earlier question

    def receive(self):
        try:
            return self.socket.recv(2048)
        except OSError:
            return b""


class IKE(_UDP):
    """A message of IKE version 3.0: any daemon must say that it does not know it, and keeps nothing of it."""

    port = 500

    def open(self):
        super().open()
        self.asked = set()

    def ask(self):
        spi = os.urandom(8)
        self.asked.add(spi)
        self.send(spi + bytes(8) + bytes.fromhex("00302208000000000000001c"))

    def hear(self):
        return self.receive()[:8] in self.asked


class L2TP(_UDP):
    """Asks for a tunnel (SCCRQ) and takes every tunnel that it gets down again (StopCCN)."""

    port = 1701

    def ask(self):
        tunnel = int.from_bytes(os.urandom(2), "big") or 1
        attributes = bytes.fromhex("8008000000000001" "8008000000020100" "800a0000000300000003") + bytes.fromhex(
            "800d00000007") + b"haprobe" + bytes.fromhex("800800000009") + struct.pack("!H", tunnel)
        self.send(struct.pack("!HHHHHH", 0xC802, 12 + len(attributes), 0, 0, 0, 0) + attributes)

    def hear(self):
        packet = self.receive()
        theirs = self._tunnel(packet)
        if theirs is None:
            return False
        ours = struct.unpack_from("!H", packet, 4)[0]
        self.send(struct.pack("!HHHHHH", 0xC802, 36, theirs, 0, 1, 1) + bytes.fromhex("8008000000000004" "800800000009")
                  + struct.pack("!H", ours) + bytes.fromhex("8008000000010001"))
        return True

    def close(self):
        deadline = time.monotonic() + 1  # late answers to earlier questions are tunnels too
        while (left := deadline - time.monotonic()) > 0:
            if select.select([self.socket], [], [], left)[0]:
                self.hear()
        super().close()

    @staticmethod
    def _tunnel(packet):
        """The assigned tunnel id of an SCCRP; None for anything else."""
        if len(packet) < 20 or packet[:1] != b"\xc8" or packet[12:20] != bytes.fromhex("8008000000000002"):
            return None
        place = 12
        while place + 6 <= len(packet):
            length, _, kind = struct.unpack_from("!HHH", packet, place)
            length &= 0x3FF
            if kind == 9 and length == 8:
                return struct.unpack_from("!H", packet, place + 6)[0]
            place += max(length, 6)
        return None


class Timeline:
    """Named moments, in seconds since the first of them."""

    def __init__(self, moments):
        self.moments = moments  # name -> seconds, or None for what was never seen

    def text(self):
        width = max(map(len, self.moments))
        lines = []
        last = max((value for value in self.moments.values() if value is not None), default=0) or 1
        for name, value in self.moments.items():
            bar = "" if value is None else "#" * max(1, round(40 * value / last))
            lines.append(f"  {name:<{width}}  {'   never' if value is None else f'{value:6.2f} s'}  {bar}")
        return "\n".join(lines)

    def takeover(self):
        """From fenced until address, IKE and L2TP all answer; None when one of them never did."""
        answers = [self.moments.get(name) for name in ("VIP answers", "IKE answers", "L2TP answers")]
        fenced = self.moments.get("fenced")
        return None if fenced is None or None in answers else max(answers) - fenced
