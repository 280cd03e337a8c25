"""What an administrator would have written on the gateways and on the client: addresses, daemons, cluster membership."""

import os
import subprocess
from xml.etree import ElementTree

from nodes import HERE, Link
from sandbox import ROOT

VIP = "203.0.113.50"
VIP_B = "203.0.113.51"  # of pairs with two addresses
INNER = "10.9.0.1"  # the gateways' end of every PPP link: what the client pings through its session
OUTSIDE = {"moon": "203.0.113.11", "sun": "203.0.113.12", "client": "203.0.113.100", "lab": "203.0.113.200"}
CLUSTER = {"moon": "10.77.0.1", "sun": "10.77.0.2"}
POOL = {"moon": "10.9.0.10-10.9.0.99", "sun": "10.9.0.110-10.9.0.199"}  # disjoint: pools live in each daemon's memory
GATEWAYS = ("moon", "sun")

GATEWAY_MODULES = ("af_packet", "tun", "ppp_generic", "ppp_async", "l2tp_ppp", "esp4", "xfrm_user", "authenc", "echainiv",
                   "cbc", "nf_conntrack_netlink")
CLIENT_MODULES = GATEWAY_MODULES[:-1]

PSK = "correct horse battery staple"
PASSWORD = "open sesame"
_PPP_SECRETS = f'# user  server  secret  addresses\nclient  vpnha  "{PASSWORD}"  *\nprobe  vpnha  "are you there"  *\n'
_CHARON_LOG = """
charon-systemd {
  filelog {
    log {
      path = /var/log/charon.log
      time_format = %T
      flush_line = yes
    }
  }
}
"""


def gateway_files(name):
    peer = GATEWAYS[1 - GATEWAYS.index(name)]
    return {
        "/etc/hosts": "127.0.0.1 localhost\n" + "".join(f"{CLUSTER[node]} {node}\n" for node in GATEWAYS),
        "/etc/sysctl.d/gateway.conf": "net.ipv4.ip_forward = 1\n",
        **_units(),
        **_cluster_membership(),
        "/usr/sbin/fence_lab": open(f"{HERE}/node/fence_lab").read(),
        "/etc/strongswan.d/log.conf": _CHARON_LOG,
        "/etc/swanctl/swanctl.conf": f"""
connections {{
  l2tp {{
    version = 1
    local_addrs = {VIP}
    mobike = no
    proposals = aes256-sha256-modp2048,aes256-sha1-modp1024
    dpd_delay = 15s
    dpd_timeout = 45s
    local {{
      auth = psk
      id = {VIP}
    }}
    remote {{
      auth = psk
    }}
    children {{
      l2tp {{
        mode = transport
        local_ts = dynamic[udp/1701]
        remote_ts = dynamic[udp]
        esp_proposals = aes128-sha1
      }}
    }}
  }}
}}
secrets {{
  ike-l2tp {{
    id = {VIP}
    secret = "{PSK}"
  }}
}}
""",
        "/etc/xl2tpd/xl2tpd.conf": f"""[global]
listen-addr = {VIP}
port = 1701

[lns default]
ip range = {POOL[name]}
local ip = {INNER}
pass peer = yes
require authentication = yes
refuse pap = yes
name = vpnha
pppoptfile = /etc/ppp/options.xl2tpd
length bit = yes
""",
        "/etc/ppp/options.xl2tpd": """auth
require-mschap-v2
noccp
nodefaultroute
mtu 1280
mru 1280
lcp-restart 1
lcp-echo-interval 5
lcp-echo-failure 4
""",
        "/etc/ppp/chap-secrets": _PPP_SECRETS,
        "/etc/conntrackd/conntrackd.conf": f"""Sync {{
  Mode FTFW {{
  }}
  UDP {{
    IPv4_address {CLUSTER[name]}
    IPv4_Destination_Address {CLUSTER[peer]}
    Port 3780
    Interface eth1
    Checksum on
  }}
}}
General {{
  HashSize 8192
  HashLimit 65536
  LogFile /var/log/conntrackd.log
  LockFile /var/lock/conntrackd.lock
  UNIX {{
    Path /var/run/conntrackd.ctl
  }}
  NetlinkBufferSize 262142
  NetlinkBufferSizeMaxGrowth 655355
  Filter From Userspace {{
    Protocol Accept {{
      TCP
      UDP
      ICMP
    }}
    Address Ignore {{
      IPv4_address 127.0.0.1
      IPv4_address {VIP}
      IPv4_address {OUTSIDE[name]}
      IPv4_address {CLUSTER[name]}
      IPv4_address {CLUSTER[peer]}
    }}
  }}
}}
""",
    }


def second_address(files):
    """What a gateway's files are with a second address: a connection and a secret more, and a second xl2tpd with a pool of its own."""
    head, rest = files["/etc/swanctl/swanctl.conf"].split("  l2tp {\n", 1)
    connection, tail = rest.split("\n}\nsecrets {\n  ike-l2tp {\n")
    server = files["/etc/xl2tpd/xl2tpd.conf"]
    return {
        "/etc/swanctl/swanctl.conf": f"{head}  l2tp {{\n{connection}\n  l2tp-b {{\n{connection.replace(VIP, VIP_B)}\n}}\n"
                                     f"secrets {{\n  ike-l2tp-b {{\n{tail.replace(VIP, VIP_B).rsplit('}', 1)[0]}  ike-l2tp {{\n{tail}",
        "/etc/xl2tpd/xl2tpd-b.conf": server.replace(VIP, VIP_B).replace("10.9.0.", "10.9.1.").replace(INNER, "10.9.1.1"),
    }


def client_files():
    """A client with aggressive timers, so that the gateway's part of an outage is what is seen."""
    return {
        "/etc/hosts": "127.0.0.1 localhost\n",
        "/etc/strongswan.d/log.conf": _CHARON_LOG,
        "/etc/strongswan.d/retransmit.conf": "charon-systemd {\n  retransmit_timeout = 1\n  retransmit_base = 1.2\n}\n",
        "/etc/swanctl/swanctl.conf": f"""
connections {{
  vpn {{
    version = 1
    local_addrs = {OUTSIDE["client"]}
    remote_addrs = {VIP}
    proposals = aes256-sha256-modp2048
    dpd_delay = 2s
    dpd_timeout = 6s
    local {{
      auth = psk
    }}
    remote {{
      auth = psk
      id = {VIP}
    }}
    children {{
      vpn {{
        mode = transport
        start_action = trap
        close_action = trap
        dpd_action = trap
        local_ts = dynamic[udp/1701]
        remote_ts = dynamic[udp/1701]
        esp_proposals = aes128-sha1
      }}
    }}
  }}
}}
secrets {{
  ike-vpn {{
    id = {VIP}
    secret = "{PSK}"
  }}
}}
""",
        "/etc/xl2tpd/xl2tpd.conf": f"""[global]
port = 1701
max retries = 2

[lac vpn]
lns = {VIP}
autodial = yes
redial = yes
redial timeout = 1
max redials = 100000
refuse pap = yes
name = client
pppoptfile = /etc/ppp/options.client
length bit = yes
""",
        "/etc/ppp/options.client": """name client
remotename vpnha
noauth
noccp
nodefaultroute
mtu 1280
mru 1280
lcp-restart 1
lcp-max-configure 60
logfile /var/log/ppp.log
lcp-echo-interval 1
lcp-echo-failure 3
""",
        "/etc/ppp/chap-secrets": _PPP_SECRETS,
        "/run/xl2tpd/": None,
    }


CLIENT_READY = """
charon-systemd >/var/log/charon.out 2>&1 </dev/null &
for wait in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do
  swanctl --load-all --noprompt >/var/log/swanctl.out 2>&1 && exit
  sleep 1
done
cat /var/log/swanctl.out
exit 1
"""
# While the socket of a tunnel that ended is still open, Linux hands it what belongs to the next one, which has the same
# addresses and ports. So this client asks longer than pppd's ten seconds; and since xl2tpd runs pppd with "passive", which
# then waits for ever, it gives a call up that has no address after 20 s and dials again, as the clients that people have do.
CLIENT_DIAL = """xl2tpd -D >/var/log/xl2tpd.log 2>&1 </dev/null &
while sleep 2; do
  for pid in $(pidof pppd); do
    [ $(ps -o etimes= -p $pid) -lt 20 ] || ip -4 address show | grep -q 'inet 10.*peer' || kill $pid
  done
done >/dev/null 2>&1 </dev/null &
"""


def _units():
    """A target with nothing in it but what a cluster node needs: it boots in a few seconds."""
    never = ("systemd-udevd.service", "systemd-networkd-wait-online.service", "systemd-update-utmp.service",
             "systemd-logind.service", "e2scrub_reap.service", "man-db.timer")
    return {
        **{f"/etc/systemd/system/{unit}": Link("/dev/null") for unit in never},
        "/etc/systemd/system/lab.target": _target("A gateway of the lab", "corosync.service pacemaker.service"),
        "/etc/systemd/system/rejoin.target": _target("A gateway of the lab, before it joins the cluster", ""),
        "/etc/systemd/system/pacemaker.service.d/lab.conf": "[Unit]\nAfter=systemd-tmpfiles-setup.service\n",
        "/etc/systemd/journald.conf.d/lab.conf": "[Journal]\nStorage=volatile\nRateLimitBurst=0\n",
    }


def _target(description, services):
    always = "dbus.service systemd-journald.service systemd-tmpfiles-setup.service systemd-sysctl.service"
    return f"[Unit]\nDescription={description}\nWants={always} {services}\n"


def _cluster_membership():
    members = "".join(f"""  node {{
    name: {node}
    nodeid: {number}
    ring0_addr: {CLUSTER[node]}
  }}
""" for number, node in enumerate(GATEWAYS, 1))
    return {
        "/etc/corosync/corosync.conf": f"""totem {{
  version: 2
  cluster_name: vpn
  transport: udpu
  token: 1000
}}
nodelist {{
{members}}}
quorum {{
  provider: corosync_votequorum
  two_node: 1
}}
logging {{
  to_syslog: no
  to_logfile: yes
  logfile: /var/log/corosync/corosync.log
}}
""",
        "/var/lib/pacemaker/cib/cib.xml": first_cib(),
    }


def first_cib():
    """An empty configuration, but for this: the first election does not wait 20 s for nodes that are there already."""
    empty = subprocess.run(["cibadmin", "--empty"], stdout=subprocess.PIPE, check=True).stdout
    cib = ElementTree.fromstring(empty)
    options = ElementTree.SubElement(cib.find("configuration/crm_config"), "cluster_property_set", id="cib-bootstrap-options")
    ElementTree.SubElement(options, "nvpair", id="cib-bootstrap-options-dc-deadtime", name="dc-deadtime", value="3s")
    return ElementTree.tostring(cib, encoding="unicode")


def give_cluster_files(share):
    """Files that belong to the cluster's own user."""
    cib = f"{share}/files/var/lib/pacemaker/cib"
    # As the nodes' tree has it.
    owner = next(line.split(":") for line in open(f"{ROOT}/etc/passwd") if line.startswith("hacluster:"))
    for path in (cib, f"{cib}/cib.xml"):
        os.chown(path, int(owner[2]), int(owner[3]))
    os.chmod(cib, 0o750)
    os.chmod(f"{cib}/cib.xml", 0o600)
