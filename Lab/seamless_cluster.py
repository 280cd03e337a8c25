"""The recipe `seamless` on two gateways, and a client that outlives one of them: with the ledger its session is carried on, without it the client
dials again."""

import time

import config
from carryover import HA_MODULES, gateway_files
from nodes import Failure, until
from pair import Lab

ASK = """
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.settimeout(5)
s.connect("/run/vpnha/sessions-sessions.sock")
s.sendall(sys.argv[1].encode() + b"\\n")
while part := s.recv(65536):
    sys.stdout.write(part.decode())
"""


class SeamlessCluster(Lab):
    gateway_modules = config.GATEWAY_MODULES + HA_MODULES

    @staticmethod
    def gateway_files(name):
        return {**gateway_files(name), "/etc/vpnha/sessions.key": "what moon and sun alone know of their sessions\n", "/usr/lib/ask.py": ASK}

    @staticmethod
    def client_files():
        """Debian's own timers are longer still."""
        files = config.client_files()
        for path, old, new in (("/etc/ppp/options.client", "lcp-echo-interval 1\n", "lcp-echo-interval 20\n"),
                               ("/etc/swanctl/swanctl.conf", "dpd_delay = 2s\n    dpd_timeout = 6s", "dpd_delay = 15s\n    dpd_timeout = 60s")):
            assert old in files[path]
            files[path] = files[path].replace(old, new)
        return files

    def play(self):
        self.start()
        carried = self._lose(True)
        self.rejoin(next(node for node in self.gateways.values() if not node.on))
        self.serving().run("pcs", "resource", "disable", "sessions-clone", "--wait=30", timeout=60)
        self.say("the ledger is switched off")
        alone = self._lose(False)
        print(f"\n  Silence of a client with LCP echoes every 20 s, DPD 15 s and 60 s: {carried:.1f} s when its session is carried on, "
              f"{alone:.1f} s when it is not\n", flush=True)

    def _lose(self, carried):
        """The plug is pulled; how long the client heard nothing."""
        here = until("one node serves", 30, self.serving)
        there = self.other(here)
        if carried:
            until(f"{there.name} has the client's session ready", 60, lambda: "\nready 1\n" in self._ask(there, "status"), every=0.5)
        self._await_copy(there)
        before = self._session()
        self.say(f"pulling the plug on {here.name}, which serves; the client's pppd and address are {before}")
        here.pull_plug()
        cut = time.monotonic()
        back = self.await_client(after=cut + 0.5)
        until(f"{there.name} serves", 30, lambda: self.serving() is there)
        self.say(f"the client is back through {there.name} after {back - cut:.1f} s, {back - self.fenced[here.name]:.1f} s after the fence")
        # Longer than a client's patience that has lost its session.
        time.sleep(70)
        after = self._session()
        if (before == after) != carried or self.silence(back) > 5:
            raise Failure(f"the client had {before} and has {after}, and heard nothing for {self.silence(back):.1f} s afterwards")
        if carried and "\nadopted 1\n" not in self._ask(there, "status"):
            raise Failure(f"the ledger of {there.name} says {self._ask(there, 'status')}")
        return back - cut

    def _session(self):
        """pppd and address of the client."""
        return self.client.run("sh", "-c", "pidof pppd; ip -4 -o address show dev ppp0 | grep -o 'inet [^ ]*'", check=False).output.split()

    def _await_copy(self, node):
        """The peer is sent what it missed by the monitor at level 10, once a minute."""
        until(f"{node.name} holds the client's SA", 150, lambda: "PASSIVE" in node.run("swanctl", "--list-sas", check=False).output, every=1)

    def _ask(self, node, word):
        return node.run("python3", "/usr/lib/ask.py", word, check=False).output
