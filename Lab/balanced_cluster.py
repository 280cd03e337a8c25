"""The recipe `balanced` under a real cluster: what each client hears while the director moves, nodes are lost, rested and come back."""

import shutil
import time

import config
import probes
from balanced import CLIENTS, NAT, Balanced
from cluster import Cluster, build, recipe
from config import GATEWAYS, OUTSIDE, VIP
from nodes import Failure, until
from pair import README, together

RECIPES = ("cluster", "balanced")
# As docs/balanced.md has it: the copy of the address on lo is nobody's to ask for.
SETTINGS = {"/etc/sysctl.d/vpnha-balanced.conf": "net.ipv4.conf.all.arp_ignore = 1\nnet.ipv4.conf.all.arp_announce = 2\n"}


class BalancedCluster(Balanced):
    systemd = True

    def __init__(self, package):
        super().__init__(None)
        self.package, self.fenced = package, {}
        for node in self.gateways.values():
            config.give_cluster_files(node.share)
            node.on_fence = self._fence
        self.cluster = Cluster(self.gateways)
        self.holders = probes.Holders()

    @staticmethod
    def gateway_files(name):
        return {**config.gateway_files(name), **SETTINGS}

    @staticmethod
    def client_files():
        """A client that hears nothing for 20 s dials again: others wait longer still."""
        files = config.client_files()
        for path, old, new in (("/etc/xl2tpd/xl2tpd.conf", "max retries = 2\n", ""), ("/etc/ppp/options.client", "lcp-echo-interval 1\nlcp-echo-failure 3", "lcp-echo-interval 5\nlcp-echo-failure 4"),
                               ("/etc/swanctl/swanctl.conf", "dpd_delay = 2s\n    dpd_timeout = 6s", "dpd_delay = 5s\n    dpd_timeout = 20s")):
            assert old in files[path]
            files[path] = files[path].replace(old, new)
        return files

    def _fence(self, asking, name):
        self.gateways[name].pull_plug()
        self.fenced.setdefault(name, time.monotonic())
        return not self.gateways[name].on

    # The cluster

    def boot(self, name):
        self.gateways[name].boot()

    def _install(self, node):
        shutil.copy(self.package, f"{node.share}/vpnha.deb")
        node.run("rm -f /var/lib/man-db/auto-update; dpkg --force-unsafe-io --install /lab/vpnha.deb", timeout=120)

    def make_cluster(self):
        built = {}

        def build_configuration():
            built["cib"] = build([command for marker in RECIPES for command in recipe(README, marker)], self.package)

        def online():
            until("both gateways are online in the cluster", 90, self.cluster.online, every=0.5)

        together([build_configuration, online, *(lambda node=node: self._install(node) for node in self.gateways.values())])
        self.cluster.push(built["cib"])
        self.say(f"the cluster has the recipe; {self.await_whole()} directs")

    def await_whole(self, on=GATEWAYS, director=None):
        """Every one of these gateways serves, and one of them directs; says which."""

        def whole(view):
            promoted, standby = view.where("balancer", "Promoted"), view.where("balancer", "Unpromoted")
            serve = all(sorted(view.where(member, "Started")) == sorted(on) for member in ("vip", "strongswan", "xl2tpd"))
            fine = serve and len(promoted) == 1 and sorted(promoted + standby) == sorted(on) and (not director or promoted == [director])
            return fine and promoted[0]

        name = self.cluster.wait(f"{' and '.join(on)} serve{'' if len(on) > 1 else 's'}{f', and {director} directs' if director else ''}", 120, whole)
        wanted = {OUTSIDE[node] for node in on}
        for node in on:
            until(f"{node} has the servers that the cluster has", 20, lambda: set(self.servers(node)) == wanted)
        return name

    def here(self):
        """A node that can be asked."""
        return next(node for node in self.gateways.values() if node.on)

    def run(self, *words, timeout=60, check=True):
        return self.here().run(*words, timeout=timeout, check=check)

    def servers(self, name):
        """Address and weight of each."""
        found = {}
        for line in self.gateways[name].run("cat", "/proc/net/ip_vs").output.splitlines():
            words = line.split()
            if words[:1] == ["->"] and ":" in words[1] and words[1] != "RemoteAddress:Port":
                number = bytes.fromhex(words[1].split(":")[0])
                found[".".join(str(byte) for byte in number)] = int(words[3])
        return found

    def rejoin(self, name):
        node = self.gateways[name]
        node.boot(target="rejoin.target")
        self._install(node)
        node.run("systemctl", "start", "pacemaker", timeout=60)
        until("both gateways are online in the cluster", 90, self.cluster.online, every=0.5)
        director = self.await_whole()
        other = next(gateway for gateway in GATEWAYS if gateway != name)
        wanted = {entry for entry in self.entries(director) if entry[:2] != (NAT, 500)}
        until(f"{name} has every entry", 30, lambda: wanted <= self.entries(name))
        self.say(f"{name} is back, and has all of the {len(wanted)} entries of {other}'s table")

    def to(self, name):
        """The director moves there."""
        old = self.director()
        began = time.monotonic()
        self.run("crm_resource", "--ban", "--resource", "balancer-clone", "--promoted", "--node", old)
        self.cluster.wait(f"{name} directs", 60, lambda view: view.where("balancer", "Promoted") == [name])
        took = time.monotonic() - began
        self.run("crm_resource", "--clear", "--resource", "balancer-clone")
        time.sleep(3)
        self.await_whole(director=name)
        return began, took

    def director(self):
        view = self.cluster.view()
        promoted = view.where("balancer", "Promoted") if view else []
        if len(promoted) != 1:
            raise Failure(f"the director is {promoted}")
        return promoted[0]

    @staticmethod
    def other(name):
        return next(gateway for gateway in GATEWAYS if gateway != name)

    def of(self, places, name):
        return [client for client, place in places.items() if place == name]

    # The story

    def play(self):
        self.boot_all()
        self.make_cluster()
        self.holders.start()
        places = self.dialled()
        self.judge()
        self.move_director(places)
        places = self.dead_daemon(places)
        places = self.drained(places)
        places = self.rested(places)
        self.gather()
        self.lose_director()
        self.lose_server()
        if self.holders.clashes:
            raise Failure(f"two nodes said that they have {VIP}: {self.holders.clashes[0]}")
        if self.wire.clear:
            raise Failure(f"{self.wire.clear} packets of L2TP were on the outside segment in clear")
        self.say(f"nothing in clear on the outside segment, beside {self.wire.esp} frames of ESP; never two nodes with the address")

    def judge(self):
        """What the operator's command makes of it: no more than what the lab lacks."""
        reply = self.run("vpnha", "status", timeout=60, check=False)
        self.say(f"vpnha status, ended with {reply.status}:\n{reply.output.rstrip()}")
        if f"{self.director()} directs" not in reply.output or "GATE" in reply.output or reply.status not in (0, 1):
            raise Failure("vpnha status says something else")

    def move_director(self, places):
        for _ in range(2):
            old = self.director()
            began, took = self.to(self.other(old))
            self.expect(began, CLIENTS, 4, f"director moved from {old} to {self.other(old)} in {took:.1f} s")
            self.same(places)

    def settle_sessions(self, began, names, when, seconds=120):
        """Those clients have new sessions; how long each of all heard nothing, and where they are now."""
        self.await_all(time.monotonic(), f"{', '.join(names)} back after: {when}", names, seconds)
        time.sleep(2)
        self.say(f"{when}: longest silence {self.words(self.silences(began))}")
        return self.where()

    def dead_daemon(self, places):
        """charon dies where nobody directs: its clients dial again and are served by the other gateway, or by it once it runs again."""
        victim = self.other(self.director())
        began = time.monotonic()
        self.gateways[victim].run("kill -KILL $(pidof charon-systemd)")
        self.cluster.wait("Pacemaker has noticed", 60, lambda view: any("strongswan" in failure for failure in view.failures))
        self.await_whole()
        now = self.settle_sessions(began, self.of(places, victim), f"charon of {victim} killed")
        self.expect(began, self.of(places, self.other(victim)), 2, "the others meanwhile")
        self.run("crm_resource", "--cleanup")
        self.await_whole()
        return now

    def drained(self, places):
        """No new clients for a node that is being drained; those that are there stay."""
        node = self.other(self.director())
        began = time.monotonic()
        self.run("attrd_updater", "-n", "vpnha-drain-balancer", "-U", "1", "-N", node)
        for name in GATEWAYS:
            until(f"{name} gives {node} no new clients", 40, lambda: self.servers(name).get(OUTSIDE[node]) == 0)
        self.same(places)
        self.run("attrd_updater", "-n", "vpnha-drain-balancer", "-U", "0", "-N", node)
        for name in GATEWAYS:
            until(f"{name} gives {node} clients again", 40, lambda: self.servers(name).get(OUTSIDE[node]) == 1)
        self.expect(began, CLIENTS, 2, f"{node} drained, and no more")
        self.same(places)
        return places

    def rested(self, places):
        """Each node in standby, the one that directs and the other one."""
        for name in (self.other(self.director()), self.director()):
            began = time.monotonic()
            self.run("crm_standby", "-N", name, "-v", "on")
            self.await_whole([self.other(name)])
            now = self.settle_sessions(began, list(CLIENTS), f"{name} put on standby")
            if set(now.values()) != {self.other(name)}:
                raise Failure(f"{name} is on standby, and sessions are on {now}")
            began = time.monotonic()
            self.run("crm_standby", "-N", name, "-D")
            self.await_whole()
            time.sleep(3)
            self.expect(began, CLIENTS, 2, f"{name} back from standby")
            self.same(now)
            places = now
        return places

    def gather(self):
        """All sessions are on one node now, and the other one directs."""
        home = set(self.where().values())
        if len(home) != 1:
            raise Failure(f"sessions are on {home}")
        if self.director() in home:
            began, took = self.to(self.other(self.director()))
            self.expect(began, CLIENTS, 4, f"director moved away from all sessions in {took:.1f} s")

    def lose_director(self):
        """Every session is on the other gateway, and outlives it."""
        lost = self.director()
        places = self.where()
        began = self.gateways[lost].pull_plug()
        self.await_whole([self.other(lost)], director=self.other(lost))
        time.sleep(5)
        self.expect(began, CLIENTS, 15, f"the director {lost} lost power, fenced after {self.fenced.pop(lost) - began:.1f} s")
        self.same(places)
        began = time.monotonic()
        self.rejoin(lost)
        self.expect(began, CLIENTS, 2, f"{lost} comes back")
        self.same(places)

    def lose_server(self):
        """The gateway with all sessions loses power; the director goes on, and its entries of that one go at once."""
        [lost] = set(self.where().values())
        director = self.director()
        if director == lost:
            self.to(self.other(lost))
            director = self.other(lost)
        began = self.gateways[lost].pull_plug()
        until("the director has no entry of the lost gateway", 30, lambda: all(server != OUTSIDE[lost] for _, _, server in self.entries(director)), every=0.1)
        gone = time.monotonic() - began
        now = self.settle_sessions(began, list(CLIENTS), f"{lost} lost power with every session, fenced after {self.fenced.get(lost, began) - began:.1f} s, its entries gone after {gone:.1f} s")
        if set(now.values()) != {director}:
            raise Failure(f"sessions are on {now}")
        self.await_whole([director])
        self.fenced.pop(lost, None)
        self.rejoin(lost)
        self.same(now)

    def describe(self):
        super().describe()
        for node in self.gateways.values():
            if node.on:
                for command in ("crm_mon -1rfA", "journalctl --no-pager -n 80 -o short-precise", "grep -E 'warning|error|notice' /var/log/pacemaker/pacemaker.log | tail -n 80"):
                    print(f"--- {node.name}$ {command}\n{node.run(command, timeout=20, check=False).output.rstrip()}")
