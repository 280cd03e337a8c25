"""A charon of words alone: answers `stats` and `list-sas` on a VICI socket as one with COUNT IKE SAs would.

    charon.py SOCKET COUNT
"""

import socket
import struct
import sys
import threading


def value(key, text):
    return b"\x03" + bytes([len(key)]) + key.encode() + struct.pack("!H", len(text)) + text.encode()


def section(name, *parts):
    return b"\x01" + bytes([len(name)]) + name.encode() + b"".join(parts) + b"\x02"


def named_list(key, *items):
    rows = b"".join(b"\x05" + struct.pack("!H", len(item)) + item.encode() for item in items)
    return b"\x04" + bytes([len(key)]) + key.encode() + rows + b"\x06"


def segment(*parts):
    payload = b"".join(parts)
    return struct.pack("!I", len(payload)) + payload


def answer(request, count):
    kind, name = request[0], request[2:2 + request[1]].decode()
    if kind in (3, 4):  # an event, wanted or not any more
        return segment(b"\x05")
    if name == "stats":
        return segment(b"\x01", section("workers", value("total", "16"), value("idle", "11")),
                       section("ikesas", value("total", str(count)), value("half-open", "0")))
    if name == "get-conns":
        return segment(b"\x01", named_list("conns", "l2tp"))
    if name == "get-shared":
        return segment(b"\x01", named_list("keys", "ike-l2tp"))
    if name == "list-conns":
        child = section("children", section("l2tp", value("mode", "TRANSPORT"), named_list("local-ts", "dynamic[udp/l2f]")))
        connection = section("l2tp", named_list("local_addrs", "203.0.113.50"), named_list("remote_addrs", "%any"), value("version", "IKEv1"), child)
        return segment(b"\x07\x09list-conn", connection) + segment(b"\x01")
    if name == "list-sas":
        row = [value("version", "1"), value("state", "ESTABLISHED"), value("local-host", "192.0.2.1")]
        rows = (segment(b"\x07\x07list-sa", section("l2tp", value("uniqueid", str(number)), *row)) for number in range(count))
        return b"".join(rows) + segment(b"\x01")
    return segment(b"\x02")  # no such command


def main():
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(sys.argv[1])
    listener.listen(64)
    while True:
        # charon serves all that connect at the same time.
        threading.Thread(target=serve, args=(listener.accept()[0], int(sys.argv[2])), daemon=True).start()


def serve(connection, count):
    with connection, connection.makefile("rb") as stream:
        while len(length := stream.read(4)) == 4:
            request = stream.read(struct.unpack("!I", length)[0])
            try:
                connection.sendall(answer(request, count))
            except OSError:
                break  # the agent has heard enough


main()
