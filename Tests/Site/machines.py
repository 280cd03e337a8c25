"""Bare machines: systemd, Debian's own units as its packages leave them, a network, a plug to pull. No cluster until somebody makes one.

A machine is the processes of a PID namespace whose first one is systemd. Its disk is an overlay over this machine's root
and outlives a power cut; its /run does not. Everything ends with the sandbox that it is in.
"""

import os
import pathlib
import pwd
import re
import shutil
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path += [str(ROOT / "Lab"), str(ROOT / "Tests/Bed")]
from nodes import Failure, ip, until  # noqa: E402
from sandbox import WORK  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
SHARE = f"{WORK}/share"
CGROUPS = f"{WORK}/cgroups"
HOPS = ("203.0.113.1", "203.0.113.2")
# What each one has: interface, bridge, address.
CABLES = {
    "moon": (("eth0", "outside", "203.0.113.11"), ("eth1", "cluster", "10.77.0.1")),
    "sun": (("eth0", "outside", "203.0.113.12"), ("eth1", "cluster", "10.77.0.2")),
    "witness": (("eth0", "outside", "203.0.113.99"),),
}
# What Debian's packages enable when they are installed.
ENABLED = ("strongswan", "conntrackd", "corosync", "pacemaker", "pcsd")
# What needs hardware, a console, or the whole machine.
NEVER = ("systemd-udevd.service", "systemd-networkd-wait-online.service", "systemd-logind.service", "systemd-timesyncd.service", "e2scrub_reap.service",
         "man-db.timer", "apt-daily.timer", "apt-daily-upgrade.timer", "console-getty.service", "getty.target", "dev-hugepages.mount",
         "sys-kernel-debug.mount", "sys-kernel-tracing.mount", "systemd-remount-fs.service", "systemd-udev-trigger.service")
# State of this machine's that a fresh one does not have; a folder's owner and mode as the package makes them.
BLANK = {"var/lib/pacemaker": ("hacluster", 0o750), "var/lib/pacemaker/cib": ("hacluster", 0o750), "var/lib/pacemaker/pengine": ("hacluster", 0o750),
         "var/lib/pacemaker/cores": ("hacluster", 0o750), "var/lib/pacemaker/blackbox": ("hacluster", 0o750), "var/lib/corosync": ("root", 0o700),
         "var/lib/pcsd": ("root", 0o700), "var/log/pacemaker": ("hacluster", 0o770), "var/log/corosync": ("root", 0o755), "var/log/pcsd": ("root", 0o700),
         "var/log/journal": ("root", 0o755), "etc/systemd/system": ("root", 0o755), "var/lib/vpnha": ("root", 0o755)}

BOOT = r"""
set -e
name=$1 place=$2
echo $$ >CGROUPS/$name/cgroup.procs
exec unshare -C -n -m -p -f -u -i --kill-child bash -ec '
hostname $0
mount --make-rprivate /
root=$1/root
mount -t overlay overlay -o lowerdir=/,upperdir=$1/disk,workdir=$1/work $root
cd $root
mkdir -p bed old
mount -t proc proc proc
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount --bind /proc/sys/net proc/sys/net 2>/dev/null || true
mount -t sysfs sysfs sys
mount -t tmpfs -o mode=755 cgroup sys/fs/cgroup
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 dev dev
mkdir dev/pts dev/shm
for node in "null 3" "zero 5" "full 7" "random 8" "urandom 9"; do mknod -m 666 dev/${node% *} c 1 ${node#* }; done
mknod -m 666 dev/tty c 5 0
mknod -m 600 dev/ppp c 108 0
ln -s /proc/self/fd dev/fd
mount -t devpts -o newinstance,ptmxmode=666,mode=620 devpts dev/pts
ln -s pts/ptmx dev/ptmx
mount -t tmpfs -o mode=1777 shm dev/shm
mount -t tmpfs -o mode=755 run run
mount -t tmpfs -o mode=1777 tmp tmp
mount --bind SHARE bed
pivot_root . old
umount -l /old
cd /
until [ -e /bed/$0.wired ]; do sleep 0.02; done
ip link set lo up
env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin container=site true
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin container=site /lib/systemd/systemd --unit=multi-user.target --log-target=journal
' "$name" "$place"
""".replace("SHARE", SHARE).replace("CGROUPS", CGROUPS)


def typed(page, chapter):
    """The indented lines of a chapter of one of docs' pages."""
    text = (HERE.parent.parent / f"docs/{page}.md").read_text()
    text = text[text.index(chapter):]
    return re.findall(r"^    (\S.*)$", text[:(text + "\n## ").index("\n## ", 4)], re.MULTILINE)


class Machine:
    def __init__(self, site, name):
        self.site, self.name, self.place = site, name, f"{WORK}/{name}"
        self.number = list(CABLES).index(name) + 1
        self.process = self.init = None
        for folder in ("disk", "work", "root"):
            os.makedirs(f"{self.place}/{folder}")
        self.blank()

    def blank(self):
        """A disk as after an installation of Debian and of the packages, and nothing more."""
        disk = f"{self.place}/disk"
        for folder in (disk, f"{self.place}/work"):
            shutil.rmtree(folder, ignore_errors=True)
            os.makedirs(folder)
        for folder, (owner, mode) in BLANK.items():
            os.makedirs(f"{disk}/{folder}", exist_ok=True)
            if "/" in folder and not any(other != folder and folder.startswith(other + "/") for other in BLANK):
                os.setxattr(f"{disk}/{folder}", "trusted.overlay.opaque", b"y")
            user = pwd.getpwnam(owner)
            os.chown(f"{disk}/{folder}", user.pw_uid, user.pw_gid)
            os.chmod(f"{disk}/{folder}", mode)
        self.write("/etc/hostname", f"{self.name}\n")
        self.write("/etc/hosts", f"127.0.0.1 localhost\n127.0.1.1 {self.name}\n")
        self.write("/etc/machine-id", f"{self.number:032x}\n")
        self.write("/etc/fstab", "")
        self.write("/etc/default/locale", "LANG=C.UTF-8\n")
        self.write("/usr/sbin/fence_bed", (HERE.parent / "Bed/fence_bed").read_text(), 0o755)
        # The archive's lists are as old as this machine's: none is to be fetched.
        self.write("/var/lib/apt/periodic/update-success-stamp", "")
        os.makedirs(f"{disk}/etc/systemd/system", exist_ok=True)
        for unit in NEVER:
            os.symlink("/dev/null", f"{disk}/etc/systemd/system/{unit}")
        for level in range(7):
            folder = f"{disk}/etc/rc{level}.d"
            os.makedirs(folder)
            os.setxattr(folder, "trusted.overlay.opaque", b"y")
            daemon = "slapd" if self.name == "witness" else "xl2tpd"
            os.symlink(f"../init.d/{daemon}", f"{folder}/{'S' if 2 <= level <= 5 else 'K'}01{daemon}")
        wants = f"{disk}/etc/systemd/system/multi-user.target.wants"
        os.makedirs(wants)
        for unit in ENABLED if self.name != "witness" else ("pcsd", "freeradius"):
            os.symlink(f"/lib/systemd/system/{unit}.service", f"{wants}/{unit}.service")
        for absent in ("usr/sbin/policy-rc.d", "var/lib/man-db/auto-update", "etc/corosync/authkey", "etc/corosync/qnetd", "etc/corosync/qdevice"):
            if os.path.lexists(f"/{absent}"):
                os.makedirs(os.path.dirname(f"{disk}/{absent}"), exist_ok=True)
                os.mknod(f"{disk}/{absent}", 0o020000, 0)

    def write(self, path, text, mode=0o644):
        file = pathlib.Path(f"{self.place}/disk{path}")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)

    @property
    def on(self):
        return self.process is not None and self.process.poll() is None

    def boot(self):
        if self.on:
            return
        wired = pathlib.Path(f"{SHARE}/{self.name}.wired")
        wired.unlink(missing_ok=True)
        os.makedirs(f"{CGROUPS}/{self.name}", exist_ok=True)
        log = open(f"{self.place}/console", "ab")
        self.process = subprocess.Popen(["bash", "-c", BOOT, "boot", self.name, self.place], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        children = f"/proc/{self.process.pid}/task/{self.process.pid}/children"
        self.init = int(until(f"{self.name} has a first process", 20, lambda: open(children).read().split(), every=0.02)[0])
        until(f"{self.name} has a network of its own", 20, lambda: os.readlink(f"/proc/{self.init}/ns/net") != os.readlink("/proc/self/ns/net"), every=0.02)
        for nic, bridge, address in CABLES[self.name]:
            ip("link", "add", f"{self.name}-{nic}", "master", bridge, "type", "veth", "peer", "name", nic, "netns", str(self.init))
            ip("link", "set", f"{self.name}-{nic}", "up")
            inside = ["nsenter", "-t", str(self.init), "-n", "--", "ip"]
            subprocess.run([*inside, "address", "add", f"{address}/24", "dev", nic], check=True)
            subprocess.run([*inside, "link", "set", nic, "up"], check=True)
        subprocess.run([*inside, "route", "add", "default", "via", HOPS[0]], check=self.name == "witness", stderr=subprocess.DEVNULL)
        wired.touch()
        until(f"{self.name} has booted", 60, lambda: self.run("systemctl is-system-running", check=False).strip() in ("running", "degraded"))

    def cut(self):
        """The plug is pulled: every process of the machine ends at once, and its cables carry nothing."""
        if not self.on:
            return
        os.kill(self.init, 9)
        for nic, _, _ in CABLES[self.name]:
            subprocess.run(["ip", "link", "delete", f"{self.name}-{nic}"], stderr=subprocess.DEVNULL)
        self.process.wait(20)

    def run(self, command, check=True, timeout=120):
        """A line of bash, as root in its home, as a login at the console would have it."""
        done = subprocess.run(["nsenter", "-t", str(self.init), "-a", "--", "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8",
                               "bash", "-c", f"cd /root; {command}"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=timeout)
        if check and done.returncode != 0:
            raise Failure(f"{self.name}: {command}: {done.returncode}\n{done.stdout}")
        return done.stdout


def removed(cgroup):
    """Whether it could be removed: not while a process that was killed is still ending."""
    try:
        os.rmdir(cgroup)
        return True
    except OSError:
        return False


class Power(threading.Thread):
    """Does what the fence agents ask for. A machine that was fenced is switched on again."""

    def __init__(self, machines):
        super().__init__(daemon=True)
        self.machines, self.done = machines, []
        os.makedirs(f"{SHARE}/fence")

    def run(self):
        while True:
            for request in pathlib.Path(f"{SHARE}/fence").glob("*.request"):
                name = request.name.split(".")[0]
                self.machines[name].cut()
                self.done.append(name)
                request.rename(request.with_suffix(".off"))
            time.sleep(0.02)


class Site:
    def __init__(self, package, names):
        self.began = time.monotonic()
        os.makedirs(SHARE)
        os.chmod(SHARE, 0o777)
        shutil.copy2(package, f"{SHARE}/{os.path.basename(package)}")
        self.package = os.path.basename(package)
        shutil.copytree(HERE.parent.parent / "Packaging/examples", f"{SHARE}/examples")
        os.makedirs(CGROUPS)
        subprocess.run(["mount", "-t", "cgroup2", "cgroup2", CGROUPS], check=True)
        # Of this program and of nobody else; what a run that was killed left behind is empty.
        self.cgroups = f"{CGROUPS}/vpnha-site-{time.time_ns()}"
        os.makedirs(self.cgroups)
        subprocess.run(["mount", "--bind", self.cgroups, CGROUPS], check=True)
        for bridge in ("outside", "cluster"):
            ip("link", "add", bridge, "address", "02:00:00:00:00:ff", "type", "bridge", "forward_delay", "0", "mcast_snooping", "0")
            ip("link", "set", bridge, "up")
        for address in HOPS:
            ip("address", "add", f"{address}/24", "dev", "outside")
        self.machines = {name: Machine(self, name) for name in names}
        self.power = Power(self.machines)
        self.power.start()

    def say(self, text):
        print(f"[{time.monotonic() - self.began:6.1f} s] {text}", flush=True)

    def end(self):
        for machine in self.machines.values():
            machine.cut()
        # The kernel forgets a cgroup only when somebody removes it.
        until("no cgroup is left", 10, lambda: not any(removed(path) is False for path, _, _ in os.walk(CGROUPS, topdown=False) if path != CGROUPS))
        subprocess.run(["umount", CGROUPS], check=True)
        os.rmdir(self.cgroups)

    def describe(self, headline):
        print(f"==== {headline}")
        for machine in self.machines.values():
            print(f"== {machine.name}, {'on' if machine.on else 'off'}")
            if machine.on:
                print(machine.run("crm_mon -1rfA 2>&1; systemctl --failed --no-legend; journalctl -n 60 --no-pager -o cat", check=False))
