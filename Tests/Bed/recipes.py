"""README's recipes, as `vpnha recipe` prints them."""

import re
import time

from machines import HERE, Failure

README = HERE.parent.parent / "README.md"
# Which blocks of the page a reader of each kind types, in order.
RECIPES = {
    "promotable": ("cluster", "promotable", "probe", "alert"),
    "crm": ("crm",),
    "crm-watch": ("crm-watch",),
    "group": ("cluster", "group"),
    "libreswan": ("cluster", "libreswan"),
    "crm-libreswan": ("crm-libreswan",),
    "quorum": ("crm",),
    "crm-seamless": ("crm-seamless",),
    "seamless": ("cluster", "seamless", "probe", "alert"),
    "announce": ("cluster", "promotable", "announce"),
    "announce-frr": ("cluster", "promotable", "announce-frr"),
    "two-addresses": ("cluster", "two-addresses"),
    "crm-two-addresses": ("crm-two-addresses",),
    "crm-announce": ("crm-host-route", "crm-probe", "crm-announce", "crm-alert"),
}


# What this pair has: README's values, given as an operator gives his.
VALUES = ("--vip 203.0.113.50/24 --nic eth0 --pool 10.9.0.0/24 --ping '203.0.113.1 203.0.113.2' --ike 198.51.100.9"
          " --fence moon=198.51.100.11 --fence sun=198.51.100.12 --fence-agent fence_bed --receiver http://198.51.100.30:9093/api/v2/alerts")
# Nothing goes home while the bed looks on.
HOME = f" --home-hour {(time.localtime().tm_hour + 12) % 24}"


def script(bed, name):
    """What `vpnha recipe` prints; a recipe that only the page has, as it is printed there. A fence device keeps its name and whom it
    fences; only the machinery behind it is the bed's."""
    values = VALUES.replace("/24 --nic", "/32 --nic") if name == "crm-host-route" else VALUES
    text = (bed.nodes["moon"].run(f"vpnha recipe {CRM.get(name, name)} {values}{' --quorum-device' if bed.quorum else ''}{HOME if bed.two else ''}") if name in SCRIPTS
            else f"set -e\n{block(name).replace('fence_ipmilan', 'fence_bed')}")
    text = watched(text) if name == "crm-watch" else text
    return "\n".join(re.sub(r" (ip|username|password)=\S+", "", line) if "fence_bed" in line else line for line in text.splitlines())


CRM = {"crm": "promotable --crm", "crm-watch": "promotable --crm", "crm-libreswan": "libreswan --crm", "crm-two-addresses": "two-addresses --crm", "crm-seamless": "seamless --crm", "crm-host-route": "promotable --crm", "crm-probe": "probe --crm", "crm-announce": "announce --crm", "announce-frr": "announce --frr",
       "crm-alert": "alert --crm"}
SCRIPTS = ("cluster", "promotable", "probe", "alert", "group", "libreswan", "seamless", "announce", "two-addresses", *CRM)


def block(name):
    """The fenced block that follows `<!-- recipe: NAME -->`."""
    found = re.search(rf"<!-- recipe: {re.escape(name)} -->.*?^```[a-z]*\n(.*?)^```", README.read_text(), re.DOTALL | re.MULTILINE)
    if not found:
        raise Failure(f"README has no recipe marked <!-- recipe: {name} -->")
    return found[1]


def watched(text):
    """The monitors wait for events: 8 s in every 10."""
    lines = []
    for line in text.splitlines():
        member = re.match(r"primitive (?:vip|strongswan|xl2tpd|conntrackd|firewall) ocf:vpnha:", line)
        lines += [line, "  params watch=8 \\"] if member else [line]
    text = "\n".join(lines).replace("params watch=8 \\\n  params ", "params watch=8 ")
    return text.replace("monitor interval=10s", "monitor interval=2s").replace("monitor interval=11s", "monitor interval=3s")


def share_key(bed):
    """As README says: written on one node, copied to the other."""
    moon, sun = bed.nodes.values()
    moon.run("rm -f /etc/vpnha/sessions.key; vpnha key")
    sun.write(KEY, moon.run(f"base64 -w 0 {KEY}"), 0o600)
    sun.run(f"base64 -d {KEY} >/root/key; install -D -m 600 /root/key {KEY}; rm /root/key")


KEY = "/etc/vpnha/sessions.key"


def type_in(bed, name):
    """Typed on moon, one recipe after the other, as a person does who does not stop when something is refused: so nothing may be."""
    bed.warm = name != "group" and not name.endswith("libreswan")
    if name.endswith("seamless"):
        share_key(bed)
    for part in RECIPES[name]:
        said = bed.nodes["moon"].run(f"cat >recipe.sh <<'THE-END'\n{script(bed, part)}\nTHE-END\nsh recipe.sh", timeout=240)
        bed.say(f"typed: {part}" + "".join(f"\n    {line}" for line in said.splitlines() if "rror" in line or "arning" in line))
    if bed.two:
        bed.part()
