"""Virtual machines and their cables: User-Mode-Linux kernels that share the host's own tree, wired with bridges and taps."""

import json
import os
import queue
import shutil
import signal
import socket
import subprocess
import threading
import time

from sandbox import ROOT, WORK

HERE = os.path.dirname(os.path.abspath(__file__))


class Failure(Exception):
    """Something the lab expected did not happen; the text says what."""


def tell(story):
    """Plays a story that can say, play and describe itself; the exit status says whether it worked."""
    try:
        story.play()
        story.say("it worked")
        return 0
    except Failure as failure:
        story.say(f"FAILED: {failure}")
        story.describe()
        print(f"\nFAILED: {failure}", flush=True)
        return 1


def until(sentence, seconds, condition, every=0.25):
    """Waits until condition() is true and returns what it returned; says what was awaited when time runs out."""
    deadline = time.monotonic() + seconds
    while True:
        if found := condition():
            return found
        if time.monotonic() > deadline:
            raise Failure(f"after {seconds:g} s still not true: {sentence}")
        time.sleep(every)


def ip(*words):
    subprocess.run(["ip", *words], check=True)


class Bridge:
    """One network segment. The lab itself may have an address on it."""

    def __init__(self, name, address=None):
        self.name = name
        ip("link", "add", name, "type", "bridge", "forward_delay", "0", "mcast_snooping", "0")
        if address:
            ip("address", "add", address, "dev", name)
        ip("link", "set", name, "up")


class Reply:
    def __init__(self, status, output):
        self.status, self.output = status, output


class Node:
    """A virtual machine. `cables` maps an interface's name inside to (bridge, address/prefix)."""

    def __init__(self, name, cables, files, modules=(), systemd=False, memory="512M"):
        self.name, self.cables, self.systemd, self.memory = name, cables, systemd, memory
        self.share = f"{WORK}/{name}"
        self.process = None
        self.on_fence = lambda node, peer: False
        self._listeners = {}  # ("line", path) or ("pong", address) -> function of (time, text)
        self._replies, self._number = {}, 0
        self._lock = threading.Lock()
        self._write_files(files, modules)
        for nic in cables:
            ip("tuntap", "add", self._tap(nic), "mode", "tap")
            ip("link", "set", self._tap(nic), "up")
            self.plug(nic)

    # Power

    def boot(self, target="lab.target"):
        """Power on. Returns once the node's agent answers (about three seconds)."""
        ours, theirs = socket.socketpair()
        self._ready = threading.Event()
        wires = [f"vec{n}:transport=tap,ifname={self._tap(nic)},depth=128,gro=0" for n, nic in enumerate(self.cables)]
        with open(f"{self.share}/console", "ab") as console:
            self.process = subprocess.Popen(
                ["linux.uml", f"mem={self.memory}", "root=/dev/root", "rootfstype=hostfs", f"rootflags={ROOT}", "ro",
                 f"init={WORK}/init.sh", f"umid={self.name}", f"uml_dir={WORK}/uml", "con=null", "con0=null,fd:1",
                 f"ssl0=fd:{theirs.fileno()},fd:{theirs.fileno()}", "quiet", f"systemd.unit={target}",
                 f"LAB_NODE={self.name}", f"LAB_SHARE={self.share}", f"LAB_SYSTEMD={'yes' if self.systemd else 'no'}",
                 *wires],
                pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=console, stderr=subprocess.STDOUT,
                start_new_session=True, env={"PATH": os.environ["PATH"], "TMPDIR": "/dev/shm"})
        theirs.close()
        os.setpriority(os.PRIO_PROCESS, self.process.pid, -5)  # token timeouts are short, other work on the machine may wait
        self._line = ours
        threading.Thread(target=self._listen, args=(ours,), daemon=True).start()
        if not self._ready.wait(60):
            raise Failure(f"{self.name} did not boot; its console ends with:\n{self.console()}")

    @property
    def on(self):
        return self.process is not None and self.process.poll() is None

    def pull_plug(self):
        """Power off, at once. Returns the moment it happened."""
        moment = time.monotonic()
        if self.on:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        return moment

    def freeze(self):
        os.kill(self.process.pid, signal.SIGSTOP)

    def thaw(self):
        os.kill(self.process.pid, signal.SIGCONT)

    # Cables

    def _tap(self, nic):
        return f"{self.name}-{nic}"

    def plug(self, nic):
        ip("link", "set", self._tap(nic), "master", self.cables[nic][0].name)

    def unplug(self, nic):
        ip("link", "set", self._tap(nic), "nomaster")

    # Commands and what the node tells

    def run(self, *command, timeout=30, check=True):
        """Runs a command (a single word containing spaces is shell text) and returns status and output."""
        words = ["sh", "-c", command[0]] if len(command) == 1 and " " in command[0] else list(command)
        with self._lock:
            self._number += 1
            number, box = self._number, queue.Queue()
            self._replies[number] = box
        self._send(id=number, run=words, timeout=timeout)
        try:
            message = box.get(timeout=timeout + 10)
        except queue.Empty:
            message = None
        if message is None:
            raise Failure(f"{self.name} is {'not answering' if self.on else 'off'}: {' '.join(command)}")
        reply = Reply(message["status"], message["output"])
        if check and reply.status != 0:
            ended = "timed out" if reply.status is None else f"ended with {reply.status}"
            raise Failure(f"on {self.name}: {' '.join(command)} {ended}\n{reply.output.rstrip()}")
        return reply

    def follow(self, path, listener):
        """Calls listener(moment, text) for every line that is added to a file in the node."""
        self._listeners["line", path] = listener
        self._send(follow=path)

    def ping(self, address, listener, every=0.2):
        """Pings from inside the node for ever; calls listener(moment, address) for every reply."""
        self._listeners["pong", address] = listener
        self._send(ping=address, every=every)

    def console(self, lines=25):
        with open(f"{self.share}/console", errors="replace") as file:
            return "".join(file.readlines()[-lines:])

    def _send(self, **message):
        try:
            self._line.sendall((json.dumps(message) + "\n").encode())
        except OSError:
            raise Failure(f"{self.name} is off") from None

    def _listen(self, line):
        pending = b""
        while True:
            try:
                data = line.recv(65536)
            except OSError:
                data = b""
            moment = time.monotonic()
            if not data:
                break
            *messages, pending = (pending + data).split(b"\n")
            for text in messages:
                try:
                    self._hear(moment, json.loads(text))
                except ValueError:
                    pass  # half a line, cut off with the power
        for box in list(self._replies.values()):
            box.put(None)

    def _hear(self, moment, message):
        if "id" in message:
            self._replies.pop(message["id"]).put(message)
        elif "ready" in message:
            self._ready.set()
        elif "line" in message:
            self._listeners["line", message["file"]](moment, message["line"])
        elif "pong" in message:
            self._listeners["pong", message["pong"]](moment, message["pong"])
        elif "fence" in message:
            off = self.on_fence(self, message["fence"])
            self._send(answer=message["answer"], text="off" if off else "on")

    # Files

    def _write_files(self, files, modules):
        os.makedirs(self.share)
        write_tree(f"{self.share}/files", {
            "/etc/fstab": "",
            "/etc/hostname": self.name + "\n",
            "/etc/machine-id": self.name.encode().hex().ljust(32, "0")[:32] + "\n",
            **files,
        })
        os.makedirs(f"{self.share}/files/run/lab")
        shutil.copy(f"{HERE}/node/agent.py", f"{self.share}/files/run/lab/agent.py")
        lines = ["link set lo up"]
        for number, (nic, (_, address)) in enumerate(self.cables.items()):
            lines += [f"link set vec{number} name {nic}", f"address add {address} dev {nic}", f"link set {nic} up"]
        write_tree(self.share, {"/network": "".join(line + "\n" for line in lines), "/modules": " ".join(modules)})


def write_tree(root, files):
    """Writes {path: text} under root; #! makes a program, a path ending in / a directory, “secret” a private file."""
    for path, text in files.items():
        place = root + path
        if path.endswith("/"):
            os.makedirs(place, exist_ok=True)
            continue
        os.makedirs(os.path.dirname(place), exist_ok=True)
        if isinstance(text, Link):
            os.symlink(text.target, place)
            continue
        with open(place, "w") as file:
            file.write(text)
        os.chmod(place, 0o755 if text.startswith("#!") else 0o600 if "secret" in path or path.endswith(".key") else 0o644)


class Link:
    def __init__(self, target):
        self.target = target


def prepare():
    """What all nodes share: the first process and a module tree that exists whatever kernel the host runs."""
    shutil.copy(f"{HERE}/node/init.sh", f"{WORK}/init.sh")
    os.chmod(f"{WORK}/init.sh", 0o755)
    os.makedirs(f"{WORK}/lib")
    os.symlink("/usr/lib/uml/modules", f"{WORK}/lib/modules")
