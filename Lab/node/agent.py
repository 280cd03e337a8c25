"""The lab's hand inside a node: runs commands, follows files and pings, and tells the host over a serial line.

One JSON object a line. From the host: {"id", "run": [...], "timeout"} | {"follow": path} | {"ping": address, "every"} |
{"answer": path, "text"}. To the host: {"id", "status", "output"} | {"line", "file"} | {"pong": address} | {"fence": name,
"answer": path} | {"ready": true}.
A serial line, because it works before the network is up, when cables are pulled, and costs no process.
"""

import json
import os
import select
import socket
import struct
import subprocess
import threading
import time
import tty

ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}
FENCE = "/run/lab/fence"

line = os.open("/dev/ttyS0", os.O_RDWR | os.O_NOCTTY)
tty.setraw(line)
writing = threading.Lock()


def tell(**message):
    data = (json.dumps(message) + "\n").encode()
    with writing:
        while data:
            data = data[os.write(line, data):]


def run(request):
    try:
        done = subprocess.run(request["run"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=request["timeout"], env=ENVIRONMENT, cwd="/")
        status, output = done.returncode, done.stdout
    except subprocess.TimeoutExpired as late:
        status, output = None, late.stdout or b""
    except OSError as error:
        status, output = 127, str(error).encode()
    tell(id=request["id"], status=status, output=output.decode(errors="replace")[-60000:])


def follow(path):
    """New lines of a file that may not exist yet; what is there already is not told."""
    place, rest = (os.path.getsize(path) if os.path.exists(path) else 0), b""
    while True:
        try:
            with open(path, "rb") as file:
                file.seek(place)
                data = file.read()
        except FileNotFoundError:
            data = b""
        place += len(data)
        *lines, rest = (rest + data).split(b"\n")
        for text in lines:
            tell(line=text.decode(errors="replace"), file=path)
        time.sleep(0.05)


def ping(address, every):
    """One echo request after another; each reply is told. Sending fails while there is no route: that is just no reply."""
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    number = 0
    while True:
        number = (number + 1) & 0xFFFF
        body = struct.pack("!BBHHH", 8, 0, 0, 0x1AB, number) + b"vpnha lab"
        padded = body + b"\0" * (len(body) % 2)
        total = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
        total = (total & 0xFFFF) + (total >> 16)
        total = ~(total + (total >> 16)) & 0xFFFF
        try:
            raw.sendto(body[:2] + struct.pack("!H", total) + body[4:], (address, 0))
        except OSError:
            pass
        until = time.monotonic() + every
        while (left := until - time.monotonic()) > 0:
            if not select.select([raw], [], [], left)[0]:
                break
            packet, (source, _) = raw.recvfrom(2048)
            start = (packet[0] & 15) * 4
            kind, _, _, ident, sequence = struct.unpack_from("!BBHHH", packet, start)
            if (kind, ident, sequence, source) == (0, 0x1AB, number, address):
                tell(pong=address)


def fence():
    """The fence agent writes "PEER ANSWER-FIFO" here; the host pulls the plug and answers."""
    os.makedirs(os.path.dirname(FENCE), exist_ok=True)
    if not os.path.exists(FENCE):
        os.mkfifo(FENCE)
    requests = os.fdopen(os.open(FENCE, os.O_RDWR), "r")
    for request in requests:
        peer, answer = request.split()
        tell(fence=peer, answer=answer)


def answer(path, text):
    with open(path, "w") as fifo:
        fifo.write(text + "\n")


def in_background(work, *arguments):
    threading.Thread(target=work, args=arguments, daemon=True).start()


in_background(fence)
tell(ready=True)
pending = b""
while True:
    pending += os.read(line, 65536)
    *requests, pending = pending.split(b"\n")
    for text in requests:
        request = json.loads(text)
        if "run" in request:
            in_background(run, request)
        elif "follow" in request:
            in_background(follow, request["follow"])
        elif "ping" in request:
            in_background(ping, request["ping"], request["every"])
        elif "answer" in request:
            in_background(answer, request["answer"], request["text"])
