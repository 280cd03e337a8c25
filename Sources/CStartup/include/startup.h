// Nothing to import: what is here takes the place of parts of Swift's runtime when an agent is linked.
