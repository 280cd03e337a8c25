"""Users, addresses and accounts come from RADIUS: the address stays the same wherever the client is served, and no account
stays open for a session that is over."""

import radius
from config import OUTSIDE, PASSWORD, POOL, VIP, gateway_files
from nodes import Failure, until, write_tree
from sandbox import WORK

FIXED = "10.9.0.250"  # in neither gateway's pool
USERS = f"""client Cleartext-Password := "{PASSWORD}"
  Framed-IP-Address = {FIXED},
  Acct-Interim-Interval = 60
"""


def accounted(lab, result):
    """From now on sessions are RADIUS's. The cluster goes on as it was: nothing restarts."""
    lab.radius = radius.Server(f"{WORK}/radius", OUTSIDE["lab"], USERS)
    for node in lab.gateways.values():
        files = radius.client_files(OUTSIDE["lab"], VIP)
        files["/etc/ppp/options.xl2tpd"] = gateway_files(node.name)["/etc/ppp/options.xl2tpd"] + "plugin radius.so\n"
        write_tree(f"{node.share}/files", files)  # for its next boot, too
        node.run("cp -a " + " ".join(f"/lab/files/etc/{name}" for name in ("radiusclient", "vpnha", "ppp")) + " /etc/")
    here = until("one node serves", 30, lab.serving)
    daemons = {node.name: node.run("pidof", "/usr/sbin/xl2tpd").output for node in lab.gateways.values()}
    here.run("pcs", "resource", "update", "xl2tpd", f"radius={OUTSIDE['lab']}", "radius_secret_file=/etc/vpnha/radius.secret",
             "radius_nas_identifier=vpn", timeout=60)
    here.run("crm_resource", "--wait", timeout=60)
    if daemons != {node.name: node.run("pidof", "/usr/sbin/xl2tpd").output for node in lab.gateways.values()}:
        raise Failure("the change of reloadable parameters restarted xl2tpd")
    _pools(lab, here)
    before = lab.client_address()
    lab.client.run("kill -TERM $(pidof pppd)")
    until(f"the client dials again and is given {FIXED}", 60, lambda: lab.client_address() == FIXED)
    started = until("RADIUS has the session's account", 20, lab.radius.accounts)[-1]
    _expect(started, "nasipaddress", VIP)
    _expect(started, "framedipaddress", FIXED)
    _expect(started, "callingstationid", OUTSIDE["client"])
    lab.say(f"RADIUS gives the client {FIXED}, where the pool gave {before}, and has its account, reported from {VIP}")


def _pools(lab, here):
    """Check level 10 compares the nodes' pools: run by hand on the standby, before and after its file is wrong."""
    there = lab.other(here)
    ask = ("OCF_ROOT=/usr/lib/ocf OCF_RESOURCE_INSTANCE=xl2tpd OCF_RESKEY_CRM_meta_promoted_max=1 OCF_CHECK_LEVEL=10 "
           f"OCF_RESKEY_CRM_meta_on_node={there.name} OCF_RESKEY_CRM_meta_timeout=20000 OCF_RESKEY_CRM_meta_interval=60000 "
           f"OCF_RESKEY_address={VIP} /usr/lib/ocf/resource.d/vpnha/xl2tpd monitor")
    for pool, shared in ((POOL[there.name], False), (POOL[here.name], True), (POOL[there.name], False)):
        there.run(f"sed -i 's/^ip range.*/ip range = {pool}/' /etc/xl2tpd/xl2tpd.conf")
        # The daemon's pool is that of its start; without the agent's copy of the file from then, the file counts.
        there.run("rm -f /run/resource-agents/vpnha-xl2tpd-xl2tpd.conf")
        reply = there.run(ask, check=False)
        if reply.status != 0 or shared != (f"{here.name} gives out {pool}, too" in reply.output):
            raise Failure(f"with pool {pool}, level 10 on {there.name} ends with {reply.status}: {reply.output}")
        if shared:
            lab.say(f"{there.name} with {here.name}'s pool is at risk: {reply.output.strip().splitlines()[-1]}")


def accounts(lab, result):
    """What RADIUS has after all that happened: one open account, and each closed one closed by a Stop or by a take-over."""
    until(f"the client is {FIXED}", 30, lambda: lab.client_address() == FIXED)
    until("the last session's account is the only open one", 20,
          lambda: [row["acctstoptime"] is None for row in lab.radius.accounts()][-1:] == [True]
          and sum(row["acctstoptime"] is None for row in lab.radius.accounts()) == 1)
    rows, requests = lab.radius.accounts(), lab.radius.requests()
    for row in rows:
        _expect(row, "framedipaddress", FIXED)
        _expect(row, "nasipaddress", VIP)
    kinds = [request["Acct-Status-Type"] for request in requests]
    counts = {kind: kinds.count(kind) for kind in sorted(set(kinds))}
    # By FreeRADIUS's own key: Acct-Session-Ids of this pppd are not unique.
    stopped = {request["Acct-Unique-Session-Id"] for request in requests if request["Acct-Status-Type"] == "Stop"}
    mute = [row["acctuniqueid"] for row in rows[:-1] if row["acctuniqueid"] not in stopped]
    if not mute:
        raise Failure(f"no session ended without a Stop: the plug was not pulled? {counts}")
    for session in mute:
        start = [request["Acct-Unique-Session-Id"] for request in requests].index(session)
        if "Accounting-On" not in kinds[start:]:
            raise Failure(f"session {session} was closed by something else than a take-over: {counts}")
    lab.say(f"{len(rows)} sessions, all {FIXED}: {len(stopped)} ended by a Stop, {len(mute)} by the take-over's Accounting-On, one open; {counts}")


def interim(lab, result):
    """pppd reports once a minute."""
    until("RADIUS gets an interim update", 90,
          lambda: any(request["Acct-Status-Type"] == "Interim-Update" for request in lab.radius.requests()))
    lab.say("RADIUS got an interim update")


def _expect(row, column, value):
    if row[column] != value:
        raise Failure(f"the account has {column} {row[column]} and not {value}")
