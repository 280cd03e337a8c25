"""One gateway with real xl2tpd, pppd and sessions, and its agent run by hand: what a cluster would ask, without one.

The clients live in a network namespace of the same node. Everything is done twice: with the kernel's L2TP, and with
sessions in userspace.
"""

import shutil
import time

from nodes import Failure, Node, prepare, until

AGENT = "/usr/lib/ocf/resource.d/vpnha/xl2tpd"
VIP = "203.0.113.50"
CLIENTS = 3

FILES = {
    "/etc/ppp/chap-secrets": '"probe" * "right" *\n',  # of any client and the test account
    "/etc/ppp/pap-secrets": '"probe" * "right" *\n',
    "/run/clients/": "",
    "/run/clients/options": "name probe\nnoauth\nmtu 1400\nmru 1400\nnodefaultroute\nnodetach\n",
    **{f"/run/clients/{number}.conf": f"""[global]
listen-addr = 203.0.113.6{number}
force userspace = yes
[lac vpn]
lns = {VIP}
autodial = yes
name = probe
pppoptfile = /run/clients/options
""" for number in range(CLIENTS)},
}


class Gateway(Node):
    def __init__(self, package):
        modules = ["ppp_generic", "ppp_async", "ppp_mppe", "bsd_comp", "ppp_deflate", "l2tp_ppp", "veth"]
        super().__init__("gateway", {}, FILES, modules)
        shutil.copy(package, f"{self.share}/vpnha.deb")

    def setup(self):
        self.run("dpkg-deb --fsys-tarfile /lab/vpnha.deb | tar -x -C / ./usr/lib/ocf", timeout=60)
        self.run(f"""set -e
            ip netns add clients
            ip link add eth0 type veth peer name eth0 netns clients
            ip link set eth0 up; ip address add {VIP}/24 dev eth0
            for n in lo eth0; do ip -n clients link set $n up; done
            for n in {' '.join(map(str, range(CLIENTS)))}; do ip -n clients address add 203.0.113.6$n/24 dev eth0; done""")

    def configure(self, userspace, authentication="require-mschap-v2"):
        self.run(f"""cat >/etc/xl2tpd/xl2tpd.conf <<END
[global]
listen-addr = {VIP}
{'force userspace = yes' if userspace else ''}
[lns default]
ip range = 10.9.0.10-10.9.0.20
local ip = 10.9.0.1
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
END""")

    def agent(self, action, expected=0, level=0, password=None):
        """Runs an action as a promotable clone would; returns how long it took and what was said."""
        account = f"OCF_RESKEY_test_user=probe OCF_RESKEY_test_password={password}" if password else ""
        began = time.monotonic()
        reply = self.run(
            f"OCF_ROOT=/usr/lib/ocf OCF_RESOURCE_INSTANCE=l2tp OCF_RESKEY_address={VIP} OCF_RESKEY_launcher=direct "
            f"OCF_RESKEY_CRM_meta_promoted_max=1 OCF_RESKEY_CRM_meta_timeout=40000 OCF_RESKEY_CRM_meta_interval=10000 "
            f"OCF_CHECK_LEVEL={level} {account} {AGENT} {action}", timeout=60, check=False)
        took = time.monotonic() - began
        if reply.status != expected:
            raise Failure(f"{action} ended with {reply.status} and not {expected}: {reply.output}")
        return took, reply.output

    def count(self, command):
        return int(self.run(f"{command} | wc -l", check=False).output.split()[-1])

    def sessions(self):
        """The server's pppds and the interfaces they hold."""
        return self.count("pgrep -f '[p]ppd.*options.xl2tpd'"), self.count("ip -o link show type ppp")

    def dial(self):
        for number in range(CLIENTS):
            # setsid: what starts here outlives the command.
            self.run(f"setsid ip netns exec clients xl2tpd -D -c /run/clients/{number}.conf -p /run/clients/{number}.pid "
                     f"-C /run/clients/{number}.control >/run/clients/{number}.log 2>&1 </dev/null &")
        until("every client has an address", 60, lambda: self.count("ip -n clients -o -4 address show | grep 'peer 10.9.0.1'") == CLIENTS)

    def hang_up(self):
        self.run("for file in /run/clients/*.pid; do kill -KILL $(cat $file); done; rm -f /run/clients/*.pid; true", check=False)
        self.run("for pid in $(pgrep -f '[/]run/clients/options'); do kill -KILL $pid; done; true", check=False)
        until("the clients are gone", 20, lambda: self.count("pgrep -f '[/]run/clients/'") == 0)

    def told(self):
        """How many clients were told by the server that it closes."""
        return self.count("grep -l 'Server closing' /run/clients/*.log")


def play(package):
    """The whole story; the exit status says whether it went well."""
    began = time.monotonic()
    try:
        _play(lambda text: print(f"{time.monotonic() - began:8.1f}  {text}", flush=True), package)
        return 0
    except Failure as failure:
        print(f"\nFAILED: {failure}", flush=True)
        return 1


def _play(say, package):
    prepare()
    node = Gateway(package)
    node.boot()
    node.setup()
    for mode in ("kernel", "userspace"):
        _dial_in(node, say, mode)
        _demote(node, say, mode)
        _killed(node, say, mode)
        _suspended(node, say, mode)


def _dial_in(node, say, mode):
    """Level 20: a whole session with the test account, by each way to authenticate; a wrong password is named."""
    for authentication in ("require-mschap-v2", "require-chap", "require-pap"):
        node.configure(mode == "userspace", authentication)
        node.agent("start")
        node.agent("promote")
        took, _ = node.agent("monitor", 8, level=20, password="right")
        _, reason = node.agent("monitor", 9, level=20, password="wrong")
        if "authentication: the server refuses user probe by" not in reason or "wrong" in reason:
            raise Failure(f"the wrong password was explained so: {reason}")
        until("the test sessions are gone", 20, lambda: node.sessions() == (0, 0))
        node.agent("stop")
        say(f"{mode}, {authentication[8:]}: dialled in in {took:.1f} s, and a wrong password is named")


def _demote(node, say, mode):
    """Demote tells every client and leaves a fresh, idle daemon."""
    node.configure(mode == "userspace")
    node.agent("start")
    node.agent("promote")
    node.dial()
    node.agent("monitor", 8, level=10)
    took, _ = node.agent("demote")
    if node.sessions() != (0, 0):
        raise Failure(f"demote left {node.sessions()} pppds and interfaces")
    until("every client was told", 5, lambda: node.told() == CLIENTS)
    node.agent("monitor", 0, level=10)
    node.hang_up()
    say(f"{mode}: {CLIENTS} sessions ended by demote in {took:.1f} s, every client told")


def _killed(node, say, mode):
    """xl2tpd dies without a word: its pppds are ours to end, and no other."""
    node.agent("promote")
    node.dial()
    node.run("setsid pppd nodetach noauth pty 'sleep 1000' unit 77 passive silent </dev/null >/dev/null 2>&1 &")
    until("a foreign pppd runs", 10, lambda: node.count("pgrep -f 'unit 7[7]'") > 0)
    node.run("kill -KILL $(cat /run/xl2tpd.pid)")
    took, _ = node.agent("stop")
    if node.count("pgrep -f '[p]ppd.*options.xl2tpd'") or not node.count("pgrep -f 'unit 7[7]'"):
        raise Failure("stop left a pppd of ours, or ended one that is not")
    node.agent("monitor", 7)
    node.run("for pid in $(pgrep -f 'unit 7[7]'); do kill -KILL $pid; done; true", check=False)
    node.hang_up()
    say(f"{mode}: xl2tpd killed, its sessions ended by stop in {took:.1f} s, a foreign pppd lives on")


def _suspended(node, say, mode):
    """A daemon that hangs is a failure inside the deadline, and stop works."""
    node.agent("start")
    node.agent("promote")
    node.dial()
    node.run("kill -STOP $(cat /run/xl2tpd.pid)")
    looked, _ = node.agent("monitor", 9)
    stopped, _ = node.agent("stop")
    if node.sessions() != (0, 0):
        raise Failure(f"stop left {node.sessions()} pppds and interfaces")
    node.hang_up()
    say(f"{mode}: a suspended xl2tpd is failed after {looked:.1f} s, stopped after {stopped:.1f} s")
