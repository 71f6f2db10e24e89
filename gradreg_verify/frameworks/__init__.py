"""How the judge calls a framework: the protocol, the registry, and each framework's side of it."""
