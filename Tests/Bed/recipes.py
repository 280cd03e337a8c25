"""README's recipes, as they are printed."""

import pathlib
import re

from machines import HERE, Failure

README = HERE.parent.parent / "README.md"
# Which blocks of the page a reader of each kind types, in order.
RECIPES = {
    "promotable": ("cluster", "promotable", "probe", "alert"),
    "crm": ("crm",),
    "group": ("cluster", "group"),
}


def block(name):
    """The fenced block that follows `<!-- recipe: NAME -->`. A fence device keeps its name and whom it fences; only the
    machinery behind it is the bed's."""
    found = re.search(rf"<!-- recipe: {re.escape(name)} -->.*?^```[a-z]*\n(.*?)^```", README.read_text(), re.DOTALL | re.MULTILINE)
    if not found:
        raise Failure(f"README has no recipe marked <!-- recipe: {name} -->")
    lines = found[1].splitlines()
    return "\n".join(re.sub(r" (ip|username|password)=\S+", "", line).replace("fence_ipmilan", "fence_bed")
                     if "fence_ipmilan" in line else line for line in lines)


def type_in(bed, name):
    """Typed on moon, line after line, as a person does who does not stop when something is refused: so nothing may be."""
    bed.warm = name != "group"
    for part in RECIPES[name]:
        said = bed.nodes["moon"].run(f"set -e\n{block(part)}", timeout=240)
        bed.say(f"typed: {part}" + "".join(f"\n    {line}" for line in said.splitlines() if "rror" in line or "arning" in line))
