"""The way to the world: lossy, gone, unsteady, and down for both nodes alike. The story is in path-loss/README.md."""

import re
import subprocess
import time

from config import OUTSIDE
from nodes import Failure, ip, until

HOPS = ("203.0.113.1", "203.0.113.2")
REMOTE = "198.51.100.9"


def prepare(lab):
    """What README's recipe for the probe asks is there: two next hops, and an IKE daemon beyond."""
    for hop in HOPS:
        ip("address", "add", f"{hop}/24", "dev", "outside")
    lab.client.run("ip", "address", "add", f"{REMOTE}/32", "dev", "lo")
    for node in lab.gateways.values():
        node.run("ip", "route", "add", f"{REMOTE}/32", "via", OUTSIDE["client"])


class Watch:
    """Where the service is, and what the nodes say of their paths, each change with its moment."""

    def __init__(self, lab):
        self.lab, self.places, self.values = lab, [], {name: [] for name in lab.gateways}

    def look(self):
        now = time.monotonic()
        if (serving := self.lab.serving()) and (not self.places or self.places[-1][1] is not serving):
            self.places.append((now, serving))
        asked = next(iter(self.lab.gateways.values())).run("attrd_updater", "-Q", "-n", "vpnha-path", "-A", check=False).output
        said = dict(re.findall(r'host="([^"]+)" value="([^"]*)"', asked))
        for name, seen in self.values.items():
            if (value := said.get(name)) is not None and (not seen or seen[-1][1] != value):
                seen.append((now, value))

    def pass_(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.look()
            time.sleep(0.3)

    def until(self, sentence, seconds, condition):
        def satisfied():
            self.look()
            return condition()
        return until(sentence, seconds, satisfied)

    def value(self, node):
        seen = self.values[node.name]
        return seen[-1][1] if seen else None

    def expect(self, places, **values):
        """The nodes that have served, in order, and each node's values, in order."""
        if (been := [node.name for _, node in self.places]) != [node.name for node in places]:
            raise Failure(f"the service was on {' then '.join(been)}")
        for name, expected in values.items():
            if (said := "".join(value for _, value in self.values[name])) != expected:
                raise Failure(f"{name} said {said} of its path, not {expected}")


def path_loss(lab, result):
    prepare(lab)
    here = until("one node serves", 30, lab.serving)
    there = lab.other(here)
    watch = Watch(lab)
    watch.until("both nodes know that their path is up", 60, lambda: all(watch.value(node) == "1" for node in (here, there)))
    # What was said before the next hops were there is not part of the story.
    watch = Watch(lab)
    watch.look()
    lab.say(f"{here.name} serves; both paths are up")
    here.run("pcs", "constraint", "location", "vpn-clone", "rule", "role=Promoted", "score=500", "#uname", "eq", here.name, "and",
             "vpnha-path", "gt", "0", timeout=60)

    lossy = (here, there, lab.client)
    for node in lossy:
        node.run("modprobe sch_netem && tc qdisc add dev eth0 root netem loss 30%")
    lab.say("three in ten packets are lost, for a minute")
    watch.pass_(60)
    for node in lossy:
        node.run("tc", "qdisc", "del", "dev", "eth0", "root")
    watch.expect([here], **{here.name: "1", there.name: "1"})
    lab.say("nothing moved, and nobody said that a path is down")

    lab.say(f"the outside cable of {here.name} is pulled behind the switch")
    pulled = time.monotonic()
    here.unplug("eth0")
    watch.until(f"{there.name} serves", 90, lambda: watch.places[-1][1] is there)
    result["moved"] = watch.places[-1][0] - pulled
    result["found"] = watch.values[here.name][-1][0] - pulled
    lab.say(f"{here.name} said so after {result['found']:.1f} s, {there.name} served after {result['moved']:.1f} s")
    for _ in range(3):
        here.plug("eth0")
        watch.pass_(8)
        here.unplug("eth0")
        watch.pass_(4)
    watch.expect([here, there], **{here.name: "10", there.name: "1"})
    lab.say("three times it came and went; nothing moved")

    here.plug("eth0")
    plugged = time.monotonic()
    watch.until(f"{here.name} serves again", 120, lambda: watch.places[-1][1] is here)
    result["back"] = watch.places[-1][0] - plugged
    if watch.values[here.name][-1][0] - plugged < 29:
        raise Failure(f"{here.name} counted as up {watch.values[here.name][-1][0] - plugged:.1f} s after the cable was back")
    watch.pass_(10)
    watch.expect([here, there, here], **{here.name: "101", there.name: "1"})
    lab.say(f"the cable is back for good; {here.name} served again {result['back']:.1f} s later")

    lab.say("both next hops die, for both gateways")
    for hop in HOPS:
        subprocess.run(["ip", "address", "del", f"{hop}/24", "dev", "outside"], check=True)
    watch.until("both nodes say that their path is down", 60, lambda: all(watch.value(node) == "0" for node in (here, there)))
    watch.pass_(15)
    watch.expect([here, there, here], **{here.name: "1010", there.name: "10"})
    lab.say(f"both said so, and {here.name} goes on serving")
    print(f"\n  Cut off: said after {result['found']:.1f} s, moved after {result['moved']:.1f} s; "
          f"back {result['back']:.1f} s after the cable\n", flush=True)


def dead_uplink(lab, result):
    """The outside cable of the serving node is pulled behind the switch: what each node did, and when."""
    prepare(lab)
    here = until("one node serves", 30, lab.serving)
    there = lab.other(here)
    watch = Watch(lab)
    watch.until("both nodes know that their path is up", 60, lambda: all(watch.value(node) == "1" for node in (here, there)))
    actions = []

    def follow(node):
        def log(moment, text):
            if asked := re.search(r"Requesting local execution of (\w+) operation for (\S+) on", text):
                actions.append((moment, node.name, f"{asked[1]} {asked[2]}"))
            elif done := re.search(r"Result of (\w+) operation for (\S+) on \S+: (\w+)", text):
                actions.append((moment, node.name, f"{done[1]} {done[2]}: {done[3].lower()}"))
        node.follow("/var/log/pacemaker/pacemaker.log", log)
        node.run("true")  # one round trip: the file is being followed

    follow(here)
    follow(there)
    lab.say(f"the outside cable of {here.name}, which serves, is pulled behind the switch")
    pulled = time.monotonic()
    here.unplug("eth0")
    watch.until(f"{there.name} serves", 90, lambda: watch.places[-1][1] is there)
    result["moved"] = watch.places[-1][0] - pulled
    result["found"] = watch.values[here.name][-1][0] - pulled
    lab.say(f"{here.name} said so after {result['found']:.1f} s, {there.name} served after {result['moved']:.1f} s")
    for moment, name, what in sorted(actions):
        print(f"    {moment - pulled:6.2f} s  {name:<5} {what}")
    print(here.run("journalctl -o short-precise --no-pager -n 80 -t xl2tpd -t 'strongswan(strongswan)' | tail -5; "
                   "journalctl -o short-precise --no-pager -n 2000 | grep -E '(xl2tpd|strongswan|vip|conntrackd)\\(' | tail -40", check=False).output)
    here.plug("eth0")


def alerted(lab, result):
    """A prober hangs: the monitor fails, the cluster calls the alert agent, and its entry has the monitor's own reason."""
    here = until("one node serves", 30, lab.serving)
    # Not before its start is over: a prober that hangs then fails the start.
    lab.cluster.wait("the path is watched", 60, lambda view: here.name in view.where("path", "Started"))
    pid = until("the prober runs", 60, lambda: here.run("pidof", "/usr/lib/ocf/resource.d/vpnha/probe", check=False).output.split())[0]
    here.run("kill", "-STOP", pid)
    lab.say(f"the prober of {here.name} is suspended")
    wanted = f"the prober (pid {pid}) is suspended (SIGSTOP)"
    until(f"an alert with the reason: {wanted}", 60, lambda: wanted in here.run(
        "journalctl", "--no-pager", "-o", "cat", "VPNHA_ALERT_RSC=path", "--output-fields=VPNHA_ALERT_EXIT_REASON",
        check=False).output)
    lab.say("the journal has the alert with the agent's reason")
    until("a new prober runs", 60, lambda: pid not in here.run("pidof", "/usr/lib/ocf/resource.d/vpnha/probe", check=False).output.split())
    here.run("crm_resource", "--cleanup", timeout=60)
    lab.await_settled(on=here)
