"""A gateway pair under hundreds of scripted clients; the story is in load/README.md."""

import json
import os
import shutil
import subprocess
import threading
import time

import carryover
import config
import nodes
from config import OUTSIDE, VIP
from nodes import Failure, until
from pair import ROOT, Lab, together
from sandbox import mount

# They need no kernel of their own.
CLIENTS, FIRST = "10.64.0.0/16", "10.64.0.1"
POOLS = {"moon": "10.9.16.1-10.9.23.254", "sun": "10.9.24.1-10.9.31.254"}
PATIENCE = 600  # seconds until all have a session, at most

# What the processes of a gateway have used: CPU seconds of those that live, and memory that they share with nobody else, in KiB.
USAGE = """
import glob, json, os
ticks, found = os.sysconf("SC_CLK_TCK"), {}
names = ("charon-systemd", "xl2tpd", "pppd", "vpnha-ledger", "probe", "corosync", "pacemaker")
for path in glob.glob("/proc/[0-9]*"):
    try:
        stat = open(path + "/stat").read()
        name, rest = stat[stat.index("(") + 1:stat.rindex(")")], stat[stat.rindex(")") + 2:].split()
        name = next((known for known in names if name.startswith(known[:15])), None)
        if name is None:
            continue
        memory = dict(line.split(":") for line in open(path + "/smaps_rollup").read().splitlines()[1:])
        private = sum(int(memory[kind].split()[0]) for kind in ("Private_Clean", "Private_Dirty"))
        files = len(os.listdir(path + "/fd"))
    except (OSError, ValueError, KeyError):
        continue
    entry = found.setdefault(name, {"count": 0, "cpu": 0, "kib": 0, "files": 0})
    entry["count"] += 1
    entry["cpu"] += (int(rest[11]) + int(rest[12])) / ticks
    entry["kib"] += private
    entry["files"] = max(entry["files"], files)
cpu = [int(word) for word in open("/proc/stat").readline().split()[1:]]
memory = dict(line.split(":") for line in open("/proc/meminfo").read().splitlines())
print(json.dumps({"processes": found, "busy": (sum(cpu) - cpu[3] - cpu[4]) / ticks, "all": sum(cpu) / ticks,
                  "used": int(memory["MemTotal"].split()[0]) - int(memory["MemAvailable"].split()[0])}))
"""

# The monitors that the cluster runs, called by hand over and over beside its own: what each took, how it ended, what it said.
MONITORS = f"""
import json, os, subprocess, sys, time
told, number = open("/lab/monitors", "a", 1), 0
parameters = {{"vip": {{"ip": "{VIP}", "cidr_netmask": "24", "nic": "eth0"}}, "strongswan": {{"address": "{VIP}", "connections": "l2tp"}}, "xl2tpd": {{"address": "{VIP}"}}}}
while True:
    number += 1
    depth = 0 if number % 6 else 10
    for agent, values in parameters.items():
        environment = {{**os.environ, "VPNHA_RUN": "1", "OCF_ROOT": "/usr/lib/ocf", "OCF_RESOURCE_INSTANCE": agent, "OCF_CHECK_LEVEL": str(depth),
                       "OCF_RESKEY_CRM_meta_timeout": "20000", "OCF_RESKEY_CRM_meta_interval": "10000", **({{"OCF_RESKEY_CRM_meta_promoted_max": "1"}} if "clone" in sys.argv else {{}}),
                       **{{"OCF_RESKEY_" + name: value for name, value in values.items()}}}}
        began = time.monotonic()
        ended = subprocess.run(["/usr/lib/ocf/resource.d/vpnha/" + agent, "monitor"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        took = round(1000 * (time.monotonic() - began))
        told.write(json.dumps([agent, depth, ended.returncode, took, ended.stdout.decode(errors="replace")[-200:]]) + "\\n")
    time.sleep(5)
"""


class Crowd:
    """The load maker, and what is measured while it runs. Needs `say`, `asked` and `layout`."""

    def _prepare_crowd(self, asked):
        self.asked, self.layout, self.reports, self.measured, self.progress = asked, None, [], [], {"answered": 0}
        if not os.path.exists(asked.load_maker):
            raise Failure(f"{asked.load_maker} is missing (make load builds it)")
        # A session is a pppd of about 1 MiB and what the kernel keeps for it.
        self.gateway_memory = f"{512 + 3 * asked.sessions}M"

    def _route(self, nodes_of_ours):
        """The clients are in the lab's own network."""
        nodes.ip("route", "add", "local", CLIENTS, "dev", "lo")
        for node in nodes_of_ours:
            with open(f"{node.share}/network", "a") as file:
                file.write(f"route add {CLIENTS} via {OUTSIDE['lab']}\n")

    def crowd_files(self, files, name):
        """Room for all, and the thresholds of the example unless charon's own are wanted."""
        if not self.asked.bare:
            with open(f"{ROOT}/Packaging/examples/strongswan/vpnha.conf") as file:
                files["/etc/strongswan.d/vpnha.conf"] = file.read()
        for path, old, new in (("/etc/xl2tpd/xl2tpd.conf", config.POOL[name], POOLS[name]),
                               ("/etc/ppp/options.xl2tpd", "lcp-echo-interval 5\nlcp-echo-failure 4", "lcp-echo-interval 30\nlcp-echo-failure 4")):
            assert old in files[path]
            files[path] = files[path].replace(old, new)
        return {**files, "/usr/lib/usage.py": USAGE, "/usr/lib/monitors.py": MONITORS}

    @staticmethod
    def _watch(node, *words):
        node.run(f"setsid python3 /usr/lib/monitors.py {' '.join(words)} >/dev/null 2>&1 </dev/null &")

    def _hang_up(self):
        self._command("stop")
        self.maker.wait(30)

    def _start_maker(self, *words):
        for name, text in (("secret", config.PSK), ("password", config.PASSWORD)):
            with open(f"{nodes.WORK}/{name}", "w") as file:
                file.write(text + "\n")
        asked = self.asked
        self.maker = subprocess.Popen(
            [asked.load_maker, VIP, "--sessions", str(asked.sessions), "--from", FIRST, "--per-address", str(asked.behind_one), "--rate", str(asked.rate),
             "--profile", asked.profile, "--esp", "aes128-sha1", "--seconds", "7200", "--json", "--name", "set-up",
             "--secret-file", f"{nodes.WORK}/secret", "--password-file", f"{nodes.WORK}/password", *words],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        threading.Thread(target=self._listen, daemon=True).start()

    def _dial(self):
        self._start_maker("--pings", str(self.asked.pings))
        self._await_all()

    def _await_all(self):
        """All have a session and are answered through it, for three seconds; or as many as there will be."""
        since, best, moved, said = None, -1, time.monotonic(), time.monotonic()
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            up = self.progress["answered"]
            if self.maker.poll() is not None:
                raise Failure("the load maker has ended")
            if up > best:
                best, moved = up, time.monotonic()
            if up < self.asked.sessions:
                since = None
            elif since is None:
                since = time.monotonic()
            elif time.monotonic() - since > 3:
                return
            if time.monotonic() - said > 20:
                said = time.monotonic()
                self.say(", ".join(f"{count} {what}" for what, count in self.progress.items()))
            if time.monotonic() - moved > 120:
                self.say(f"no more than {best} of {self.asked.sessions} have a session")
                return
            time.sleep(0.25)

    # What is measured

    def _phase(self, name, node, work):
        """What the clients say of a time, and what the node that serves at its end used meanwhile."""
        marks = {each.name: self._monitors(each) for each in self.gateways.values() if each.on}
        before, began = self._usage(node), time.monotonic()
        if name != "set-up":
            self._command(f"mark {name}")
            until(f"the load maker counts {name}", 10, lambda: len(self.reports) == len(self.measured), every=0.05)
        work()
        after, took = self._usage(node), time.monotonic() - began
        lines = [line for each in self.gateways.values() if each.on for line in self._monitors(each)[len(marks[each.name]):]]
        self.measured.append({"name": name, "node": node.name, "seconds": took, "before": before, "after": after, "monitors": lines,
                              "load": os.getloadavg()[0]})
        self.say(f"{name}: {self.progress['answered']} of {self.asked.sessions} are answered after {took:.1f} s")

    @staticmethod
    def _usage(node):
        return json.loads(node.run("python3", "/usr/lib/usage.py", timeout=120).output.splitlines()[-1])

    @staticmethod
    def _monitors(node):
        try:
            with open(f"{node.share}/monitors") as file:
                return [json.loads(line) for line in file if line.endswith("\n")]
        except FileNotFoundError:
            return []

    def _listen(self):
        for line in self.maker.stdout:
            message = json.loads(line)
            if "report" in message:
                self.reports.append(message["report"])
            else:
                self.progress = message

    def _command(self, text):
        self.maker.stdin.write(text + "\n")
        self.maker.stdin.flush()

    def _tell(self):
        until("the load maker's last report", 10, lambda: len(self.reports) == len(self.measured), every=0.1)
        asked = self.asked
        print(f"\n  {asked.sessions} clients ({asked.profile}), {asked.behind_one} behind one address, thresholds {'of charon' if asked.bare else 'as shipped'}, layout {asked.layout}; "
              f"load of this machine up to {max(phase['load'] for phase in self.measured):.1f}\n")
        for phase, report in zip(self.measured, self.reports):
            def times(what):
                found = report[what]
                return f"{what} " + "/".join("-" if found[share] is None else f"{found[share]:.2f}" for share in ("p50", "p90", "p99", "max"))

            print(f"  {phase['name']}: {report['up']} up after {phase['seconds']:.1f} s; dialled {report['dialled']}, came {report['came']} ({report['per_second']:.1f}/s), failed "
                  f"{report['failed']}, lost {report['lost']}, rekeyed {report['rekeyed']}; pings {report['pings']}, answered {report['answered']}")
            print(f"    p50/p90/p99/max in s: {', '.join(times(what) for what in ('ike', 'l2tp', 'ppp', 'session', 'redial', 'silence'))}")
            used = {name: (entry, phase["before"]["processes"].get(name, {"cpu": 0})) for name, entry in phase["after"]["processes"].items()}
            print(f"    {phase['node']}: busy {100 * (phase['after']['busy'] - phase['before']['busy']) / max(0.01, phase['after']['all'] - phase['before']['all']):.0f} %, memory in use "
                  f"{phase['after']['used'] / 1024:.0f} MiB; " + "; ".join(
                      f"{name}: {after['count']}, CPU {after['cpu'] - before['cpu']:+.1f} s, {after['kib'] / 1024:.1f} MiB, {after['files']} descriptors" for name, (after, before) in sorted(used.items())))
            for depth in (0, 10):
                seen = [line for line in phase["monitors"] if line[1] == depth]
                if seen:
                    worst = max(seen, key=lambda line: line[3])
                    odd = [line for line in seen if line[2] not in (0, 8)]
                    print(f"    {len(seen)} monitors at level {depth}: the worst {worst[3]} ms ({worst[0]}); {len(odd)} ended badly{': ' + str(odd[0]) if odd else ''}")
            for reason, count in list(report["reasons"].items())[:5]:
                print(f"    {count} × {reason}")
        print(flush=True)
        if asked.result:
            json.dump({"phases": self.measured, "reports": self.reports}, asked.result)


class Load(Crowd, Lab):
    """Under the cluster."""

    def __init__(self, layout, package, asked):
        self._prepare_crowd(asked)
        if layout.name == "seamless":
            self.gateway_modules = config.GATEWAY_MODULES + carryover.HA_MODULES
        super().__init__(layout, package)
        self._route(self.gateways.values())

    def make_client(self, outside):
        return None

    def _make_client_ready(self):
        pass

    def gateway_files(self, name):
        if self.asked.layout != "seamless":
            return self.crowd_files(config.gateway_files(name), name)
        return {**self.crowd_files(carryover.gateway_files(name), name), "/etc/vpnha/sessions.key": "what moon and sun alone know of their sessions\n"}

    def play(self):
        gateways = list(self.gateways.values())
        together([node.boot for node in gateways])
        self._make_cluster()
        self.holders.start()
        for node in gateways:
            self._watch(node, "clone")
        here = self.serving()
        there = self.other(here)
        self._phase("set-up", here, self._dial)
        self._phase("steady", here, lambda: time.sleep(30))
        self._phase("planned move", there, lambda: self._move(here, there))
        self._phase("power cut", here, lambda: self._cut(there, here))
        self._hang_up()
        self.check_one_holder()
        self._tell()

    def _move(self, here, there):
        self._until_warm(here)
        self.say(f"moving the service from {here.name} to {there.name}")
        there.run("crm_resource", "--resource", "vpn-clone", "--promoted", "--move", "--node", there.name)
        until(f"{there.name} serves", 120, lambda: self.serving() is there, every=0.5)
        there.run("crm_resource", "--resource", "vpn-clone", "--clear")
        self.say(f"{there.name} serves")
        self._await_all()
        self.await_settled(there)

    def _cut(self, victim, survivor):
        self._until_warm(victim)
        self.say(f"pulling the plug on {victim.name}, which serves")
        victim.pull_plug()
        until(f"{survivor.name} serves", 120, lambda: self.serving() is survivor, every=0.5)
        self.say(f"{survivor.name} serves")
        time.sleep(5)  # until nobody counts as answered any more
        self._await_all()

    def _until_warm(self, serving):
        """Where sessions are carried, the peer has them first."""
        if self.layout.name == "seamless":
            until("the peer could take every session", 300, lambda: f"\npeer-ready {self.asked.sessions}\n" in serving.run("vpnha", "sessions", "--ledger", check=False).output, every=2)


class Single(Crowd):
    """One gateway without a cluster: what it carries, and how it serves everybody at once."""

    def __init__(self, package, asked):
        self._prepare_crowd(asked)
        self.package, self.began = package, time.monotonic()
        nodes.prepare()
        outside = nodes.Bridge("outside", f"{OUTSIDE['lab']}/24")
        self.node = nodes.Node("moon", {"eth0": (outside, f"{VIP}/24")}, {**self.crowd_files(config.gateway_files("moon"), "moon"), "/run/xl2tpd/": None},
                               config.GATEWAY_MODULES, memory=self.gateway_memory)
        self.gateways = {"moon": self.node}
        self._route([self.node])

    def say(self, text):
        print(f"[{time.monotonic() - self.began:6.1f} s] {text}", flush=True)

    def play(self):
        node = self.node
        node.boot()
        shutil.copy(self.package, f"{node.share}/vpnha.deb")
        node.run("dpkg-deb --fsys-tarfile /lab/vpnha.deb | tar -x -C / ./usr/lib/ocf; sysctl -q net.ipv4.ip_forward=1", timeout=60)
        self._start()
        self.say("the gateway serves")
        self._watch(node)
        self._phase("set-up", node, self._dial)
        self._phase("steady", node, lambda: time.sleep(30))
        self._phase("rekeying", node, self._rekey)
        self._phase("crash", node, self._crash)
        self._hang_up()
        self._tell()

    def _start(self):
        """As it is after boot."""
        self.node.run(config.CLIENT_READY)
        self.node.run("xl2tpd -D >/var/log/xl2tpd.log 2>&1 </dev/null & for wait in 1 2 3 4 5 6 7 8 9; do [ -e /run/xl2tpd/l2tp-control ] && exit; sleep 1; done; cat /var/log/xl2tpd.log; exit 1")

    def _rekey(self):
        """Every IPsec SA at the same time."""
        self.node.run("swanctl --rekey --child l2tp >/var/log/rekey.log 2>&1", timeout=120)
        time.sleep(10)
        self._await_all()

    def _crash(self):
        """Everything is gone at once and back at once: all that is left is the clients' own timers."""
        self.node.run("kill -KILL $(pidof charon-systemd) $(pidof xl2tpd) $(pidof pppd); ip xfrm state flush; ip xfrm policy flush; rm -f /run/charon.* /run/xl2tpd.pid /run/xl2tpd/*", timeout=120, check=False)
        until("the links are gone", 120, lambda: not self.node.run("ip -o link show type ppp", timeout=60).output.strip())
        self._start()
        self.say("the gateway serves again")
        time.sleep(5)  # until nobody counts as answered any more
        self._await_all()

    def describe(self):
        for command in ("ip -brief address | tail -n 5", "swanctl --stats", "tail -n 25 /var/log/charon.log", "tail -n 25 /var/log/xl2tpd.log", "free"):
            print(f"--- moon$ {command}\n{self.node.run(command, timeout=30, check=False).output.rstrip() if self.node.on else 'off'}")


class Keys(Crowd):
    """charon alone, on this machine's own kernel and in the lab's namespaces: how fast everybody has an IPsec SA, at a real processor's speed."""

    def __init__(self, asked):
        self._prepare_crowd(asked)
        self.began = time.monotonic()

    say = Single.say

    def play(self):
        for folder in ("/run", "/etc/swanctl"):
            mount("lab", folder, "tmpfs", 0, "mode=755")
        nodes.ip("address", "add", f"{VIP}/32", "dev", "lo")
        self._route([])
        nodes.write_tree("/etc/swanctl", {"/swanctl.conf": config.gateway_files("moon")["/etc/swanctl/swanctl.conf"]})
        example = "" if self.asked.bare else f"include {ROOT}/Packaging/examples/strongswan/vpnha.conf\n"
        nodes.write_tree(nodes.WORK, {"/strongswan.conf": f"include /etc/strongswan.conf\n{example}"})
        environment = {**os.environ, "STRONGSWAN_CONF": f"{nodes.WORK}/strongswan.conf"}
        with open(f"{nodes.WORK}/charon.log", "w") as log:
            charon = subprocess.Popen(["charon-systemd"], env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        until("charon has the connection", 30, lambda: b"l2tp" in subprocess.run(
            "swanctl --load-all --noprompt >/dev/null 2>&1 && swanctl --list-conns", shell=True, stdout=subprocess.PIPE).stdout)
        before, began = self._used(charon.pid), time.monotonic()
        self._start_maker("--pings", "0")
        until("the clients have begun", 60, lambda: "protected" in self.progress)
        best, moved, curve = -1, time.monotonic(), []
        while best < self.asked.sessions and time.monotonic() - moved < 60:
            if (protected := self.progress["protected"]) > best:
                best, moved = protected, time.monotonic()
                curve.append((round(moved - began, 1), best))
            time.sleep(0.05)
        took, used = moved - began, self._used(charon.pid) - before
        stats = subprocess.run(["swanctl", "--stats"], stdout=subprocess.PIPE, text=True).stdout
        self._hang_up()
        until("the load maker's report", 10, lambda: self.reports, every=0.1)
        report, ike = self.reports[0], self.reports[0]["ike"]
        print(f"\n  {self.asked.sessions} clients ({self.asked.profile}), {self.asked.behind_one} behind one address, thresholds {'of charon' if self.asked.bare else 'as shipped'}; load of this machine "
              f"{os.getloadavg()[0]:.1f}\n  {best} have an IPsec SA after {took:.1f} s; IKE p50/p90/p99/max {ike['p50']}/{ike['p90']}/{ike['p99']}/{ike['max']} s, {report['repeated']} repetitions, "
              f"{report['failed']} failed; charon used {used:.1f} s of CPU, {1000 * used / max(1, best):.0f} ms each\n  (seconds, clients): {curve}\n  {stats.splitlines()[-2][:100] if stats else ''}", flush=True)
        for reason, count in list(report["reasons"].items())[:5]:
            print(f"    {count} × {reason}")
        charon.kill()
        charon.wait()

    @staticmethod
    def _used(pid):
        with open(f"/proc/{pid}/stat") as file:
            words = file.read().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

    def describe(self):
        with open(f"{nodes.WORK}/charon.log") as file:
            print("".join(file.readlines()[-20:]))
