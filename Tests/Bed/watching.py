"""Asking the gateway from outside, all the time, and what the answers say: who holds the address, and when nobody served."""

import bisect
import os
import select
import socket
import struct
import subprocess
import sys
import threading
import time

sys.path.append(os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "Lab"))
from config import OUTSIDE, VIP  # noqa: E402
from probes import L2TP  # noqa: E402

# Seconds between questions, and how long a silence of each kind is none yet.
EVERY = {"ARP": 0.02, "IKE": 0.1, "L2TP": 0.4}
PATIENCE = {"ARP": 0.15, "IKE": 0.4, "L2TP": 1.2}


def main_mode():
    """The first message of IKEv1: answered with an SA only where a connection for it is loaded. The same bytes each time,
    so that there is at most one half-open SA."""
    attributes = b"".join(struct.pack("!HH", 0x8000 | kind, value) for kind, value in
                          ((1, 7), (14, 256), (2, 4), (3, 1), (4, 14), (11, 1), (12, 28800)))
    transform = struct.pack("!BBHBBH", 0, 0, 8 + len(attributes), 1, 1, 0) + attributes
    proposal = struct.pack("!BBHBBBB", 0, 0, 8 + len(transform), 1, 1, 0, 1) + transform
    body = struct.pack("!II", 1, 1) + proposal
    payload = struct.pack("!BBH", 0, 0, 4 + len(body)) + body
    return os.urandom(8) + bytes(8) + struct.pack("!BBBBII", 1, 0x10, 2, 0, 0, 28 + len(payload)) + payload


class Watch:
    """Moments at which the address, IKE and L2TP answered, and every time that two nodes answered for the address."""

    def __init__(self, address=VIP):
        self.address = address
        self.answers = {kind: [] for kind in EVERY}  # (moment, who)
        self.asked = {kind: [] for kind in EVERY}
        self.clashes, self.clear = [], []
        for ask in (self._arp, self._ike, self._clear_text):
            threading.Thread(target=ask, daemon=True).start()

    def attend(self, node):
        """L2TP is refused outside IPsec, but not from the node itself: a process in it asks, and dies with it."""
        asking = subprocess.Popen(["nsenter", "-t", str(node.init), "-n", "-p", "--", sys.executable, __file__, self.address, str(EVERY["L2TP"])],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

        def listen():
            for _ in asking.stdout:
                self.answers["L2TP"].append((time.monotonic(), node.name))
        threading.Thread(target=listen, daemon=True).start()

    def _arp(self):
        wire = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0806))
        wire.bind(("outside", 0x0806))
        mac = wire.getsockname()[4]
        question = struct.pack("!HHBBH6s4s6s4s", 1, 0x0800, 6, 4, 1, mac, socket.inet_aton(OUTSIDE["lab"]), bytes(6), socket.inet_aton(self.address))
        before = set()
        while True:
            self.asked["ARP"].append(time.monotonic())
            wire.sendto(question, ("outside", 0x0806, 0, 0, b"\xff" * 6))
            holders = set()
            end = time.monotonic() + EVERY["ARP"]
            while (left := end - time.monotonic()) > 0:
                if select.select([wire], [], [], left)[0]:
                    packet = wire.recvfrom(64)[0]
                    if packet[6:8] == b"\0\2" and packet[14:18] == socket.inet_aton(self.address) and packet[18:24] == mac:
                        holders.add(packet[13])
                        self.answers["ARP"].append((time.monotonic(), packet[13]))
            # An answer to the question before may come late: twice in a row is no accident.
            if len(holders) > 1 and len(before) > 1:
                self.clashes.append(time.monotonic())
            before = holders

    def _ike(self):
        asking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        asking.bind((OUTSIDE["lab"], 0))
        question = main_mode()
        while True:
            self.asked["IKE"].append(time.monotonic())
            self._send(asking, question, (self.address, 500))
            end = time.monotonic() + EVERY["IKE"]
            while (left := end - time.monotonic()) > 0:
                if select.select([asking], [], [], left)[0]:
                    packet = self._receive(asking)
                    if packet[:8] == question[:8] and packet[16:19] == b"\x01\x10\x02":
                        self.answers["IKE"].append((time.monotonic(), "?"))

    def _clear_text(self):
        """L2TP outside IPsec: whatever answers this is a hole."""
        ask = L2TP(self.address)
        ask.open()
        while True:
            ask.ask()
            # A daemon says it again and again: what has come meanwhile is read now, not counted one by one in the seconds to come.
            heard, patience = False, 1
            while select.select([ask.socket], [], [], patience)[0]:
                heard, patience = bool(ask.hear()) or heard, 0
            if heard:
                self.clear.append(time.monotonic())
            time.sleep(1)

    @staticmethod
    def play_remote():
        """The IKE daemon that the path probe asks: it knows no such version, and says so."""
        for arguments in ((500, b""), (4500, bytes(4))):
            threading.Thread(target=Watch._remote, args=arguments, daemon=True).start()

    @staticmethod
    def _remote(port, marker):
        here = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        here.bind(("198.51.100.9", port))
        while True:
            packet, sender = here.recvfrom(2048)
            packet = packet[len(marker):]
            if len(packet) >= 28:
                answer = struct.pack("!BBBBII", 41, 0x20, 34, 0x20, 0, 36) + bytes.fromhex("0000000800000005")
                here.sendto(marker + packet[:8] + os.urandom(8) + answer, sender)

    @staticmethod
    def _send(asking, packet, where):
        try:
            asking.sendto(packet, where)
        except OSError:
            pass  # refused or unreachable: the answer to an earlier question

    @staticmethod
    def _receive(asking):
        try:
            return asking.recv(2048)
        except OSError:
            return b""

    # What it comes to

    def serving(self):
        """Whether everything answered a moment ago, and who holds the address: a node's number; None if nobody serves."""
        now = time.monotonic()
        for kind, answers in self.answers.items():
            if not answers or now - answers[-1][0] > PATIENCE[kind]:
                return None
        return self.answers["ARP"][-1][1]

    def served(self, node, since):
        """Whether everything has answered since then, and the address from that node."""
        for kind, answers in self.answers.items():
            if not answers or answers[-1][0] < since + PATIENCE[kind]:
                return False
        return self.answers["ARP"][-1][1] == node.number

    def silences(self, start, end):
        """Spans of time, each with the kind that was silent."""
        found = []
        for kind, answers in self.answers.items():
            moments = [start, *(moment for moment, _ in list(answers) if start < moment < end), end]
            asked = list(self.asked[kind])
            # On a machine that is too busy for us to ask, nobody was silent.
            found += [(earlier, later, kind) for earlier, later in zip(moments, moments[1:]) if later - earlier > PATIENCE[kind]
                      and (not asked or bisect.bisect(asked, later) - bisect.bisect(asked, earlier) > 3)]
        return sorted(found)

    def without_service(self, start, end):
        """Seconds in which at least one of them was silent."""
        total, reached = 0.0, start
        for earlier, later, kind in self.silences(start, end):
            earlier = max(earlier, reached)
            if later > earlier:
                total, reached = total + later - earlier, later
        return total


if __name__ == "__main__":
    ask = L2TP(sys.argv[1])
    ask.open()
    while True:
        ask.ask()
        end = time.monotonic() + float(sys.argv[2])
        while (left := end - time.monotonic()) > 0:
            if select.select([ask.socket], [], [], left)[0] and ask.hear():
                print(flush=True)
