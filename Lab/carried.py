"""The pair under its cluster, with the ha plugin: a client's SA that no loss of a gateway ends; the story is in carried/README.md."""

import re

import config
from carryover import CALL, ESP, HA_MODULES, SameSA, gateway_files
from config import OUTSIDE, VIP
from nodes import Failure, until
from pair import Lab

PORT = 7  # xl2tpd has 1701


class Carried(Lab, SameSA):
    """The promotable layout; the client talks through an SA of IKEv2 in place of an L2TP session, which nobody carries over."""

    gateway_modules = config.GATEWAY_MODULES + HA_MODULES

    @staticmethod
    def gateway_files(name):
        files = gateway_files(name)
        files["/etc/swanctl/swanctl.conf"] += _connection(VIP)
        return files

    @staticmethod
    def client_files():
        return {**config.client_files(), "/etc/swanctl/swanctl.conf": _connection(OUTSIDE["client"], VIP), "/usr/lib/call.py": CALL}

    def _connect(self):
        self.esp = ESP()
        self.esp.start()
        for node in self.gateways.values():
            self._answer(node)
        here = self.serving()
        self.client.run(f"python3 /usr/lib/call.py {PORT} >/dev/null 2>&1 </dev/null &")
        until(f"the client hears {here.name}", 60, lambda: len(self.heard(here.name)) > 20)
        self._await_copy(self.other(here))
        self.say(f"{here.name} answers the client; {self.other(here).name} holds its SA")

    def _answer(self, node):
        node.run(f"python3 /usr/lib/echo.py {node.name} {PORT} >/dev/null 2>&1 </dev/null &")

    def _await_copy(self, node):
        """The peer is sent what it missed by the monitor at level 10, once a minute."""
        until(f"{node.name} holds the client's SA", 150, lambda: re.search(
            r"echo: #\d+, PASSIVE.*?INSTALLED", node.run("swanctl --list-sas", check=False).output, re.DOTALL), every=1)

    def play(self):
        self.start()
        here = self.serving()
        there = self.other(here)

        self.say("there and back on one SA; what would rekey it, and tell the peer of the epoch, is held off")
        spi = self.esp.spi()
        for node in self.gateways.values():
            node.run("while :; do pkill -f '[r]ekey-inherited'; sleep 0.2; done >/dev/null 2>&1 </dev/null & echo $! >/run/hold.pid")
        self._move(here, there, spi)
        first = self._epoch(there)
        self._move(there, here, spi)
        if self._epoch(here) <= first:
            raise Failure("an epoch was used twice")
        for node in self.gateways.values():
            node.run("kill $(cat /run/hold.pid)")

        # Of the last epoch only its owner knows: what the survivor has to go by is the SA's age.
        self._lose(here, there)
        self.rejoin(here)
        self._answer(here)
        self._await_copy(here)
        self._move(there, here, self.esp.spi())
        epoch = self._epoch(here)
        until("both nodes know the epoch", 30, lambda: set(self._epochs(there).values()) == {epoch} and len(self._epochs(there)) == 2)
        self._lose(here, there, rekeyed=False)
        # A busy node may tell it only after the promotion.
        until("the cluster knows of a later epoch than the lost owner's", 60,
              lambda: max(self._epochs(there).values(), default=0) > epoch)
        self.check_one_holder()
        if aborted := there.run("grep 'aborted by.*vpnha-epoch' /var/log/pacemaker/pacemaker.log", check=False).output:
            raise Failure(f"an epoch made Pacemaker plan anew: {aborted}")
        self.say("no epoch made Pacemaker plan anew")

    def _move(self, here, there, spi):
        self.say(f"the service is moved to {there.name}")
        mark = self.mark()
        there.run("pcs", "resource", "move", "vpn-clone", there.name, "--promoted", timeout=240)
        until(f"{there.name} serves", 60, lambda: self.serving() is there)
        self.check_same_sa(there, spi, mark, rekeyed=False)
        self.await_settled(on=there)

    def _lose(self, here, there, rekeyed=True):
        """The plug is pulled on one gateway: the other goes on with the same SA, and then rekeys it."""
        self.say(f"pulling the plug on {here.name}, which serves")
        spi, mark = self.esp.spi(), self.mark()
        here.pull_plug()
        until(f"{there.name} serves", 60, lambda: self.serving() is there)
        self.check_same_sa(there, spi, mark, rekeyed)

    def _epochs(self, node):
        """As the cluster tells them there, by node."""
        told = node.run("attrd_updater", "-Q", "-A", "-n", "vpnha-epoch-strongswan").output
        return {name: int(number) for name, number in re.findall(r'host="(\w+)" value="(\d+)"', told)}

    def _epoch(self, node):
        """The latest."""
        epochs = self._epochs(node)
        self.say(f"the cluster's epoch: {epochs}")
        return max(epochs.values())


def _connection(local, remote=None):
    """For both ends; without `remote` for a gateway. No dead-peer detection: what is lost is lost in the gateways."""
    lines = {"there": f"remote_addrs = {remote}", "id": f"id = {remote}", "start": "start_action = trap"} if remote else {}
    return f"""
connections {{
  echo {{
    version = 2
    local_addrs = {local}
    {lines.get("there", "")}
    mobike = no
    proposals = aes256-sha256-modp2048
    local {{
      auth = psk
      id = {local}
    }}
    remote {{
      auth = psk
      {lines.get("id", "")}
    }}
    children {{
      echo {{
        mode = transport
        {lines.get("start", "")}
        local_ts = dynamic[udp/{PORT}]
        remote_ts = dynamic[udp/{PORT}]
        esp_proposals = aes128-sha1
      }}
    }}
  }}
}}
secrets {{
  ike-echo {{
    id = {VIP}
    secret = "{config.PSK}"
  }}
}}
"""
