import Host

/// Why a probe got no answer.
public enum IKEProbeFailure: Hashable, Sendable {
  /// The port is closed: no IKE daemon is bound there.
  case refused
  /// The address cannot be reached from here.
  case unreachable
  /// Silence until the deadline: filtered, hung, or too many half-open SAs from our address.
  case timedOut
  /// A datagram that is no answer. Such datagrams are passed over; this is for who reads one directly.
  case malformed
}

public typealias IKEProbeError = OperationError<IKEProbeFailure>

extension IKEProbeError {
  static func malformed(_ what: String) -> IKEProbeError { IKEProbeError(.malformed, "reading an IKE message", what) }

  static func system(_ error: SystemError, while operation: String) -> IKEProbeError {
    let kind: IKEProbeFailure =
      switch error.errno {
      case .connectionRefused: .refused
      case .timedOut: .timedOut
      default: .unreachable
      }
    let detail = kind == .refused ? "nobody listens there (ECONNREFUSED)" : error.errno.description
    return IKEProbeError(kind, operation, detail)
  }
}
