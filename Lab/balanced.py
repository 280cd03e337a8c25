"""Every gateway serves: IPVS on two gateways, real sessions through both; the story is in balanced/README.md."""

import os
import socket
import struct
import subprocess
import threading
import time

import config
import nodes
from config import CLUSTER, GATEWAYS, INNER, OUTSIDE, VIP
from nodes import Failure, until
from pair import together

MODULES = (*config.GATEWAY_MODULES, "ip_vs", "ip_vs_mh", "sch_ingress", "cls_u32", "act_skbedit")
NAT, HOME = "203.0.113.110", "192.168.9"
# Plain clients by their own address, and one behind a NAT: Maglev hashing of these addresses uses both gateways.
CLIENTS = {"anna": "203.0.113.100", "bert": "203.0.113.103", "nora": f"{HOME}.100"}
SERVERS = {name: f"{name}:{OUTSIDE[name]}" for name in GATEWAYS}
DAEMON = "xl2tpd -D >/var/log/xl2tpd.log 2>&1 </dev/null &"


class Wire(threading.Thread):
    """What goes over the outside segment: L2TP that no IPsec hides, and ESP by where it goes."""

    def __init__(self):
        super().__init__(daemon=True)
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self.socket.bind(("outside", 0))
        self.clear, self.esp = 0, 0

    def run(self):
        while True:
            frame = self.socket.recv(2048)
            if frame[12:14] != b"\x08\x00":
                continue
            packet = frame[14:]
            if packet[9] == 50:
                self.esp += 1
            elif packet[9] == 17:
                start = (packet[0] & 15) * 4
                ports = struct.unpack_from("!HH", packet, start)
                self.clear += 1701 in ports
                self.esp += 4500 in ports


class Balanced:
    """Two gateways without a cluster; what it would call is called by hand, in its order."""

    systemd = False

    def __init__(self, agent):
        self.agent, self.began = agent, time.monotonic()
        nodes.prepare()
        outside = nodes.Bridge("outside", f"{OUTSIDE['lab']}/24")
        inside = nodes.Bridge("cluster")
        home = nodes.Bridge("home", f"{HOME}.1/24")
        nodes.ip("address", "add", f"{NAT}/24", "dev", "outside")
        with open("/proc/sys/net/ipv4/ip_forward", "w") as file:
            file.write("1")
        # Or what one gateway hands to the other over the bridge goes through this machine's translation a second time.
        bridged = "/proc/sys/net/bridge/bridge-nf-call-iptables"
        if os.path.exists(bridged):
            with open(bridged, "w") as file:
                file.write("0")
        rules = f"table ip home {{ chain out {{ type nat hook postrouting priority srcnat; ip saddr {HOME}.0/24 oifname outside snat to {NAT}; }}; }}"
        subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=True)
        self.gateways = {}
        for name in GATEWAYS:
            cables = {"eth0": (outside, f"{OUTSIDE[name]}/24"), "eth1": (inside, f"{CLUSTER[name]}/24")}
            self.gateways[name] = nodes.Node(name, cables, self.gateway_files(name), MODULES, systemd=self.systemd, memory="512M" if self.systemd else "320M")
        self.clients, self.pongs = {}, {name: [] for name in CLIENTS}
        for name, address in CLIENTS.items():
            files = {path: text and text.replace(OUTSIDE["client"], address) for path, text in self.client_files().items()}
            cable = (home if address.startswith(HOME) else outside, f"{address}/24")
            self.clients[name] = nodes.Node(name, {"eth0": cable}, files, config.CLIENT_MODULES, memory="192M")
        self.wire = Wire()
        self.wire.start()

    @staticmethod
    def gateway_files(name):
        return config.gateway_files(name)

    @staticmethod
    def client_files():
        return config.client_files()

    def say(self, text):
        print(f"[{time.monotonic() - self.began:6.1f} s] {text}", flush=True)

    # The gateways

    def boot(self, name):
        node = self.gateways[name]
        node.boot()
        node.run("sysctl -q net.ipv4.ip_forward=1")
        node.run(config.CLIENT_READY)

    def serve(self, name, servers=None):
        """As the cluster starts it: the balancer's member, and what listens on the address."""
        self.act(name, "start", servers=servers)
        self.gateways[name].run(f"mkdir -p /run/xl2tpd; {DAEMON}")

    def act(self, name, action, expected=0, servers=None, level=0):
        """One action of the agent; how long it took."""
        words = {"OCF_ROOT": "/usr/lib/ocf", "OCF_RESOURCE_INSTANCE": "balancer", "OCF_RESKEY_address": VIP, "OCF_RESKEY_nic": "eth0",
                 "OCF_RESKEY_sync_nic": "eth1", "OCF_RESKEY_servers": " ".join(servers or SERVERS.values()), "OCF_CHECK_LEVEL": str(level),
                 "OCF_RESKEY_CRM_meta_promoted_max": "1", "OCF_RESKEY_CRM_meta_timeout": "20000", "OCF_RESKEY_CRM_meta_interval": "10000"}
        began = time.monotonic()
        reply = self.gateways[name].run("env", *(f"{key}={value}" for key, value in words.items()), self.agent, action, timeout=30, check=False)
        took = time.monotonic() - began
        if reply.status != expected:
            raise Failure(f"{action} on {name} ended with {reply.status} and not {expected}: {reply.output}")
        if reply.output.strip():
            self.say(f"{action} on {name} said: {reply.output.strip()}")
        return took

    def entries(self, name):
        """The kernel's entries: (client, port, server), without what only keeps a client with its server."""
        found = set()
        for line in self.gateways[name].run("cat", "/proc/net/ip_vs_conn").output.splitlines()[1:]:
            words = line.split()
            address = lambda text: socket.inet_ntoa(bytes.fromhex(text))
            if words[0] != "IP":
                found.add((address(words[1]), int(words[2], 16), address(words[5])))
        return found

    def _has(self, node, address):
        return f"@ {address}[" in node.run("swanctl --list-sas", check=False).output

    # The clients

    def dial(self):
        for name, client in self.clients.items():
            client.ping(INNER, lambda moment, _, name=name: self.pongs[name].append(moment), every=0.05)
            client.run(config.CLIENT_DIAL)
        self.await_all(time.monotonic(), "every client has a session")

    def await_all(self, since, sentence, names=None, seconds=60):
        """Seconds until each client's first answer after a moment."""
        waiting = list(names or CLIENTS)
        until(sentence, seconds, lambda: all(self.pongs[name] and self.pongs[name][-1] > since for name in waiting), every=0.05)
        return {name: next(moment for moment in self.pongs[name] if moment > since) - since for name in waiting}

    def silence(self, since, name):
        heard = [since, *(moment for moment in list(self.pongs[name]) if moment > since), time.monotonic()]
        return max(later - earlier for earlier, later in zip(heard, heard[1:]))

    def silences(self, since):
        return {name: self.silence(since, name) for name in CLIENTS}

    @staticmethod
    def words(values):
        return ", ".join(f"{name} {value:.2f} s" for name, value in values.items())

    def expect(self, since, names, limit, when):
        """Nobody of these was silent for longer."""
        seen = self.silences(since)
        self.say(f"{when}: longest silence {self.words(seen)}")
        if late := [name for name in names if seen[name] > limit]:
            raise Failure(f"{when}: {', '.join(late)} heard nothing for longer than {limit} s")
        return seen

    def dialled(self):
        """Every client has a session, on both gateways; says where each is."""
        self.dial()
        places = self.where()
        self.say(f"sessions: {places}")
        if set(places.values()) != set(GATEWAYS):
            raise Failure("all clients are on one gateway: other addresses would show more")
        self.quiet("steady")
        return places

    # The story

    def boot_all(self):
        together([*(lambda name=name: self.boot(name) for name in GATEWAYS), *(client.boot for client in self.clients.values())])
        self.clients["nora"].run(f"ip route add default via {HOME}.1")
        together([lambda client=client: client.run(config.CLIENT_READY) for client in self.clients.values()])
        self.say("two gateways and three clients are booted")

    def play(self):
        self.boot_all()
        for name in GATEWAYS:
            self.act(name, "monitor", 7)
            self.serve(name)
            self.act(name, "monitor")
        self.say(f"moon directs: promoted in {self.act('moon', 'promote'):.2f} s")
        self.act("moon", "monitor", 8)
        places = self.dialled()
        self.move("moon", "sun")
        self.move("sun", "moon")
        self.same(places)
        self.again("moon")
        self.lose_server(places)
        self.come_back()
        self.lose_director()
        self.stop_all()
        if self.wire.clear:
            raise Failure(f"{self.wire.clear} packets of L2TP were on the outside segment in clear")
        self.say(f"nothing in clear on the outside segment, beside {self.wire.esp} frames of ESP")

    def where(self):
        """The one gateway of each client; fails for one that is split."""
        found = {}
        for client, address in CLIENTS.items():
            seen = NAT if address.startswith(HOME) else address
            on = [name for name, node in self.gateways.items() if node.on and self._has(node, seen)]
            if len(on) != 1:
                raise Failure(f"{client} has SAs on {on or 'no gateway'}")
            found[client] = on[0]
        return found

    def same(self, places):
        if (now := self.where()) != places:
            raise Failure(f"sessions moved: {now}, before: {places}")

    def quiet(self, when, seconds=10):
        began = time.monotonic()
        time.sleep(seconds)
        self.expect(began, CLIENTS, 1, when)

    def move(self, old, new):
        began = time.monotonic()
        took = self.act(old, "demote"), self.act(new, "promote")
        time.sleep(4)
        self.expect(began, CLIENTS, 3, f"director moved from {old} to {new} (demote {took[0]:.2f} s, promote {took[1]:.2f} s)")
        self.act(old, "monitor")
        self.act(new, "monitor", 8)

    def again(self, director):
        """Started and promoted once more, and a start after a kill: entries stay."""
        before = self.entries(director)
        began = time.monotonic()
        self.act(director, "promote")
        self.act("sun" if director == "moon" else "moon", "start")
        if self.entries(director) != before:
            raise Failure(f"entries changed: {before} and {self.entries(director)}")
        self.expect(began, CLIENTS, 1, "started and promoted once more")

    def lose_server(self, places):
        lost = [client for client, name in places.items() if name == "sun"]
        began = time.monotonic()
        self.gateways["sun"].pull_plug()
        self.act("moon", "reload-agent", servers=[SERVERS["moon"]])
        until("the entries of a server that was taken away are gone", 2, lambda: all(server == OUTSIDE["moon"] for _, _, server in self.entries("moon")))
        back = self.await_all(began + 1, "clients of the lost gateway are back", lost, 120)
        self.say(f"sun lost power: its clients have new sessions on moon after {self.words(back)}")
        self.expect(began, [client for client in CLIENTS if client not in lost], 1, "meanwhile")

    def come_back(self):
        self.boot("sun")
        self.serve("sun")
        began = time.monotonic()
        self.act("moon", "reload-agent")
        # A client behind a NAT has left 500 behind: what no packet uses nobody is told of.
        wanted = {entry for entry in self.entries("moon") if entry[:2] != (NAT, 500)}
        if not wanted:
            raise Failure("moon has no entries")
        until("the rebooted gateway has every entry", 30, lambda: wanted <= self.entries("sun"))
        self.say(f"sun is back with an empty table: all {len(wanted)} entries after {time.monotonic() - began:.1f} s")
        self.same(dict.fromkeys(CLIENTS, "moon"))
        self.move("moon", "sun")
        self.same(dict.fromkeys(CLIENTS, "moon"))

    def lose_director(self):
        began = time.monotonic()
        self.gateways["sun"].pull_plug()
        took = self.act("moon", "promote")
        time.sleep(5)
        self.expect(began, CLIENTS, 3, f"the director lost power, promoted after {took:.2f} s")
        self.same(dict.fromkeys(CLIENTS, "moon"))

    def stop_all(self):
        self.act("moon", "stop")
        self.act("moon", "monitor", 7)
        left = self.gateways["moon"].run(f"cat /proc/net/ip_vs | tail -n +4; tc filter show dev eth0 ingress; tc qdisc show dev eth0 | grep clsact; ip -4 -o address | grep {VIP}; sysctl -n net.ipv4.vs.backup_only net.ipv4.conf.all.arp_ignore net.ipv4.vs.sync_threshold; ls /run/resource-agents | grep before", check=False).output
        if left.split() != ["0", "0", "3", "50"]:
            raise Failure(f"stop left: {left}")
        self.say("after stop nothing is left, and the kernel's parameters are what they were")

    def describe(self):
        for node in self.gateways.values():
            if not node.on:
                continue
            for command in ("ip -brief address", "cat /proc/net/ip_vs", "cat /proc/net/ip_vs_conn", "tc filter show dev eth0 ingress", "swanctl --list-sas",
                            "awk '$2 > 0' /proc/net/xfrm_stat", "tail -n 30 /var/log/xl2tpd.log", "tail -n 40 /var/log/charon.log", "tail -n 20 /run/resource-agents/*", "dmesg | tail -n 20"):
                print(f"--- {node.name}$ {command}\n{node.run(command, timeout=20, check=False).output.rstrip()}")
        for node in self.clients.values():
            for command in ("ip -brief address", "swanctl --list-sas", "tail -n 20 /var/log/xl2tpd.log", "tail -n 15 /var/log/ppp.log"):
                print(f"--- {node.name}$ {command}\n{node.run(command, timeout=20, check=False).output.rstrip()}")
