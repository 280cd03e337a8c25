"""The Ansible role, applied to two bare machines: the pair serves, a second run changes nothing, a change rolls, a mistake stops at the standby."""

import base64
import json
import os
import re
import shutil
import subprocess
import threading
import time

from machines import HERE, SHARE, WORK, Failure, typed, until
from rendered import EXAMPLES, ROOT, difference, lines_of

SOURCE = HERE.parent.parent / "Packaging/ansible"
PLACE = f"{WORK}/ansible"
BACKUP = [path[1:] for path in (*EXAMPLES, "/etc/ppp/chap-secrets", "/etc/modules-load.d/vpnha.conf", "/etc/vpnha", "/etc/hosts", "/etc/logrotate.d/conntrackd")]
SECRETS = {"psk": "psk-of-the-test", "ha_secret": "ha-of-the-test", "fence_password": "fence-of-the-test"}
said = [""]  # by the last run
USER = {"name": "alice", "password": "password-of-the-test", "address": "10.9.0.251"}


def play(site):
    moon, sun = site.machines["moon"], site.machines["sun"]
    for machine in (moon, sun):
        machine.boot()
    site.say("two bare machines are up")
    shutil.copytree(SOURCE, PLACE)
    with open(f"{WORK}/vault-password", "w") as file:
        file.write("open the vault\n")
    secrets = {**SECRETS, "corosync_key": base64.b64encode(os.urandom(256)).decode(), "users": [USER]}
    keep(secrets)
    overrides = {
        "vpnha_package": f"{WORK}/share/{site.package}",
        "vpnha_fence_agent": "fence_bed",
        # This kernel has no such modules to load, the site no clock of its own, and nobody elsewhere who answers IKE.
        "vpnha_modules": [], "vpnha_ike": [], "vpnha_doctor_skip": ["CLOCK1", "FLOOD1"],
        "vpnha_debian_packages": ["conntrackd", "charon-systemd", "corosync", "libcharon-extra-plugins", "nftables", "pacemaker", "pcs", "strongswan-swanctl", "xl2tpd"],
    }

    counts = apply(site, overrides)
    for name, count in counts.items():
        if count["failed"] or not count["changed"]:
            raise Failure(f"the first run on {name}: {count}")
    status = whole(moon)
    site.say(f"applied: {shown(counts)}; {status['serving']} serves, and the other one would take over")
    as_the_examples(moon)

    counts = apply(site, overrides)
    for name, count in counts.items():
        if count["failed"] or count["changed"]:
            raise Failure(f"the second run changed something on {name}: {count}\n{said[0]}")
    site.say(f"applied again: {shown(counts)}")

    # What would be done, without doing it.
    counts = apply(site, {**overrides, "vpnha_inner_address": "10.9.0.3"}, "--check")
    if any(count["failed"] or count["changed"] != 1 for count in counts.values()) or "+local ip = 10.9.0.3" not in said[0] or "10.9.0.3" in moon.run("cat /etc/xl2tpd/xl2tpd.conf"):
        raise Failure(f"--check foretells {counts}\n{said[0]}")
    site.say("--check says what would change, and changes nothing")

    # Keys and a user: nothing is restarted, nothing moves, and the standby has its own first.
    before = daemons(moon, sun)
    secrets = {**secrets, "psk": "another-psk", "corosync_key": base64.b64encode(os.urandom(256)).decode(), "users": [USER, {"name": "carol", "password": "another-password"}]}
    keep(secrets)
    apply(site, overrides)
    standby = "sun" if status["serving"] == "moon" else "moon"
    if (order := re.findall(r"^changed: \[(\w+)\] => \(item=--load-creds", said[0], re.MULTILINE)) != [standby, status["serving"]]:
        raise Failure(f"the new key was loaded on {order}\n{said[0]}")
    if (now := daemons(moon, sun)) != before or whole(moon)["serving"] != status["serving"]:
        raise Failure(f"a new key and a new user restarted something: {before} became {now}")
    for machine in (moon, sun):
        if "another-psk" not in machine.run("cat /etc/swanctl/swanctl.conf") or '"carol"' not in machine.run("cat /etc/ppp/chap-secrets"):
            raise Failure(f"{machine.name} does not have the new key and the new user")
    # A node that starts with the new key of the links finds the other one.
    site.machines[standby].run("systemctl stop pacemaker corosync && systemctl start corosync pacemaker")
    until("the node that started with the new key is a standby again", 120, lambda: json.loads(moon.run("vpnha status --json", check=False) or "{}")
          .get("failover", {}).get("would_succeed") is True, every=1)
    site.say("new keys and a new user are on both, and every daemon is the same process as before")

    # What a daemon reads only at its start: the standby first, then a move.
    with Watch() as watch:
        counts = apply(site, {**overrides, "vpnha_inner_address": "10.9.0.2"})
    after = whole(moon)
    if after["serving"] == status["serving"] or daemons(moon, sun) == before:
        raise Failure(f"a new inner address did not roll over the pair: {after['serving']} serves, {counts}")
    site.say(f"a new xl2tpd.conf rolled over the pair: {after['serving']} serves now; the address was silent for {watch.longest:.1f} s at most")

    kept = {machine.name: machine.run(f"tar -C / -czf - {' '.join(BACKUP)} | base64 -w 0") for machine in (moon, sun)}

    # A mistake: the standby refuses it, and the node that serves is not touched.
    serving = site.machines[after["serving"]]
    before = serving.run("cat /etc/swanctl/swanctl.conf")
    refused = run(site, {**overrides, "vpnha_inner_address": "10.9.0.2", "vpnha_proposals": "no-such-cipher"})
    if refused.returncode == 0:
        raise Failure(f"proposals that no charon knows were accepted:\n{refused.stdout}")
    if serving.run("cat /etc/swanctl/swanctl.conf") != before or json.loads(serving.run("vpnha status --json", check=False))["serving"] != serving.name:
        raise Failure(f"a mistake reached the node that serves:\n{refused.stdout}")
    site.say(f"a mistake stopped at the standby; {serving.name} serves on with its own file")
    other = moon if serving is sun else sun
    empty_disk(site, serving, other, kept[other.name])

    # The same with the playbook: the node that serves is not touched.
    lost(site, serving, other)
    counts = apply(site, {**overrides, "vpnha_inner_address": "10.9.0.2"})
    if whole(serving)["serving"] != serving.name or counts[serving.name]["changed"]:
        raise Failure(f"the playbook that brought {other.name} back changed something on {serving.name}: {counts}\n{said[0]}")
    site.say(f"{other.name} came back with an empty disk, by the playbook: {shown(counts)}")


def lost(site, serving, dead):
    """The standby dies, and is there again as Debian's installation leaves a machine."""
    fences = len(site.power.done)
    dead.cut()
    until("the dead node is fenced", 60, lambda: len(site.power.done) > fences)
    if json.loads(serving.run("vpnha status --json", check=False))["serving"] != serving.name:
        raise Failure(f"{serving.name} does not serve any more, though only its standby died")
    dead.blank()
    dead.boot()


def empty_disk(site, serving, dead, backup):
    """docs/recovery.md: a node comes back with an empty disk and its files from a backup, and joins the cluster as it was."""
    lost(site, serving, dead)
    dead.run(f"dpkg --force-unsafe-io --install /bed/{site.package}")
    dead.run(f"base64 -d <<'END' | tar -C / -xzf -\n{backup}\nEND")
    dead.run("sysctl --load /etc/sysctl.d/vpnha.conf")
    for line in typed("recovery", "## A node is dead"):
        if line.startswith("scp "):
            for name in ("corosync.conf", "authkey"):
                shutil.copy2(f"{serving.place}/disk/etc/corosync/{name}", f"{SHARE}/{name}")
                dead.run(f"install -m 400 /bed/{name} /etc/corosync/{name}")
        elif line.startswith("pcs host auth"):
            continue  # it asks for a password
        else:
            dead.run(line, check=not line.startswith("vpnha status"))
    until(f"{dead.name} is a standby again", 120, lambda: (status := json.loads(serving.run("vpnha status --json", check=False) or "{}"))
          and status.get("failover", {}).get("would_succeed") is True, every=1)
    if (now := whole(serving))["serving"] != serving.name:
        raise Failure(f"the return of {dead.name} moved the service to {now['serving']}")
    site.say(f"{dead.name} came back with an empty disk, by the page: it is the standby, and {serving.name} served all the time")


def keep(secrets):
    path = f"{PLACE}/inventory/group_vars/gateways/vault.yml"
    with open(path, "w") as file:
        json.dump({"vault_vpnha": secrets}, file)
    subprocess.run(["ansible-vault", "encrypt", "--vault-password-file", f"{WORK}/vault-password", path], check=True, env=environment(), stdout=subprocess.PIPE,
                   stderr=subprocess.PIPE)


def environment():
    return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": f"{WORK}/home", "LANG": "C.UTF-8", "ANSIBLE_CONNECTION_PLUGINS": str(HERE / "connection"),
            "ANSIBLE_PIPELINING": "true", "ANSIBLE_NOCOLOR": "1", "ANSIBLE_PYTHON_INTERPRETER": "/usr/bin/python3", "PYTHONDONTWRITEBYTECODE": "1"}


def run(site, overrides, *options):
    pids = {"gateways": {"hosts": {name: {"site_pid": site.machines[name].init} for name in ("moon", "sun")}, "vars": {"ansible_connection": "namespaces"}}}
    with open(f"{WORK}/site.json", "w") as file:
        json.dump(pids, file)
    done = subprocess.run(["ansible-playbook", "--diff", "-i", "inventory/gateways.yml", "-i", f"{WORK}/site.json", "--vault-password-file", f"{WORK}/vault-password",
                           "-e", json.dumps(overrides), *options, "gateways.yml"], cwd=PLACE, env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    for secret in (*SECRETS.values(), USER["password"], "another-psk", "another-password"):
        if secret in done.stdout:
            raise Failure(f"Ansible shows a secret: {secret}")
    return done


def apply(site, overrides, *options):
    """Runs the playbook; what it counted, by node."""
    done = run(site, overrides, *options)
    said[:] = [done.stdout]
    counts = {match[1]: {word: int(count) for word, count in re.findall(r"(\w+)=(\d+)", match[2])} for match in re.finditer(r"^(\w+) +: (ok=.*)$", done.stdout, re.MULTILINE)}
    if done.returncode != 0 or set(counts) != {"moon", "sun"}:
        raise Failure(f"ansible-playbook: {done.returncode}\n{done.stdout}")
    return counts


def shown(counts):
    return ", ".join(f"{name} {count['changed']} changed" for name, count in counts.items())


def whole(machine):
    status = json.loads(machine.run("vpnha status --json", check=False))
    if not status["serving"] or status["failover"]["would_succeed"] is not True:
        raise Failure(f"the pair is not whole: {machine.run('vpnha status', check=False)}")
    return status


def daemons(*machines):
    return {machine.name: machine.run("pidof -s charon-systemd xl2tpd conntrackd; pgrep -x 'charon-systemd|xl2tpd|conntrackd'", check=False).split() for machine in machines}


def as_the_examples(moon):
    """With the example inventory, the role writes what the package's examples have; secrets and users apart."""
    for path, example in EXAMPLES.items():
        if lack := difference(lines_of((ROOT / "Packaging/examples" / example).read_text()), lines_of(moon.run(f"cat {path}"))):
            raise Failure(f"{path} is not {example}:{lack}")


class Watch(threading.Thread):
    """Asks the address all the time; the longest time in which nobody answered."""

    def __init__(self, address="203.0.113.50"):
        super().__init__(daemon=True)
        self.address, self.longest, self.over = address, 0.0, threading.Event()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.join(5)

    def run(self):
        last = time.monotonic()
        while not self.over.is_set():
            answered = subprocess.run(["ping", "-c1", "-W1", "-n", "-q", self.address], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0
            now = time.monotonic()
            self.longest = max(self.longest, now - last)
            if answered:
                last = now
            time.sleep(0.05)
