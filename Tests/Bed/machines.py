"""Two nodes, moon and sun, as namespaces of this kernel: a tree of their own over the machine's, real daemons, a plug to pull.

A node is the processes of a PID namespace. Its disk is an overlay over this machine's root, or over that of another Debian
release (Tests/Bed/release), and outlives a power cut; its /run does not. The bed's own network is the outside world: next hops, a remote IKE daemon, and whoever asks the gateway.
"""

import contextlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from xml.etree import ElementTree

sys.path.append(os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "Lab"))
import config  # noqa: E402  (the lab's files serve here as well)
from nodes import Failure, ip, until  # noqa: E402
from sandbox import WORK  # noqa: E402
from watching import Watch  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
OPERATIONS = HERE.parent.parent / "docs/operations.md"
SHARE = f"{WORK}/share"
NODES = ("moon", "sun")
HOPS, REMOTE, WITNESS = ("203.0.113.1", "203.0.113.2"), "198.51.100.9", "198.51.100.31"
AGENTS = ("vip", "strongswan", "xl2tpd", "conntrackd", "probe", "firewall", "sessions", "announce", "libreswan")
PROCESS = {"charon": "charon-systemd", "pluto": "pluto", "xl2tpd": "xl2tpd", "conntrackd": "conntrackd", "attrd": "pacemaker-attrd", "ledger": "vpnha-ledger", "prober": "probe", "bird": "bird", "bgpd": "bgpd"}

BOOT = r"""
set -e
name=$1 first=$2 place=$3 below=$4
hostname $name
mount --make-rprivate /
root=$place/root
mount -t overlay overlay -o lowerdir=$below,upperdir=$place/disk,workdir=$place/work $root
cd $root
mkdir -p bed old
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t tmpfs -o mode=755 dev dev
mkdir dev/pts dev/shm
for node in "null 3" "zero 5" "full 7" "random 8" "urandom 9" "tty 5:0"; do
  set -- $node; number=$2; major=${number%:*}; minor=${number#*:}
  [ $major = $number ] && { minor=$major; major=1; }
  mknod -m 666 dev/$1 c $major $minor
done
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
mkdir -p /run/lock /run/resource-agents /run/crm /run/lock/subsys /run/xl2tpd
chown hacluster:haclient /run/crm
until [ -e /bed/$name.wired ]; do sleep 0.02; done
ip link set lo up
sysctl -qw net.ipv4.ip_forward=1
if [ $first = yes ]; then
  rm -rf /var/lib/corosync/* /var/log/corosync/* /var/log/pacemaker/* /var/lib/vpnha/*
  mkdir -p /var/lib/corosync /var/log/corosync /var/log/pacemaker /var/lib/pacemaker/{cib,cores,pengine,blackbox}
  chown -R hacluster:haclient /var/log/pacemaker /var/lib/pacemaker
  chmod 600 /var/lib/pacemaker/cib/cib.xml
  if [ -e /bed/vpnha.deb ]; then
    rm -f /var/lib/man-db/auto-update
    dpkg --force-unsafe-io --install /bed/vpnha.deb >/var/log/vpnha-install.log 2>&1
  fi
  [ ! -e /etc/corosync/device ] || sh -e /etc/corosync/device
fi
if [ -e /etc/bird/gateway ]; then
  # As systemd-tmpfiles and bird.service do at boot.
  sed -n 's/^f .* root root - //p' /bed/tmpfiles | sed 's/\\n/\n/g' >/run/vpnha-bird.conf
  mkdir -p /run/bird
  bird
fi
if [ -e /etc/frr/gateway ]; then
  # As watchfrr does.
  mkdir -p /run/frr
  chown frr:frr /run/frr
  rm -rf /var/tmp/frr
  for daemon in zebra bfdd bgpd; do /usr/lib/frr/$daemon -d -A 127.0.0.1 >/dev/null 2>&1; done
  vtysh -b >/dev/null 2>&1
fi
corosync -f >/var/log/corosync/out 2>&1 </dev/null &
until corosync-cfgtool -s >/dev/null 2>&1; do sleep 0.05; done
if grep -q 'model: net' /etc/corosync/corosync.conf; then
  mkdir -p /run/corosync-qdevice
  corosync-qdevice -f >/var/log/corosync/qdevice 2>&1 </dev/null &
fi
pacemakerd >/var/log/pacemaker/out 2>&1 </dev/null &
exec python3 -c 'import os, signal
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
while signal.sigwait({signal.SIGCHLD}):
    try:
        while os.waitpid(-1, os.WNOHANG)[0]: pass
    except ChildProcessError: pass'
""".replace("SHARE", SHARE)


class Node:
    def __init__(self, bed, name):
        self.bed, self.name, self.number = bed, name, NODES.index(name) + 1
        self.mac = f"02:00:00:00:00:0{self.number}"
        self.place = f"{WORK}/{name}"
        self.process = self.init = self.l2tp = None
        self.switch = threading.RLock()  # a node may be fenced while it boots
        self.booted = 0
        for folder in ("disk", "work", "root"):
            os.makedirs(f"{self.place}/{folder}")
        files = config.gateway_files(name)
        for path, text in {**files, **(config.second_address(files) if bed.two else {})}.items():
            if isinstance(text, str) and "systemd" not in path and "sysctl" not in path and "fence" not in path:
                self.write(path, text)
        for blank in ("var/lib/pacemaker", "var/lib/corosync", "var/log/pacemaker", "var/log/corosync"):
            os.makedirs(f"{self.place}/disk/{blank}", exist_ok=True)
            os.setxattr(f"{self.place}/disk/{blank}", "trusted.overlay.opaque", b"y")
        os.chmod(f"{self.place}/disk/etc/swanctl/swanctl.conf", 0o600)
        os.chmod(f"{self.place}/disk/etc/ppp/chap-secrets", 0o600)
        self.write("/usr/sbin/fence_bed", (HERE / "fence_bed").read_text(), 0o755)
        if bed.quorum:
            # As docs/operations.md has it, but for the certificates, which need pcsd on all three.
            words = re.search(r"^ +pcs (quorum device add .*)$", OPERATIONS.read_text(), re.MULTILINE)[1].replace("host=witness", f"host={WITNESS} tls=off")
            self.write("/etc/corosync/device", f"pcs --force --corosync_conf /etc/corosync/corosync.conf {words}\n")
        if bed.frr:
            self.write("/etc/frr/gateway", "")
            text = (HERE.parent.parent / "Packaging/examples/frr/frr.conf").read_text()
            self.write("/etc/frr/frr.conf", text.replace("10.77.1.254", HOPS[0]).replace("10.77.1.1", config.OUTSIDE[name]).replace("transmit-interval 100", "transmit-interval 100\n  detect-multiplier 20"))
        elif bed.routed:
            self.write("/etc/bird/gateway", "")
            text = (HERE.parent.parent / "Packaging/examples/bird/bird.conf").read_text()
            self.write("/etc/bird/bird.conf", text.replace("10.77.1.254", HOPS[0]).replace("10.77.1.1", config.OUTSIDE[name]).replace("multiplier 3", "multiplier 20"))
        if bed.libreswan:
            self.lay_libreswan()
        if not bed.package:
            shutil.copytree(f"{SHARE}/tree", f"{self.place}/disk", dirs_exist_ok=True)

    def lay_libreswan(self):
        """What Packaging/dependencies unpacked, and the files of docs/libreswan.md."""
        unpacked = HERE.parent.parent / "build/libreswan"
        for part in ("usr/libexec", "usr/lib", "usr/bin", "usr/sbin"):
            shutil.copytree(unpacked / part, f"{self.place}/disk/{part}", dirs_exist_ok=True, symlinks=True)
        page = (HERE.parent.parent / "docs/libreswan.md").read_text()
        # The blocks that are indented by four.
        for path in ("/etc/ipsec.conf", "/etc/ipsec.secrets"):
            block = re.search(rf"^`{path}`[^\n]*:\n\n((?:    .*\n)+)", page, re.MULTILINE)[1]
            self.write(path, re.sub(r"^    ", "", block, flags=re.MULTILINE), 0o600)
        nss = f"{self.place}/disk/var/lib/ipsec/nss"
        os.makedirs(nss)
        subprocess.run([unpacked / "usr/bin/certutil", "-N", "-d", f"sql:{nss}", "--empty-password"], check=True,
                       env={**os.environ, "LD_LIBRARY_PATH": str(unpacked / "usr/lib/x86_64-linux-gnu")})

    def write(self, path, text, mode=0o644):
        file = pathlib.Path(f"{self.place}/disk{path}")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)

    def install(self):
        """The package again, or the programs of the build folder where the package has them; each file in one step."""
        if self.bed.package:
            return self.run("dpkg --force-unsafe-io --install /bed/vpnha.deb")
        return self.run("cd /bed/tree; find . -type f | while read -r file; do cp $file /$file.new; mv /$file.new /$file; done")

    @property
    def on(self):
        return self.process is not None and self.process.poll() is None

    def boot(self):
        with self.switch:
            if self.on:
                return
            wired = pathlib.Path(f"{SHARE}/{self.name}.wired")
            wired.unlink(missing_ok=True)
            first = "no" if self.booted else "yes"
            self.booted += 1
            log = open(f"{self.place}/console", "ab")
            self.process = subprocess.Popen(
                ["unshare", "-n", "-m", "-p", "-f", "-u", "-i", "--kill-child", "bash", "-c", BOOT, "boot", self.name, first, self.place, self.bed.roots[self.name]],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            children = f"/proc/{self.process.pid}/task/{self.process.pid}/children"
            self.init = int(until(f"{self.name} has a first process", 10, lambda: open(children).read().split(), every=0.01)[0])
            until(f"{self.name} has a network of its own", 10, lambda: os.readlink(f"/proc/{self.init}/ns/net") != os.readlink("/proc/self/ns/net"), every=0.01)
            for bridge, nic, mac, address in (("outside", "eth0", self.mac, config.OUTSIDE[self.name]),
                                              ("cluster", "eth1", f"02:00:00:00:01:0{self.number}", config.CLUSTER[self.name])):
                ip("link", "add", f"{self.name}-{nic}", "master", bridge, "type", "veth", "peer", "name", nic, "address", mac, "netns", str(self.init))
                ip("link", "set", f"{self.name}-{nic}", "up")
                inside = ["nsenter", "-t", str(self.init), "-n", "--", "ip"]
                subprocess.run([*inside, "address", "add", f"{address}/24", "dev", nic], check=True)
                subprocess.run([*inside, "link", "set", nic, "up"], check=True)
            subprocess.run([*inside, "route", "add", "default", "via", HOPS[0]], check=True)
            wired.touch()
            for watch in self.bed.watches.values():
                watch.attend(self)

    def cut(self):
        """The plug is pulled: every process of the node ends at once, and its cables carry nothing."""
        with self.switch:
            if not self.on:
                return
            os.kill(self.init, 9)
            for nic in ("eth0", "eth1"):
                subprocess.run(["ip", "link", "delete", f"{self.name}-{nic}"], stderr=subprocess.DEVNULL)
            self.process.wait(20)

    def enter(self, *words):
        return ["nsenter", "-t", str(self.init), "-n", "-m", "-u", "-i", "-p", "--", *words]

    def run(self, command, check=True, timeout=60):
        """Runs a bash command line in the node's root's home."""
        done = subprocess.run(self.enter("bash", "-c", f"cd /root; unset TMPDIR; {command}"), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, timeout=timeout)
        if check and done.returncode != 0:
            raise Failure(f"{self.name}: {command.splitlines()[0]}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def signal(self, daemon, name):
        """To the daemon's processes; says whether there was one."""
        self.bed.died[self.name, daemon] = pids = self.processes(daemon)
        return bool(pids) and self.run(f"kill -{name} {' '.join(pids)} && echo yes", check=False).strip() == "yes"

    def processes(self, daemon):
        """A daemon's pids; an agent of the same name is none of them. The path's resident is an agent's program."""
        if daemon == "prober":
            return self.run("pgrep -xf '/usr/lib/ocf/resource.d/vpnha/probe watch .*'", check=False).split()
        if self.bed.two and daemon.startswith("xl2tpd"):
            return self.run(f"pgrep -f '^/usr/sbin/xl2tpd .*-c /etc/xl2tpd/{daemon}[.]conf'", check=False).split()
        return self.run(f"for pid in $(pgrep -x {PROCESS[daemon]}); do [[ $(readlink /proc/$pid/exe) == */ocf/* ]] || echo $pid; done", check=False).split()

    @contextlib.contextmanager
    def frozen(self, daemon):
        """Meanwhile it hangs, and nothing that /proc says shows it, unlike after SIGSTOP. Its pids."""
        groups = next(words[1] for words in map(str.split, open("/proc/mounts")) if words[2] == "cgroup2")
        for left in pathlib.Path(groups).glob("vpnha-bed-*"):
            try:
                if time.time() - left.stat().st_mtime > 3600:
                    left.rmdir()
            except OSError:
                pass  # another bed's
        freezer = pathlib.Path(tempfile.mkdtemp(prefix="vpnha-bed-", dir=groups))
        pids = self.processes(daemon)
        for pid in pids:
            subprocess.run(["nsenter", "-t", str(self.init), "-p", "--", "sh", "-c", f"echo {pid} >{freezer}/cgroup.procs"], check=True)
        (freezer / "cgroup.freeze").write_text("1")
        try:
            yield pids
        finally:
            (freezer / "cgroup.freeze").write_text("0")
            for pid in (freezer / "cgroup.procs").read_text().split():
                (freezer.parent / "cgroup.procs").write_text(pid)
            until("nothing is in the freezer", 10, lambda: not (freezer / "cgroup.procs").read_text())
            freezer.rmdir()

    def await_end(self, daemon, pids, seconds):
        until(f"what hung of {daemon} is gone", seconds, lambda: not set(pids) & set(self.processes(daemon)))

    def unplug(self, nic):
        ip("link", "set", f"{self.name}-{nic}", "nomaster")

    def plug(self, nic):
        if self.on:
            ip("link", "set", f"{self.name}-{nic}", "master", {"eth0": "outside", "eth1": "cluster"}[nic])

    @property
    def log_file(self):
        return pathlib.Path(f"{self.place}/disk/var/log/pacemaker/pacemaker.log")

    def log(self, lines=40):
        return subprocess.run(["tail", "-n", str(lines), self.log_file], stdout=subprocess.PIPE, text=True).stdout

    def deeds(self, offset):
        """What Pacemaker decided here, and which actions did not succeed, since its log had that size."""
        return [line for line in self._logged(offset, "Actions: ", "Result of ") if ": ok" not in line.lower() and "Actions: Leave" not in line]

    def troubles(self, offset):
        """What Pacemaker's own daemons met, since its log had that size: why a node was fenced that should not have been."""
        return self._logged(offset, "error: ", "crit: ", " exited with ", " terminated with ", "unresponsive")

    def _logged(self, offset, *marks):
        with open(self.log_file, "rb") as log:
            log.seek(offset)
            lines = log.read().decode(errors="replace").splitlines()
        return [f"{line[7:15]} {self.name}: {line[min(map(line.index, found)):].strip()}" for line in lines if (found := [mark for mark in marks if mark in line])]


class Power(threading.Thread):
    """Does what the fence agents ask for, and says so when it is done."""

    def __init__(self, nodes):
        super().__init__(daemon=True)
        self.nodes, self.done, self.asked = nodes, [], []
        os.makedirs(f"{SHARE}/fence")

    def run(self):
        while True:
            for request in pathlib.Path(f"{SHARE}/fence").glob("*.request"):
                name = request.name.split(".")[0]
                self.asked.append(time.monotonic())
                self.nodes[name].cut()
                self.done.append((time.monotonic(), name))
                request.rename(request.with_suffix(".off"))
            time.sleep(0.02)


class Bed:
    """Both nodes, what is around them, and whoever watches."""

    def __init__(self, package, build, log, quorum=False, routed=False, roots=("/", "/"), two=False, libreswan=False, frr=False):
        self.package, self.log, self.quorum, self.routed, self.warm, self.two, self.libreswan, self.frr, self.died = package, log, quorum, routed, True, two, libreswan, frr, {}
        self.roots = dict(zip(NODES, roots))
        self.began = time.monotonic()
        os.makedirs(SHARE)
        os.chmod(SHARE, 0o777)
        if package:
            shutil.copy2(package, f"{SHARE}/vpnha.deb")
        else:
            for program, folder in [(agent, "usr/lib/ocf/resource.d/vpnha") for agent in AGENTS] + [
                    ("vpnha-alert", "usr/libexec/vpnha"), ("vpnha-ledger", "usr/libexec/vpnha"), ("vpnha", "usr/sbin")]:
                os.makedirs(f"{SHARE}/tree/{folder}", exist_ok=True)
                shutil.copy2(f"{build}/{program}", f"{SHARE}/tree/{folder}/{program}")
        for bridge in ("outside", "cluster"):
            ip("link", "add", bridge, "address", "02:00:00:00:00:ff", "type", "bridge", "forward_delay", "0", "mcast_snooping", "0")
            ip("link", "set", bridge, "up")
        for address in (*HOPS, config.OUTSIDE["lab"]):
            ip("address", "add", f"{address}/24", "dev", "outside")
        ip("address", "add", f"{REMOTE}/32", "dev", "outside")
        if quorum:
            ip("address", "add", f"{WITNESS}/32", "dev", "outside")
            self.watch_votes()
        if routed:
            self.start_router()
        Watch.play_remote()
        self.watch = Watch()
        # Of each address, by the VPN's name in the cluster.
        self.watches = {"vpn": self.watch, **({"vpn-b": Watch(config.VIP_B)} if two else {})}
        self.nodes = {name: Node(self, name) for name in NODES}
        self.power = Power(self.nodes)
        self.power.start()

    def watch_votes(self):
        """The third machine's part of a quorum device."""
        os.makedirs("/run/corosync-qnetd", exist_ok=True)
        self.witness = subprocess.Popen(["corosync-qnetd", "-f", "-s", "off", "-l", WITNESS], stdin=subprocess.DEVNULL)

    def start_router(self):
        """The next hop learns by BGP which node has the address: whoever asks the gateway goes there, or nowhere."""
        shutil.copy2(HERE.parent.parent / "Packaging/debian/vpnha.tmpfiles", f"{SHARE}/tmpfiles")
        sessions = "".join(f"protocol bgp to_{name} from gateways {{ neighbor {config.OUTSIDE[name]} as 65001; }}\n" for name in NODES)
        pathlib.Path(f"{WORK}/router.conf").write_text(f"""router id {HOPS[0]};
protocol device {{ scan time 10; }}
protocol kernel {{ ipv4 {{ import none; export all; }}; }}
protocol bfd {{ interface "outside" {{ min rx interval 100 ms; min tx interval 100 ms; multiplier 20; }}; }}
template bgp gateways {{ local {HOPS[0]} as 65000; passive; bfd on; error wait time 1, 5; ipv4 {{ import all; export none; }}; ipv6 {{ import all; next hop address fe80::1; export none; }}; }}
{sessions}""")
        self.router = subprocess.Popen(["bird", "-f", "-c", f"{WORK}/router.conf", "-s", f"{WORK}/router.ctl", "-P", f"{WORK}/router.pid"], stdin=subprocess.DEVNULL)

    def announced_by(self):
        """The node to which the router sends what is for the address."""
        route = subprocess.run(["ip", "route", "show", f"{config.VIP}/32"], stdout=subprocess.PIPE, text=True).stdout.split()
        return next((name for name in NODES if config.OUTSIDE[name] in route), None)

    def say(self, text):
        print(f"[{time.monotonic() - self.began:6.1f} s] {text}", flush=True)

    def start(self):
        for node in self.nodes.values():
            node.boot()
        until("both nodes are online in the cluster", 60, lambda: (view := self.view()) and view.online == set(NODES))

    def view(self):
        """As a node that is on sees it; None while none can say."""
        for node in self.nodes.values():
            if node.on:
                try:
                    return View(node.run("crm_mon -1rfA --output-as=xml", timeout=10))
                except (Failure, ElementTree.ParseError, subprocess.TimeoutExpired):
                    pass  # it is starting, or dying
        return None

    # Who serves

    def attributes(self, name):
        """Its values, one for each node that has it."""
        view = self.view()
        return [value for (its, _), value in sorted(view.attributes.items()) if its == name] if view else []

    def serving(self, vpn="vpn"):
        """The node that answers for the address, as is seen from outside, if the cluster means it as well."""
        number, view = self.watches[vpn].serving(), self.view()
        name = number and NODES[number - 1]
        members = [f"vip{vpn[3:]}", f"xl2tpd{vpn[3:]}"] if self.two else ["vip", "libreswan" if self.libreswan else "strongswan", "xl2tpd"] + ["conntrackd"] * self.warm
        if name and view and all(view.where(member, "Promoted" if self.warm else "Started") == [name] for member in members):
            return self.nodes[name]
        return None

    def part(self):
        """Each address on a node of its own, as README has it typed."""
        here, there = self.places()
        if self.await_serving(30, vpn="vpn-b")[0] is here:
            here.run(f"pcs resource move vpn-b-clone {there.name} --promoted")
            self.await_serving(30, there, "vpn-b")

    def peer(self, node):
        return next(other for other in self.nodes.values() if other is not node)

    def await_serving(self, seconds, expected=None, vpn="vpn"):
        """Waits until a node serves (that one, if one is expected); it and its peer."""
        what = f"{expected.name if expected else 'somebody'} serves" + (f" {self.watches[vpn].address}" if self.two else ", with conntrackd" if self.warm else "")
        node = until(what, seconds, lambda: (node := self.serving(vpn)) and (expected in (None, node)) and node)
        return node, self.peer(node)

    def places(self):
        return self.await_serving(30)

    def await_whole(self, seconds, boots=False):
        """Waits until one node serves and the other one could, by the cluster's own means; says what is missing. `boots`: a node
        that is off is switched on."""
        missing = []

        def whole():
            for node in self.nodes.values() if boots else ():
                node.boot()
            missing[:] = self._missing()
            return not missing
        try:
            until("the pair is whole", seconds, whole)
        except Failure:
            raise Failure(f"after {seconds} s the pair is not whole: {'; '.join(missing)}") from None

    def await_recovered(self, seconds):
        """Waits until no promotion score tells of a failure or a risk any more; says which does, and why."""
        told = {}

        def recovered():
            told.clear()
            attributes = self.view().attributes
            told.update({key: value for key, value in attributes.items() if key[0].startswith("vpnha-risk-") or (key[0].startswith("master-") and int(value) < 100)})
            return not any(name.startswith("master-") for name, _ in told) and attributes
        try:
            until("every promotion score is whole", seconds, recovered)
        except Failure:
            raise Failure(f"after {seconds} s: " + "; ".join(f"{name} on {node} is {value}" for (name, node), value in told.items())) from None

    def _missing(self):
        view, serving = self.view(), self.serving()
        if not view or not serving:
            return ["nobody serves"]
        if view.online != set(NODES):
            return [f"online: {', '.join(view.online)}"]
        if self.two:
            return self._missing_of_two(view)
        warm = ("vip", "strongswan", "xl2tpd", "conntrackd") if self.warm else ()
        if "sessions" in view.roles:
            # The VPN serves without it, and it follows.
            warm += ("sessions",)
        if self.routed:
            warm += ("announce",)
        missing = [f"{member} is not a standby on {self.peer(serving).name}" for member in warm
                   if view.where(member, "Unpromoted") != [self.peer(serving).name]]
        if "sessions" in warm and view.where("sessions", "Promoted") != [serving.name]:
            missing.append(f"sessions is not promoted on {serving.name}")
        if self.routed and (self.announced_by(), view.where("announce", "Promoted")) != (serving.name, [serving.name]):
            missing.append(f"the router sends to {self.announced_by()}, not to {serving.name}")
        return missing + self._amiss(view, "firewall", "path")

    def _missing_of_two(self, view):
        missing = []
        for vpn in self.watches:
            if serving := self.serving(vpn):
                missing += [f"{member}{vpn[3:]} is not a standby on {self.peer(serving).name}" for member in ("vip", "xl2tpd")
                            if view.where(f"{member}{vpn[3:]}", "Unpromoted") != [self.peer(serving).name]]
            else:
                missing.append(f"nobody serves {self.watches[vpn].address}")
        return missing + self._amiss(view, "firewall", "path", "strongswan")

    def _amiss(self, view, *everywhere):
        """What should be on both nodes and is not, and what waits for a person."""
        missing = [f"{member} is not on both nodes" for member in everywhere if member in view.roles and len(view.where(member, "Started")) != 2]
        missing += [f"{resource} has failed for good on {node}" for (resource, node), count in view.fails.items() if count in ("INFINITY", "1000000")]
        return missing + [f"blocked: {name}" for name in view.blocked] + [f"ban: {name}" for name in view.bans]

    def await_recovery(self, node, daemon):
        """Waits until the death of a daemon was noticed: another process of it runs. A group may start it on the other node."""
        before = self.died.pop((node.name, daemon))
        places = (node,) if self.warm else self.nodes.values()

        def runs():
            now = [pid for place in places for pid in place.processes(daemon)]
            return now and not set(now) & set(before)
        until(f"{daemon} runs again after it ended on {node.name}", 60, runs)

    def move(self, node):
        """A planned move, and the constraint that it leaves is taken away."""
        what = "vpn-clone --promoted" if self.warm else "vpn"
        node.run(f"crm_resource --resource {what} --move --node {node.name}")
        self.await_serving(30, node)
        node.run(f"crm_resource --resource {what} --clear")

    def block(self, node):
        """Nothing that the node's path probe asks reaches the world."""
        source = config.OUTSIDE[node.name]
        subprocess.run(["nft", "add table inet bed; add chain inet bed c { type filter hook input priority 0; };"
                        f"add rule inet bed c ip saddr {source} icmp type echo-request drop;"
                        f"add rule inet bed c ip saddr {source} ip daddr {REMOTE} drop"], check=True)

    def unblock(self):
        subprocess.run(["nft", "delete table inet bed"], check=True)

    def await_alone(self, node):
        """Waits until the cluster knows that the other node is off: that takes a fence."""
        until(f"{node.name} is alone", 30, lambda: not self.peer(node).on and (view := self.view()) and view.online == {node.name}
              and not view.unclean)

    def describe(self, headline):
        """To the log: what each node says, and the last that its Pacemaker did."""
        with open(self.log, "a") as log:
            print(f"==== {headline}", file=log)
            for node in self.nodes.values():
                print(f"== {node.name}, {'on' if node.on else 'off'}", file=log)
                if node.on:
                    print(node.run("crm_mon -1rfA 2>&1; ip -4 address show dev eth0", check=False), file=log)
                print(node.log(150), file=log)


class View:
    """What crm_mon says at one moment."""

    def __init__(self, text):
        root = ElementTree.fromstring(text)
        nodes = list(root.iterfind("nodes/node"))
        self.unclean = [node.get("name") for node in nodes if node.get("unclean") == "true"]
        # One that came back before the fence that it still owes is "online" as well, and will be fenced.
        self.online = {node.get("name") for node in nodes if node.get("online") == "true" and node.get("pending") == "false"} - {*self.unclean}
        dc = root.find("summary/current_dc")
        self.dc = dc.get("name") if dc is not None else None
        self.roles = {}  # resource -> {node: role}
        self.blocked = [resource.get("id") for resource in root.iter("resource")
                        if resource.get("blocked") == "true" or resource.get("managed") != "true"]
        for resource in root.iter("resource"):
            found = self.roles.setdefault(resource.get("id").split(":")[0], {})
            if resource.get("active") == "true":
                found.update((node.get("name"), resource.get("role")) for node in resource.iterfind("node"))
        self.failures = [f"{failure.get('op_key') or failure.get('id')} on {failure.get('node')}: {failure.get('exitstatus')} "
                         f"({failure.get('exitreason')})" for failure in root.iterfind("failures/failure")]
        self.fails = {(history.get("id").split(":")[0], node.get("name")): history.get("fail-count")
                      for node in root.iterfind("node_history/node") for history in node.iterfind("resource_history")
                      if history.get("fail-count") not in (None, "0")}
        self.bans = [ban.get("id") for ban in root.iterfind("bans/ban") if ban.get("id").startswith("cli-")]
        self.attributes = {(attribute.get("name"), node.get("name")): attribute.get("value")
                           for node in root.iterfind("node_attributes/node") for attribute in node.iterfind("attribute")}

    def where(self, resource, role):
        return [node for node, its in self.roles.get(resource, {}).items() if its == role]
