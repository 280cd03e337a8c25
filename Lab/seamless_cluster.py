"""The recipe `seamless` on two gateways, and a client that outlives one of them and does not notice planned moves: with the ledger its session is
carried on, without it the client dials again."""

import os
import re
import socket
import subprocess
import threading
import time

import config
import nodes
import radius
from accounted import FIXED, USERS
from carryover import HA_MODULES, gateway_files
from nodes import Failure, until
from pair import Lab
from sandbox import WORK
from seamless import PORT, Echo, answers, silence, watch

HOME, NAT = "192.168.77", "203.0.113.201"  # the client's net behind a NAT, and that NAT's address outside
NAT_MODULES = ("iptable_nat", "xt_nat")
ASK = """
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.settimeout(5)
s.connect("/run/vpnha/sessions-sessions.sock")
s.sendall(sys.argv[1].encode() + b"\\n")
while part := s.recv(65536):
    sys.stdout.write(part.decode())
"""


# 40 KB a second through the session and back until it is asked to end: then what was sent, and what came back.
TRANSFER = f"""
import hashlib, select, signal, socket, time
line = socket.create_connection(("{config.OUTSIDE['lab']}", {PORT}))
line.setblocking(False)
going = True
def end(*_):
    global going
    going = False
signal.signal(signal.SIGTERM, end)
sent, back, queue, number, count, moment = hashlib.sha256(), hashlib.sha256(), b"", 0, [0, 0], time.monotonic()
while going or queue:
    while going and time.monotonic() >= moment and len(queue) < 1 << 20:
        number, moment = number + 1, moment + 0.05
        queue += hashlib.sha256(b"%d" % number).digest() * 64
    readable, writable, _ = select.select([line], [line] if queue else [], [], 0.05)
    if writable:
        done = line.send(queue[:2048])
        sent.update(queue[:done])
        queue, count[0] = queue[done:], count[0] + done
    if readable:
        data = line.recv(65536)
        if not data:
            break
        back.update(data)
        count[1] += len(data)
line.shutdown(socket.SHUT_WR)
line.settimeout(60)
while data := line.recv(65536):
    back.update(data)
    count[1] += len(data)
with open("/lab/transfer", "w") as file:
    file.write(f"{{count[0]}} {{sent.hexdigest()}} {{count[1]}} {{back.hexdigest()}}\\n")
"""


class Wire(threading.Thread):
    """What the gateways say outside to clients or as the address, in the order in which it leaves them: (moment, node, what)."""

    def __init__(self):
        super().__init__(daemon=True)
        self.heard = []
        self.wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0003))
        self.wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 << 20)

    def run(self):
        cables = {f"{name}-eth0": name for name in config.GATEWAYS}
        while True:
            frame, (cable, _, kind, _, _) = self.wire.recvfrom(2048)
            if cable in cables and kind != socket.PACKET_OUTGOING and (what := self._what(frame)):
                self.heard.append((time.monotonic(), cables[cable], what))

    @staticmethod
    def _what(frame):
        """ESP, IKE and L2TP of whatever address, and all that comes from the virtual one. What is for that one comes from clients, and a node
        that has just lost it passes it on, as any router does."""
        if frame[12:14] == b"\x08\x06":
            return "ARP" if frame[28:32] == socket.inet_aton(config.VIP) else None
        if frame[12:14] != b"\x08\x00" or len(frame) < 42 or frame[30:34] == socket.inet_aton(config.VIP):
            return None
        if frame[23] == 50:
            return "ESP"
        ports = {int.from_bytes(frame[34:36]), int.from_bytes(frame[36:38])} if frame[23] == 17 else set()
        if 4500 in ports:
            return "IKE" if frame[42:46] in (b"\0\0\0\0", b"\xff") else "ESP"
        for port, what in ((500, "IKE"), (1701, "L2TP")):
            if port in ports:
                return what
        return "IP" if frame[26:30] == socket.inet_aton(config.VIP) else None

    def since(self, moment):
        return [word for word in list(self.heard) if word[0] > moment]

    def turns(self):
        """Who spoke after whom."""
        speakers = [node for _, node, _ in list(self.heard)]
        return [node for node, before in zip(speakers, [None, *speakers]) if node != before]


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


def crowd_files(number, nat):
    """More clients on the client's node, each with an address, an xl2tpd and an SA of its own. Behind a NAT each has a port of its own, too:
    L2TP knows tunnels by address and port, and two clients with the same would look like one."""
    files = config.client_files()
    swanctl, connections = files["/etc/swanctl/swanctl.conf"], ""
    vpn = swanctl[swanctl.index("  vpn {"):swanctl.index("\n}\nsecrets")]
    result = {}
    for index in range(1, number):
        address = crowd_address(index, nat)
        connections += (vpn.replace("local_ts = dynamic[udp/1701]", f"local_ts = dynamic[udp/{1701 + index}]") if nat else vpn).replace("  vpn {", f"  vpn{index} {{").replace("      vpn {", f"      vpn{index} {{").replace(config.OUTSIDE["client"], address) + "\n"
        result[f"/etc/xl2tpd/crowd{index}.conf"] = files["/etc/xl2tpd/xl2tpd.conf"].replace("max retries = 2\n", f"listen-addr = {address}\n")
        if nat:
            result[f"/etc/xl2tpd/crowd{index}.conf"] = result[f"/etc/xl2tpd/crowd{index}.conf"].replace("port = 1701", f"port = {1701 + index}")
    result["/etc/swanctl/conf.d/crowd.conf"] = f"connections {{\n{connections}}}\n".replace("dpd_delay = 2s\n    dpd_timeout = 6s", "dpd_delay = 15s\n    dpd_timeout = 60s")
    return result


def crowd_address(index, nat):
    return f"{HOME}.{100 + index}" if nat else f"203.0.113.{100 + index}"


class SeamlessCluster(Lab):
    gateway_modules = config.GATEWAY_MODULES + HA_MODULES + NAT_MODULES

    def __init__(self, layout, package, moves=10, cuts=3, clients=1, nat=False, accounted=False):
        self.clients, self.nat, self.accounted = clients, nat, accounted
        super().__init__(layout, package)
        self.moves, self.cuts = moves, cuts

    def client_cable(self, outside):
        """Behind a NAT the lab itself is the router, and the client's net is its own."""
        if not self.nat:
            return super().client_cable(outside)
        home = nodes.Bridge("home", f"{HOME}.1/24")
        nodes.ip("address", "add", f"{NAT}/24", "dev", "outside")
        with open("/proc/sys/net/ipv4/ip_forward", "w") as file:
            file.write("1")
        rules = f"""table ip home {{
  chain out {{
    type nat hook postrouting priority srcnat
    ip saddr {HOME}.0/24 oifname outside snat to {NAT}
  }}
}}
"""
        subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=True)
        return home, f"{HOME}.100/24"

    def _install(self, node):
        super()._install(node)
        # Sessions go out as the address: an end of theirs is in this node's memory of connections, and not in the other's.
        node.run(f"iptables-legacy -t nat -A POSTROUTING -s 10.9.0.0/24 -d {config.OUTSIDE['lab']} -j SNAT --to-source {config.VIP}")

    def gateway_files(self, name):
        files = {**gateway_files(name), "/etc/vpnha/sessions.key": "what moon and sun alone know of their sessions\n", "/usr/lib/ask.py": ASK}
        if self.accounted:
            files.update(radius.client_files(config.OUTSIDE["lab"], config.VIP))
            files["/etc/ppp/options.xl2tpd"] += "plugin radius.so\n"
        return files

    def client_files(self):
        """Debian's own timers are longer still."""
        files = config.client_files()
        files["/etc/swanctl/swanctl.conf"] += "include conf.d/*.conf\n"
        for path, old, new in (("/etc/ppp/options.client", "lcp-echo-interval 1\n", "lcp-echo-interval 20\n"),
                               ("/etc/xl2tpd/xl2tpd.conf", "max retries = 2\n", ""),
                               ("/etc/swanctl/swanctl.conf", "dpd_delay = 2s\n    dpd_timeout = 6s", "dpd_delay = 15s\n    dpd_timeout = 60s")):
            assert old in files[path]
            files[path] = files[path].replace(old, new)
        files = {**files, **crowd_files(self.clients + 1, self.nat), "/usr/lib/watch.py": watch(config.OUTSIDE["lab"]), "/usr/lib/crowd.py": CROWD_WATCH,
                 "/usr/lib/transfer.py": TRANSFER}
        return {path: text and text.replace(config.OUTSIDE["client"], f"{HOME}.100") for path, text in files.items()} if self.nat else files

    def play(self):
        self.wire = Wire()
        self.wire.start()
        self.start()
        self._talk()
        self._gather()
        if self.accounted:
            until("RADIUS gets the first Interim-Update", 100, self._interims, every=1)
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
        self._check_transfer()
        if self.accounted:
            self._check_account()
        if self.clients > 1:
            print(f"\n  The longest silence of each of {self.clients} clients: {', '.join(f'{gap:.2f}' for gap in sorted(self._crowd().values()))} s", flush=True)
        print(f"\n  Silence of the client in {self.moves} planned moves: {', '.join(f'{gap:.2f}' for gap in moved)} s\n"
              f"  and in {self.cuts} power cuts: {', '.join(f'{gap:.2f}' for gap in cut)} s; the same pppd, address and TCP connection\n", flush=True)
        self._dial_during_move()
        self.serving().run("pcs", "resource", "disable", "sessions-clone", "--wait=30", timeout=60)
        self.say("the ledger is switched off")
        alone = self._lose(False)
        print(f"  Silence of a client with LCP echoes every 20 s, DPD 15 s and 60 s whose session is not carried on: {alone:.1f} s\n", flush=True)

    def _connect(self):
        if self.nat:
            self.client.run(f"ip route add default via {HOME}.1")
        if self.accounted:
            self._account()
        super()._connect()

    def _talk(self):
        """The client talks to a host on the other side of the gateways, over TCP connections through its session and the gateways' NAT."""
        self.echo = Echo(config.OUTSIDE["lab"])
        self.echo.start()
        self.client.run(f"ip route add {config.OUTSIDE['lab']} dev ppp0")
        self.client.run("python3 /usr/lib/watch.py >/var/log/watch.log 2>&1 </dev/null &")
        until("the client hears gateway and host", 30, lambda: {"ping", "tcp"} <= {what for _, what in answers(self.client)})
        self.client.run("python3 /usr/lib/transfer.py >/var/log/transfer.log 2>&1 </dev/null & echo $! >/run/transfer.pid")
        here = until("one node serves", 30, self.serving)
        self.turns = [here.name]
        self.wire.heard.clear()

    def _account(self):
        """Users, addresses and accounts are RADIUS's from the first session on."""
        self.radius = radius.Server(f"{WORK}/radius", config.OUTSIDE["lab"], USERS)
        here = self.serving()
        for name in ("xl2tpd", "sessions"):
            here.run("pcs", "resource", "update", name, f"radius={config.OUTSIDE['lab']}", "radius_secret_file=/etc/vpnha/radius.secret", timeout=60)
        here.run("crm_resource", "--wait", timeout=120)
        self.await_settled()

    def _interims(self):
        return [request for request in self.radius.requests() if request["Acct-Status-Type"] == "Interim-Update"]

    def _check_account(self):
        """To the server it was one session from its Start to its Stop, whoever carried it; then the client hangs up."""
        before = len(self._interims())
        until("RADIUS gets two more Interim-Updates from who carries the session", 150, lambda: len(self._interims()) >= before + 2, every=1)
        rows = self.radius.accounts()
        if len(rows) != 1 or rows[0]["acctstoptime"] is not None:
            raise Failure(f"RADIUS has the accounts {rows}")
        old = self._session()
        self.client.run("kill -TERM $(pidof pppd)")
        until("the account is closed", 60, lambda: self.radius.accounts()[0]["acctstoptime"] is not None)
        until("the client is back", 60, lambda: len(new := self._session()) == len(old) and new[0] != old[0])
        row = self.radius.accounts()[0]
        everything = self.radius.requests()
        since = next(index for index, request in enumerate(everything) if request["Acct-Status-Type"] == "Start")
        # The database has the id with its percent signs escaped.
        mine = [request for request in everything if request.get("Acct-Unique-Session-Id") == row["acctuniqueid"]]
        kinds = [request["Acct-Status-Type"] for request in mine]
        if kinds[:1] != ["Start"] or kinds[-1:] != ["Stop"] or set(kinds[1:-1]) != {"Interim-Update"}:
            raise Failure(f"the server heard {kinds} of {row['acctuniqueid']}, and in all {everything}")
        for name in ("Acct-Session-Time", "Acct-Input-Octets", "Acct-Output-Octets", "Acct-Input-Packets", "Acct-Output-Packets"):
            values = [int(request[name]) for request in mine[1:]]
            if values != sorted(values) or values[0] == 0:
                raise Failure(f"{name} went {values}")
        for name in ("User-Name", "Framed-IP-Address", "NAS-Port", "NAS-IP-Address", "NAS-Identifier", "Calling-Station-Id", "Acct-Session-Id"):
            if len({request.get(name) for request in mine}) != 1:
                raise Failure(f"{name} was {[request.get(name) for request in mine]}")
        if (row["framedipaddress"], row["acctterminatecause"]) != (FIXED, "User-Request"):
            raise Failure(f"the account ended as {row}")
        if "Accounting-On" in [request["Acct-Status-Type"] for request in everything[since:]]:
            raise Failure("somebody said Accounting-On in the middle of it")
        self.say(f"to RADIUS it was one session, {mine[0]['Acct-Session-Id']}: Start, {len(kinds) - 2} Interim-Updates and Stop ({row['acctterminatecause']}) of {FIXED}, "
                 f"{row['acctsessiontime']} s, {row['acctinputoctets']} and {row['acctoutputoctets']} octets; session time {[int(r['Acct-Session-Time']) for r in mine[1:]]}, "
                 f"octets in {[int(r['Acct-Input-Octets']) for r in mine[1:]]}; no Accounting-On")

    def _check_transfer(self):
        """What went through the session and the NAT all the while came to the host, and came back."""
        self.client.run("kill $(cat /run/transfer.pid)")
        path = f"{self.client.share}/transfer"
        until("the transfer ends", 90, lambda: os.path.exists(path) and open(path).read().endswith("\n"))
        count, sent, back_count, back = open(path).read().split()
        heard = [(peer, str(size), digest) for peer, size, digest in list(self.echo.ended)]
        if (config.VIP, count, sent) not in heard or (count, sent) != (back_count, back):
            raise Failure(f"of a transfer of {count} bytes {back_count} came back; the host heard {heard}")
        self.say(f"a transfer of {int(count) / 1e6:.1f} MB through the NAT came to the host and back, SHA-256 {sent[:16]}…")

    def _took_over(self, node):
        """Since the story began, no gateway said a word to clients, or by ARP, between its turns."""
        self.turns.append(node.name)
        turns = self.wire.turns()
        if turns != self.turns:
            heard = list(self.wire.heard)
            changes = [f"{speaker} {what} ({moment - before[0]:.3f} s after {before[1]}'s {before[2]})"
                       for before, (moment, speaker, what) in zip(heard, heard[1:]) if speaker != before[1]]
            raise Failure(f"the gateways took turns, {' '.join(self.turns)}; on the wire it was {heard[0][1]}, {', '.join(changes)}")
        words = [what for _, speaker, what in list(self.wire.heard)]
        self.say(f"no word of a standby in {len(words)} frames: {', '.join(f'{words.count(what)} {what}' for what in sorted(set(words)))}")

    def _gather(self):
        """The other clients dial."""
        if self.clients == 1:
            return
        for index in range(1, self.clients):
            self.client.run(f"ip address add {crowd_address(index, self.nat)}/24 dev eth0; xl2tpd -D -c /etc/xl2tpd/crowd{index}.conf -p /run/crowd{index}.pid "
                            f"-C /run/xl2tpd/crowd{index} >>/var/log/crowd.log 2>&1 </dev/null &")
        until(f"{self.clients} clients have a session", 240, lambda: self._session().count("inet") == self.clients, every=2)
        self.client.run("python3 /usr/lib/crowd.py >/var/log/crowd-watch.log 2>&1 </dev/null &")
        until("all of them hear the gateway", 60, lambda: len(self._crowd()) == self.clients)
        self.say(f"{self.clients} clients have a session")

    def _dial_during_move(self):
        """One more client has a tunnel and a call, and its pppd has not said a word, when the service is moved. It is told, and dials again."""
        here = until("one node serves", 30, self.serving)
        there = self.other(here)
        until(f"{there.name} could take the sessions", 150, lambda: f"\npeer-ready {self.clients}\n" in self._ask(here, "status"), every=0.5)
        self._await_copy(there)
        index, had = self.clients, self._session()
        daemons = set(here.run("pidof", "pppd", check=False).output.split())
        self.client.run(f"""old=" $(pidof pppd) "
( while :; do for pid in $(pidof pppd); do case "$old" in *" $pid "*) ;; *) kill -STOP $pid; echo $pid >/run/half.pid; exit ;; esac; done; done ) >/dev/null 2>&1 </dev/null &
ip address add {crowd_address(index, self.nat)}/24 dev eth0
xl2tpd -D -c /etc/xl2tpd/crowd{index}.conf -p /run/crowd{index}.pid -C /run/xl2tpd/crowd{index} >/var/log/half.log 2>&1 </dev/null &""")
        until("its call has been taken", 60, lambda: set(here.run("pidof", "pppd", check=False).output.split()) - daemons)
        until("its pppd is stopped", 10, lambda: self.client.run("test -s /run/half.pid", check=False).status == 0)
        count = had.count("inet")
        began = time.monotonic()
        there.run("crm_resource", "--resource", "vpn-clone", "--promoted", "--move", "--node", there.name)
        until("the client is told that its call is over", 120, lambda: self.client.run("grep -q 'onnection.*closed' /var/log/half.log", check=False).status == 0, every=0.2)
        told = time.monotonic() - began
        self.client.run("kill -KILL $(cat /run/half.pid)", check=False)
        until("it has a session", 120, lambda: self._session().count("inet") == count + 1, every=0.2)
        back = time.monotonic() - began
        until(f"{there.name} serves", 60, lambda: self.serving() is there)
        there.run("crm_resource", "--resource", "vpn-clone", "--clear")
        self.await_settled(there)
        self._took_over(there)
        if not set(had) <= set(self._session()):
            raise Failure(f"the clients had {had} and have {self._session()}")
        self.say(f"a client whose call was being negotiated when the service was moved to {there.name} heard of its end {told:.1f} s after the command, and had a "
                 f"session {back:.1f} s after it; the others kept theirs")
        self.client.run(f"kill $(cat /run/crowd{index}.pid)")
        until("it is gone", 60, lambda: len(self._session()) == len(had))

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
        here.pull_plug()
        cut = time.monotonic()
        back = self.await_client(after=cut + 0.5)
        until(f"{there.name} serves", 30, lambda: self.serving() is there)
        self.say(f"the client is back through {there.name} after {back - cut:.1f} s, {back - self.fenced[here.name]:.1f} s after the fence")
        if carried:
            self.say(f"from the first word by ARP of {there.name} to its first ESP packet: {self._opening(there, cut):.2f} s")
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
        self._took_over(there)
        gap = max(silence(heard, "ping"), silence(heard, "tcp"))
        self.say(f"on its own clock the client heard nothing for {gap:.2f} s, {self.fenced.pop(here.name) - cut:.2f} s of them before the fence, at load "
                 f"{os.getloadavg()[0]:.1f}")
        return gap

    def _move(self, number):
        here = until("one node serves", 30, self.serving)
        there = self.other(here)
        until(f"{there.name} could take the client's session", 150, lambda: f"\npeer-ready {self.clients}\n" in self._ask(here, "status"), every=0.5)
        before, mark, start = self._session(), len(answers(self.client)), time.monotonic()
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
                 f"{tcp:.2f} s; {self._opening(there, start):.2f} s from ARP to ESP; its pppd, address and IKE SA are {after}")
        if before != after or f"\nadopted {self.clients}\n" not in status:
            raise Failure(f"the client had {before} and has {after}; the ledger of {there.name} says {status}")
        self._took_over(there)
        return max(ping, tcp)

    def _say_pauses(self, here, there, since):
        """When nothing came from the address for a while: who spoke last, and who spoke next."""
        seen = [word for word in self.wire.since(since) if word[2] == "ESP"]
        pauses = [f"{later[0] - earlier[0]:.2f} s from {earlier[1]} to {later[1]} (at {later[0] - since:.1f})"
                  for earlier, later in zip(seen, seen[1:]) if later[0] - earlier[0] > 0.3]
        self.say(f"pauses of ESP at load {os.getloadavg()[0]:.1f}: {', '.join(pauses) or 'none'}")
        if pauses:
            for node in (here, there):
                lines = node.run("journalctl --no-pager -o short-precise --since -40s | grep -E 'vpnha|sessions\\(|xl2tpd\\(|strongswan\\(|vip\\(' | tail -n 40", check=False).output
                print(f"--- {node.name}\n{lines}", flush=True)

    def _opening(self, node, since):
        """From the first time that a new owner says by ARP that it has the address to its first ESP packet to the client."""
        first = {what: moment for moment, speaker, what in reversed(self.wire.since(since)) if speaker == node.name}
        return first.get("ESP", float("inf")) - first.get("ARP", float("inf"))

    def _session(self):
        """Every pppd and every address of the client's node, and its IKE SAs' SPIs."""
        words = self.client.run("sh", "-c", "pidof pppd; ip -4 -o address show | grep -o 'inet [^ ]* peer' | cut -d' ' -f1,2", check=False).output.split()
        return words + re.findall(r"ESTABLISHED, IKEv1, (\w+)", self.client.run("swanctl", "--list-sas", check=False).output)

    def _await_copy(self, node):
        """The peer is sent what it missed by the monitor at level 10, once a minute."""
        until(f"{node.name} holds the client's SA", 150, lambda: "PASSIVE" in node.run("swanctl", "--list-sas", check=False).output, every=1)

    def _ask(self, node, word):
        return node.run("python3", "/usr/lib/ask.py", word, check=False).output
