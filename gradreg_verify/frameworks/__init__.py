"""How the kit calls a framework: the protocol, the registry, and the code for each framework."""
