"""What happens to the pair. Each scenario leaves it as it found it, the power cut apart; its story is in its directory."""

import json
import os
import re
import time

import accounted
import path
import probes
from config import INNER, VIP
from nodes import Failure, until


def switchover(lab, result):
    """The administrator moves the service away and back."""
    here = until("one node serves", 30, lab.serving)
    there = lab.other(here)
    result["standby"] = _planned(lab, f"{here.name} is put into standby", there, "pcs", "node", "standby", here.name)
    there.run("pcs", "node", "unstandby", here.name)
    lab.await_settled(on=there)
    result["move"] = _planned(lab, f"the service is moved back to {here.name}", here,
                              "pcs", "resource", "move", "vpn-clone", here.name, "--promoted")
    lab.await_settled(on=here)


def _planned(lab, story, target, *command):
    lab.say(story)
    began = time.monotonic()
    target.run(*command, timeout=120)
    until(f"{target.name} serves", 60, lambda: lab.serving() is target)
    took_over = time.monotonic()
    address = target.run("ip", "-brief", "address", "show", "dev", "eth0").output
    if VIP not in address:
        raise Failure(f"{target.name} serves without the address: {address}")
    lab.await_client(after=took_over)
    silence = lab.silence(began)
    lab.say(f"{target.name} serves; the client heard nothing for {silence:.1f} s")
    return silence


def drilled(lab, result):
    """`vpnha drill` rehearses the same, reads what the client wrote, and says how long it was without service: as long as the lab, which
    has heard the client all the time, and as long as another watcher of the service."""
    here = until("one node serves", 30, lab.serving)
    there = lab.other(here)
    log = f"{lab.client.share}/drill.log"
    lab.client.run(f"setsid ping -D -i 0.2 {INNER} >/lab/drill.log 2>/dev/null </dev/null &")
    until("the client writes what it hears", 10, lambda: os.path.exists(log) and os.path.getsize(log) > 1000)
    for what in ("switchover", "daemon charon"):
        here, there = until("one node serves", 30, lab.serving), lab.other(lab.serving())
        copy = f"{here.share}/drill.log"
        if not os.path.exists(copy):
            os.link(log, copy)
        target = there.name if what == "switchover" else ""
        # Who has just become a standby is looked at closely within a minute.
        until("the standby could serve", 90, lambda: json.loads(here.run(f"vpnha drill {what} {target} --json", check=False).output)["verdict"] == "good", every=2)
        began = time.monotonic()
        lab.say(f"vpnha drill {what} on {here.name}")
        said = json.loads(here.run(f"vpnha drill {what} {target} --go --client /lab/drill.log --max-outage 60 --json", timeout=200, check=False).output)
        if "outage" not in said:
            raise Failure(f"drill {what}: {said}")
        heard = max(0.0, lab.silence(began) - 0.2)  # it asks every 0.2 s
        lab.say(f"it says {said['outage']} s, and {said['client_outage']} s as its client; the lab's client heard nothing for {heard:.2f} s")
        result[f"drill {what}"] = {"said": said["outage"], "client": said["client_outage"], "lab": heard}
        if said["to"] != there.name or abs(float(said["client_outage"] or -1) - heard) > 0.2:
            raise Failure(f"drill {what}: {said}; the client heard nothing for {heard:.2f} s")
        lab.await_settled(on=there)


def dead_daemon(lab, result, daemon):
    """A daemon is killed on the serving node: the service goes to the warm peer, whose daemons were running all along."""
    here = until("one node serves", 30, lab.serving)
    there = lab.other(here)
    warm = there.run("pidof", daemon, check=False).output.split()
    lab.say(f"killing {daemon} on {here.name}, which serves")
    began = time.monotonic()
    here.run(f"kill -KILL $(pidof {daemon})")  # by its path: an agent may have the same name
    until(f"{there.name} serves", 60, lambda: lab.serving() is there)
    moved = time.monotonic()
    if (now := there.run("pidof", daemon, check=False).output.split()) != warm:
        raise Failure(f"{daemon} of {there.name} was started anew: pids {warm} before, {now} now")
    lab.await_client(after=moved)
    result[daemon] = lab.silence(began)
    lab.say(f"{there.name} serves with the {daemon} it had; the client heard nothing for {result[daemon]:.1f} s")
    there.run("crm_resource", "--cleanup", timeout=60)
    lab.await_settled(on=there)


def power_cut(lab, result):
    """The plug is pulled on the serving node."""
    _lose(lab, result, "pulling the plug on {name}, which serves", "power off", lambda victim: victim.pull_plug())


def frozen(lab, result):
    """The serving node stops in its tracks: it neither answers nor lets go of anything. Fencing is for this."""

    def freeze(victim):
        victim.freeze()
        return time.monotonic()

    _lose(lab, result, "freezing {name}, which serves", "frozen", freeze)


def _lose(lab, result, story, what, strike):
    """Takes the serving node away, watches the service and the client come back, and prints when what happened."""
    victim = until("one node serves", 30, lab.serving)
    survivor = lab.other(victim)
    seen, actions = {}, []  # an action: what, of which resource, from, until

    def log(moment, text):
        if "state is now lost" in text and victim.name in text:
            seen.setdefault("lost", moment)
        elif asked := re.search(rf"Requesting local execution of (\w+) operation for (\S+) on {survivor.name}", text):
            actions.append([*asked.groups(), moment, None])
        elif done := re.search(rf"Result of (\w+) operation for (\S+) on {survivor.name}: (\w+)", text):
            for action in reversed(actions):
                if action[:2] == [done[1], done[2]] and action[3] is None:
                    action[3] = moment
                    break
            if done[1] in ("start", "promote") and done[3].lower() == "ok":
                seen["up"] = moment

    lab.fenced.pop(victim.name, None)
    survivor.follow("/var/log/pacemaker/pacemaker.log", log)
    survivor.run("true")  # one round trip: the file is being followed
    lab.say(story.format(name=victim.name))
    cut = strike(victim)
    asking = [probes.ARP(), probes.IKE(), probes.L2TP()]
    for probe in asking:
        probe.start()
    try:
        # Sooner than the death can be noticed, a reply is one that was under way.
        back = lab.await_client(after=cut + 0.5)
        until("address, IKE and L2TP answer", 10, lambda: all(probe.answered for probe in asking), every=0.05)
        until(f"{survivor.name} serves", 30, lambda: lab.serving() is survivor)
    finally:
        for probe in asking:
            probe.stop()
    arp, ike, l2tp = (probe.answered - cut for probe in asking)
    timeline = probes.Timeline({
        what: 0.0,
        "death noticed": seen["lost"] - cut if "lost" in seen else None,
        "fenced": lab.fenced[victim.name] - cut if victim.name in lab.fenced else None,
        "promoted" if lab.layout.promotable else "started": seen["up"] - cut if "up" in seen else None,
        "VIP answers": arp,
        "IKE answers": ike,
        "L2TP answers": l2tp,
        "session back": back - cut,
    })
    lab.say(f"the client is back through {survivor.name}, as {lab.client_address()}")
    print(f"\n  Layout {lab.layout.name}:\n{timeline.text()}\n")
    print(f"  What {survivor.name} was asked to do, and how long it took:")
    for action, resource, begun, ended in actions:
        if begun > cut and begun <= seen.get("up", 0):
            print(f"    {begun - cut:6.2f} s  {action} {resource}" + (f" ({ended - begun:.2f} s)" if ended else ""))
    print(flush=True)
    result["timeline"], result["takeover"] = timeline.moments, timeline.takeover()
    if None in timeline.moments.values():
        raise Failure("the timeline has a gap")
    if timeline.moments["fenced"] > min(arp, ike, l2tp):
        raise Failure("the survivor answered before the other node was known to be off")
    print(f"  From fenced until VIP, IKE and L2TP all answer: {timeline.takeover():.2f} s\n", flush=True)


def partition(lab, result):
    """The cluster link is cut: the serving node has its peer fenced, and the client notices nothing."""
    here = until("one node serves", 30, lab.serving)
    there = lab.other(here)
    lab.say(f"cutting the cluster link; {here.name} serves")
    began = time.monotonic()
    here.unplug("eth1")
    until("one node is fenced", 60, lambda: not (here.on and there.on))
    if not here.on:
        raise Failure(f"{here.name} served and was fenced")
    lab.await_client(after=time.monotonic() + 5)
    if lab.serving() is not here or (silence := lab.silence(began)) > 2:
        raise Failure(f"{here.name} no longer serves, or the client felt it")
    lab.say(f"{there.name} was fenced; the client heard nothing for {silence:.1f} s")
    here.plug("eth1")
    result["partition"] = silence


def comeback(lab, result):
    """The dead node gets power again and becomes a standby."""
    for node in lab.gateways.values():
        if not node.on:
            lab.rejoin(node)


def repeated(lab, result):
    """Power cut, the dead node comes back, the plug is pulled on the other; five times."""
    result["takeovers"] = []
    for _ in range(5):
        once = {}
        power_cut(lab, once)
        result["takeovers"].append(once["takeover"])
        comeback(lab, once)
    print("  Take-overs: " + ", ".join(f"{seconds:.2f} s" for seconds in result["takeovers"]), flush=True)


SCENARIOS = {
    "switchover": switchover,
    "drilled": drilled,
    "dead-xl2tpd": lambda lab, result: dead_daemon(lab, result, "/usr/sbin/xl2tpd"),
    "dead-charon": lambda lab, result: dead_daemon(lab, result, "/usr/sbin/charon-systemd"),
    "power-cut": power_cut,
    "frozen": frozen,
    "partition": partition,
    "comeback": comeback,
    "repeated": repeated,
    "path-loss": path.path_loss,
    "dead-uplink": path.dead_uplink,
    "alerted": path.alerted,
    "accounted": accounted.accounted,
    "accounts": accounted.accounts,
    "interim": accounted.interim,
}
