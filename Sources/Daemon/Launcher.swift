import OCF

/// Who starts a daemon: the service manager through the daemon's unit, or the agent itself.
public enum Launcher: String, ParameterChoice, Sendable {
  /// The unit where systemd runs and the unit is a native one, else the daemon itself. A unit that systemd made of an
  /// init script hides pid and options.
  case auto
  case systemd
  case direct
}
