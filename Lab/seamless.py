"""A session that outlives its gateways, there and back; the story is in seamless/README.md."""

import hashlib
import re
import shutil
import socket
import threading
import time

import config
import nodes
from carryover import HA_MODULES, CarryOver, gateway_files
from config import CLUSTER, GATEWAYS, INNER, OUTSIDE, VIP
from nodes import Failure, until
from pair import together

LAN = {"moon": "192.168.7.11", "sun": "192.168.7.12"}
LAN_VIP = "192.168.7.1"
HOST = "192.168.7.100"
PORT = 7777
LEDGER = "/usr/libexec/vpnha/vpnha-ledger"
KEY = "/etc/vpnha/sessions.key"

# What the client's person does: a ping and a word over one TCP connection every 50 ms. Each answer is a line, with the client's own clock.
def watch(host):
    return f"""
import select, socket, struct, time
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
line = socket.create_connection(("{host}", {PORT}))
line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
line.setblocking(False)
heard = open("/lab/heard", "w", 1)
number, moment = 0, time.monotonic()
while True:
    number, moment = number + 1 & 0xffff, moment + 0.05
    body = struct.pack("!BBHHH", 8, 0, 0, 0x1ab, number)
    total = sum(struct.unpack("!4H", body))
    total = (total & 0xffff) + (total >> 16)
    for send in (lambda: raw.sendto(body[:2] + struct.pack("!H", ~total & 0xffff) + body[4:], ("{INNER}", 0)), lambda: line.send(b"%d\\n" % number)):
        try:
            send()
        except OSError as problem:
            if not isinstance(problem, BlockingIOError):
                heard.write(f"{{time.monotonic()}} problem {{problem}}\\n")
    while (left := moment - time.monotonic()) > 0:
        for ready in select.select([raw, line], [], [], left)[0]:
            try:
                data = ready.recv(2048)
            except OSError as problem:
                heard.write(f"{{time.monotonic()}} broken {{problem}}\\n")
                raise SystemExit
            if ready is raw:
                start = (data[0] & 15) * 4
                if data[start] == 0 and data[start + 4:start + 6] == b"\\x01\\xab":
                    heard.write(f"{{time.monotonic()}} ping\\n")
            elif data:
                heard.write(f"{{time.monotonic()}} tcp\\n")
            else:
                heard.write(f"{{time.monotonic()}} broken closed\\n")
                raise SystemExit
"""

ASK = """
import socket, sys
control = socket.socket(socket.AF_UNIX)
control.settimeout(5)
control.connect("/run/vpnha/sessions-sessions.sock")
control.sendall(sys.argv[1].encode() + b"\\n")
said = b""
while data := control.recv(65536):
    said += data
print(said.decode(), end="")
"""


def client_files():
    """A client with the patience that people's have at least: these nodes need seconds for what a machine does in none."""
    files = config.client_files()
    options = "/etc/ppp/options.client"
    files[options] = files[options].replace("lcp-echo-interval 1\nlcp-echo-failure 3", "lcp-echo-interval 2\nlcp-echo-failure 6")
    if files == config.client_files():
        raise Failure("the client's options are not what they were")
    return files


def answers(client):
    """What the client has heard: (moment on its own clock, what)."""
    try:
        with open(f"{client.share}/heard") as file:
            lines = [line.split(maxsplit=2) for line in file if line.endswith("\n")]
    except FileNotFoundError:
        return []
    return [(float(words[0]), words[1]) for words in lines]


def silence(heard, kind):
    """The longest time between two of that kind."""
    moments = [moment for moment, what in heard if what == kind]
    return max((later - earlier for earlier, later in zip(moments, moments[1:])), default=float("inf"))


class Echo(threading.Thread):
    """The host behind the gateways: says what it hears. Of every connection that has ended it knows whose it was, and what it heard."""

    def __init__(self, host=HOST):
        super().__init__(daemon=True)
        self.server = socket.create_server((host, PORT))
        self.ended = []  # (peer's address, bytes, SHA-256)

    def run(self):
        while True:
            line, _ = self.server.accept()
            threading.Thread(target=self._echo, args=(line,), daemon=True).start()

    def _echo(self, line):
        peer, heard, digest = line.getpeername()[0], 0, hashlib.sha256()
        try:
            while data := line.recv(2048):
                heard += len(data)
                digest.update(data)
                line.sendall(data)
            line.close()
        except OSError:
            pass
        self.ended.append((peer, heard, digest.hexdigest()))


class Seamless(CarryOver):
    """Two gateways without a cluster; what it would call is called by hand, in its order."""

    def __init__(self, package, ledger=None):
        self.package, self.ledger, self.began = package, ledger or LEDGER, time.monotonic()
        nodes.prepare()
        outside = nodes.Bridge("outside", f"{OUTSIDE['lab']}/24")
        inside = nodes.Bridge("cluster")
        behind = nodes.Bridge("behind", f"{HOST}/24")
        nodes.ip("route", "add", "10.9.0.0/24", "via", LAN_VIP)
        self.gateways = {}
        for name in GATEWAYS:
            cables = {"eth0": (outside, f"{OUTSIDE[name]}/24"), "eth1": (inside, f"{CLUSTER[name]}/24"), "eth2": (behind, f"{LAN[name]}/24")}
            files = {**gateway_files(name), KEY: "secret of moon and sun, thirty-two bytes and more\n", "/usr/lib/ask.py": ASK}
            self.gateways[name] = nodes.Node(name, cables, files, config.GATEWAY_MODULES + HA_MODULES)
        self.client = nodes.Node("client", {"eth0": (outside, f"{OUTSIDE['client']}/24")},
                                 {**client_files(), "/usr/lib/watch.py": watch(HOST)}, config.CLIENT_MODULES)

    def play(self):
        moon, sun = self.gateways["moon"], self.gateways["sun"]
        together([moon.boot, sun.boot, self.client.boot])
        Echo().start()
        together([lambda: self._prepare(moon), lambda: self._prepare(sun), lambda: self.client.run(config.CLIENT_READY)])
        for node in self.gateways.values():
            until(f"{node.name} has had an SA with its peer for a while", 40, lambda: self._peered(node) >= 4, every=0.5)
        self.say("moon, sun and client are booted; charon, xl2tpd and the ledger run on both")
        self._serve(moon)
        self._dial()
        self._await_ready(sun)
        self.say(f"the client has a session through moon, as {self.session[1]}; sun has it ready")

        for here, there, hops in ((moon, sun, 1), (sun, moon, 2)):
            self._cut(here, there, hops)
            if hops == 1:
                self._kill_ledger(there)
            self.say(f"{here.name} gets power again")
            here.boot()
            self._prepare(here)
            self._await_ready(here, there)
            self.say(f"{here.name} has the session ready")
        self._hang_up(moon)

    # Steps

    def _prepare(self, node):
        shutil.copy(self.package, f"{node.share}/vpnha.deb")
        node.run("rm -f /var/lib/man-db/auto-update; dpkg --force-unsafe-io --install /lab/vpnha.deb", timeout=120)
        node.run("cp /usr/lib/attributes.sh /usr/sbin/attrd_updater; chmod 600 /etc/vpnha/sessions.key; echo 1 >/proc/sys/net/ipv4/ip_forward")
        self._start_ledger(node)
        self._agent(node, "start", 0)
        self._vip(node, "start", 0)
        self._lan(node, "start", 0)
        self._xl2tpd(node, "start", 0)

    def _start_ledger(self, node):
        peer = next(name for name in GATEWAYS if name != node.name)
        node.run(f"setsid {self.ledger} --instance sessions --address {VIP} --key-file {KEY} --peer {CLUSTER[peer]} "
                 f"--source {CLUSTER[node.name]} --port 4511 --strongswan strongswan >>/var/log/ledger.log 2>&1 </dev/null & echo $! >/run/ledger.pid")
        until(f"the ledger of {node.name} answers", 10, lambda: self._ask(node, "status").get("ok"), every=0.2)

    def _serve(self, node):
        began = time.monotonic()
        took = []
        for what in (lambda: self._ask(node, "promote"), lambda: self._vip(node, "promote", 0), lambda: self._agent(node, "promote", 0),
                     lambda: self._lan(node, "promote", 0), lambda: self._xl2tpd(node, "promote", 0)):
            what()
            took.append(f"{time.monotonic() - began:.2f}")
        self.say(f"{node.name} is promoted: ledger, address, charon, inner address, xl2tpd after {', '.join(took)} s")

    def _dial(self):
        self.client.run(config.CLIENT_DIAL)
        until("the client has an address", 60, self._session, every=0.2)
        self.client.run(f"ip route add {HOST} dev ppp0")
        self.client.run("python3 /usr/lib/watch.py >/var/log/watch.log 2>&1 </dev/null &")
        until("the client hears gateway and host", 20, lambda: {"ping", "tcp"} <= {what for _, what in self._answers()})
        self.session = self._session()

    def _session(self):
        """pppd and address of the client."""
        address = re.search(r"inet (\S+) peer", self.client.run("ip -4 address show dev ppp0", check=False).output)
        return address and (self.client.run("pidof pppd", check=False).output.split(), address[1])

    def _answers(self):
        return answers(self.client)

    def _await_ready(self, node, serving=None):
        until(f"{node.name} has the session ready", 60, lambda: self._ask(node, "status").get("ready") == "1", every=0.5)

        def holds():
            if serving:  # what the cluster does every minute
                self._agent(serving, "monitor", 8, OCF_CHECK_LEVEL="10")
            return "l2tp" in self._sas(node, "PASSIVE")

        until(f"{node.name} holds the client's SA", 90, holds, every=3)

    def _cut(self, here, there, hops):
        self.say(f"pulling the plug on {here.name}")
        mark = len(self._answers())
        here.pull_plug()
        self._serve(there)
        self._check(there, hops, mark)

    def _kill_ledger(self, node):
        self.say(f"killing the resident on {node.name}, and starting it again")
        mark = len(self._answers())
        node.run("kill -KILL $(cat /run/ledger.pid)")
        self._start_ledger(node)
        self._ask(node, "promote")
        self._check(node, 1, mark)

    def _check(self, node, hops, mark):
        until("the client hears both again", 30, lambda: {"ping", "tcp"} <= {what for _, what in self._answers()[mark + 20:]}, every=0.1)
        # Longer than the client's own patience with its link.
        end = time.monotonic() + 15
        until("the client's patience is over", 20, lambda: time.monotonic() > end)
        heard = self._answers()[max(mark - 20, 0):]
        silences = {kind: silence(heard, kind) for kind in ("ping", "tcp")}
        broken = [what for _, what in heard if what == "broken"]
        if broken or self._session() != self.session:
            raise Failure(f"the client had {self.session} and has {self._session()}; TCP {'broke' if broken else 'lives'}")
        status, listed = self._ask(node, "status"), self._ask(node, "list")
        if status.get("adopted") != "1" or not listed.get("session", "").endswith(f" {hops} adopted"):
            raise Failure(f"the ledger of {node.name} says {status} and {listed}")
        self.say(f"{node.name} carries the session on: same pppd and address, TCP lives; on its own clock the client heard no ping for "
                 f"{silences['ping']:.2f} s and nothing over TCP for {silences['tcp']:.2f} s")

    def _hang_up(self, node):
        self.say("the client hangs up, and dials again")
        old = self._session()
        self.client.run("kill $(pidof pppd)")
        until("the client has a session again", 60, lambda: (new := self._session()) and new[0] != old[0], every=0.2)
        until(f"{node.name} carries it as its own", 30, lambda: (s := self._ask(node, "status")).get("adopted") == "0" and s.get("own") == "1", every=0.5)
        self.say(f"the client is back through xl2tpd of {node.name}, as {self._session()[1]}")

    # Looking

    def _ask(self, node, word):
        lines = node.run("python3", "/usr/lib/ask.py", word, check=False).output.splitlines()
        return {line.split()[0]: line.split(maxsplit=1)[-1] for line in lines if line}

    def _lan(self, node, action, want):
        return self._call(node, "vip", action, want, True, OCF_RESOURCE_INSTANCE="lan", OCF_RESKEY_ip=LAN_VIP, OCF_RESKEY_cidr_netmask="24",
                          OCF_RESKEY_nic="eth2")

    def _xl2tpd(self, node, action, want):
        return self._call(node, "xl2tpd", action, want, True, OCF_RESKEY_address=VIP)

    def describe(self):
        super().describe()
        for node in [*self.gateways.values(), self.client]:
            for command in ("cat /var/log/ledger.log; python3 /usr/lib/ask.py status; python3 /usr/lib/ask.py list", "cat /proc/net/pppol2tp",
                            "ip rule; ip route", "tail -n 30 /var/log/xl2tpd.log", "tail -n 40 /var/log/ppp.log") if node.on else ():
                print(f"--- {node.name}$ {command}\n{node.run(command, timeout=20, check=False).output.rstrip()}")
