"""charon under a real systemd, and its agent by hand; the story is in unit/README.md."""

import re
import shutil
import time

import config
import nodes
from carryover import AGENTS
from config import OUTSIDE, VIP
from nodes import Failure, until
from pair import together

UNIT = "strongswan.service"
DROP_INS = f"/run/systemd/system/{UNIT}.d"
LOOP = """[Unit]
StartLimitIntervalSec=0
[Service]
Type=simple
ExecStart=
ExecStart=/bin/false
ExecStartPost=
Restart=always
RestartSec=2
"""


class Unit:
    """One gateway without a cluster, and a client that has an SA with it."""

    def __init__(self, package):
        self.package, self.began = package, time.monotonic()
        nodes.prepare()
        outside = nodes.Bridge("outside", f"{OUTSIDE['lab']}/24")
        files = config.gateway_files("moon")
        files["/etc/swanctl/swanctl.conf"] += "include conf.d/*.conf\n"
        self.moon = nodes.Node("moon", {"eth0": (outside, f"{OUTSIDE['moon']}/24")}, files, config.GATEWAY_MODULES, systemd=True)
        self.client = nodes.Node("client", {"eth0": (outside, f"{OUTSIDE['client']}/24")}, config.client_files(), config.CLIENT_MODULES)

    def say(self, text):
        print(f"[{time.monotonic() - self.began:6.1f} s] {text}", flush=True)

    def play(self):
        moon = self.moon
        together([lambda: moon.boot(target="rejoin.target"), self.client.boot])
        shutil.copy(self.package, f"{moon.share}/vpnha.deb")
        moon.run("rm -f /var/lib/man-db/auto-update; dpkg --force-unsafe-io --install /lab/vpnha.deb", timeout=120)
        moon.run(f"ip address add {VIP}/24 dev eth0")
        self.client.run(config.CLIENT_READY)
        self.say("moon, under systemd, and client are booted")

        if self._shown("Restart") == "no":
            raise Failure(f"{UNIT} restarts nothing by itself: the test shows nothing")
        moon.run(f"systemctl start {UNIT}", timeout=60)
        before = self._pid()
        self._agent("monitor", 0, OCF_CHECK_LEVEL="10", OCF_RESKEY_CRM_meta_on_node="moon")
        if self._shown("Restart") != "no" or (self._pid(), self._shown("MainPID")) != (before, before):
            raise Failure(f"{UNIT} was started before the cluster came: Restart={self._shown('Restart')}, charon {self._pid()} and not {before}")
        self._agent("stop", 0)
        if self._shown("Restart") == "no":
            raise Failure("stop left the drop-in")
        self.say("charon that systemd had started before the cluster came: the first deep monitor takes the unit over")
        self._agent("start", 0)
        if self._shown("Restart") != "no" or self._shown("MainPID") != self._pid():
            raise Failure(f"{UNIT}: Restart={self._shown('Restart')}, MainPID={self._shown('MainPID')}, charon is {self._pid()}")
        self.say("start went through the unit; systemd will not restart it")

        self.client.run("swanctl --initiate --child vpn --timeout 20", timeout=30)
        before = self._pid(), self._sas()
        moon.run("mkdir -p /etc/swanctl/conf.d; echo 'connections { more { version = 2 } }' >/etc/swanctl/conf.d/more.conf")
        self._agent("reload-agent", 0)
        self._expect("after a reload", before, ["l2tp", "more"])
        moon.run("printf 'connections {\\n  more {\\n    version 2\\n  }\\n}\\n' >/etc/swanctl/conf.d/more.conf")
        reason = self._agent("reload-agent", 0).output
        if "/etc/swanctl/conf.d/more.conf:3: " not in reason:
            raise Failure(f"the reload of a broken file says: {reason}")
        self._expect("after the reload of a broken file", before, ["l2tp", "more"])
        self._agent("monitor", 0, OCF_CHECK_LEVEL="20")
        moon.run("rm /etc/swanctl/conf.d/more.conf")
        self._agent("reload-agent", 0)
        self._expect("after another reload", before, ["l2tp"])
        self.say(f"three reloads, one of a broken file: the same charon, the same SA. It said: {reason.strip()}")

        moon.run("kill -SEGV $(pidof /usr/sbin/charon-systemd)")
        until("the unit has failed", 20, lambda: self._shown("ActiveState") == "failed")
        # The unit's own pause before a restart is 100 ms.
        time.sleep(1)
        if self._shown("NRestarts") != "0" or self._shown("ActiveState") != "failed":
            raise Failure(f"systemd restarted charon {self._shown('NRestarts')} times; it is {self._shown('ActiveState')}")
        self._agent("monitor", 7)
        self._agent("start", 0)
        self._agent("monitor", 0)
        self._agent("stop", 0)
        if self._shown("Restart") == "no" or moon.run(f"ls -A {DROP_INS}", check=False).status == 0:
            raise Failure("stop left the drop-in")
        self.say("charon crashed: systemd left it alone, the agent started it again; after stop the unit is as it was")

        moon.run(f"mkdir -p {DROP_INS}")
        with open(f"{moon.share}/loop.conf", "w") as file:
            file.write(LOOP)
        moon.run(f"cp /lab/loop.conf {DROP_INS}/loop.conf; systemctl daemon-reload; systemctl start --no-block {UNIT}")
        until("systemd has restarted it twice", 60, lambda: int(self._shown("NRestarts")) >= 2)
        reason = until("the monitor says that it crashes again and again", 20, lambda: (
            said if "again and again" in (said := self._agent("monitor", 1).output) else None))
        self._agent("stop", 0)
        if self._shown("ActiveState") not in ("inactive", "failed"):
            raise Failure(f"after stop {UNIT} is {self._shown('ActiveState')}")
        self._agent("monitor", 7)
        self.say(f"a crash loop is told, and stop ends it. It said: {reason.strip()}")
        said = self._agent("start", 1).output
        if self._shown("ActiveState") not in ("inactive", "failed"):
            raise Failure(f"after a failed start {UNIT} is {self._shown('ActiveState')}")
        self.say(f"a start that crashes ends, and leaves no loop. It said: {said.strip()}")
        moon.run(f"rm {DROP_INS}/loop.conf; systemctl daemon-reload")
        self._agent("start", 0)
        self._agent("stop", 0)

    def _agent(self, action, want, **environment):
        words = {"OCF_RESOURCE_INSTANCE": "strongswan", "OCF_RESOURCE_TYPE": "strongswan", "OCF_RESKEY_CRM_meta_timeout": "60000",
                 "OCF_RESKEY_CRM_meta_interval": "10000", "OCF_RESKEY_address": VIP, "OCF_RESKEY_connections": "l2tp", **environment}
        reply = self.moon.run("env", *(f"{name}={value}" for name, value in words.items()), f"{AGENTS}/strongswan", action,
                              timeout=70, check=False)
        if reply.status != want:
            raise Failure(f"{action} ended with {reply.status}, not {want}\n{reply.output.rstrip()}")
        return reply

    def _shown(self, name):
        return self.moon.run(f"systemctl show --value -p {name} {UNIT}").output.strip()

    def _pid(self):
        return self.moon.run("pidof /usr/sbin/charon-systemd").output.strip()

    def _sas(self):
        """The unique ids of IKE and CHILD SAs that are up."""
        listed = self.moon.run("swanctl --list-sas").output
        found = re.findall(r"(#\d+), (?:.*, )?(ESTABLISHED|INSTALLED)", listed)
        if len(found) < 2:
            raise Failure(f"the client has no SA: {listed}")
        return found

    def _expect(self, when, before, connections):
        loaded = re.findall(r"^(\w+): IKE", self.moon.run("swanctl --list-conns").output, re.MULTILINE)
        if sorted(loaded) != connections or (self._pid(), self._sas()) != before:
            raise Failure(f"{when}: {loaded}, pid {self._pid()} and {self._sas()}; before: {before}")

    def describe(self):
        for command in (f"systemctl status {UNIT}", "journalctl --no-pager -n 60", "swanctl --list-sas", "tail -n 30 /var/log/charon.log"):
            if self.moon.on:
                print(f"--- moon$ {command}\n{self.moon.run(command, timeout=20, check=False).output.rstrip()}")
