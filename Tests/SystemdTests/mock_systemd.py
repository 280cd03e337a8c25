#!/usr/bin/env python3
"""A system bus with systemd1 on it, for one client at a time: mock_systemd.py SOCKET LOG

What a unit does is in its name: fast, slow, hang, failing, masked, absent, silent, drop, anything else.
Every method call is appended to LOG. Speaks the D-Bus protocol itself, so that the order of a reply and of the
signal that belongs to it, silence and a broken connection are the test's to choose.
"""
import os
import socket
import struct
import sys
import threading

CALL, RETURN, ERROR, SIGNAL = 1, 2, 3, 4
PATH, INTERFACE, MEMBER, ERROR_NAME, REPLY_SERIAL, DESTINATION, SENDER, SIGNATURE = range(1, 9)


class Writer:
    def __init__(self):
        self.bytes = b""

    def align(self, size):
        self.bytes += b"\0" * (-len(self.bytes) % size)

    def put(self, kind, value):
        if kind in "us":
            self.align(4)
        if kind == "u" or kind == "b":
            self.align(4)
            self.bytes += struct.pack("<I", value)
        elif kind in "so":
            self.align(4)
            self.bytes += struct.pack("<I", len(value)) + value.encode() + b"\0"
        elif kind == "g":
            self.bytes += bytes([len(value)]) + value.encode() + b"\0"
        elif kind == "v":
            self.put("g", value[0])
            self.put(value[0], value[1])


class Reader:
    def __init__(self, data, at=0):
        self.data, self.at = data, at

    def align(self, size):
        self.at += -self.at % size

    def get(self, kind):
        if kind == "y":
            self.at += 1
            return self.data[self.at - 1]
        if kind == "u":
            self.align(4)
            self.at += 4
            return struct.unpack_from("<I", self.data, self.at - 4)[0]
        size = self.get("y") if kind == "g" else self.get("u")
        self.at += size + 1
        return self.data[self.at - size - 1:self.at - 1].decode()


class Client:
    def __init__(self, connection, log):
        self.connection, self.log, self.serial, self.jobs = connection, log, 0, 0
        self.lock = threading.Lock()

    def lines(self):
        """The SASL part of the protocol."""
        buffered = b""
        while True:
            while b"\r\n" not in buffered:
                part = self.connection.recv(4096)
                if not part:
                    return None
                buffered += part
            line, buffered = buffered.split(b"\r\n", 1)
            line = line.lstrip(b"\0")
            if line == b"AUTH EXTERNAL":
                self.connection.sendall(b"DATA\r\n")
            elif line.startswith(b"AUTH EXTERNAL") or line.startswith(b"DATA"):
                self.connection.sendall(b"OK 0123456789abcdef0123456789abcdef\r\n")
            elif line == b"NEGOTIATE_UNIX_FD":
                self.connection.sendall(b"AGREE_UNIX_FD\r\n")
            elif line == b"BEGIN":
                return buffered
            else:
                self.connection.sendall(b"ERROR\r\n")

    def send(self, kind, fields, signature="", values=()):
        body = Writer()
        for code, value in zip(signature, values):
            body.put(code, value)
        with self.lock:
            self.serial += 1
            types = {PATH: "o", INTERFACE: "s", MEMBER: "s", ERROR_NAME: "s", REPLY_SERIAL: "u", DESTINATION: "s",
                     SENDER: "s", SIGNATURE: "g"}
            fields = dict(fields, **{})
            fields[SENDER] = ":1.0"
            if signature:
                fields[SIGNATURE] = signature
            array = Writer()
            for code, value in fields.items():
                array.align(8)
                array.bytes += bytes([code])
                array.put("v", (types[code], value))
            head = struct.pack("<cBBBIII", b"l", kind, 0, 1, len(body.bytes), self.serial, len(array.bytes)) + array.bytes
            head += b"\0" * (-len(head) % 8)
            try:
                self.connection.sendall(head + body.bytes)
            except OSError:
                pass

    def reply(self, call, signature="", *values):
        self.send(RETURN, {REPLY_SERIAL: call["serial"]}, signature, values)

    def fail(self, call, name, message):
        self.send(ERROR, {REPLY_SERIAL: call["serial"], ERROR_NAME: name}, "s", (message,))

    def job_removed(self, number, unit, result):
        self.send(SIGNAL, {PATH: "/org/freedesktop/systemd1", INTERFACE: "org.freedesktop.systemd1.Manager",
                           MEMBER: "JobRemoved"}, "uoss", (number, f"/org/freedesktop/systemd1/job/{number}", unit, result))

    def messages(self, buffered):
        while True:
            def need(size):
                nonlocal buffered
                while len(buffered) < size:
                    part = self.connection.recv(65536)
                    if not part:
                        raise EOFError
                    buffered += part
            need(16)
            length, serial, fields = struct.unpack_from("<III", buffered, 4)
            start = 16 + fields + (-fields % 8)
            need(start + length)
            message = {"kind": buffered[1], "serial": serial, "body": buffered[start:start + length]}
            reader = Reader(buffered[:16 + fields], 16)
            while reader.at < 16 + fields:
                reader.align(8)
                code = reader.get("y")
                message[code] = reader.get(reader.get("g"))
            buffered = buffered[start + length:]
            yield message

    def serve(self):
        buffered = self.lines()
        if buffered is None:
            return
        try:
            for message in self.messages(buffered):
                if message["kind"] == CALL:
                    self.handle(message)
        except (EOFError, OSError):
            pass
        self.connection.close()

    def handle(self, call):
        member = call[MEMBER]
        reader = Reader(call["body"])
        words = [reader.get(code) for code in call.get(SIGNATURE, "") if code in "sog"]
        if member != "Hello":
            with open(self.log, "a") as log:
                log.write(" ".join([member] + words + ([call[PATH]] if member == "Cancel" else [])) + "\n")
        method = getattr(self, "do_" + member, None)
        if method:
            method(call, *words)
        else:
            self.fail(call, "org.freedesktop.DBus.Error.UnknownMethod", f"no {member}")

    def do_Hello(self, call):
        self.reply(call, "s", ":1.7")

    def do_AddMatch(self, call, rule):
        self.reply(call)

    do_RemoveMatch = do_AddMatch

    def do_Subscribe(self, call):
        self.reply(call)

    def do_Reload(self, call):
        if os.path.exists(self.log + ".refuse-reload"):
            self.fail(call, "org.freedesktop.DBus.Error.AccessDenied", "Permission denied")
        else:
            self.reply(call)

    def do_ResetFailedUnit(self, call, unit):
        if unit.startswith("absent"):
            self.fail(call, "org.freedesktop.systemd1.NoSuchUnit", f"Unit {unit} not loaded.")
        else:
            self.reply(call)

    def do_LoadUnit(self, call, unit):
        if unit.startswith("silent"):
            return
        self.reply(call, "o", "/org/freedesktop/systemd1/unit/" + unit.replace(".", "_2e").replace("-", "_2d"))

    def do_Get(self, call, interface, name):
        unit = call[PATH].rsplit("/", 1)[1].replace("_2e", ".").replace("_2d", "-")
        absent = unit.startswith("absent")
        values = {
            "LoadState": ("s", "not-found" if absent else "masked" if unit.startswith("masked") else "loaded"),
            "ActiveState": ("s", "inactive" if absent else "active"),
            "FragmentPath": ("s", "" if absent else "/run/systemd/generator.late/" + unit if unit.startswith("init")
                             else "/lib/systemd/system/" + unit),
            "SubState": ("s", "dead" if absent else "auto-restart" if unit.startswith("looping") else "running"),
            "MainPID": ("u", 0 if absent else 4711),
            "NRestarts": ("u", 7 if unit.startswith("looping") else 0),
            "NeedDaemonReload": ("b", int(os.path.exists(self.log + ".stale"))),
        }
        if name in values:
            self.reply(call, "v", values[name])
        else:
            self.fail(call, "org.freedesktop.DBus.Error.UnknownProperty", f"no {name}")

    def do_StartUnit(self, call, unit, mode):
        if unit.startswith("absent"):
            return self.fail(call, "org.freedesktop.systemd1.NoSuchUnit", f"Unit {unit} not found.")
        if unit.startswith("masked"):
            return self.fail(call, "org.freedesktop.systemd1.UnitMasked", f"Unit {unit} is masked.")
        if unit.startswith("silent"):
            return None
        if unit.startswith("drop"):
            return self.connection.shutdown(socket.SHUT_RDWR)
        self.jobs += 1
        number, result = self.jobs, "failed" if unit.startswith("failing") else "done"
        # Other units' jobs end all the time.
        self.job_removed(900 + number, "other.service", "failed")
        if unit.startswith("fast"):
            self.job_removed(number, unit, result)
        self.reply(call, "o", f"/org/freedesktop/systemd1/job/{number}")
        if unit.startswith("slow"):
            threading.Timer(0.3, self.job_removed, (number, unit, result)).start()
        elif not unit.startswith(("fast", "hang")):
            self.job_removed(number, unit, result)

    do_StopUnit = do_StartUnit

    def do_Cancel(self, call):
        self.reply(call)


def main():
    path, log = sys.argv[1:]
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path + ".new")
    listener.listen()
    os.rename(path + ".new", path)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=Client(connection, log).serve, daemon=True).start()


main()
