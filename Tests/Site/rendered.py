#!/usr/bin/env python3
"""The files that the Ansible role writes, for the example's inventory: the package's examples, and what docs/operations.md has pcs write.

Nothing is applied: the templates are rendered into a folder.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
ROOT = pathlib.Path(__file__).resolve().parents[2]
# Where each of the role's files comes from: with the example's values it says what the package's example says.
EXAMPLES = {"/etc/swanctl/swanctl.conf": "strongswan/swanctl.conf", "/etc/strongswan.d/vpnha.conf": "strongswan/vpnha.conf",
            "/etc/xl2tpd/xl2tpd.conf": "xl2tpd/xl2tpd.conf", "/etc/ppp/options.xl2tpd": "ppp/options.xl2tpd",
            "/etc/conntrackd/conntrackd.conf": "conntrackd/conntrackd.conf", "/etc/sysctl.d/vpnha.conf": "sysctl.d/vpnha.conf"}
RENDER = """---
- name: Render
  ansible.builtin.template:
    src: "{{ item }}"
    dest: "{{ folder }}/{{ inventory_hostname }}.{{ item | basename }}"
    mode: "0600"
  with_fileglob: "{{ role_path }}/templates/*.j2"
"""


def lines_of(text):
    """Without comments and secrets. Which lines, and not their order: that of the nodes' addresses is the inventory's."""
    lines = (re.sub(r"\s+", " ", re.sub(r"(^|\s)[#;].*", "", line)).strip() for line in text.splitlines())
    return sorted(re.sub(r"^(secret|load) = .*", r"\1", line) for line in lines if line)


def difference(wanted, written):
    return "".join(f"\n- {line}" for line in sorted(set(wanted) - set(written))) + "".join(f"\n+ {line}" for line in sorted(set(written) - set(wanted)))


def rendered(place, name, *settings):
    """All templates, for both nodes, with the example's inventory and these settings."""
    folder = place / name
    folder.mkdir()
    extra = [word for setting in settings for word in ("-e", setting)]
    done = subprocess.run(["ansible-playbook", "-i", "inventory/gateways.yml", "-c", "local", "-e", f"folder={folder}", "-e", "ansible_python_interpreter=/usr/bin/python3",
                           *extra, "render.yml"], cwd=place / "ansible", env={**os.environ, "HOME": str(place), "ANSIBLE_NOCOLOR": "1"}, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        sys.exit(done.stdout)
    return lambda node, file: (folder / f"{node}.{file}.j2").read_text()


def typed(word):
    """A command of docs/operations.md, by what it begins with."""
    return re.search(rf"^    ({word}.*)$", (ROOT / "docs/operations.md").read_text(), re.MULTILINE)[1]


def main():
    with tempfile.TemporaryDirectory() as folder:
        place = pathlib.Path(folder)
        shutil.copytree(ROOT / "Packaging/ansible", place / "ansible")
        (place / "ansible/roles/vpnha/tasks/render.yml").write_text(RENDER)
        (place / "ansible/render.yml").write_text("- hosts: gateways\n  gather_facts: false\n  tasks: [{ansible.builtin.import_role: {name: vpnha, tasks_from: render}}]\n")
        wrong = compared(place)
    print("\n".join(wrong) if wrong else "every file says what its example says")
    return 1 if wrong else 0


def compared(place):
    wrong = []
    plain = rendered(place, "plain")
    for path, example in EXAMPLES.items():
        name = os.path.basename(example) if example != "strongswan/vpnha.conf" else "strongswan.conf"
        name = "sysctl.conf" if path.startswith("/etc/sysctl.d") else name
        if lack := difference(lines_of((ROOT / "Packaging/examples" / example).read_text()), lines_of(plain("moon", name))):
            wrong.append(f"{path} is not {example}:{lack}")
    for node in ("moon", "sun"):
        if "alice" not in plain(node, "chap-secrets"):
            wrong.append(f"{node} has no users")
    if plain("moon", "conntrackd.conf") == plain("sun", "conntrackd.conf"):
        wrong.append("both nodes have one conntrackd.conf")
    # What pcs would write for the page's commands.
    setup = typed("pcs cluster setup vpn ").split()
    subprocess.run([*setup, "--corosync_conf", place / "pcs.conf"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wanted = [line for line in lines_of((place / "pcs.conf").read_text()) if not re.match(r"cluster_uuid|logfile|to_logfile", line)]
    if lack := difference(wanted, lines_of(plain("moon", "corosync.conf"))):
        wrong.append(f"corosync.conf is not what pcs writes:{lack}")
    device = rendered(place, "device", "vpnha_quorum_device=witness")("sun", "corosync.conf")
    asked = re.findall(r'"(\w+)=([^"]+)"|(\w+)=(\S+)', typed("pcs quorum device add "))
    for name, value in ((one[0] or one[2], one[1] or one[3]) for one in asked):
        if f"{name}: {value}" not in lines_of(device):
            wrong.append(f"corosync.conf with a quorum device has no {name}: {value}")
    if "two_node" in device:
        wrong.append("corosync.conf has two_node beside a quorum device")
    for text in (plain("moon", "corosync.conf"), device):
        (place / "corosync.conf").write_text(text)
        done = subprocess.run(["corosync", "-t"], env={**os.environ, "COROSYNC_MAIN_CONFIG_FILE": str(place / "corosync.conf")}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            wrong.append(f"corosync refuses its file: {done.stdout}")
    return wrong


if __name__ == "__main__":
    sys.exit(main())
