"""Ansible's way into a machine of the site: its namespaces, entered by the pid of its first process."""

import shlex
import shutil

from ansible.plugins.connection.local import Connection as Local

DOCUMENTATION = """
name: namespaces
short_description: a machine of the site
description: Runs commands in the namespaces of a process.
author: The vpnha developers
options:
  site_pid:
    description: The first process of the machine.
    vars: [{name: site_pid}]
extends_documentation_fragment: [connection_pipelining]
"""


class Connection(Local):
    transport = "namespaces"

    def exec_command(self, cmd, in_data=None, sudoable=True):
        environment = "env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8"
        entered = f"nsenter -t {self.get_option('site_pid')} -a -- {environment} sh -c {shlex.quote(cmd)}"
        return super().exec_command(entered, in_data=in_data, sudoable=sudoable)

    def put_file(self, in_path, out_path):
        shutil.copyfile(in_path, f"/proc/{self.get_option('site_pid')}/root{out_path}")

    def fetch_file(self, in_path, out_path):
        shutil.copyfile(f"/proc/{self.get_option('site_pid')}/root{in_path}", out_path)
