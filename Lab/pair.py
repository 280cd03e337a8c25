"""A gateway pair under a cluster, and a client: booted, connected, watched."""

import os
import re
import shutil
import sys
import threading
import time

import config
import nodes
import probes
from cluster import Cluster, build, recipe
from nodes import HERE, Failure, until

ROOT = os.path.dirname(HERE)
STACK = ("vip", "strongswan", "xl2tpd")


class Layout:
    """How the stack is managed: the recipes, as (document, marker), and what running well looks like."""

    def __init__(self, name, recipes, promotable):
        self.name, self.recipes, self.promotable = name, recipes, promotable
        self.role = "Promoted" if promotable else "Started"

    def serving(self, view):
        """The one node on which every member of the stack is in its serving role; None unless that is so."""
        places = [view.where(member, self.role) for member in STACK]
        return places[0][0] if all(place == places[0] and len(place) == 1 for place in places) else None

    def settled(self, view):
        """Serving, and with a warm standby and replicated connections on the other node where the layout has that."""
        serving = self.serving(view)
        if serving and self.promotable:
            standby = list(view.online - {serving})
            if any(view.where(member, "Unpromoted") != standby for member in (*STACK, "conntrackd")):
                return None
        return serving


README = f"{ROOT}/README.md"
LAYOUTS = {
    "promotable": Layout("promotable", [(README, "cluster"), (README, "promotable")], True),
    "watched": Layout("watched", [(README, "cluster"), (README, "promotable"), (README, "probe"), (README, "alert")], True),
    "seamless": Layout("seamless", [(README, "cluster"), (README, "seamless")], True),
    "group": Layout("group", [(README, "cluster"), (README, "group")], False),
    "baseline": Layout("baseline", [(README, "cluster"), (f"{HERE}/baseline/README.md", "baseline")], False),
}


class Lab:
    """Two gateways, a client, the wires between them and a cluster made from a layout's recipe."""

    gateway_files, client_files = staticmethod(config.gateway_files), staticmethod(config.client_files)
    gateway_modules, gateway_memory = config.GATEWAY_MODULES, "512M"

    def __init__(self, layout, package):
        self.layout, self.package = layout, package
        self.began = time.monotonic()
        self.pongs = []  # moments at which the client heard from the inner address
        self.fenced = {}  # name of a node -> moment its death was confirmed
        nodes.prepare()
        outside = nodes.Bridge("outside", f"{config.OUTSIDE['lab']}/24")
        inside = nodes.Bridge("cluster")
        self.gateways = {}
        for name in config.GATEWAYS:
            cables = {"eth0": (outside, f"{config.OUTSIDE[name]}/24"), "eth1": (inside, f"{config.CLUSTER[name]}/24")}
            node = nodes.Node(name, cables, self.gateway_files(name), self.gateway_modules, systemd=True, memory=self.gateway_memory)
            config.give_cluster_files(node.share)
            node.on_fence = self._fence
            self.gateways[name] = node
        self.client = self.make_client(outside)
        self.cluster = Cluster(self.gateways)
        self.holders = probes.Holders()

    def make_client(self, outside):
        return nodes.Node("client", {"eth0": self.client_cable(outside)}, self.client_files(), config.CLIENT_MODULES)

    def client_cable(self, outside):
        """The client's bridge and address."""
        return outside, f"{config.OUTSIDE['client']}/24"

    def say(self, text):
        print(f"[{time.monotonic() - self.began:6.1f} s] {text}", flush=True)

    # Getting there

    def start(self):
        """From nothing to a client with a session."""
        together([node.boot for node in (*self.gateways.values(), self.client)])
        self.say("moon, sun and client are booted")
        self._make_cluster()
        self.holders.start()
        self._connect()

    def _make_cluster(self):
        built = {}

        def build_configuration():
            commands = [command for document, marker in self.layout.recipes for command in recipe(document, marker)]
            built["cib"] = build(commands, self.package)

        def online():
            until("both gateways are online in the cluster", 90, self.cluster.online, every=0.5)
            self.say("the cluster is online")

        together([build_configuration, online, self._make_client_ready, *(lambda node=node: self._install(node) for node in self.gateways.values())])
        self.cluster.push(built["cib"])
        self.say(f"the cluster has the recipe: {', '.join(marker for _, marker in self.layout.recipes)}")
        self.say(f"{self.await_settled()} serves")

    def _make_client_ready(self):
        self.client.run(config.CLIENT_READY)

    def _install(self, node):
        if not self.package:
            return
        shutil.copy(self.package, f"{node.share}/vpnha.deb")
        node.run("rm -f /var/lib/man-db/auto-update; dpkg --force-unsafe-io --install /lab/vpnha.deb", timeout=120)
        self.say(f"the package is installed on {node.name}")

    def _connect(self):
        self.client.ping(config.INNER, lambda moment, address: self.pongs.append(moment))
        self.client.run(config.CLIENT_DIAL)
        until(f"the client reaches {config.INNER} through its session", 60, lambda: self.pongs, every=0.05)
        self.say(f"the client has a session and reaches {config.INNER} through it, as {self.client_address()}")

    def rejoin(self, node):
        """Power on again after a cut: the package first, then the cluster."""
        node.boot(target="rejoin.target")
        self._install(node)
        node.run("systemctl", "start", "pacemaker", timeout=60)
        until("both gateways are online in the cluster", 90, self.cluster.online, every=0.5)
        self.await_settled()
        self.say(f"{node.name} is back")

    # What is so

    def serving(self):
        """The gateway that serves, as a node."""
        view = self.cluster.view()
        name = view and self.layout.serving(view)
        return name and self.gateways[name]

    def other(self, node):
        return next(gateway for gateway in self.gateways.values() if gateway is not node)

    def await_settled(self, on=None):
        """Waits until the stack serves (on that node, if one is given) and the standby is warm; says where it serves."""
        where = f" on {on.name}" if on else ""
        return self.cluster.wait(f"the cluster runs the whole stack{where}", 120,
                                 lambda view: (name := self.layout.settled(view)) and (not on or name == on.name) and name)

    def client_address(self):
        found = re.search(r"inet (\S+) peer", self.client.run("ip", "-4", "address", "show", "dev", "ppp0", check=False).output)
        return found[1] if found else "no address"

    def await_client(self, after):
        """Waits for the client's first ping to pass after a moment, and returns when that was."""
        return until("the client's pings pass again", 120,
                     lambda: next((moment for moment in list(self.pongs) if moment > after), None), every=0.05)

    def silence(self, since):
        """The longest time since a moment that the client heard nothing, until its last reply."""
        heard = [since, *(moment for moment in list(self.pongs) if moment > since)]
        return max((later - earlier for earlier, later in zip(heard, heard[1:])), default=0.0)

    def check_one_holder(self):
        if self.holders.clashes:
            raise Failure(f"two nodes held {config.VIP} at the same time: {', '.join(self.holders.clashes[0])}")

    def _fence(self, asking, name):
        """A fence agent in a node wants another node off. It is, before it is told so."""
        self.gateways[name].pull_plug()
        self.fenced.setdefault(name, time.monotonic())
        return not self.gateways[name].on

    # When it did not work

    def describe(self):
        """Everything a person would ask for first."""
        for node in [*self.gateways.values(), *([self.client] if self.client else [])]:
            print(f"\n===== {node.name}: {'on' if node.on else 'off'}")
            if not node.on:
                continue
            commands = ["ip -brief address", "swanctl --list-sas 2>&1 | head -30",
                        "ip xfrm state | grep -c ^src; awk '$2 > 0' /proc/net/xfrm_stat", "ps -eo pid,etimes,args | grep -v '\\['"]
            if node.systemd:
                commands += ["crm_mon -1rfA", "journalctl --no-pager -n 60 -o short-precise",
                             "grep -E 'warning|error|notice' /var/log/pacemaker/pacemaker.log | tail -n 60",
                             "tail -n 15 /var/log/corosync/corosync.log"]
            else:
                commands += ["tail -n 25 /var/log/xl2tpd.log", "tail -n 25 /var/log/ppp.log"]
            for command in [*commands, "tail -n 25 /var/log/charon.log"]:
                try:
                    output = node.run(command, timeout=10, check=False).output.rstrip()
                except Failure as failure:
                    output = str(failure)
                print(f"--- {node.name}$ {command}\n{output}")
        sys.stdout.flush()


def together(works):
    """Runs functions at the same time and passes on the first failure."""
    failures = []

    def guarded(work):
        try:
            work()
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=guarded, args=(work,), daemon=True) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        while thread.is_alive():
            thread.join(0.2)
    if failures:
        raise failures[0]
