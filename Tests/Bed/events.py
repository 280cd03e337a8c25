"""What happens to a pair, and what has to be true afterwards.

An event is a generator. It prepares and yields (here, there): the serving node and its peer. Then it does harm and yields
again, and what the event promises is waited for. Then it mends what it broke, and the pair has to be whole again by itself.
"""

import copy
import json
import os
import shutil
import time
from xml.etree import ElementTree

from machines import Failure, subprocess, until
import config
from config import VIP, VIP_B

EVENTS = {}
# promotable and crm make the same pair, but for the path's probe; typing the former takes longer.
EVERYWHERE, WARM, WATCHED, VOTED = ("promotable", "crm", "group"), ("crm",), ("promotable",), ("quorum",)
CARRIED = ("seamless",)
# The same pair, typed as for crmsh: that it is one is seen by these few.
CARRIED_TOO = ("seamless", "crm-seamless")
TOLD = ("announce",)
TOLD_TOO = TOLD + ("crm-announce",)
# By FRR, in the long list: of the same pair it plays what crm-announce does.
TOLD_OTHERWISE = ("announce-frr",)


class Event:
    # Of the second address of two: whether it "stays" on its node, "moves" to the other one, or does "either"; seconds without service.
    beside = ("stays", 1)

    def __init__(self, name, play, serves, seconds, fenced, recipes, long, tolerated, listed, fresh):
        self.name, self.play, self.serves, self.seconds, self.fenced = name, play, serves, seconds, fenced
        self.recipes, self.tolerated, self.listed, self.fresh = recipes, tolerated, listed, fresh
        # A monitor that waits for events must delay nothing.
        self.long = (*long, *(["crm-watch"] if "crm" in recipes else []), *(TOLD_OTHERWISE if "crm-announce" in recipes else []))


def event(serves, seconds, fenced=(), recipes=WARM, long=None, tolerated=(), listed=True, fresh=False, names=None):
    """`serves`: same, peer or any; `seconds` without service at most; `fenced`: who may lose power. With `names`, the
    function is an event for each of them. `recipes` has it in the table, `long` in the long list: what the table plays
    with crm alone is played with the other pair there. What the event does by itself is tolerated. What is not
    listed runs by its name only. `fresh`: what failed before the event has earned
    its promotion score back; without it, the peer of a daemon that dies may have failed a short while ago as well."""
    if long is None:
        long = ("promotable",) if recipes == WARM else ()

    def declare(play):
        for name, arguments in (names or {play.__name__.replace("_", "-"): ()}).items():
            EVENTS[name] = Event(name, lambda bed, play=play, arguments=arguments: play(bed, *arguments), serves, seconds, fenced,
                                 recipes, long, tolerated, listed, fresh)
        return play
    return declare


# Nodes

def places_with_dc(bed, dc=True):
    """Who serves and its peer, once the serving node is the DC; not the DC, if it is not to be."""
    here, there = bed.places()
    if (bed.view().dc == here.name) != dc:
        bed.move(there)
        if bed.two:
            bed.part()
        here, there = bed.places()
    return here, there


@event("peer", 15, fenced=["here"], recipes=EVERYWHERE + VOTED + CARRIED_TOO + TOLD_TOO, names={"serving-lost-dc": (True,), "serving-lost": (False,)})
def serving_lost(bed, dc):
    here, there = yield places_with_dc(bed, dc)
    here.cut()
    yield
    here.boot()


@event("same", 1, fenced=["there"], recipes=EVERYWHERE + VOTED)
def standby_lost(bed):
    here, there = yield bed.places()
    there.cut()
    bed.await_alone(here)
    yield
    there.boot()


@event("peer", 5, recipes=EVERYWHERE + CARRIED_TOO + TOLD_TOO)
def move(bed):
    here, there = yield bed.places()
    bed.move(there)
    yield


@event("peer", 5, recipes=EVERYWHERE)
def switchover(bed):
    """As an operator asks for it, on the node that is to rest."""
    here, there = yield bed.places()
    # Who has just become a standby is looked at closely at once.
    until("the standby could serve", 30, lambda: json.loads(here.run("vpnha switchover --json; true"))["verdict"] == "good")
    plan = json.loads(here.run("vpnha switchover --json; true"))
    if bed.watch.serving() != here.number or not plan["will"] or plan["done"]:
        raise Failure(f"without --yes: {plan}")
    start = time.monotonic()
    # A member that has just been recovered is a risk, and no obstacle.
    said = json.loads(here.run("vpnha switchover --drain=5s --yes --json; true"))
    if said["to"] != there.name or said["verdict"] not in ("good", "risk"):
        raise Failure(f"vpnha switchover --yes: {said}")
    if "203.0.113.50" in here.run("nft list set inet vpnha draining", check=False):
        raise Failure("the node that was left takes no new clients")
    seen = sum(later - earlier for earlier, later, kind in bed.watch.silences(start, time.monotonic()) if kind == "IKE")
    if "cli-" in here.run("cibadmin --query --scope constraints"):
        raise Failure("the move's constraint is still there")
    bed.say(f"    it says {said['outage']} s, IKE was silent for {seen:.2f} s")
    yield


@event("peer", 20, fresh=True, listed=False)
def drill_daemon(bed):
    """A rehearsed failover measures itself; its figure is that of the watch outside, which asks every 0.1 s."""
    here, there = yield bed.places()
    start = time.monotonic()
    said = json.loads(here.run("vpnha drill daemon charon --go --report /root/drill.md --json", timeout=150))
    seen = max([later - earlier for earlier, later, kind in bed.watch.silences(start, time.monotonic()) if kind == "IKE"], default=0)
    bed.say(f"    it says {said['outage']} s, IKE was silent for {seen:.2f} s")
    if said["verdict"] != "good" or said["to"] != there.name or abs(float(said["outage"]) - seen) > 0.3:
        raise Failure(f"drill daemon charon: {said}; IKE was silent for {seen:.2f} s")
    if "| serves now | " + there.name not in here.run("cat /root/drill.md"):
        raise Failure("the report does not say who serves")
    yield


@event("peer", 5, recipes=EVERYWHERE)
def node_standby(bed):
    here, there = yield bed.places()
    there.run(f"pcs node standby {here.name}")
    yield
    there.run(f"pcs node unstandby {here.name}")


@event("same", 1, recipes=("crm", "group"), long=("promotable",))
def maintenance(bed):
    """Pacemaker is ended and started on the serving node meanwhile, as an upgrade of it does."""
    here, there = yield bed.places()
    there.run("pcs property set maintenance-mode=true")
    time.sleep(1)
    here.run("pkill -TERM -x pacemakerd")
    until("Pacemaker has ended", 30, lambda: not here.run("pidof pacemakerd", check=False))
    here.run("pacemakerd >/dev/null 2>&1 </dev/null & disown")
    until("both nodes are online again", 60, lambda: (view := bed.view()) and len(view.online) == 2)
    there.run("pcs property set maintenance-mode=false")
    time.sleep(5)
    yield


@event("same", 1)
def node_maintenance(bed):
    """Pacemaker counts no member that it does not manage, and promotes the peer's: which does not take what is still held."""
    here, there = yield bed.places()
    until("each node knows the other's interface", 70, lambda: all("hardware=" in there.run(f"attrd_updater -Q -n vpnha-look-vip -N {node}", check=False) for node in bed.nodes))
    size = there.log_file.stat().st_size
    there.run(f"pcs node maintenance {here.name}")
    time.sleep(12)
    there.run(f"pcs node unmaintenance {here.name}")
    tries = [deed for deed in there.deeds(size) if "Result of promote operation for vip" in deed]
    bed.say(f"    {there.name} was asked {len(tries)} times")
    if not tries:
        raise Failure(f"{there.name} was not asked to take the address: this shows nothing")
    yield


@event("any", 50, recipes=(), long=("crm",))
def refreshed_again_and_again(bed):
    """Pacemaker waits for answers that a second refresh has lost, and recovers nothing: cluster-delay bounds that. Status does not call stopped what runs."""
    here, there = yield bed.places()
    for _ in range(4):
        here.run("crm_resource --refresh", timeout=120)
        time.sleep(0.7)
    said = {node: json.loads(node.run("vpnha status --json; true")) for node in (here, there)}
    if "bad" in (one["verdict"] for one in said.values()) or said[here]["serving"] != here.name:
        raise Failure(f"status: {said}")
    bed.say(f"    status: {said[here]['verdict']} where it serves, {said[there]['verdict']} on the other node")
    here.signal("charon", "KILL")
    bed.await_recovery(here, "charon")
    yield


# Daemons

DAEMONS = ("charon", "xl2tpd", "conntrackd")


def _dies(signal, serving):
    def play(bed, daemon):
        here, there = yield bed.places()
        victim = here if serving else there
        if not victim.signal(daemon, signal):
            raise Failure(f"{daemon} does not run on {victim.name}")
        bed.await_recovery(victim, daemon)
        yield
    return play


for _signal, _word in (("KILL", "kill"), ("STOP", "suspend")):
    for _daemon in DAEMONS:
        for _serving, _place in ((True, "serving"), (False, "standby")):
            moves = _serving and _daemon != "conntrackd"
            event("peer" if moves else "same", 20 if moves else 1, fresh=moves and _daemon == "charon",
                  names={f"{_word}-{_daemon}-{_place}": (_daemon,)})(_dies(_signal, _serving))


@event("peer", 20, fresh=True)
def conntrackd_hangs_then_crash(bed):
    """The take-over waits for conntrackd's demote, which does not wait for a daemon that hangs."""
    here, there = yield bed.places()
    here.signal("conntrackd", "STOP")
    here.signal("xl2tpd", "KILL")
    bed.await_recovery(here, "xl2tpd")
    yield
    until("conntrackd runs again", 40, lambda: here.name in bed.view().where("conntrackd", "Unpromoted"))


@event("peer", 20, fresh=True)
def restart_hangs(bed):
    """What died starts again and is never ready: the peer does not wait for all that a start may take."""
    here, there = yield bed.places()
    # charon waits for somebody who reads.
    here.run("mkfifo /root/log; echo 'charon-systemd { filelog { stuck { path = /root/log } } }' >/etc/strongswan.d/stuck.conf")
    here.signal("charon", "KILL")
    yield
    here.run("rm /etc/strongswan.d/stuck.conf")


@event("peer", 25, fresh=True, names={"charon-hangs-serving": ("charon",)})
@event("peer", 25, fresh=True, recipes=(), long=WARM, names={"xl2tpd-hangs-serving": ("xl2tpd",)})
def hangs_serving(bed, daemon):
    """As one that waits for what never comes, and is not suspended, which /proc would show at once."""
    here, there = yield bed.places()
    with here.frozen(daemon) as hung:
        here.await_end(daemon, hung, 60)
    yield


@event("any", 12, fresh=True, names={"move-to-a-charon-that-hangs": ("charon",)})
@event("any", 12, fresh=True, recipes=(), long=WARM, names={f"move-to-a-{_daemon}-that-hangs": (_daemon,) for _daemon in ("xl2tpd", "conntrackd")})
@event("any", 12, fresh=True, recipes=(), long=CARRIED, names={"move-to-a-ledger-that-hangs": ("ledger",), "move-to-a-carrier-that-hangs": ("charon",)})
def move_to_what_hangs(bed, daemon):
    """Nobody has noticed it yet: the address waits for no daemon long, and what hangs is started anew."""
    here, there = yield bed.places()
    try:
        with there.frozen(daemon) as hung:
            there.run(f"crm_resource --resource vpn-clone --promoted --move --node {there.name}")
            there.await_end(daemon, hung, 40)
    finally:
        there.run("crm_resource --resource vpn-clone --promoted --clear")
    yield


# What no parameter takes.
BAD = "/nope nope"


# What routers are told

@event("same", 20, fresh=True, recipes=TOLD)
def move_to_a_bird_that_hangs(bed):
    """Where no router can be told, the VPN does not stay."""
    here, there = yield bed.places()
    with there.frozen("bird"):
        there.run(f"crm_resource --resource vpn-clone --promoted --move --node {there.name}")
        until(f"{there.name} has the address", 20, lambda: there.name in bed.view().where("vip", "Promoted"))
        there.run("crm_resource --resource vpn-clone --promoted --clear")
        until(f"the router sends to {here.name}, which has the address", 40,
              lambda: bed.announced_by() == here.name and bed.view().where("vip", "Promoted") == [here.name])
    yield


@event("peer", 25, fenced=["here"], recipes=TOLD)
def bad_prefixes_then_serving_lost(bed):
    """Addresses that cannot be read are not announced; those from before are, also by the node that takes over."""
    here, there = yield bed.places()
    prefixes = there.run("crm_resource -r announce --get-parameter prefixes").strip()
    there.run(f"crm_resource -r announce --set-parameter prefixes --parameter-value '{BAD}' && crm_resource --wait --timeout 8s")
    if bed.announced_by() != here.name:
        raise Failure(f"the router sends to {bed.announced_by()}")
    here.cut()
    until(f"the router sends to {there.name}", 40, lambda: bed.announced_by() == there.name)
    yield
    there.run(f"crm_resource -r announce --set-parameter prefixes --parameter-value '{prefixes}'")
    here.boot()


@event("peer", 25, recipes=TOLD)
def kill_bird_serving(bed):
    """A VPN that no router is told of moves to the node that can tell."""
    here, there = yield bed.places()
    here.signal("bird", "KILL")
    until(f"the router sends to {there.name}", 40, lambda: bed.announced_by() == there.name)
    yield
    here.run("rm -f /run/bird/bird.ctl; bird")


@event("same", 1, recipes=TOLD)
def kill_bird_standby(bed):
    here, there = yield bed.places()
    there.signal("bird", "KILL")
    until("the standby says that it could not announce", 30, lambda: (bed.view().attributes.get(("vpnha-risk-announce", there.name)) or "").partition(" ")[2].startswith("BIRD does not run"))
    yield
    there.run("rm -f /run/bird/bird.ctl; bird")


@event("same", 1, recipes=TOLD)
def reload_bird(bed):
    """Administrators reload BIRD as often as they like: who announces stays who announces."""
    here, there = yield bed.places()
    for _ in range(20):
        for node in bed.nodes.values():
            node.run("birdc configure")
        if bed.announced_by() != here.name:
            raise Failure(f"the router sends to {bed.announced_by()}")
    yield


@event("peer", 25, recipes=(), long=TOLD_OTHERWISE)
def kill_bgpd_serving(bed):
    here, there = yield bed.places()
    here.signal("bgpd", "KILL")
    until(f"the router sends to {there.name}", 40, lambda: bed.announced_by() == there.name)
    yield
    here.run("/usr/lib/frr/bgpd -d -A 127.0.0.1; vtysh -b")


@event("same", 15, recipes=(), long=TOLD_OTHERWISE)
def reload_frr(bed):
    """A reload makes FRR forget what it was given: the next monitor gives it again, and the VPN stays."""
    here, there = yield bed.places()
    for node in (there, here):
        node.run("/usr/lib/frr/frr-reload.py --reload /etc/frr/frr.conf")
    until("the router is told no more", 5, lambda: bed.announced_by() is None)
    until(f"the router sends to {here.name}", 20, lambda: bed.announced_by() == here.name)
    yield


# The ledger of sessions: whatever becomes of it, the VPN serves as it would without.

def risk_of_sessions(bed, node):
    return (bed.view().attributes.get(("vpnha-risk-sessions", node.name)) or "").partition(" ")[2]


def await_in_step(bed, *nodes):
    """Waits until the two ledgers know each other, and nothing puts them at risk."""
    for node in nodes:
        until(f"the ledger on {node.name} hears its peer", 30, lambda: "link connected" in ask_ledger(node, "status"))
    until("no ledger is at risk", 60, lambda: not any(risk_of_sessions(bed, node) for node in nodes))


def ask_ledger(node, word):
    return node.run(f"""python3 -c 'import socket
s = socket.socket(socket.AF_UNIX)
s.settimeout(3)
s.connect("/run/vpnha/sessions-sessions.sock")
s.sendall(b"{word}\\n")
while part := s.recv(65536): print(part.decode(), end="")'""", check=False)


def _ledger_dies(signal, serving):
    def play(bed):
        here, there = yield bed.places()
        victim = here if serving else there
        if not victim.signal("ledger", signal):
            raise Failure(f"no ledger runs on {victim.name}")
        bed.await_recovery(victim, "ledger")
        yield
        await_in_step(bed, here, there)
        if f"role {'promoted' if serving else 'standby'}" not in ask_ledger(victim, "status"):
            raise Failure(f"the ledger on {victim.name} has not got its role back")
    return play


for _signal, _word in (("KILL", "kill"), ("STOP", "suspend")):
    for _serving, _place in ((True, "serving"), (False, "standby")):
        event("same", 1, recipes=CARRIED_TOO, names={f"{_word}-ledger-{_place}": ()})(_ledger_dies(_signal, _serving))


@event("same", 1, recipes=CARRIED)
def ledger_key_differs(bed):
    """Both say so; with the right key, which is read at a start, they know each other again."""
    here, there = yield bed.places()
    there.run("cp -p /etc/vpnha/sessions.key /root/good.key; head -c 48 /dev/urandom >/etc/vpnha/sessions.key")
    there.signal("ledger", "KILL")
    bed.await_recovery(there, "ledger")
    for node in (here, there):
        until(f"{node.name} says that the keys differ", 40, lambda: "has another key" in risk_of_sessions(bed, node))
    yield
    there.run("cp -p /root/good.key /etc/vpnha/sessions.key")
    there.signal("ledger", "KILL")
    bed.await_recovery(there, "ledger")
    await_in_step(bed, here, there)


@event("same", 1, recipes=CARRIED)
def ledger_restarted(bed):
    """What people are told to type when a key has been put right."""
    here, there = yield bed.places()
    before = here.processes("ledger")
    here.run("pcs resource restart sessions", timeout=90)
    if not here.processes("ledger") or here.processes("ledger") == before:
        raise Failure("the ledger was not started again")
    yield
    await_in_step(bed, here, there)


def cut_ledgers_link(*nodes):
    for node in nodes:
        node.run("nft 'add table inet bed; add chain inet bed c { type filter hook input priority 0; }; add rule inet bed c udp dport 4511 drop'")


@event("same", 1, recipes=CARRIED)
def ledger_link_lost(bed):
    here, there = yield bed.places()
    cut_ledgers_link(here, there)
    for node in (here, there):
        until(f"{node.name} says that the peer is silent", 40, lambda: "nothing is heard" in risk_of_sessions(bed, node))
    yield
    for node in (here, there):
        node.run("nft delete table inet bed")
    await_in_step(bed, here, there)


@event("peer", 15, fenced=["here"], recipes=CARRIED)
def ledger_at_risk_then_serving_lost(bed):
    """A standby that knows no session takes over as one that knows all of them."""
    here, there = yield bed.places()
    cut_ledgers_link(here, there)
    until(f"{there.name} says that the peer is silent", 40, lambda: "nothing is heard" in risk_of_sessions(bed, there))
    here.cut()
    yield
    there.run("nft delete table inet bed")
    here.boot()
    until("both nodes are online again", 60, lambda: (view := bed.view()) and len(view.online) == 2)
    await_in_step(bed, here, there)


@event("same", 1, recipes=CARRIED)
def ledger_cannot_start(bed):
    """Neither node has a key, and both residents die: the VPN serves, and a person is told what to type."""
    here, there = yield bed.places()
    for node in (here, there):
        node.run("mv /etc/vpnha/sessions.key /root/good.key")
        node.signal("ledger", "KILL")
    until("the cluster says what is missing", 40, lambda: any("vpnha key" in failure for failure in bed.view().failures))
    time.sleep(5)
    yield
    for node in (here, there):
        node.run("mv /root/good.key /etc/vpnha/sessions.key")


@event("any", 30, recipes=("group",), names={f"{word}-{daemon}": (daemon, signal) for word, signal in (("kill", "KILL"), ("suspend", "STOP"))
                                             for daemon in ("charon", "xl2tpd")})
def dies_in_group(bed, daemon, signal):
    here, there = yield bed.places()
    here.signal(daemon, signal)
    bed.await_recovery(here, daemon)
    yield


@event("any", 30, recipes=(), long=("libreswan",), names={f"{word}-pluto": (signal,) for word, signal in (("kill", "KILL"), ("suspend", "STOP"))})
def pluto_dies(bed, signal):
    here, there = yield bed.places()
    here.signal("pluto", signal)
    bed.await_recovery(here, "pluto")
    yield


def _prober(names, **more):
    """The path's resident: without it the node is judged by what it told last, and nothing moves."""
    @event("same", 1, names=names, **more)
    def play(bed, signal, serving):
        until("both paths are up", 60, lambda: bed.attributes("vpnha-path") == ["1", "1"])
        here, there = yield bed.places()
        victim = here if serving else there
        if not victim.signal("prober", signal):
            raise Failure(f"no prober runs on {victim.name}")
        bed.await_recovery(victim, "prober")
        yield
        until("both paths are up", 60, lambda: bed.attributes("vpnha-path") == ["1", "1"])


_prober({"kill-prober-serving": ("KILL", True), "suspend-prober-serving": ("STOP", True)}, recipes=WATCHED)
_prober({"kill-prober-standby": ("KILL", False), "suspend-prober-standby": ("STOP", False)}, recipes=(), long=WATCHED)


@event("any", 35, recipes=EVERYWHERE)
def two_crashes(bed):
    """The second hits the node that the first one moved the service to."""
    here, there = yield bed.places()
    here.signal("charon", "KILL")
    bed.await_recovery(here, "charon")
    next_, _ = bed.await_serving(25)
    next_.signal("charon", "KILL")
    bed.await_recovery(next_, "charon")
    yield


@event("any", 20, recipes=("promotable", "crm"))
def two_crashes_at_once(bed):
    here, there = yield bed.places()
    there.signal("xl2tpd", "KILL")
    here.signal("charon", "KILL")
    bed.await_recovery(here, "charon")
    yield


# The way to the world, and to each other

@event("peer", 5, recipes=WATCHED)
def path_lost(bed):
    until("both paths are up", 60, lambda: bed.attributes("vpnha-path") == ["1", "1"])
    here, there = yield bed.places()
    bed.block(here)
    yield
    bed.unblock()
    until("both paths are up", 60, lambda: bed.attributes("vpnha-path") == ["1", "1"])


@event("same", 1)
def sync_link_lost(bed):
    here, there = yield bed.places()
    for node in (here, there):
        node.run("nft 'add table inet bed; add chain inet bed c { type filter hook input priority 0; }; add rule inet bed c udp dport 3780 drop'")
    time.sleep(12)
    yield
    for node in (here, there):
        node.run("nft delete table inet bed")


@event("same", 1, recipes=VOTED)
def witness_lost(bed):
    """The third machine is gone, and comes back: the pair has two of three votes."""
    here, there = yield bed.places()
    bed.witness.kill()
    bed.witness.wait()
    time.sleep(12)  # longer than the device's timeout
    yield
    bed.watch_votes()
    for node in (here, there):
        until(f"{node.name} has the third vote again", 40, lambda: node.run("corosync-quorumtool -s", check=False).count("A,V") == 2)


@event("same", 1, fenced=["there"], recipes=EVERYWHERE + VOTED)
def partition(bed):
    here, there = yield bed.places()
    there.unplug("eth1")
    until("one of them has no power", 30, lambda: not (here.on and there.on))
    survivor = here if here.on else there
    bed.await_alone(survivor)
    time.sleep(6)  # longer than the delay that the loser's request was given
    yield
    survivor.plug("eth1")
    bed.peer(survivor).boot()


@event("peer", 15, fenced=["here"], recipes=WATCHED)
def risk_then_dc_lost(bed):
    """The standby was at risk of not being able to serve for a while: that must not delay the take-over."""
    here, there = yield places_with_dc(bed)
    subprocess.run(["ip", "link", "set", f"{there.name}-eth0", "down"], check=True)
    time.sleep(13)
    subprocess.run(["ip", "link", "set", f"{there.name}-eth0", "up"], check=True)
    here.cut()
    yield
    # No machine boots as fast as a node of the bed: the risk is over by then, and the service stays.
    until("the path of the survivor is up again", 60, lambda: bed.attributes("vpnha-path") == ["1"])
    here.boot()


@event("peer", 15, fenced=["here"], recipes=(), long=WATCHED)
def sync_lossy_then_dc_lost(bed):
    """Trouble on the cluster's link comes just before a take-over: what the standby says of it must not delay the latter."""
    here, there = yield places_with_dc(bed)
    for node in (here, there):
        node.run("nft 'add table inet bed; add chain inet bed c { type filter hook input priority 0; };"
                 " add rule inet bed c udp dport 3780 numgen random mod 10 < 4 drop'")
    time.sleep(65)  # longer than the interval of the monitor that looks at it
    here.cut()
    yield
    there.run("nft delete table inet bed")
    here.boot()


@event("peer", 15, fenced=["here"], recipes=(), long=WATCHED)
def attrd_killed_on_both_then_serving_lost(bed):
    """Pacemaker moves the service for the first of them; after that both nodes have scores again."""
    for node in bed.places():
        node.signal("attrd", "KILL")
    time.sleep(13)  # longer than the interval of a standby's monitor
    here, there = yield bed.places()
    here.cut()
    yield
    here.boot()


@event("peer", 15, fenced=["here"], fresh=True)
def attrd_killed_then_serving_lost(bed):
    """A respawned attribute daemon has forgotten the node's promotion scores: the agents tell them again."""
    served, standby = bed.places()
    standby.signal("attrd", "KILL")
    time.sleep(13)  # longer than the interval of a standby's monitor
    # One that only the other node has lost would be back before it is missed, and fenced in the next row.
    here, there = yield bed.places()
    if here is not served:
        bed.say(f"    {served.name} served, and {here.name} does since the attribute daemon of {standby.name} ended")
    here.cut()
    yield
    here.boot()


# What people do

GARBAGE = {"/etc/xl2tpd/xl2tpd.conf": "this line has no equals sign", "/etc/conntrackd/conntrackd.conf": "Sync {",
           "/etc/swanctl/swanctl.conf": "connections {{"}


def spoil(node):
    for path, line in GARBAGE.items():
        node.run(f"cp -p {path} {path}.good; echo '{line}' >>{path}")


def mend(node):
    for path in GARBAGE:
        node.run(f"mv {path}.good {path}")


def _files_broken(names, **more):
    @event("same", 1, names=names, **more)
    def play(bed, where, spoil):
        here, there = yield bed.places()
        nodes = {"serving": (here,), "standby": (there,), "both": (here, there)}[where]
        for node in nodes:
            spoil(node)
        time.sleep(13)  # longer than every monitor's interval
        yield
        for node in nodes:
            mend(node)


def take_away(node):
    for path in GARBAGE:
        node.run(f"mv {path} {path}.good")


def empty(node):
    """As an editor leaves a file for a moment."""
    for path in GARBAGE:
        node.run(f"cp -p {path} {path}.good; : >{path}")


_files_broken({"files-broken-serving": ("serving", spoil), "files-broken-both": ("both", spoil)}, recipes=EVERYWHERE)
_files_broken({"files-empty-both": ("both", empty)})
_files_broken({"files-broken-standby": ("standby", spoil), "files-gone-both": ("both", take_away)}, recipes=(), long=("promotable", "group"))


@event("same", 1, recipes=("crm",), long=("promotable", "group"))
def run_full(bed):
    """Records and answers lie there: they are hints, and the daemons are well without."""
    here, there = yield bed.places()
    here.run("mount -o remount,size=$(($(df --output=used -k /run | tail -n 1) + 64))k /run; head -c 1M /dev/zero >/run/fill", check=False)
    try:
        time.sleep(13)  # longer than every monitor's interval
    finally:
        here.run("rm -f /run/fill; mount -o remount,size=64m /run")
    yield


@event("peer", 20, fresh=True)
def files_broken_then_crash(bed):
    """What died cannot be started again where its file is broken: the peer serves, and the node comes back when it is mended."""
    here, there = yield bed.places()
    spoil(here)
    here.signal("charon", "KILL")
    yield
    mend(here)


@event("peer", 5, fresh=True)
def conntrackd_promote_fails(bed):
    """On the node that the service moves to: the VPN is there all the same, and promotions are not tried without end."""
    here, there = yield bed.places()
    agent = "/usr/lib/ocf/resource.d/vpnha/conntrackd"
    there.run(f"mv {agent} {agent}.good; printf '#!/bin/sh\\n[ $1 != promote ] || {{ echo >>/root/promotions; exit 1; }}\\nexec {agent}.good \"$@\"\\n' >{agent}; chmod 755 {agent}")
    try:
        bed.warm = False
        there.run(f"crm_resource --resource vpn-clone --promoted --move --node {there.name}")
        until(f"{there.name} serves", 30, lambda: bed.watch.serving() == there.number)
        there.run("crm_resource --resource vpn-clone --promoted --clear")
        time.sleep(20)
        if (tried := len(there.run("cat /root/promotions").splitlines())) > 4:
            raise Failure(f"conntrackd was promoted {tried} times in 20 s")
        if bed.watch.serving() != there.number:
            raise Failure(f"{there.name} does not serve without conntrackd")
    finally:
        bed.warm = True
        there.run(f"mv {agent}.good {agent}; rm -f /root/promotions", check=False)
    yield


@event("any", 90)
def files_broken_both_then_crashes(bed):
    """Nobody can serve until the files are mended; then somebody does, soon."""
    here, there = yield bed.places()
    for node in (here, there):
        spoil(node)
    try:
        here.signal("charon", "KILL")
        bed.await_serving(25, there)
        there.signal("charon", "KILL")
        time.sleep(15)
    finally:
        for node in (here, there):
            mend(node)
    mended = time.monotonic()
    bed.await_serving(60)
    bed.say(f"    served again {time.monotonic() - mended:.1f} s after the files were mended")
    yield


@event("same", 1, fresh=True)
def secret_missing(bed):
    """On the standby only: it says so, and is not the first choice any more. Mended, it is again, at the next basic monitor."""
    here, there = yield bed.places()
    there.run("cp -p /etc/swanctl/swanctl.conf /root/swanctl.good; sed -i '/^secrets/,$d' /etc/swanctl/swanctl.conf; swanctl --load-all --clear")
    until("the standby says that it has no secret", 75, lambda: bed.view().attributes.get(("vpnha-risk-strongswan", there.name)))
    scores = {node: int(bed.view().attributes[("master-strongswan", node.name)]) for node in (here, there)}
    if scores[there] >= scores[here]:
        raise Failure("a standby without a secret has the promotion score of one that could serve")
    yield
    there.run("mv /root/swanctl.good /etc/swanctl/swanctl.conf; swanctl --load-all --clear")
    mended = time.monotonic()

    def is_whole():
        said = bed.view().attributes
        return ("vpnha-risk-strongswan", there.name) not in said and said[("master-strongswan", there.name)] == said[("master-strongswan", here.name)]
    until("the standby is whole again", 25, is_whole)
    bed.say(f"    whole again {time.monotonic() - mended:.1f} s after the file was mended")


@event("any", 15, recipes=EVERYWHERE)
def address_deleted(bed):
    here, there = yield bed.places()
    here.run(f"ip address delete {VIP}/24 dev eth0")
    time.sleep(12)
    yield


@event("same", 15, tolerated=["two holders"])
def address_added(bed):
    """On the standby, by hand: two nodes answer until its monitor has seen it."""
    here, there = yield bed.places()
    there.run(f"ip address add {VIP}/24 dev eth0")
    until("the standby has lost the address again", 25, lambda: VIP not in there.run("ip -4 address show dev eth0"))
    yield


@event("same", 100, tolerated=["two holders"], recipes=(), long=("group",))
def address_added_where_nothing_runs(bed):
    """No monitor runs there, and clients go astray: the serving node asks the wire, and says who else has the address."""
    here, there = yield bed.places()
    there.run(f"ip address add {VIP}/24 dev eth0")
    try:
        until("the serving node names the other holder", 90, lambda: there.mac in bed.view().attributes.get(("vpnha-risk-vip", here.name), ""))
    finally:
        there.run(f"ip address delete {VIP}/24 dev eth0")
    yield


@event("same", 1, tolerated=["clear text"], recipes=EVERYWHERE)
def table_flushed(bed):
    here, there = yield bed.places()
    here.run("nft flush table inet vpnha")
    until("the rules are loaded again", 25, lambda: "1701" in here.run("nft list table inet vpnha", check=False))
    time.sleep(2.5)  # the last answer in clear text has come
    yield


@event("same", 1, recipes=("crm", "group"), long=("promotable",))
def package_upgraded(bed):
    here, there = yield bed.places()
    here.install()
    there.install()
    time.sleep(13)
    yield


@event("same", 1, recipes=("crm", "group"), long=("promotable",))
def package_removed(bed):
    """Refused while a resource runs here."""
    if not bed.package:
        return
    here, there = yield bed.places()
    if here.run("dpkg --remove vpnha >/dev/null 2>&1 && echo removed", check=False):
        raise Failure("the package was removed under running resources")
    time.sleep(3)
    yield


@event("same", 1, recipes=WATCHED, names={"bad-values-probe": (("path",),)})
@event("same", 1, recipes=TOLD, names={"bad-values-announce": (("announce",),)})
@event("same", 1, recipes=("crm", "group"), names={"bad-values": (None,)})
def bad_values(bed, only):
    """Each parameter that is taken over without a restart, one of each resource at a time: the old value stays in force."""
    here, there = yield bed.places()
    resources = {}
    for name in bed.view().roles:
        if name in only if only else not name.startswith("fence"):
            about = ElementTree.fromstring(here.run(f"crm_resource --show-metadata ocf:vpnha:{'probe' if name == 'path' else name.removesuffix('-b')}"))
            resources[name] = [its.get("name") for its in about.iter("parameter")
                               if its.get("reloadable") == "1" and not its.get("name").startswith("trace_")]
    count = 0
    while any(resources.values()):
        step = [(name, names.pop(0)) for name, names in resources.items() if names]
        before = {}
        for name, parameter in step:
            before[name] = here.run(f"crm_resource -r {name} --get-parameter {parameter} 2>/dev/null", check=False).strip()
            here.run(f"crm_resource -r {name} --set-parameter {parameter} --parameter-value '{BAD}'")
        here.run("crm_resource --wait --timeout 8s", check=False)
        count += len(step)
        serving = bed.watch.serving()
        for name, parameter in step:
            there.run(f"crm_resource -r {name} --set-parameter {parameter} --parameter-value '{before[name]}'" if before[name]
                      else f"crm_resource -r {name} --delete-parameter {parameter}")
        here.run("crm_resource --wait --timeout 8s", check=False)
        if serving != here.number:
            raise Failure(f"{here.name} does not serve after " + ", ".join(f"{name} {parameter}='{BAD}'" for name, parameter in step))
    bed.say(f"    {count} parameters")
    yield


@event("peer", 15, fenced=["here"], recipes=("crm", "group"), tolerated=["clear text"])
def bad_values_then_serving_lost(bed):
    """One wrong value in each resource, and nobody mends it before a node is lost and comes back: both start with it. Pacemaker once
    restarted the firewall ("due to resource definition change") where it reloads it otherwise; for a moment there are no rules then."""
    here, there = yield bed.places()
    wrong = [(name, parameter) for name, parameter in
             (("vip", "arp_count"), ("strongswan", "drain_timeout"), ("xl2tpd", "drain_timeout"), ("conntrackd", "watch"), ("firewall", "pool"))
             if name in bed.view().roles]
    before = {name: there.run(f"crm_resource -r {name} --get-parameter {parameter} 2>/dev/null", check=False).strip() for name, parameter in wrong}
    for name, parameter in wrong:
        there.run(f"crm_resource -r {name} --set-parameter {parameter} --parameter-value '{BAD}'")
    there.run("crm_resource --wait --timeout 8s", check=False)
    here.cut()
    yield
    here.boot()
    if bed.warm:
        until("the lost node is a standby again", 60, lambda: here.name in bed.view().where("vip", "Unpromoted"))
    for name, parameter in wrong:
        there.run(f"crm_resource -r {name} --set-parameter {parameter} --parameter-value '{before[name]}'" if before[name]
                  else f"crm_resource -r {name} --delete-parameter {parameter}")


@event("same", 1)
def roles_forgotten(bed):
    """Three reloads, and no monitor has answered since: Pacemaker does not know who is promoted. All else being equal it promotes on
    the node that it knows longest, beside the one that serves."""
    here, there = bed.places()
    if bed.nodes[ElementTree.fromstring(here.run("cibadmin --query --scope status")).find("node_state").get("uname")] is here:
        bed.move(there)
        here, there = bed.places()
    members = {"vip": "arp_count", "strongswan": "drain_timeout", "xl2tpd": "drain_timeout"}
    yield here, there
    before = ElementTree.fromstring(here.run("cibadmin --query --scope resources"))
    blind = copy.deepcopy(before)
    for primitive in blind.iter("primitive"):
        for monitor in primitive.iterfind("operations/op[@role='Promoted']"):
            monitor.set("enabled", "false" if primitive.get("id") in members else "true")

    def load(resources):
        text = ElementTree.tostring(resources, encoding="unicode")
        there.run(f"cat >/root/resources.xml <<'END'\n{text}\nEND\ncibadmin --replace --scope resources --xml-file /root/resources.xml")
        time.sleep(1)
        # What is planned next is planned without that knowledge. A monitor that was cancelled on the way may wait for the plan after it.
        there.run("for again in 1 2 3; do attrd_updater -n bed -U planned && attrd_updater -n bed -D && crm_resource --wait --timeout 8s && exit; done; exit 1")
    load(blind)
    for primitive in blind.iter("primitive"):
        if primitive.get("id") in members:
            name, parameter = primitive.get("id"), members[primitive.get("id")]
            ElementTree.SubElement(primitive.find("instance_attributes"), "nvpair", id=f"{name}-bed-{parameter}", name=parameter, value="4")
    load(blind)
    yield
    load(before)


# Whether `vpnha status` is right about the failover that it foretells

def _states():
    """What a pair can be in when the serving node is lost. Each prepares, and returns how it is mended when all is over."""
    def healthy(bed, here, there):
        return None

    def gone(bed, here, there):
        there.cut()
        bed.await_alone(here)
        return there.boot

    def suspended(bed, here, there):
        there.signal("charon", "STOP")
        return lambda: there.run("pkill -CONT -x charon-systemd", check=False)

    def path_lost(bed, here, there):
        bed.block(there)
        until("the standby's path is down", 40, lambda: bed.view().attributes.get(("vpnha-path", there.name)) == "0")
        return bed.unblock

    def secret_missing(bed, here, there):
        there.run("cp -p /etc/swanctl/swanctl.conf /root/swanctl.good; sed -i '/^secrets/,$d' /etc/swanctl/swanctl.conf; swanctl --load-all --clear")
        until("the standby says that it has no secret", 75, lambda: bed.view().attributes.get(("vpnha-risk-strongswan", there.name)))
        return lambda: there.run("mv /root/swanctl.good /etc/swanctl/swanctl.conf; swanctl --load-all --clear")

    def flushed(bed, here, there):
        there.run("nft flush table inet vpnha")
        return None

    def split(bed, here, there):
        bed.warm = False
        there.run("crm_resource --resource conntrackd-clone --promoted --ban --node " + here.name)
        until("conntrackd is not promoted where the VPN is", 30, lambda: bed.view().where("conntrackd", "Promoted") != [here.name])

        def mend():
            bed.warm = True
            there.run("crm_resource --resource conntrackd-clone --promoted --clear", check=False)
        return mend

    def drifted(bed, here, there):
        there.run("cp -p /etc/ppp/chap-secrets /root/users; echo 'mallory vpnha \"a secret of hers\" *' >>/etc/ppp/chap-secrets")
        for node in (here, there):
            node.run("[ -e /etc/corosync/authkey ] || (umask 077; head -c 256 /dev/zero | tr '\\0' x >/etc/corosync/authkey); vpnha fingerprint --publish")
        for node in (here, there):
            found = [finding["id"] for finding in json.loads(node.run("vpnha status --json; true"))["findings"]]
            if "DRIFT2" not in found:
                raise Failure(f"{node.name} does not say that a file differs: {found}")
        return lambda: there.run("mv /root/users /etc/ppp/chap-secrets; vpnha fingerprint --publish")

    def unfenced(bed, here, there):
        there.run(f"crm_resource --resource fence-{here.name} --meta --set-parameter target-role --parameter-value Stopped")
        until("nothing fences the serving node", 20, lambda: not bed.view().where(f"fence-{here.name}", "Started"))
        return lambda: there.run(f"crm_resource --resource fence-{here.name} --meta --delete-parameter target-role")

    def barred(bed, here, there):
        there.run(f"crm_failcount -r xl2tpd -N {there.name} -v INFINITY; mkdir -p /root/x; mv /usr/sbin/xl2tpd /root/x/")
        there.signal("xl2tpd", "KILL")
        until("the standby is barred", 40, lambda: bed.view().where("xl2tpd", "Unpromoted") != [there.name])
        return lambda: there.run("mv /root/x/xl2tpd /usr/sbin/; crm_resource --cleanup -r xl2tpd", check=False)

    def unable(bed, here, there):
        """What a start needs is gone; nothing runs there that could miss it."""
        resource, path = ("libreswan", "/etc/ipsec.conf") if bed.libreswan else ("strongswan", "/etc/swanctl/swanctl.conf")
        there.run(f"mv {path} /root/good")
        return lambda: there.run(f"mv /root/good {path}; crm_resource --cleanup -r {resource}", check=False)

    def standby(bed, here, there):
        there.run(f"pcs node standby {there.name}")
        until("the standby runs nothing", 30, lambda: not bed.view().where("vip", "Unpromoted"))
        return lambda: there.run(f"pcs node unstandby {there.name}")

    def maintenance(bed, here, there):
        there.run("pcs property set maintenance-mode=true")
        return lambda: there.run("pcs property set maintenance-mode=false")

    def blocked(bed, here, there):
        """A packet has to pass every table: another program's drops IKE there. What status has people type lets it in."""
        there.run("nft 'table inet other { chain input { type filter hook input priority 0; udp dport 500 drop; udp dport 4500 drop; }; }'")
        until("both nodes say so", 80, lambda: all("FILTER1" in status_of(bed, node)[1] for node in (here, there)))
        found = [reason for reason in json.loads(there.run("vpnha status --json; true"))["failover"]["reasons"] if reason["id"] == "FILTER1"]

        def mend():
            # The node has forgotten the table if it has been fenced meanwhile.
            if there.run("nft list table inet other", check=False):
                there.run("\n".join(line for line in found[0]["fix"] if line.startswith("nft ")))
        return mend

    def deaf(bed, here, there):
        """Its interface answers no ARP, so nobody would find the address there."""
        there.run("ip link set eth0 arp off")
        _await_unfit(bed, here, there)
        return lambda: there.run("ip link set eth0 arp on", check=False)

    def refused(bed, here, there):
        """A rule that somebody left behind lets nothing leave from the address."""
        there.run(f"ip rule add from {VIP} blackhole")
        _await_unfit(bed, here, there)
        return lambda: there.run(f"ip rule del from {VIP} blackhole", check=False)

    def plugs(bed, here, there):
        """Whoever is to end the serving node ends itself."""
        there.run(f"pcs stonith update fence-{here.name} pcmk_host_list= pcmk_host_map={here.name}:{there.name}")

        def mend():
            _have_both_online(bed)
            there.run(f"pcs stonith update fence-{here.name} pcmk_host_map= pcmk_host_list={here.name}")
        return mend

    def scores_lost(bed, here, there):
        """The standby's controller starts again, and has had the cluster forget every promotion score of its node; the probes that follow tell them again."""
        there.run("kill -KILL $(pidof pacemaker-controld)")
        time.sleep(8)  # the controller is back, and has had them forgotten
        for node in (here, there):
            until(f"status on {node.name} sees every score again", 20, lambda: status_of(bed, node)[0] is True)
        return None

    def at_risk(bed, here, there):
        spoil(there)
        time.sleep(13)  # longer than a monitor's interval
        return lambda: mend(there)

    return {play.__name__.replace("_", "-"): (play,) for play in
            (healthy, gone, suspended, path_lost, secret_missing, flushed, split, drifted, unfenced, barred, unable, standby, maintenance, at_risk, blocked, deaf, refused, plugs, scores_lost)}


def _have_both_online(bed):
    """Boots what has lost its power, again and again: a fence may come late."""
    def together():
        for node in bed.nodes.values():
            node.boot()
        return (view := bed.view()) and len(view.online) == 2
    until("both nodes are online again", 60, together, every=1)


def _await_unfit(bed, *nodes):
    """After the standby's next close look."""
    until("every node says that the standby is unfit", 80, lambda: all("UNFIT1" in status_of(bed, node)[1] for node in nodes))


def states_of(recipe):
    """Those that a recipe can be in."""
    absent = set() if recipe in ("promotable", "seamless") else {"path-lost"}  # the others have no probe
    # The standby of a plain group runs nothing.
    absent |= {"suspended", "secret-missing", "barred", "split", "at-risk", "deaf", "refused", "scores-lost"} if recipe == "group" or recipe.endswith("libreswan") else {"unable"}
    return [name for name in STATES if name not in absent]


STATES = _states()


def status_of(bed, node):
    """What status says there: would_succeed, and the IDs of its reasons."""
    said = node.run("vpnha status --json", check=False)
    failover = json.loads(said)["failover"]
    return failover["would_succeed"], [reason["id"] for reason in failover["reasons"] if reason["severity"] != "note"]


def _await_ready(bed, *nodes):
    """The first deep looks have been told, and every node says that a failover would succeed."""
    for node in nodes:
        until(f"status on {node.name} foretells a failover", 80, lambda: status_of(bed, node)[0] is True)


def truth(bed, name):
    """Asks status on both nodes before, in a state, and when it is over; cuts the serving node's power in it and looks who serves.
    Returns complaints."""
    # A fence that had to wait may have come after the last state was mended.
    bed.await_whole(90, boots=True)
    bed.await_recovered(90)
    here, there = bed.places()
    ready = (here, there) if bed.warm else (there,)
    _await_ready(bed, *ready)
    mend = STATES[name][0](bed, here, there)
    nodes = [node for node in (here, there) if node.on]
    said = {node.name: status_of(bed, node) for node in nodes}
    here.cut()
    began, serves = time.monotonic(), False
    try:
        until("the peer serves", 15, lambda: there.on and bed.watch.serving() == there.number and bed.watch.served(there, began))
        serves = True
    except Failure:
        pass
    took = time.monotonic() - began
    # What serves with no key for anybody answers all the same; a client would not get in. A serving node without a way serves nobody.
    real = serves and name not in ("secret-missing", "path-lost")
    complaints = [f"{node}: would_succeed is {would}, and {'the peer serves' if real else 'nobody is served'}" for node, (would, _) in said.items() if would is not None and would != real]
    if not any(would is not None for would, _ in said.values()):
        complaints.append("no node knows")
    if mend:
        mend()
    _have_both_online(bed)
    bed.await_whole(90, boots=True)
    bed.await_recovered(90)
    try:
        _await_ready(bed, *(bed.nodes.values() if bed.warm else (bed.peer(bed.places()[0]),)))
    except Failure as failure:
        complaints.append(f"afterwards: {failure}")
    bed.say(f"{'FAILED' if complaints else 'ok    '} status when {name}: {'; '.join(f'{node} says {would} {sorted(set(ids))}' for node, (would, ids) in said.items())}; "
            f"{'served' if serves else 'not served'} after {took:.1f} s" + "".join(f"\n      {what}" for what in complaints))
    return complaints


# What vpnha says meanwhile

@event("same", 1, listed=False)
def drift(bed):
    """A user who is added on one node only is named by status and doctor on both, as soon as each has given its fingerprint."""
    here, there = yield bed.places()
    for node in (here, there):
        node.run("[ -e /etc/corosync/authkey ] || (umask 077; head -c 256 /dev/zero | tr '\\0' x >/etc/corosync/authkey)")

    def give():
        for node in (here, there):
            node.run("vpnha fingerprint --publish")
    give()
    for node in (here, there):
        if (said := json.loads(node.run(f"vpnha fingerprint --diff {bed.peer(node).name} --json; true")))["differences"]:
            raise Failure(f"{node.name}: {said}")
    there.run("cp -p /etc/ppp/chap-secrets /root/users; echo 'mallory vpnha \"a secret of hers\" *' >>/etc/ppp/chap-secrets; sysctl -qw net.ipv4.conf.all.send_redirects=0")
    give()
    for node in (here, there):
        findings = json.loads(node.run("vpnha status --json; true"))["findings"]
        drifts = [finding["summary"] for finding in findings if finding["id"].startswith("DRIFT")]
        found = {finding["id"] for finding in json.loads(node.run("vpnha doctor --json; true"))["findings"]}
        bed.say(f"    {node.name}: {'; '.join(drifts)}")
        if len(drifts) != 2 or "/etc/ppp/chap-secrets" not in drifts[0] or "send_redirects" not in drifts[1] or not found >= {"DRIFT2", "DRIFT3"}:
            raise Failure(f"{node.name}: {findings}, {found}")
        if "a secret of hers" in node.run("vpnha report /root/report.tar.gz >/dev/null; tar -xzOf /root/report.tar.gz; rm /root/report.tar.gz"):
            raise Failure("a secret is in the report")
    there.run("mv /root/users /etc/ppp/chap-secrets; sysctl -qw net.ipv4.conf.all.send_redirects=1")
    yield


@event("same", 1)
def key_differs(bed):
    """Both nodes have a usable pre-shared key, and not the same one: each says so within two minutes, without a timer of systemd's, and so do
    users of PPP. Nobody moves for it: who is right is not known."""
    here, there = yield bed.places()
    for node in (here, there):
        node.run("[ -e /etc/corosync/authkey ] || (umask 077; head -c 256 /dev/zero | tr '\\0' x >/etc/corosync/authkey)")

    def said(node, resource):
        return (bed.view().attributes.get((f"vpnha-risk-{resource}", node.name)) or "").partition(" ")[2]
    there.run("cp -p /etc/swanctl/swanctl.conf /root/good.conf; cp -p /etc/ppp/chap-secrets /root/good.users; sed -i 's/correct horse/wrong horse/' /etc/swanctl/swanctl.conf; "
              "swanctl --load-creds --clear --noprompt; echo 'mallory vpnha \"a secret of hers\" *' >>/etc/ppp/chap-secrets")
    start = time.monotonic()
    for node in (there, here):
        for resource in ("strongswan", "xl2tpd"):
            until(f"{node.name} says of {resource} that the nodes differ", 150, lambda: f" are not those of {bed.peer(node).name}" in said(node, resource))
            bed.say(f"    after {time.monotonic() - start:.0f} s {node.name}: {said(node, resource)}")
    if any(word in bed.nodes[node].run("crm_mon -1A; attrd_updater -QA -n vpnha-look-strongswan; cibadmin -Q") for node in bed.nodes for word in ("wrong horse", "secret of hers")):
        raise Failure("a secret is told to the cluster")
    for node in (here, there):
        shown = node.run("vpnha status; true")
        if "swanctl.conf are not those of" not in " ".join(shown.split()):
            raise Failure(f"{node.name}: {shown}")
    yield
    there.run("mv /root/good.conf /etc/swanctl/swanctl.conf; mv /root/good.users /etc/ppp/chap-secrets; swanctl --load-creds --clear --noprompt")
    until("nobody says so any more", 150, lambda: not any(" are not those of " in said(node, resource) for node in (here, there) for resource in ("strongswan", "xl2tpd")))


@event("same", 1, fenced=["there"], listed=False)
def drill_node(bed):
    """The cluster fences the standby because a rehearsal asks for it; who serves goes on serving."""
    here, there = yield bed.places()
    said = json.loads(here.run(f"vpnha drill node {there.name} --go --json", timeout=150))
    bed.say(f"    it says {said['outage']} s without service, verdict {said['verdict']}")
    if said["verdict"] != "good" or said["to"] != here.name or there.on:
        raise Failure(f"drill node: {said}")
    yield
    there.boot()


SSHD = os.environ.get("BED_SSHD", "/usr/sbin/sshd")


@event("same", 1, listed=False)
def asked_over_ssh(bed):
    """`check`, `doctor` and `sessions` ask the other node by ssh, with root's key, and say here what is wrong there; a node that does not
    answer is nothing that would start. Needs openssh-server, or BED_SSHD that names its sshd."""
    here, there = yield bed.places()
    for node in (here, there):
        shutil.copy(SSHD, f"{node.place}/disk/usr/sbin/sshd")
        node.run("getent passwd sshd >/dev/null || useradd --system --no-create-home --home-dir /run/sshd --shell /usr/sbin/nologin sshd; mkdir -p /run/sshd -m 755; mkdir -p /root/.ssh -m 700; "
                 "rm -f /root/hostkey* /root/.ssh/id_ed25519*; ssh-keygen -qt ed25519 -N '' -f /root/hostkey; ssh-keygen -qt ed25519 -N '' -f /root/.ssh/id_ed25519; "
                 "printf 'HostKey /root/hostkey\nUsePAM no\nPermitRootLogin prohibit-password\nStrictModes no\n' >/root/sshd_config; /usr/sbin/sshd -f /root/sshd_config -E /root/sshd.log; "
                 f"printf '{config.CLUSTER['moon']} moon\n{config.CLUSTER['sun']} sun\n' >>/etc/hosts")
    there.run(f"cat >/root/.ssh/authorized_keys <<'END'\n{here.run('cat /root/.ssh/id_ed25519.pub')}\nEND")
    here.run(f"ssh -o StrictHostKeyChecking=accept-new {there.name} true")

    def asked(words):
        return json.loads(here.run(f"vpnha {words} --json; true", timeout=90))

    def verdicts():
        return asked(f"check --all --peer {there.name}")["verdict"], asked(f"doctor --peer {there.name} --skip CLOCK1")["verdict"]
    if (said := verdicts()) != ("good", "good"):
        raise Failure(f"on a healthy pair: {said}, {asked(f'check --all --peer {there.name}')}, {asked(f'doctor --peer {there.name}')['findings']}")
    there.run("cp -p /etc/swanctl/swanctl.conf /root/swanctl.good; sed -i 's/mode = transport/mode = tunnel/' /etc/swanctl/swanctl.conf")
    check, doctor = asked(f"check --resource strongswan --peer {there.name}"), asked(f"doctor --peer {there.name} --skip CLOCK1")
    bed.say(f"    {check['peer']['answer']['problems'][0]['summary']}; {doctor['findings'][0]['summary']}")
    if check["verdict"] != "risk" or doctor["verdict"] != "bad" or not doctor["findings"][0]["summary"].startswith(f"{there.name}: child"):
        raise Failure(f"a mistake on {there.name}: {check}, {doctor}")
    # What it says mends it.
    here.run("\n".join(doctor["findings"][0]["fix"]))
    if (said := verdicts()) != ("good", "good"):
        raise Failure(f"after {doctor['findings'][0]['fix']}: {said}")
    there.run("mv /root/swanctl.good /etc/swanctl/swanctl.conf; swanctl --load-all --noprompt")
    if here.run("vpnha sessions --all-nodes --json").strip() != "[]":
        raise Failure("sessions that nobody has")
    there.run("pkill -xf '/usr/sbin/sshd -f .*'; pkill -x sshd; true")
    if (said := verdicts()) != ("unknown", "unknown"):
        raise Failure(f"of a node that does not answer: {said}")
    yield


# What vpnha says beforehand

PLANTED = (
    "resource meta vpn-clone failure-timeout= notify=true interleave= priority=", "property set no-quorum-policy=ignore maintenance-mode=true priority-fencing-delay=0",
    "resource update xl2tpd address=203.0.113.5", "resource op remove $(grep -o 'xl2tpd-monitor[^\"]*' /root/planted.xml | head -n 1)", "resource disable firewall-clone",
    "resource unmanage conntrackd-clone", "constraint location vpn-clone prefers moon=INFINITY",
)


@event("peer", 15, fenced=["here"])
def foretold(bed):
    """What `vpnha plan` says on both nodes is what happens; and what `vpnha doctor` has people type mends a configuration."""
    here, there = bed.places()
    for node in (here, there):
        plan = json.loads(node.run(f"vpnha plan node {here.name} --json", check=False) or "{}")
        if [outcome["serving"] for outcome in plan.get("outcomes", []) if not outcome["after"]] != [there.name]:
            raise Failure(f"on {node.name}: {plan}")
    before = mistakes(there, "cibadmin --query >/root/planted.xml")
    planted = mistakes(there, " && ".join(f"pcs -f /root/planted.xml {line}" for line in PLANTED))
    if len(set(planted) - set(before)) < 8:
        raise Failure(f"doctor found {sorted(planted)}")
    typed = [line for fix in planted.values() for line in fix if line.startswith("pcs ") and "…" not in line]
    left = mistakes(there, "; ".join(line.replace("pcs ", "pcs -f /root/planted.xml ", 1) for line in dict.fromkeys(typed)) + "; true")
    if set(left) - set(before):
        raise Failure(f"after {typed} doctor finds {left}")
    bed.say(f"    found and mended: {', '.join(sorted(set(planted) - set(before)))}")
    yield here, there
    here.cut()
    yield
    here.boot()


def mistakes(node, command):
    """What doctor says of the file after a command: the commands that mend, by ID; notes are left out."""
    node.run(command)
    found = json.loads(node.run("CIB_file=/root/planted.xml vpnha doctor --json", check=False))["findings"]
    fixes = {}
    for finding in found:
        if finding["severity"] != "note":
            fixes.setdefault(finding["id"], []).extend(finding["fix"])
    return fixes


# Two addresses, of which each node serves one: `here` has the first one, `there` the second one, and is a standby for the first

@event("any", 1, recipes=(), listed=False)
def both_on_one_node(bed):
    """The second address goes where the first one is, and home again."""
    here, there = yield bed.places()
    there.run(f"pcs resource move vpn-b-clone {here.name} --promoted")
    bed.await_serving(30, here, "vpn-b")
    for node in (here, there):
        until(f"status on {node.name} names the address that could go", 80, lambda: [finding["fix"][0].partition("    ")[0] for finding in json.loads(node.run("vpnha status --json; true"))["findings"] if finding["id"] == "BOTH1"]
              == [f"pcs resource move vpn-b-clone {there.name} --promoted"])
    yield


@event("same", 1, fenced=["there"], recipes=(), listed=False)
def second_foretold(bed):
    """status and plan on both nodes: the first address could be taken over, the second one could not; and so it is."""
    here, there = bed.places()
    _await_ready(bed, here, there)
    there.run(f"pcs constraint location vpn-b-clone avoids {here.name}")
    until("nothing of the second address runs on the other node", 20, lambda: bed.view().where("vip-b", "Unpromoted") == [])
    for node in (here, there):
        said = json.loads(node.run("vpnha status --json; true"))
        if [(one["serving"], one["would_succeed"]) for one in said["addresses"]] != [(here.name, True), (there.name, False)] or said["verdict"] == "good" or said["serving"] != there.name:
            raise Failure(f"status on {node.name}: {said}")
        for lost, serving in ((here, [there.name, there.name]), (there, [here.name, None])):
            plan = json.loads(node.run(f"vpnha plan node {lost.name} --json; true"))
            if [one["outcomes"][0]["serving"] for one in plan["addresses"]] != serving:
                raise Failure(f"plan on {node.name}: {plan}")
    yield here, there
    there.cut()
    bed.await_alone(here)
    time.sleep(5)
    if bed.serving("vpn-b"):
        raise Failure("the second address is served all the same")
    here.run(f"pcs constraint delete location-vpn-b-clone-{here.name}--INFINITY")
    bed.await_serving(20, here, "vpn-b")
    yield
    there.boot()


@event("same", 1, recipes=(), listed=False)
def second_kill(bed):
    here, there = yield bed.places()
    there.signal("xl2tpd-b", "KILL")
    bed.await_recovery(there, "xl2tpd-b")
    yield


@event("same", 1, recipes=(), listed=False)
def second_address_deleted(bed):
    here, there = yield bed.places()
    there.run(f"ip address delete {VIP_B}/24 dev eth0")
    time.sleep(12)
    yield


@event("same", 1, recipes=(), listed=False)
def second_file_broken(bed):
    """A daemon dies whose file is broken by then: its address is served by the other node, and the first address is none the wiser."""
    here, there = yield bed.places()
    there.run("cp -p /etc/xl2tpd/xl2tpd-b.conf /root/good.conf; echo 'this line has no equals sign' >>/etc/xl2tpd/xl2tpd-b.conf")
    there.signal("xl2tpd-b", "KILL")
    bed.await_serving(30, here, "vpn-b")
    yield
    there.run("mv /root/good.conf /etc/xl2tpd/xl2tpd-b.conf")


def _two():
    """What becomes of either address: the first one, its seconds without service; the second one, its own. In the table or in the long list."""
    both = {
        "serving-lost": ("peer", 15, "stays", 1, True), "serving-lost-dc": ("peer", 15, "stays", 1, False), "standby-lost": ("same", 1, "moves", 15, True),
        "move": ("peer", 5, "stays", 1, True), "both-on-one-node": ("same", 1, "moves", 5, False), "node-standby": ("peer", 5, "stays", 1, True),
        "kill-charon-serving": ("any", 20, "stays", 1, True), "kill-charon-standby": ("same", 1, "either", 20, False),
        "suspend-charon-serving": ("any", 30, "stays", 1, False), "charon-hangs-serving": ("any", 40, "stays", 1, False),
        "kill-xl2tpd-serving": ("peer", 20, "stays", 1, True), "kill-xl2tpd-standby": ("same", 1, "stays", 1, False), "suspend-xl2tpd-serving": ("peer", 20, "stays", 1, False),
        "second-kill": ("same", 1, "moves", 20, False), "path-lost": ("peer", 5, "stays", 1, True), "address-deleted": ("any", 15, "stays", 1, False),
        "second-address-deleted": ("same", 1, "either", 15, False), "files-broken-serving": ("same", 1, "stays", 1, False),
        "second-foretold": ("same", 1, "moves", 40, True),
        "second-file-broken": ("same", 1, "moves", 20, True), "partition": ("same", 1, "moves", 15, True), "table-flushed": ("same", 1, "stays", 1, False),
        "package-upgraded": ("same", 1, "stays", 1, False), "maintenance": ("same", 1, "stays", 1, False), "bad-values": ("same", 1, "stays", 1, False),
    }
    for name, (serves, seconds, second, its, is_quick) in both.items():
        base = EVENTS[name]
        where = ("two-addresses", "crm-two-addresses") if name == "serving-lost" else ("two-addresses",)
        EVENTS[f"two-{name}"] = two = Event(f"two-{name}", base.play, serves, seconds, base.fenced, *((where, ()) if is_quick else ((), where)), base.tolerated, True, base.fresh)
        two.beside = (second, its)


_two()


# Playing them

def run(bed, event):
    """Says how it went; the complaints, if there are any."""
    complaints = []
    if event.fresh:
        bed.await_recovered(90)
    if bed.two:
        bed.part()
    recovered = all(int(value) >= 100 for (name, _), value in bed.view().attributes.items() if name.startswith("master-"))
    steps = event.play(bed)
    try:
        here, there = next(steps)
    except StopIteration:
        bed.say(f"{event.name}: does not apply")
        return complaints
    start, fences = time.monotonic(), len(bed.power.done)
    before = {vpn: (len(watch.clashes), len(watch.clear)) for vpn, watch in bed.watches.items()}
    logs = {node: node.log_file.stat().st_size for node in bed.nodes.values()}
    whole, expected = None, {"same": here, "peer": there, "any": None}["any" if event.serves == "peer" and event.name.removeprefix("two-").startswith(("kill", "suspend")) and not recovered else event.serves]
    second = {"stays": there, "moves": here, "either": None}[event.beside[0]]
    try:
        steps.send((here, there))
        bed.await_serving(40, expected)
        if bed.two:
            bed.await_serving(40, second, "vpn-b")
    except (Failure, subprocess.TimeoutExpired) as failure:
        complaints.append(str(failure))
        bed.describe(f"{event.name}: {failure}")
    harmed = time.monotonic()
    try:
        # What lost its power and should not have is no reason to leave its files as they are.
        for node in () if event.fenced else bed.nodes.values():
            node.boot()
        next(steps, None)
        bed.await_whole(75, boots=True)
        whole = time.monotonic() - harmed
        serving, _ = bed.places()
        if expected and serving is not expected:
            complaints.append(f"in the end {serving.name} serves, not {expected.name}")
        if bed.two and second and (serving := bed.serving("vpn-b")) is not second:
            complaints.append(f"in the end {serving and serving.name} serves the second address, not {second.name}")
    except (Failure, subprocess.TimeoutExpired) as failure:
        complaints.append(str(failure))
        bed.describe(f"{event.name}: {failure}")
    without = []
    for (vpn, watch), limit in zip(bed.watches.items(), (event.seconds, event.beside[1])):
        clashes, clear = before[vpn]
        which = f"{watch.address}: " if bed.two else ""
        without.append(watch.without_service(start, time.monotonic()))
        if without[-1] > limit:
            complaints.append(f"{which}{without[-1]:.1f} s without service, at most {limit} are allowed: " + ", ".join(
                f"{kind} {later - earlier:.1f} s from {earlier - start:.1f} s on" for earlier, later, kind in watch.silences(start, time.monotonic())))
        if len(watch.clashes) > clashes and "two holders" not in event.tolerated:
            complaints.append(f"two nodes answered for {watch.address}, {len(watch.clashes) - clashes} times")
        if len(watch.clear) > clear and "clear text" not in event.tolerated:
            complaints.append(f"{which}L2TP was answered outside IPsec")
    fenced = [name for _, name in bed.power.done[fences:]]
    if set(fenced) - {{"here": here, "there": there}[who].name for who in event.fenced}:
        complaints.append(f"fenced: {', '.join(fenced)}")
    bed.say(f"{'FAILED' if complaints else 'ok    '} {event.name}: {' and '.join(f'{one:.1f}' for one in without)} s without service, "
            f"{'never whole' if whole is None else f'whole {whole:.0f} s later'}" + "".join(f"\n      {what}" for what in complaints))
    if complaints:
        print("".join(f"        {deed}\n" for deed in sorted(deed for node, size in logs.items() for deed in node.deeds(size))[:40]), end="", flush=True)
        print("".join(f"        {trouble}\n" for trouble in sorted(trouble for node, size in logs.items() for trouble in node.troubles(size))[:40]), end="", flush=True)
    return complaints
