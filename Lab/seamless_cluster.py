"""The recipe `seamless` on two gateways, and a client that outlives one of them and does not notice planned moves: with the ledger its session is
carried on, without it the client dials again."""

import os
import time

import config
import nodes
from carryover import ESP, HA_MODULES, gateway_files
from nodes import Failure, until
from pair import Lab
from seamless import Echo, answers, silence, watch

ASK = """
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.settimeout(5)
s.connect("/run/vpnha/sessions-sessions.sock")
s.sendall(sys.argv[1].encode() + b"\\n")
while part := s.recv(65536):
    sys.stdout.write(part.decode())
"""


# Every session of the node pings the gateway through its own link. Each answer is a line, with the client's own clock and the link's name.
CROWD_WATCH = f"""
import os, select, socket, struct, time
links, heard = {{}}, open("/lab/crowd", "w", 1)
for name in os.listdir("/sys/class/net"):
    if name.startswith("ppp"):
        links[name] = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        links[name].setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, name.encode())
moment = time.monotonic()
while True:
    moment = max(moment + 0.2, time.monotonic())
    body = struct.pack("!BBHHH", 8, 0, 0, 99, 1)
    total = sum(struct.unpack("!4H", body))
    body = struct.pack("!BBHHH", 8, 0, ~total & 0xffff, 99, 1)
    for link in links.values():
        try:
            link.sendto(body, ("{config.INNER}", 0))
        except OSError:
            pass
    while (left := moment - time.monotonic()) > 0:
        for ready in select.select(links.values(), [], [], left)[0]:
            if ready.recv(200)[20:21] == b"\\0":
                heard.write(f"{{time.monotonic()}} {{next(name for name, link in links.items() if link is ready)}}\\n")
"""


def crowd_files(number):
    """More clients on the client's node, each with an address, an xl2tpd and an SA of its own."""
    files = config.client_files()
    swanctl, connections = files["/etc/swanctl/swanctl.conf"], ""
    vpn = swanctl[swanctl.index("  vpn {"):swanctl.index("\n}\nsecrets")]
    result = {}
    for index in range(1, number):
        address = crowd_address(index)
        connections += vpn.replace("  vpn {", f"  vpn{index} {{").replace("      vpn {", f"      vpn{index} {{").replace(config.OUTSIDE["client"], address) + "\n"
        result[f"/etc/xl2tpd/crowd{index}.conf"] = files["/etc/xl2tpd/xl2tpd.conf"].replace("max retries = 2\n", f"listen-addr = {address}\n")
    result["/etc/swanctl/conf.d/crowd.conf"] = f"connections {{\n{connections}}}\n".replace("dpd_delay = 2s\n    dpd_timeout = 6s", "dpd_delay = 15s\n    dpd_timeout = 60s")
    return result


def crowd_address(index):
    return f"203.0.113.{100 + index}"


class SeamlessCluster(Lab):
    gateway_modules = config.GATEWAY_MODULES + HA_MODULES

    def __init__(self, layout, package, moves=10, cuts=3, clients=1):
        self.clients = clients
        super().__init__(layout, package)
        self.moves, self.cuts = moves, cuts

    @staticmethod
    def gateway_files(name):
        return {**gateway_files(name), "/etc/vpnha/sessions.key": "what moon and sun alone know of their sessions\n", "/usr/lib/ask.py": ASK}

    def client_files(self):
        """Debian's own timers are longer still."""
        files = config.client_files()
        files["/etc/swanctl/swanctl.conf"] += "include conf.d/*.conf\n"
        for path, old, new in (("/etc/ppp/options.client", "lcp-echo-interval 1\n", "lcp-echo-interval 20\n"),
                               ("/etc/xl2tpd/xl2tpd.conf", "max retries = 2\n", ""),
                               ("/etc/swanctl/swanctl.conf", "dpd_delay = 2s\n    dpd_timeout = 6s", "dpd_delay = 15s\n    dpd_timeout = 60s")):
            assert old in files[path]
            files[path] = files[path].replace(old, new)
        return {**files, **crowd_files(self.clients), "/usr/lib/watch.py": watch(config.OUTSIDE["lab"]), "/usr/lib/crowd.py": CROWD_WATCH}

    def play(self):
        self.start()
        self.esp = ESP()
        self.esp.start()
        self._talk()
        self._gather()
        before = self._session()
        moved = [self._move(number) for number in range(1, self.moves + 1)]
        cut = []
        for _ in range(self.cuts):
            cut.append(self._lose(True))
            self.rejoin(next(node for node in self.gateways.values() if not node.on))
        after, broken = self._session(), [what for _, what in answers(self.client) if what == "broken"]
        if before != after or broken:
            raise Failure(f"the client had {before} and has {after}; its TCP connection {'broke' if broken else 'lives'}")
        self.check_one_holder()
        if self.clients > 1:
            print(f"\n  The longest silence of each of {self.clients} clients: {', '.join(f'{gap:.2f}' for gap in sorted(self._crowd().values()))} s", flush=True)
        print(f"\n  Silence of the client in {self.moves} planned moves: {', '.join(f'{gap:.2f}' for gap in moved)} s\n"
              f"  and in {self.cuts} power cuts: {', '.join(f'{gap:.2f}' for gap in cut)} s; the same pppd, address and TCP connection\n", flush=True)
        self.serving().run("pcs", "resource", "disable", "sessions-clone", "--wait=30", timeout=60)
        self.say("the ledger is switched off")
        alone = self._lose(False)
        print(f"  Silence of a client with LCP echoes every 20 s, DPD 15 s and 60 s whose session is not carried on: {alone:.1f} s\n", flush=True)

    def _talk(self):
        """The client talks to a host on the other side of the gateways, over one TCP connection through its session."""
        nodes.ip("route", "replace", "10.9.0.0/24", "via", config.VIP)
        Echo(config.OUTSIDE["lab"]).start()
        self.client.run(f"ip route add {config.OUTSIDE['lab']} dev ppp0")
        self.client.run("python3 /usr/lib/watch.py >/var/log/watch.log 2>&1 </dev/null &")
        until("the client hears gateway and host", 30, lambda: {"ping", "tcp"} <= {what for _, what in answers(self.client)})

    def _gather(self):
        """The other clients dial."""
        if self.clients == 1:
            return
        for index in range(1, self.clients):
            self.client.run(f"ip address add {crowd_address(index)}/24 dev eth0; xl2tpd -D -c /etc/xl2tpd/crowd{index}.conf -p /run/crowd{index}.pid "
                            f"-C /run/xl2tpd/crowd{index} >>/var/log/crowd.log 2>&1 </dev/null &")
        until(f"{self.clients} clients have a session", 240, lambda: len(self._session()) == 3 * self.clients, every=2)
        self.client.run("python3 /usr/lib/crowd.py >/var/log/crowd-watch.log 2>&1 </dev/null &")
        until("all of them hear the gateway", 60, lambda: len(self._crowd()) == self.clients)
        self.say(f"{self.clients} clients have a session")

    def _crowd(self):
        """The links of the client's node: since when each has been heard, and its longest silence."""
        heard = {}
        try:
            with open(f"{self.client.share}/crowd") as file:
                for line in file:
                    if line.endswith("\n"):
                        moment, name = line.split()
                        heard.setdefault(name, []).append(float(moment))
        except FileNotFoundError:
            pass
        return {name: max((later - earlier for earlier, later in zip(moments, moments[1:])), default=0) for name, moments in heard.items()}

    def _lose(self, carried):
        """The plug is pulled; how long the client heard nothing."""
        here = until("one node serves", 30, self.serving)
        there = self.other(here)
        if carried:
            until(f"{there.name} has the client's session ready", 60, lambda: f"\nready {self.clients}\n" in self._ask(there, "status"), every=0.5)
        self._await_copy(there)
        before = self._session()
        mark = len(answers(self.client))
        self.say(f"pulling the plug on {here.name}, which serves; the client's pppd and address are {before}")
        standby = self._hardware(there)
        here.pull_plug()
        cut = time.monotonic()
        back = self.await_client(after=cut + 0.5)
        until(f"{there.name} serves", 30, lambda: self.serving() is there)
        self.say(f"the client is back through {there.name} after {back - cut:.1f} s, {back - self.fenced[here.name]:.1f} s after the fence")
        if carried:
            self.say(f"from the first word by ARP of {there.name} to its first ESP packet: {self._opening(standby, cut):.2f} s")
        # One that has lost its session finds out within its own patience.
        time.sleep(20 if carried else 70)
        after = self._session()
        heard = answers(self.client)[max(mark - 20, 0):]
        if (before == after) != carried or self.silence(back) > 5:
            raise Failure(f"the client had {before} and has {after}, and heard nothing for {self.silence(back):.1f} s afterwards")
        if carried and f"\nadopted {self.clients}\n" not in self._ask(there, "status"):
            raise Failure(f"the ledger of {there.name} says {self._ask(there, 'status')}")
        if not carried:
            return back - cut
        gap = max(silence(heard, "ping"), silence(heard, "tcp"))
        self.say(f"on its own clock the client heard nothing for {gap:.2f} s, {self.fenced.pop(here.name) - cut:.2f} s of them before the fence, at load "
                 f"{os.getloadavg()[0]:.1f}")
        return gap

    def _move(self, number):
        entered = time.monotonic()
        here = until("one node serves", 30, self.serving)
        there = self.other(here)
        until(f"{there.name} could take the client's session", 150, lambda: f"\npeer-ready {self.clients}\n" in self._ask(here, "status"), every=0.5)
        before, mark, start, standby = self._session(), len(answers(self.client)), time.monotonic(), self._hardware(there)
        if early := [packet for packet in list(self.esp.seen) if packet[1] == standby and packet[0] > entered]:
            raise Failure(f"{there.name} sent {len(early)} ESP packets as standby")
        there.run("crm_resource", "--resource", "vpn-clone", "--promoted", "--move", "--node", there.name)
        until(f"{there.name} serves", 60, lambda: self.serving() is there, every=0.2)
        there.run("crm_resource", "--resource", "vpn-clone", "--clear")
        self.await_settled(there)
        settled = len(answers(self.client))
        until("the client hears gateway and host after the move", 30,
              lambda: {"ping", "tcp"} <= {what for _, what in answers(self.client)[settled:]})
        time.sleep(3)
        heard = answers(self.client)[max(mark - 20, 0):]
        ping, tcp = silence(heard, "ping"), silence(heard, "tcp")
        after, status = self._session(), self._ask(there, "status")
        self._say_pauses(here, there, start)
        self.say(f"move {number} from {here.name} to {there.name}: on its own clock the client heard no ping for {ping:.2f} s and nothing over TCP for "
                 f"{tcp:.2f} s; {self._opening(standby, start):.2f} s from ARP to ESP; its pppd and address are {after}")
        if before != after or f"\nadopted {self.clients}\n" not in status:
            raise Failure(f"the client had {before} and has {after}; the ledger of {there.name} says {status}")
        return max(ping, tcp)

    def _say_pauses(self, here, there, since):
        """When nothing came from the address for a while: who spoke last, and who spoke next."""
        names = {self._hardware(node): node.name for node in (here, there)}
        seen = [packet for packet in list(self.esp.seen) if packet[0] > since]
        pauses = [f"{later[0] - earlier[0]:.2f} s from {names.get(earlier[1])} to {names.get(later[1])} (at {later[0] - since:.1f})"
                  for earlier, later in zip(seen, seen[1:]) if later[0] - earlier[0] > 0.3]
        self.say(f"pauses of ESP at load {os.getloadavg()[0]:.1f}: {', '.join(pauses) or 'none'}")
        if pauses:
            for node in (here, there):
                lines = node.run("journalctl --no-pager -o short-precise --since -40s | grep -E 'vpnha|sessions\\(|xl2tpd\\(|strongswan\\(|vip\\(' | tail -n 40", check=False).output
                print(f"--- {node.name}\n{lines}", flush=True)

    @staticmethod
    def _hardware(node):
        return node.run("cat /sys/class/net/eth0/address").output.strip()

    def _opening(self, hardware, since):
        """From the first time that a new owner says by ARP that it has the address to its first ESP packet to the client."""
        first = [min((entry[0] for entry in list(entries) if entry[1] == hardware and entry[0] > since), default=float("inf"))
                 for entries in (self.esp.claims, self.esp.seen)]
        return first[1] - first[0]

    def _session(self):
        """Every pppd and every address of the client's node."""
        return self.client.run("sh", "-c", "pidof pppd; ip -4 -o address show | grep -o 'inet [^ ]* peer' | cut -d' ' -f1,2", check=False).output.split()

    def _await_copy(self, node):
        """The peer is sent what it missed by the monitor at level 10, once a minute."""
        until(f"{node.name} holds the client's SA", 150, lambda: "PASSIVE" in node.run("swanctl", "--list-sas", check=False).output, every=1)

    def _ask(self, node, word):
        return node.run("python3", "/usr/lib/ask.py", word, check=False).output
