"""IPsec SAs that outlive their gateway; the story is in carry-over/README.md."""

import os
import re
import shutil
import socket
import struct
import threading
import time

import config
import nodes
from config import CLUSTER, GATEWAYS, OUTSIDE, VIP
from nodes import Failure, until
from pair import together

AGENTS = "/usr/lib/ocf/resource.d/vpnha"
CROWD = 50
FIRST = 1 << 27  # the first owner that takes over begins behind this number
HA_MODULES = ("gcm", "ccm")  # of the SA between the nodes

ECHO = f"""
import socket, sys
service = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
service.setsockopt(socket.IPPROTO_IP, 15, 1)  # IP_FREEBIND: the address comes and goes
service.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # for SPEAK
service.bind(("{VIP}", int(sys.argv[2])))
while True:
    data, peer = service.recvfrom(100)
    try:
        service.sendto(data + b" " + sys.argv[1].encode(), peer)
    except OSError:
        pass
"""

CALL = f"""
import select, socket, sys, time
caller = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
caller.bind(("{OUTSIDE['client']}", int(sys.argv[1])))
caller.connect(("{VIP}", int(sys.argv[1])))
heard = open("/lab/heard", "w", 1)
number, moment = 0, time.monotonic()
while True:
    number, moment = number + 1, moment + 0.05
    try:
        caller.send(str(number).encode())
    except OSError:
        pass
    while (left := moment - time.monotonic()) > 0:
        if select.select([caller], [], [], left)[0]:
            try:
                heard.write(caller.recv(100).decode() + "\\n")
            except OSError:
                pass
"""

# What a standby might say to a client by mistake: from a socket that has the address before the node does, and through a tunnel.
SPEAK = f"""
import socket
mouth = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
mouth.setsockopt(socket.IPPROTO_IP, 15, 1)  # IP_FREEBIND, as ip_nonlocal_bind gives to every socket
mouth.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
mouth.bind(("{VIP}", 1701))
inner = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for mouth, hearer in ((mouth, "{OUTSIDE['client']}"), (inner, "10.99.0.1")):
    try:
        mouth.sendto(b"too early", (hearer, 1701))
    except OSError as refusal:
        print(refusal)
"""
TUNNEL = 0xbeef

# The attribute daemon of a cluster, as far as an agent sees it: what is set lies in /lab/epoch, and `_serve` copies it to the peer.
ATTRIBUTES = """#!/bin/sh
while getopts n:QApU:N:D option; do
  case $option in n) name=$OPTARG ;; Q) query=yes ;; U) value=$OPTARG ;; esac
done
case $name in vpnha-epoch-*) ;; *) exit 0 ;; esac  # a score
[ "$query" ] || { echo $value >/lab/epoch; exit; }
[ -s /lab/epoch ] || exit 78
echo "name=\\"$name\\" host=\\"moon\\" value=\\"$(cat /lab/epoch)\\""
"""

class ESP(threading.Thread):
    """Every ESP packet from the address to the client: (moment, sender's hardware address, SPI, number). And who says by ARP that it
    has the address: (moment, hardware address)."""

    def __init__(self):
        super().__init__(daemon=True)
        self.seen = []
        self.claims = []

    def run(self):
        wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0003))
        wire.bind(("client-eth0", 0x0003))
        source = socket.inet_aton(VIP)
        while True:
            frame = wire.recv(2048)
            if len(frame) >= 42 and frame[14] == 0x45 and frame[23] == 50 and frame[26:30] == source:
                spi, number = struct.unpack_from("!II", frame, 34)
                self.seen.append((time.monotonic(), frame[6:12].hex(":"), spi, number))
            elif len(frame) >= 42 and frame[12:14] == b"\x08\x06" and frame[28:32] == source:
                self.claims.append((time.monotonic(), frame[22:28].hex(":")))

    def of(self, hardware, spi, after):
        return [packet for packet in list(self.seen) if packet[1] == hardware and packet[2] == spi and packet[0] > after]

    def spi(self):
        """Of what comes from the address now."""
        until("ESP crosses the wire", 30, lambda: self.seen and self.seen[-1][0] > time.monotonic() - 1, every=0.05)
        return self.seen[-1][2]


class SameSA:
    """Watches a client's SA go from one gateway to the other. Needs `esp`, `client` and `say`."""

    dropped = 0  # packets that the client refused for their number

    def check_same_sa(self, node, spi, mark, rekeyed=True):
        """The first packets of the new owner are on the SA that the old one used, in a range of their own, and are accepted."""
        since, place = mark
        hardware = node.run("cat /sys/class/net/eth0/address").output.strip()
        used = max((packet[3] for packet in list(self.esp.seen) if packet[2] == spi and packet[0] <= since), default=0)
        if used == 0:
            raise Failure(f"nobody sent on SPI {spi:08x} before: the test shows nothing")

        def raised():
            return [packet for packet in self.esp.of(hardware, spi, since) if packet[3] > max(used, FIRST)]

        until(f"{node.name} sends on SPI {spi:08x} with a number of its own range", 30, raised, every=0.02)
        until(f"the client hears {node.name}", 10, lambda: self.heard(node.name, place), every=0.02)
        if rekeyed:
            until("the SA is rekeyed", 40, lambda: self.esp.spi() != spi)
        early = len(self.esp.of(hardware, spi, since)) - len(raised())
        dropped = int(self.client.run("awk '/XfrmInStateSeqError/ { print $2 }' /proc/net/xfrm_stat").output)
        first = raised()[0]
        silence = first[0] - max(packet[0] for packet in list(self.esp.seen) if packet[1] != hardware and packet[2] == spi and packet[0] < first[0])
        self.say(f"{node.name} sent {len(raised())} packets on SPI {spi:08x}, the first {silence:.1f} s after the last of the old owner, with "
                 f"number {first[3]:#x} ({used:#x} was used), and {early} before it was promoted; the client dropped {dropped - self.dropped}")
        if early:
            raise Failure("it sent with numbers that the client has seen")
        if dropped > self.dropped:
            raise Failure("the client dropped packets that were numbered for it")
        self.dropped = dropped
        if rekeyed:
            self.say(f"and rekeyed it: SPI {self.esp.spi():08x}")

    def heard(self, name, place=0):
        """Answers of that gateway to the client's datagrams, those before a place in what the client heard left out."""
        return [line for line in self._all_heard()[place:] if line.endswith(f" {name}")]

    def mark(self):
        """Now, and how far the client has heard."""
        return time.monotonic(), len(self._all_heard())

    def _all_heard(self):
        if not os.path.exists(f"{self.client.share}/heard"):
            return []
        with open(f"{self.client.share}/heard") as file:
            return file.read().splitlines()

    def must_not_speak(self, node):
        """A gateway that does not hold the address cannot send on the SAs it has, whoever asks it to."""
        node.run(f"ip xfrm state add src {VIP} dst {OUTSIDE['client']} proto esp spi {TUNNEL} mode tunnel reqid 99 "
                 "auth 'hmac(sha1)' 0x0102030405060708090a0b0c0d0e0f1011121314 enc 'cbc(aes)' 0x0102030405060708090a0b0c0d0e0f10")
        node.run(f"ip xfrm policy add dst 10.99.0.0/24 dir out tmpl src {VIP} dst {OUTSIDE['client']} proto esp reqid 99 mode tunnel")
        node.run("ip route add 10.99.0.0/24 dev eth0")
        self.must_be_refused(node)

    def must_be_refused(self, node):
        """Nor can one that has been given the address and is not promoted yet."""
        hardware = node.run("cat /sys/class/net/eth0/address").output.strip()
        refusals = node.run("python3 /usr/lib/speak.py").output.splitlines()
        if said := [packet for packet in list(self.esp.seen) if packet[1] == hardware]:
            raise Failure(f"{node.name} is not promoted and sent {len(said)} ESP packets")
        if len(refusals) != 2:
            raise Failure(f"{node.name} was not refused twice: {refusals}")

    def may_speak(self, node):
        """The same words of the same node once it holds the address: they do leave."""
        hardware, since = node.run("cat /sys/class/net/eth0/address").output.strip(), time.monotonic()
        node.run("python3 /usr/lib/speak.py")
        until(f"{node.name} speaks through the tunnel", 10, lambda: self.esp.of(hardware, TUNNEL, since), every=0.05)
        node.run(f"ip xfrm state delete src {VIP} dst {OUTSIDE['client']} proto esp spi {TUNNEL}")
        node.run("ip xfrm policy delete dst 10.99.0.0/24 dir out; ip route del 10.99.0.0/24")


class CarryOver(SameSA):
    def __init__(self, package):
        self.package, self.began = package, time.monotonic()
        nodes.prepare()
        outside = nodes.Bridge("outside", f"{OUTSIDE['lab']}/24")
        inside = nodes.Bridge("cluster")
        self.gateways = {}
        for name in GATEWAYS:
            cables = {"eth0": (outside, f"{OUTSIDE[name]}/24"), "eth1": (inside, f"{CLUSTER[name]}/24")}
            self.gateways[name] = nodes.Node(name, cables, gateway_files(name), config.GATEWAY_MODULES + HA_MODULES)
        self.client = nodes.Node("client", {"eth0": (outside, f"{OUTSIDE['client']}/24")},
                                 {**config.client_files(), "/usr/lib/call.py": CALL}, config.CLIENT_MODULES)
        self.esp = ESP()

    def say(self, text):
        print(f"[{time.monotonic() - self.began:6.1f} s] {text}", flush=True)

    def play(self):
        moon, sun = self.gateways["moon"], self.gateways["sun"]
        together([moon.boot, sun.boot, self.client.boot])
        self.esp.start()
        together([lambda: self._prepare(moon), lambda: self._prepare(sun), self._prepare_client])
        # What the plugin sends is not acknowledged; while the two negotiate how to protect it, some of it is lost.
        for node in self.gateways.values():
            until(f"{node.name} has had an SA with its peer for a while", 40, lambda: self._peered(node) >= 4, every=0.5)
        self.say("moon, sun and client are booted; both charons run, with the ha plugin")
        self._serve(moon)
        self.client.run("python3 /usr/lib/call.py 1701 >/dev/null 2>&1 </dev/null & echo $! >/run/call.pid")
        until("the client hears moon", 60, lambda: len(self.heard("moon")) > 20)
        until("sun holds the client's SA", 20, lambda: "l2tp" in self._sas(sun, "PASSIVE"))
        self.say("moon serves the client; sun holds its SA")
        self.must_not_speak(sun)

        self.say("pulling the plug on moon")
        spi, mark = self.esp.spi(), self.mark()
        moon.pull_plug()
        self._serve(sun, hushed=True)
        self.check_same_sa(sun, spi, mark)
        self.may_speak(sun)

        self.say("moon gets power again")
        moon.boot()
        self._prepare(moon)

        def synchronised():
            # What the cluster does every minute.
            self._agent(sun, "monitor", 8, OCF_CHECK_LEVEL="10")
            return "l2tp" in self._sas(moon, "PASSIVE")

        until("moon holds the client's SA", 90, synchronised, every=5)
        self.say("moon holds the client's SA again; there and back, with what would rekey it held off, and there again")
        spi = self.esp.spi()
        self._hold_rekeying()
        self._switch(sun, moon, spi, rekeyed=False)
        self._switch(moon, sun, spi, rekeyed=False)
        self._let_rekey()
        self._switch(sun, moon, spi, rekeyed=True)

        self._kill_and_clean(moon)
        self._drain_a_crowd(sun)

    # Steps

    def _prepare(self, node):
        shutil.copy(self.package, f"{node.share}/vpnha.deb")
        node.run("rm -f /var/lib/man-db/auto-update; dpkg --force-unsafe-io --install /lab/vpnha.deb", timeout=120)
        node.run("cp /usr/lib/attributes.sh /usr/sbin/attrd_updater")  # there is no cluster
        self._agent(node, "start", 0)
        self._vip(node, "start", 0)
        node.run(f"python3 /usr/lib/echo.py {node.name} 1701 >/dev/null 2>&1 </dev/null &")

    def _prepare_client(self):
        self.client.run(config.CLIENT_READY)

    def _serve(self, node, hushed=False):
        """What a cluster does to promote: the address, then the daemon. What it then tells the cluster, every node knows."""
        self._vip(node, "promote", 0)
        if hushed:
            self.must_be_refused(node)
        self._agent(node, "promote", 0)
        self._agent(node, "monitor", 8)
        if os.path.exists(f"{node.share}/epoch"):
            for other in self.gateways.values():
                if other is not node:
                    shutil.copy(f"{node.share}/epoch", other.share)

    def _yield(self, node):
        self._agent(node, "demote", 0)
        self._vip(node, "demote", 0)
        self._agent(node, "monitor", 0)

    def _switch(self, here, there, spi, rekeyed):
        mark = self.mark()
        self._yield(here)
        self._serve(there)
        self.check_same_sa(there, spi, mark, rekeyed)

    def _hold_rekeying(self):
        for node in self.gateways.values():
            node.run("while :; do pkill -f '[r]ekey-inherited'; sleep 0.2; done >/dev/null 2>&1 </dev/null & echo $! >/run/hold.pid")

    def _let_rekey(self):
        for node in self.gateways.values():
            node.run("kill $(cat /run/hold.pid)")

    def _kill_and_clean(self, node):
        self.say(f"killing charon on {node.name}, which serves")
        node.run("ip xfrm state add src 192.0.2.1 dst 192.0.2.2 proto esp spi 0xf00 mode transport "
                 "auth 'hmac(sha1)' 0x0102030405060708090a0b0c0d0e0f1011121314 enc 'cbc(aes)' 0x0102030405060708090a0b0c0d0e0f10")
        node.run("kill -KILL $(pidof /usr/sbin/charon-systemd)")
        until("charon is dead", 10, lambda: self._agent(node, "monitor", None).status == 7)
        left = node.run("ip xfrm state; ip xfrm policy", check=False).output
        if VIP not in left:
            raise Failure("a killed charon left nothing in the kernel: the test shows nothing")
        self._agent(node, "stop", 0)
        left = node.run("ip xfrm state; ip xfrm policy").output
        if VIP in left or "192.0.2.2" not in left:
            raise Failure(f"after stop on {node.name} the kernel has:\n{left}")
        self._vip(node, "stop", 0)
        self.say("stop removed every state and policy of the address, and nothing else")

    def _drain_a_crowd(self, node):
        """Fifty clients, each with an address of its own, served by a plain resource."""
        self._vip(node, "promote", 0)
        self._agent(node, "stop", 0)
        self._agent(node, "start", 0, promotable=False)
        self.client.run("kill $(cat /run/call.pid); swanctl --terminate --ike vpn --force; true", check=False)
        self.client.run(" && ".join(f"ip address add 203.0.113.{101 + n}/24 dev eth0" for n in range(CROWD)), timeout=60)
        files = "".join(_crowd_connection(n) for n in range(CROWD))
        with open(f"{self.client.share}/crowd.conf", "w") as file:
            file.write(f"connections {{\n{files}}}\nsecrets {{ ike {{ id = {VIP}\n secret = \"{config.PSK}\"\n }} }}\n")
        self.client.run("swanctl --load-all --noprompt --file /lab/crowd.conf", timeout=60)
        for first in range(0, CROWD, 10):
            self.client.run("; ".join(f"swanctl --initiate --child c{n} --timeout 20 >/dev/null &" for n in range(first, first + 10)).replace("&;", "&")
                            + " wait", timeout=60)
        count = until("the crowd is connected", 60, lambda: (n := self._count(node)) >= CROWD and n)
        self.say(f"{count} clients are connected to {node.name}")
        self._suspend(node)
        node.run("kill -CONT $(pidof /usr/sbin/charon-systemd)")
        self._agent(node, "monitor", 0, promotable=False)
        began = time.monotonic()
        self._agent(node, "stop", 0, promotable=False)
        took = time.monotonic() - began
        until("no client has an SA any more", 10, lambda: self._count(self.client) == 0)
        self.say(f"stop said goodbye to all of them and took {took:.1f} s")

        self._agent(node, "start", 0, promotable=False)
        self.client.run("swanctl --initiate --child c0 --timeout 20", timeout=30)
        self._suspend(node)
        if VIP not in node.run("ip xfrm state").output:
            raise Failure("a suspended charon has nothing in the kernel: the test shows nothing")
        began = time.monotonic()
        self._agent(node, "stop", 0, promotable=False)
        took = time.monotonic() - began
        left = node.run("ip xfrm state; ip xfrm policy").output
        if VIP in left or node.run("pidof /usr/sbin/charon-systemd", check=False).output.strip():
            raise Failure(f"after stop of a suspended charon {node.name} has:\n{left}")
        self.say(f"a suspended charon was stopped all the same, in {took:.1f} s, and nothing of it is left")

    def _suspend(self, node):
        """charon stops in its tracks: its monitor fails, inside the time the cluster gives it."""
        node.run("kill -STOP $(pidof /usr/sbin/charon-systemd)")
        began = time.monotonic()
        # All of its threads may take a moment to stop; until then it is one that does not answer.
        self._agent(node, "monitor", 1, promotable=False)
        took = time.monotonic() - began
        if took > 20:
            raise Failure(f"the monitor of a suspended charon took {took:.1f} s")
        self.say(f"charon is suspended; its monitor failed after {took:.1f} s")

    # Looking

    def _agent(self, node, action, want, promotable=True, **environment):
        return self._call(node, "strongswan", action, want, promotable, OCF_RESKEY_address=VIP, OCF_RESKEY_connections="l2tp", **environment)

    def _vip(self, node, action, want):
        return self._call(node, "vip", action, want, True, OCF_RESKEY_ip=VIP, OCF_RESKEY_cidr_netmask="24", OCF_RESKEY_nic="eth0")

    def _call(self, node, agent, action, want, promotable, **environment):
        words = {"OCF_RESOURCE_INSTANCE": agent, "OCF_RESOURCE_TYPE": agent, "OCF_RESKEY_CRM_meta_timeout": "60000",
                 "OCF_RESKEY_CRM_meta_interval": "10000", **environment}
        if promotable:
            words["OCF_RESKEY_CRM_meta_promoted_max"] = "1"
        reply = node.run("env", *(f"{name}={value}" for name, value in words.items()), f"{AGENTS}/{agent}", action, timeout=70, check=False)
        if want is not None and reply.status != want:
            raise Failure(f"on {node.name}: {agent} {action} ended with {reply.status}, not {want}\n{reply.output.rstrip()}")
        return reply

    def _sas(self, node, state):
        """Names of the connections with an IKE SA in that state."""
        return re.findall(rf"^(\w+): #\d+, {state}", node.run("swanctl --list-sas", check=False).output, re.MULTILINE)

    def _peered(self, node):
        """Seconds since the two nodes last made an SA between them; 0 when there is none."""
        listed = node.run("swanctl --list-sas --ike ha", check=False).output
        return min((int(age) for age in re.findall(r"installed (\d+)s ago", listed)), default=0)

    def _count(self, node):
        return len([name for name in self._sas(node, "ESTABLISHED") if name != "ha"])

    def describe(self):
        for node in [*self.gateways.values(), self.client]:
            print(f"\n===== {node.name}: {'on' if node.on else 'off'}")
            for command in ("ip -brief address", "swanctl --list-sas", "ip -s xfrm state | head -60", "awk '$2 > 0' /proc/net/xfrm_stat",
                            "tail -n 40 /var/log/charon.log") if node.on else ():
                print(f"--- {node.name}$ {command}\n{node.run(command, timeout=20, check=False).output.rstrip()}")


def gateway_files(name):
    peer = GATEWAYS[1 - GATEWAYS.index(name)]
    return {
        **config.gateway_files(name),
        "/etc/strongswan.d/zz-ha.conf": f"""
charon-systemd {{
  plugins {{
    ha {{
      load = yes
      local = {CLUSTER[name]}
      remote = {CLUSTER[peer]}
      secret = "between moon and sun"
      monitor = no
      resync = yes
    }}
  }}
}}
""",
        "/usr/lib/echo.py": ECHO,
        "/usr/lib/speak.py": SPEAK,
        "/usr/lib/attributes.sh": ATTRIBUTES,
    }


def _crowd_connection(number):
    address = f"203.0.113.{101 + number}"
    return f"""c{number} {{
  version = 1
  local_addrs = {address}
  remote_addrs = {VIP}
  proposals = aes256-sha1-modp1024
  local {{
    auth = psk
  }}
  remote {{
    auth = psk
    id = {VIP}
  }}
  children {{
    c{number} {{
      mode = transport
      local_ts = dynamic[udp/1701]
      remote_ts = dynamic[udp/1701]
      esp_proposals = aes128-sha1
    }}
  }}
}}
"""
