"""docs/radius.md, typed on a bare machine: a real FreeRADIUS that asks a real OpenLDAP, and users, groups and addresses as the page says."""

from machines import Failure, typed, until

ADMIN = "admin-of-the-test"


def play(site):
    server = site.machines["witness"]
    server.boot()
    # The questions that dpkg-reconfigure asks, answered beforehand.
    answers = "".join(f"slapd slapd/{question}\n" for question in (
        "domain string example.org", "shared/organization string example", f"password1 password {ADMIN}", f"password2 password {ADMIN}", "move_old_database boolean true"))
    server.write("/root/answers", "")
    server.run(f"debconf-set-selections <<'END'\n{answers.replace('slapd/shared', 'shared')}END\nsystemctl daemon-reload; mkdir -p /usr/share/doc/vpnha; cp -r /bed/examples /usr/share/doc/vpnha/")
    place = "/root"
    for line in typed("radius", "## FreeRADIUS with users and groups in OpenLDAP"):
        if line.startswith("apt "):
            server.run("dpkg-query -W " + line.split("install ")[1])
            continue
        if line.startswith("cd "):
            place = line[3:]
            continue
        if line.endswith("member.ldif"):
            break
        answer = server.run(f"cd {place}; DEBIAN_FRONTEND=noninteractive; export DEBIAN_FRONTEND; set -o pipefail; {line.replace(' -W ', f' -w {ADMIN} ')}", timeout=180)
    if "Received Access-Accept" not in answer or "Framed-IP-Address = 10.9.0.251" not in answer:
        raise Failure(f"alice is not let in as the page says:\n{answer}")
    site.say("typed: slapd and FreeRADIUS run, alice is let in with her own address")

    refused(server, "alice", "wrong", "")
    refused(server, "carol", "change me", "")
    refused(server, "bob", "change me", "not in the group vpn")
    server.run(f"cd {place}; {line.replace(' -W ', f' -w {ADMIN} ')}")
    answer = ask(server, "bob", "change me")
    if "Received Access-Accept" not in answer or "Session-Timeout = 28800" not in answer or "Framed-IP-Address" in answer:
        raise Failure(f"bob, now in the groups vpn and guests:\n{answer}")
    site.say("refused: a wrong password, a stranger, and bob until he is in the group; then he has eight hours")

    hidden = server.run("ldapsearch -x -LLL -H ldapi:/// -b dc=example,dc=org; "
                        "ldapsearch -x -LLL -H ldapi:/// -D cn=radius,dc=example,dc=org -w 'change me' -b dc=example,dc=org uid=alice", check=False)
    if hidden.count("NT-Password") != 1:
        raise Failure(f"an NT hash is seen by somebody else than FreeRADIUS, or not by it:\n{hidden}")
    server.run("systemctl stop slapd")
    if "Received Access-Accept" in ask(server, "alice", "change me"):
        raise Failure("alice is let in by a directory that is stopped")
    server.run("systemctl start slapd")
    until("alice is let in again, without a restart of FreeRADIUS", 60, lambda: "Received Access-Accept" in ask(server, "alice", "change me"), every=1)
    site.say("without its directory FreeRADIUS lets nobody in; when it is back, so are the users")


def ask(server, user, password):
    return server.run(f"radtest -t mschap {user} '{password}' 127.0.0.1 0 testing123", check=False)


def refused(server, user, password, why):
    answer = ask(server, user, password)
    if "Received Access-Reject" not in answer or why not in answer:
        raise Failure(f"{user} with '{password}' is not refused ({why}):\n{answer}")
