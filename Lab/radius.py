"""A real FreeRADIUS: who may come in, with which address, and the accounts of sessions; and what pppd reads to ask it."""

import os
import sqlite3
import subprocess

from nodes import Failure, until, write_tree

SECRET = "correct horse"
SHIPPED = "/etc/freeradius/3.0/mods-config/sql/main/sqlite"  # FreeRADIUS's own tables and queries

_SERVER = """prefix = /usr
raddbdir = {place}
libdir = /usr/lib/freeradius
logdir = {place}
run_dir = {place}
pidfile = {place}/pid
security {{
  status_server = yes
}}
log {{
  destination = files
  file = {place}/log
}}
thread pool {{
  start_servers = 1
  max_servers = 4
}}
client gateways {{
  ipaddr = 203.0.113.50
  secret = "{secret}"
}}
instantiate {{
  expr
}}
modules {{
  expr {{
  }}
  files {{
    filename = {place}/users
  }}
  mschap {{
    use_mppe = no
  }}
  preprocess {{
  }}
  detail {{
    filename = {place}/detail
  }}
  sql {{
    dialect = sqlite
    driver = rlm_sql_sqlite
    sqlite {{
      filename = {place}/accounts.db
      bootstrap = {shipped}/schema.sql
    }}
    radius_db = radius
    acct_table1 = radacct
    acct_table2 = radacct
    postauth_table = radpostauth
    authcheck_table = radcheck
    groupcheck_table = radgroupcheck
    authreply_table = radreply
    groupreply_table = radgroupreply
    usergroup_table = radusergroup
    client_table = nas
    group_attribute = SQL-Group
    read_groups = no
    pool {{
      start = 1
      min = 1
      max = 4
      spare = 1
    }}
    $INCLUDE {shipped}/queries.conf
  }}
}}
server default {{
  listen {{
    type = auth
    ipaddr = {address}
    port = 1812
  }}
  listen {{
    type = acct
    ipaddr = {address}
    port = 1813
  }}
  authorize {{
    preprocess
    mschap
    files
  }}
  authenticate {{
    mschap
  }}
  preacct {{
    preprocess
    update request {{
      &Acct-Unique-Session-Id := "%{{md5:%{{User-Name}},%{{Acct-Session-Id}},%{{NAS-IP-Address}},%{{NAS-Port}}}}"
    }}
  }}
  accounting {{
    detail
    sql
  }}
}}
"""

# What pppd's radius plugin knows of RADIUS it reads from a dictionary, which Debian's ppp does not bring.
DICTIONARY = """ATTRIBUTE User-Name 1 string
ATTRIBUTE NAS-IP-Address 4 ipaddr
ATTRIBUTE NAS-Port 5 integer
ATTRIBUTE Service-Type 6 integer
ATTRIBUTE Framed-Protocol 7 integer
ATTRIBUTE Framed-IP-Address 8 ipaddr
ATTRIBUTE Reply-Message 18 string
ATTRIBUTE Class 25 string
ATTRIBUTE Session-Timeout 27 integer
ATTRIBUTE Calling-Station-Id 31 string
ATTRIBUTE NAS-Identifier 32 string
ATTRIBUTE Acct-Status-Type 40 integer
ATTRIBUTE Acct-Delay-Time 41 integer
ATTRIBUTE Acct-Input-Octets 42 integer
ATTRIBUTE Acct-Output-Octets 43 integer
ATTRIBUTE Acct-Session-Id 44 string
ATTRIBUTE Acct-Authentic 45 integer
ATTRIBUTE Acct-Session-Time 46 integer
ATTRIBUTE Acct-Input-Packets 47 integer
ATTRIBUTE Acct-Output-Packets 48 integer
ATTRIBUTE Acct-Terminate-Cause 49 integer
ATTRIBUTE Acct-Input-Gigawords 52 integer
ATTRIBUTE Acct-Output-Gigawords 53 integer
ATTRIBUTE NAS-Port-Type 61 integer
ATTRIBUTE Connect-Info 77 string
ATTRIBUTE Acct-Interim-Interval 85 integer
VENDOR Microsoft 311
ATTRIBUTE MS-CHAP-Response 1 string Microsoft
ATTRIBUTE MS-CHAP-Error 2 string Microsoft
ATTRIBUTE MS-CHAP-Challenge 11 string Microsoft
ATTRIBUTE MS-CHAP2-Response 25 string Microsoft
ATTRIBUTE MS-CHAP2-Success 26 string Microsoft
"""


def client_files(server, address):
    """What the gateways' pppds and xl2tpd's agent read: the same on both, so that both report as one."""
    return {
        "/etc/radiusclient/radiusclient.conf": f"""auth_order radius
login_tries 4
login_timeout 60
nologin /etc/nologin
issue /etc/issue
authserver {server}:1812
acctserver {server}:1813
servers /etc/radiusclient/servers.secret
dictionary /etc/radiusclient/dictionary
login_radius /bin/true
seqfile /run/radius.seq
mapfile /etc/radiusclient/port-id-map
default_realm
radius_timeout 3
radius_retries 2
nas_identifier vpn
bindaddr {address}
""",
        "/etc/radiusclient/servers.secret": f"{server} {SECRET.replace(' ', '-')}\n",
        "/etc/radiusclient/port-id-map": "",
        "/etc/radiusclient/dictionary": DICTIONARY,
        "/etc/vpnha/radius.secret": SECRET.replace(" ", "-") + "\n",
    }


class Server:
    """FreeRADIUS with its accounts in SQLite, by its own queries. `users` is its users file."""

    def __init__(self, place, address, users):
        write_tree(place, {"/radiusd.conf": _SERVER.format(place=place, address=address, shipped=SHIPPED, secret=SECRET.replace(" ", "-")),
                           "/users": users})
        self.place = place
        self.process = subprocess.Popen(["freeradius", "-f", "-d", place, "-n", "radiusd"], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until("FreeRADIUS is ready", 20, lambda: "Ready to process requests" in self.log())

    def log(self):
        if self.process.poll() is not None:
            raise Failure(f"FreeRADIUS ended: {self._read('log')}")
        return self._read("log")

    def _read(self, name):
        path = f"{self.place}/{name}"
        return open(path, errors="replace").read() if os.path.exists(path) else ""

    def accounts(self):
        """Every session it has heard of, oldest first."""
        database = sqlite3.connect(f"file:{self.place}/accounts.db?mode=ro", uri=True)
        try:
            database.row_factory = sqlite3.Row
            return [dict(row) for row in database.execute("SELECT * FROM radacct ORDER BY radacctid")]
        finally:
            database.close()

    def requests(self):
        """The accounting requests in the order they came, as {attribute: value}."""
        records = []
        for block in self._read("detail").split("\n\n"):
            lines = [line.strip().split(" = ", 1) for line in block.splitlines() if " = " in line]
            if lines:
                records.append({name: value.strip('"') for name, value in lines})
        return records
