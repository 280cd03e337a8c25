"""The cluster: built from the recipe that the documentation shows, watched through crm_mon."""

import re
import shlex
import shutil
import subprocess
from xml.etree import ElementTree

from config import GATEWAYS, first_cib
from nodes import HERE, Failure, until
from sandbox import WORK


def recipe(document, name):
    """The `pcs …` lines of the fenced block that follows `<!-- recipe: NAME -->` in a document, split into words."""
    with open(document) as file:
        text = file.read()
    found = re.search(rf"<!-- recipe: {re.escape(name)} -->.*?^```[a-z]*\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    if not found:
        raise Failure(f"{document} has no recipe marked <!-- recipe: {name} -->")
    lines = found[1].replace("\\\n", " ").splitlines()
    commands = [shlex.split(line, comments=True) for line in lines]
    # Each recipe is collected in a file and pushed whole. So it is here, and User-Mode Linux has no packet filter.
    commands = [[words[0], *words[3:]] if words[1:2] == ["-f"] else words for words in commands if words and words[0] == "pcs"]
    return [words for words in commands if words[1:3] not in (["cluster", "cib"], ["cluster", "cib-push"])
            and not any("firewall" in word for word in words)]


def for_the_lab(words):
    """A fence device keeps its name and whom it fences; only the machinery behind it is the lab's. Where the recipe is
    read no systemd may be running, so pcs has to believe that a unit exists."""
    if words[1:3] == ["stonith", "create"]:
        return [*words[:4], "fence_lab", *(word for word in words[5:] if word.startswith("pcmk_"))]
    return [*words, "--force"] if any(word.startswith("systemd:") for word in words) else words


def build(commands, package=None):
    """Runs the recipe's commands on a CIB file; the package's agents are laid over /usr for pcs to see."""
    place = f"{WORK}/recipe"
    shutil.rmtree(place, ignore_errors=True)
    for folder in ("var/cib", "usr/sbin"):
        subprocess.run(["mkdir", "-p", f"{place}/{folder}"], check=True)
    if package:
        subprocess.run(["dpkg-deb", "--extract", package, place], check=True)
    shutil.copy2(f"{HERE}/node/fence_lab", f"{place}/usr/sbin/fence_lab")
    cib = f"{place}/var/cib/cib.xml"
    with open(cib, "w") as file:
        file.write(first_cib())
    lines = [shlex.join(["pcs", "-f", cib, *for_the_lab(words)[1:]]) for words in commands]
    script = "\n".join(["set -e", f"mount -t overlay overlay -o ro,lowerdir={place}/usr:/usr /usr", *lines])
    done = subprocess.run(["unshare", "--mount", "sh", "-c", script], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise Failure(f"the recipe was refused:\n{done.stdout}")
    return ElementTree.parse(cib).getroot()


class View:
    """What crm_mon says at one moment."""

    def __init__(self, xml):
        root = ElementTree.fromstring(xml)
        self.online = {node.get("name") for node in root.iterfind("nodes/node")
                       if node.get("online") == "true" and node.get("pending") == "false"}
        self.resources = [(resource.get("id"), resource.get("role"), node.get("name"))
                          for resource in root.iter("resource") for node in resource.iterfind("node")
                          if resource.get("active") == "true"]
        self.failures = [f"{failure.get('op_key') or failure.get('id')} on {failure.get('node')}: "
                         f"{failure.get('exitstatus')} ({failure.get('exitreason')})"
                         for failure in root.iterfind("failures/failure")]

    def where(self, name, role):
        """Names of the nodes where a resource has that role."""
        return [node for resource, state, node in self.resources if (resource.split(":")[0], state) == (name, role)]


class Cluster:
    def __init__(self, nodes):
        self.nodes = nodes

    def view(self):
        """As a node that is on sees it; None while none can say."""
        for node in self.nodes.values():
            if node.on:
                try:
                    return View(node.run("crm_mon", "-1", "--output-as=xml", timeout=10).output)
                except (Failure, ElementTree.ParseError):
                    pass  # it is starting, or dying
        return None

    def online(self):
        view = self.view()
        return view is not None and view.online == set(GATEWAYS)

    def push(self, configuration):
        """Replaces the live configuration, nodes apart, in one step."""
        node = next(node for node in self.nodes.values() if node.on)
        live = ElementTree.fromstring(node.run("cibadmin", "--query").output)
        ours, theirs = configuration.find("configuration"), live.find("configuration")
        for section in list(theirs):
            if section.tag != "nodes":
                theirs.remove(section)
        for section in ours:
            if section.tag == "crm_config":
                theirs.insert(0, section)
            elif section.tag != "nodes":
                theirs.append(section)
        live.set("epoch", str(int(live.get("epoch")) + 1))
        with open(f"{node.share}/cib.xml", "w") as file:
            file.write(ElementTree.tostring(live, encoding="unicode"))
        node.run("cibadmin", "--replace", "--xml-file", "/lab/cib.xml")

    def wait(self, sentence, seconds, condition):
        """Waits until condition(view) is true; the cluster's failures are told with the sentence when time runs out."""
        seen = []

        def satisfied():
            view = self.view()
            if view is None:
                return None
            seen[:] = view.failures
            return condition(view)

        try:
            return until(sentence, seconds, satisfied, every=0.5)
        except Failure as late:
            raise Failure("\n".join([str(late), *(f"  failed: {failure}" for failure in seen)])) from None
