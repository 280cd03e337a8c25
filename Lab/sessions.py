"""One gateway with real xl2tpd, pppd and sessions, and its agent run by hand: what a cluster would ask, without one.

The clients live in a network namespace of the same node. Everything is done twice: with the kernel's L2TP, and with
sessions in userspace.
"""

import json
import re
import shutil
import time

from nodes import Failure, Node, prepare, until

AGENT = "/usr/lib/ocf/resource.d/vpnha/xl2tpd"
VIP = "203.0.113.50"
CLIENTS = range(10)

# The kernel counts what a socket's filter drops.
REFUSED = "awk '$2 ~ /:06A5$/ && $3 ~ /:0000$/ { n += $NF } END { print n + 0 }' /proc/net/udp"

SERVER = "/etc/xl2tpd/xl2tpd.conf"


# A RADIUS client whose server does not listen.
RADIUS = """auth_order radius
login_tries 1
login_timeout 60
nologin /etc/nologin
issue /etc/issue
authserver 127.0.0.1:18120
acctserver 127.0.0.1:18130
servers /etc/radiusclient/servers
dictionary /etc/radiusclient/dictionary
login_radius /bin/true
seqfile /run/radius.seq
mapfile /etc/radiusclient/port-id-map
default_realm
radius_timeout 30
radius_retries 1
"""
ATTRIBUTES = """ATTRIBUTE User-Name 1 string
ATTRIBUTE User-Password 2 string
ATTRIBUTE NAS-IP-Address 4 ipaddr
ATTRIBUTE NAS-Port 5 integer
ATTRIBUTE Service-Type 6 integer
ATTRIBUTE Framed-Protocol 7 integer
ATTRIBUTE Calling-Station-Id 31 string
ATTRIBUTE NAS-Identifier 32 string
ATTRIBUTE NAS-Port-Type 61 integer
"""


def _client(number):
    """A client's files. It dials once: whoever is told has nobody to dial."""
    return {
        f"/run/clients/{number}.conf": f"""[global]
listen-addr = {_address(number)}
force userspace = yes
[lac vpn]
lns = {VIP}
autodial = yes
name = probe
pppoptfile = /run/clients/{number}.options
""",
        f"/run/clients/{number}.options": "name probe\nnoauth\nnoccp\nmtu 1400\nmru 1400\nnodefaultroute\nnodetach\n"
                                          # Whatever the clients do costs the gateway's one processor, unlike in the world outside.
                                          "ip-up-script /none\nip-down-script /none\n"
                                          f"logfile /run/clients/{number}.ppp\n"}


def _address(number):
    return f"203.0.113.{100 + number}"


class Gateway(Node):
    def __init__(self, package, clients=CLIENTS):
        modules = ["ppp_generic", "ppp_async", "ppp_mppe", "bsd_comp", "ppp_deflate", "l2tp_ppp", "veth", "pppoe"]
        secrets = '"probe" * "right" *\n'  # of any client and of the test account
        files = {"/etc/ppp/chap-secrets": secrets, "/etc/ppp/pap-secrets": secrets, "/run/clients/": ""}
        for number in clients:
            files.update(_client(number))
        self.clients = clients
        super().__init__("gateway", {}, files, modules, memory="512M" if len(clients) < 50 else "1500M")
        shutil.copy(package, f"{self.share}/vpnha.deb")

    def setup(self):
        self.run("dpkg-deb --fsys-tarfile /lab/vpnha.deb | tar -x -C / ./usr/lib/ocf ./usr/sbin/vpnha", timeout=60)
        self.run(f"""set -e
            ip netns add clients
            ip link add eth0 type veth peer name eth0 netns clients
            ip link set eth0 up; ip address add {VIP}/24 dev eth0
            sysctl -q net.ipv4.ip_forward=1
            for n in lo eth0; do ip -n clients link set $n up; done
            for n in {' '.join(_address(n) for n in self.clients)}; do ip -n clients address add $n/24 dev eth0; done""")

    def configure(self, userspace, authentication="require-mschap-v2", pool="10.9.0.10-10.9.0.250", options=""):
        """What the daemon and its pppds are told; `options` are pppd's, one a line."""
        self.run(f"""cat >{SERVER} <<END
[global]
listen-addr = {VIP}
{'force userspace = yes' if userspace else ''}
[lns default]
{f'ip range = {pool}' if pool else 'assign ip = no'}
local ip = 10.9.0.1
pass peer = yes
name = lns
pppoptfile = /etc/ppp/options.xl2tpd
END
cat >/etc/ppp/options.xl2tpd <<END
name lns
auth
{authentication}
{'refuse-mschap-v2' if authentication == 'require-chap' else ''}
mtu 1400
mru 1400
nodefaultroute
{options}
END""")

    def agent(self, action, expected=0, level=0, password=None, timeout=40, drain=10):
        """Runs an action as a promotable clone would; returns how long it took and what was said."""
        account = f"OCF_RESKEY_test_user=probe OCF_RESKEY_test_password={password}" if password else ""
        began = time.monotonic()
        reply = self.run(f"OCF_CHECK_LEVEL={level} {account} {self.command(action, timeout, drain)}", timeout=timeout + 20, check=False)
        took = time.monotonic() - began
        if reply.status != expected:
            raise Failure(f"{action} ended with {reply.status} and not {expected}: {reply.output}")
        return took, reply.output

    def command(self, action, timeout=40, drain=10):
        return (f"OCF_ROOT=/usr/lib/ocf OCF_RESOURCE_INSTANCE=l2tp OCF_RESKEY_address={VIP} OCF_RESKEY_launcher=direct "
                f"OCF_RESKEY_CRM_meta_promoted_max=1 OCF_RESKEY_CRM_meta_timeout={timeout * 1000} OCF_RESKEY_CRM_meta_interval=10000 "
                f"OCF_RESKEY_drain_timeout={drain} HA_LOGFILE=/run/agent.log {AGENT} {action}")

    def count(self, command):
        return int(self.run(f"{command} | wc -l", check=False).output.split()[-1])

    def sessions(self):
        """The server's pppds and the interfaces they hold."""
        return self.count("pgrep -f '[p]ppd.*options.xl2tpd'"), self.count("ip -o link show type ppp")

    def inventory(self):
        """What `vpnha sessions` says."""
        return json.loads(self.run("vpnha", "sessions", "--json").output)

    def dial(self, count=None):
        """All clients dial in, or the first `count`; five at a time: more would only fight for one processor."""
        wanted = self.clients[:count]
        for start in range(0, len(wanted), 5):
            numbers = wanted[start:start + 5]
            self.call(numbers)
            until("every client has an address", 90, lambda: self.addresses() == numbers[-1] + 1)

    def call(self, numbers):
        """These clients begin to dial."""
        # setsid: what starts here outlives the command. nice: in the world outside clients take no processor from the gateway.
        self.run(f"""for n in {' '.join(map(str, numbers))}; do
            rm -f /run/clients/$n.log /run/clients/$n.ppp /run/clients/$n.control
            setsid nice -n 10 ip netns exec clients xl2tpd -D -c /run/clients/$n.conf -p /run/clients/$n.pid \\
              -C /run/clients/$n.control >/run/clients/$n.log 2>&1 </dev/null &
            done""")

    def said(self, number, text):
        """Whether a client's own log has `text`."""
        return self.count(f"grep '{text}' /run/clients/{number}.log") > 0

    def addresses(self):
        return self.count("ip -n clients -o -4 address show | grep 'peer 10.9.0.1'")

    def refused(self):
        """How many datagrams the gate has kept from the daemon."""
        return int(self.run(REFUSED).output)

    def begin_demote(self):
        self.run(f"rm -f /run/agent.debug /run/demote.status; HA_debug=1 HA_DEBUGLOG=/run/agent.debug "
                 f"setsid sh -c '{self.command('demote')}; echo $? >/run/demote.status' </dev/null >/run/demote.log 2>&1 &")

    def demoted(self):
        return self.run("test", "-s", "/run/demote.status", check=False).status == 0

    def hang_up(self):
        self.run("for file in /run/clients/*.pid; do kill -KILL $(cat $file); done; rm -f /run/clients/*.pid; true", check=False)
        self.run("for pid in $(pgrep -f '[/]run/clients/'); do kill -KILL $pid; done; true", check=False)
        until("the clients are gone", 20, lambda: self.count("pgrep -f '[/]run/clients/'") == 0)

    def told(self):
        """How many clients heard of the end of their tunnel (StopCCN), of their link (LCP), and of neither."""
        by_tunnel = self.matching("Server closing", "log")
        by_link = self.matching("LCP terminated by peer", "ppp")
        return len(by_tunnel), len(by_link), len(self.clients) - len(by_tunnel | by_link)

    def matching(self, text, kind):
        found = self.run(f"grep -l '{text}' /run/clients/*.{kind}", check=False).output
        return {line.rsplit("/", 1)[-1].split(".")[0] for line in found.splitlines() if line.endswith(f".{kind}")}

    def journal(self):
        """What the agent logged since the last look."""
        lines = self.run("cat /run/agent.log; rm -f /run/agent.log", check=False).output.splitlines()
        return [line for line in lines if "clients that L2TP ends here" in line or "without a word" in line]


def play(package, many=False):
    """The whole story, or that of a hundred clients; the exit status says whether it went well."""
    began = time.monotonic()
    try:
        (_play_many if many else _play)(lambda text: print(f"{time.monotonic() - began:8.1f}  {text}", flush=True), package)
        return 0
    except Failure as failure:
        print(f"\nFAILED: {failure}", flush=True)
        return 1


def _play(say, package):
    prepare()
    node = Gateway(package)
    node.boot()
    node.setup()
    _dial_in(node, say, "kernel")
    _demote(node, say, "kernel")
    _killed(node, say, "kernel")
    _suspended(node, say, "kernel")
    _dial_in(node, say, "userspace", ["require-mschap-v2"])
    _demote(node, say, "userspace")
    node.agent("stop")
    _refused(node, say)
    _shut(node, say)
    _static(node, say)


def _play_many(say, package):
    prepare()
    node = Gateway(package, range(100))
    node.boot()
    node.setup()
    _dial_in(node, say, "userspace")
    _demote(node, say, "userspace")
    _killed(node, say, "userspace")
    _suspended(node, say, "userspace")
    for mode in ("kernel", "userspace"):
        for timeout, drain in ((40, 10), (20, 15), (90, 60)):
            _demote(node, say, mode, timeout, drain)
            node.agent("stop")


def _dial_in(node, say, mode, ways=("require-mschap-v2", "require-chap", "require-pap")):
    """Level 20: a whole session with the test account, by each way to authenticate; a wrong password is named."""
    for authentication in ways:
        # A server that wants no magic number rejects the client's.
        node.configure(mode == "userspace", authentication, options="nomagic" if authentication == "require-pap" else "")
        node.agent("start")
        node.agent("promote")
        took, _ = node.agent("monitor", 8, level=20, password="right")
        # The account's fault, not the service's: a risk.
        _, reason = node.agent("monitor", 8, level=20, password="wrong")
        if "authentication: the server refuses user probe by" not in reason or "wrong" in reason:
            raise Failure(f"the wrong password was explained so: {reason}")
        until("the test sessions are gone", 20, lambda: node.sessions() == (0, 0))
        node.agent("stop")
        say(f"{mode}, {authentication[8:]}: dialled in in {took:.1f} s, and a wrong password is named")


def _refused(node, say):
    """Level 20 names the phase a session came to its end in, and why."""
    node.run(f"mkdir -p /etc/radiusclient; cat >/etc/radiusclient/radiusclient.conf <<END\n{RADIUS}END\n"
             "echo '127.0.0.1 secret' >/etc/radiusclient/servers; touch /etc/radiusclient/port-id-map; echo '127.0.0.1 localhost gateway' >/etc/hosts\n"
             f"cat >/etc/radiusclient/dictionary <<END\n{ATTRIBUTES}END\n")
    stories = {
        "the pool is exhausted": ({"pool": "10.9.0.10-10.9.0.10"}, "call: the server ends the call: insufficient resources"),
        "no address to give": ({"pool": None}, "address: the server gives"),
        "an account that may have no address": ({"secret": "-"}, "the server ends IPv4: Unauthorized remote IP address"),
        "RADIUS is silent": ({"authentication": "require-pap", "options": "plugin radius.so"},
                             "authentication: the server does not decide in time: is RADIUS silent?"),
    }
    for story, (settings, expected) in stories.items():
        # pppd does not begin where the first user in the file may have no address.
        node.run(f"""printf '%s\\n' '"alice" * "hers" *' '"probe" * "right" {settings.pop("secret", "*")}' >/etc/ppp/chap-secrets""")
        node.configure(False, **settings)
        node.agent("start")
        node.agent("promote")
        if story == "the pool is exhausted":
            node.agent("monitor", 8, level=20, password="right")  # and its address is given back
            node.dial(1)
        before = node.sessions()
        # Whoever is connected is none the worse for it, and would be for a failure: a risk.
        took, reason = node.agent("monitor", 8, level=20, password="right")
        if expected not in reason:
            raise Failure(f"{story}, and that was explained so: {reason}")
        until("the test sessions are gone", 20, lambda: node.sessions() == before)
        node.agent("stop")
        node.hang_up()
        say(f"{story}: named after {took:.1f} s: {reason.strip().splitlines()[-1]}")


def _static(node, say):
    """An address in the secrets file is the client's wherever it dials in, where no pool gives another one."""
    node.run("""echo '"probe" * "right" 10.9.0.77' >/etc/ppp/chap-secrets""")
    node.configure(False, pool=None)
    node.agent("start")
    node.agent("promote")
    node.agent("monitor", 8, level=20, password="right")
    until("the test session is gone", 20, lambda: not node.inventory())
    node.run("rm -f /run/clients/*.log; setsid ip netns exec clients xl2tpd -D -c /run/clients/0.conf -p /run/clients/0.pid "
             "-C /run/clients/0.control >/run/clients/0.log 2>&1 </dev/null &")
    until("the client has its own address", 60, lambda: node.count("ip -n clients -o -4 address show | grep '10.9.0.77 peer'") == 1)
    if [session["inner"] for session in node.inventory()] != ["10.9.0.77"]:
        raise Failure(f"the client has 10.9.0.77, and the command says {node.inventory()}")
    node.agent("stop")
    node.hang_up()
    say("the secrets file gives the client its address, 10.9.0.77")


def _demote(node, say, mode, timeout=40, drain=10):
    """Demote tells every client and leaves a fresh, idle daemon; what the log says of it is what the clients saw."""
    count = len(node.clients)
    node.configure(mode == "userspace")
    node.agent("start")
    node.agent("promote")
    node.dial()
    node.agent("monitor", 8, level=10)
    node.journal()
    took, _ = node.agent("demote", timeout=timeout, drain=drain)
    # pppds that were killed may need a moment, many of them more than one.
    until("no pppd and no interface is left", 30, lambda: node.sessions() == (0, 0))
    said = node.journal()
    told = re.search(rf"told (\d+) of {count} clients", said[0]) if len(said) == 1 else None
    if not told:
        raise Failure(f"the log says {said}")
    until("the clients know what the log says they know", 20, lambda: count - node.told()[2] >= int(told[1]))
    by_tunnel, by_link, neither = node.told()
    say(f"{mode}, {timeout} s: {count} sessions ended by demote in {took:.1f} s; {by_tunnel} clients saw a StopCCN, {by_link} the end "
        f"of PPP, {neither} nothing; the log: {said[0].split(': ', 1)[-1]}")
    if int(told[1]) < count and timeout >= 40:  # a slow machine may need more than ten seconds; then it says so
        raise Failure("not every client was told")
    node.agent("monitor", 0, level=10)
    node.hang_up()


def _killed(node, say, mode):
    """xl2tpd dies without a word: its pppds are ours to end, and no other. Another one is a PPPoE line that works."""
    node.agent("promote")
    node.dial(3)
    node.run("""set -e
        echo 'noauth\nnodetach\nnodefaultroute\nip-up-script /none\nip-down-script /none' >/run/pppoe.options
        ip netns exec clients setsid pppoe-server -F -I eth0 -L 10.8.0.1 -R 10.8.0.2 -O /run/pppoe.options </dev/null >/run/pppoe.server 2>&1 &
        setsid pppd plugin rp-pppoe.so eth0 unit 77 file /run/pppoe.options persist maxfail 0 </dev/null >/run/pppoe.log 2>&1 &""")
    works = lambda: node.run("ping -c 1 -W 2 -I ppp77 10.8.0.1", check=False).status == 0
    until("the PPPoE line works", 30, works)
    line = node.run("cat /run/ppp77.pid").output
    _inventory(node, say, mode)
    node.run("kill -KILL $(cat /run/xl2tpd.pid)")
    if not all(session["orphan"] for session in node.inventory()):
        raise Failure(f"xl2tpd is gone, and a session has one: {node.inventory()}")
    took, _ = node.agent("stop")
    if node.inventory():
        raise Failure(f"after stop there are sessions: {node.inventory()}")
    if node.count("pgrep -f '[p]ppd.*options.xl2tpd'"):
        raise Failure("stop left a pppd of ours")
    if node.run("cat /run/ppp77.pid", check=False).output != line or not works():
        raise Failure("stop ended a pppd that is not ours")
    node.agent("monitor", 7)
    node.run("for pid in $(pgrep -f '[p]ppoe'); do kill -KILL $pid; done; true", check=False)
    node.hang_up()
    say(f"{mode}: xl2tpd killed, its sessions ended by stop in {took:.1f} s, a PPPoE line lives on")


def _inventory(node, say, mode):
    """The command lists what is there: the clients, with the addresses they have themselves; nobody else's pppd."""
    began = time.monotonic()
    sessions = node.inventory()
    took = time.monotonic() - began
    found = sorted((session["user"], session["outer"], session["inner"]) for session in sessions)
    lines = node.run("ip -n clients -o -4 address show | grep 'peer 10.9.0.1'").output.splitlines()
    inner = sorted(line.split()[3] for line in lines)
    if sorted(one[2] for one in found) != inner or [one[:2] for one in found] != [("probe", _address(n)) for n in range(3)]:
        raise Failure(f"there are {inner}, and the command finds {found}")
    for session in sessions:
        if not session["interface"] or not session["received"] or not session["sent"] or session["orphan"]:
            raise Failure(f"the command says of a session {session}")
        if (mode == "kernel") != bool(session["tunnel"] and session["session"]):
            raise Failure(f"in {mode} mode, tunnel {session['tunnel']} and session {session['session']}")
    say(f"{mode}: three sessions listed in {took:.2f} s, with users, addresses and bytes; the foreign pppd is not")


def _suspended(node, say, mode):
    """A daemon that hangs is a failure inside the deadline, and stop works."""
    node.agent("start")
    node.agent("promote")
    node.dial(3)
    node.run("kill -STOP $(cat /run/xl2tpd.pid)")
    looked, _ = node.agent("monitor", 9)
    node.agent("monitor", 9, level=10)
    stopped, _ = node.agent("stop")
    if node.sessions() != (0, 0):
        raise Failure(f"stop left {node.sessions()} pppds and interfaces")
    node.hang_up()
    say(f"{mode}: a suspended xl2tpd is failed after {looked:.1f} s, stopped after {stopped:.1f} s")


def _shut(node, say):
    """A real client knocks on a standby that has the address, and while the daemon is leaving: it does not get in."""
    node.configure(True)
    node.agent("start")
    node.call([0])
    until("a client was refused three times", 30, lambda: node.refused() >= 3)
    if node.said(0, "established"):
        raise Failure("a standby took a tunnel")
    node.agent("promote")
    until("it gets in after promote", 60, lambda: node.addresses() == 1)
    say("a standby that has the address refuses a client; once it is promoted, the same client gets in")

    # One that hears nothing makes the drain last a second: time for another one, which was only waiting for a word, to knock.
    node.run("sed -i s/autodial.*/autodial=no/ /run/clients/1.conf")
    node.call([1])
    until("the other client is up", 20, lambda: node.run("test", "-p", "/run/clients/1.control", check=False).status == 0)
    node.run("kill -STOP $(pgrep -f '[/]run/clients/0')")
    leaving = node.run("cat /run/xl2tpd.pid").output.strip()
    node.begin_demote()
    # In one go, on the spot: everything from here would take longer than the drain does. `kill -0` comes last, so that the
    # refusal was seen while the daemon that leaves was there. The pauses are the client's, which has the lower priority.
    refused = node.run(f"""until grep -qs 'set the filter' /run/agent.debug; do sleep 0.02; done
        printf 'c vpn' >/run/clients/1.control
        for n in $(seq 200); do
          [ "$({REFUSED})" = 0 ] || {{ kill -0 {leaving}; exit; }}
          sleep 0.02
        done; exit 1""", check=False)
    if refused.status != 0:
        raise Failure(f"no client was refused while the daemon was leaving: {refused.output}")
    until("demote has ended", 60, node.demoted)
    until("the fresh daemon refused it too", 30, lambda: node.refused() >= 1)
    if node.run("cat /run/demote.status").output.strip() != "0":
        raise Failure("demote failed")
    if node.said(1, "established"):
        raise Failure("somebody got in while the daemon was leaving")
    node.agent("monitor", 0, level=10)
    node.agent("stop")
    node.hang_up()
    say("a client that knocks during demote is refused by the daemon that leaves, and by the fresh one")
