/// The version of the agents, as their metadata states it; that of the package.
public let agentVersion = "0.2.0"
