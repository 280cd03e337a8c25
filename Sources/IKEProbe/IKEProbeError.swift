import Host

/// Why a probe got no answer. Printed as *operation: detail*.
public struct IKEProbeError: Error, Equatable, Sendable, CustomStringConvertible {
  public enum Kind: Hashable, Sendable {
    /// The port is closed: no IKE daemon is bound there.
    case refused
    /// The address cannot be reached from here.
    case unreachable
    /// Silence until the deadline: filtered, hung, or too many half-open SAs from our address.
    case timedOut
    /// A datagram that is no answer. Such datagrams are passed over; this is for who reads one directly.
    case malformed
  }
  public var kind: Kind
  public var operation: String
  public var detail: String

  public init(_ kind: Kind, _ operation: String, _ detail: String) {
    self.kind = kind
    self.operation = operation
    self.detail = detail
  }

  public var description: String { "\(operation): \(detail)" }

  static func malformed(_ what: String) -> IKEProbeError { IKEProbeError(.malformed, "reading an IKE message", what) }

  static func system(_ error: SystemError, while operation: String) -> IKEProbeError {
    let kind: Kind =
      switch error.errno {
      case .connectionRefused: .refused
      case .timedOut: .timedOut
      default: .unreachable
      }
    let detail = kind == .refused ? "nobody listens there (ECONNREFUSED)" : error.errno.description
    return IKEProbeError(kind, operation, detail)
  }
}
