import Host

/// Dials in as a client does, with a test account: tunnel, call, link, authentication, an address, an echo; then takes it all
/// down again (RFC 2661 §5, RFC 1661, RFC 1332). In process: no pppd, no interface, no route on our side.
public struct SessionProbe {
  /// Where a session stands, and where it failed.
  public enum Phase: String, Hashable, Sendable, CaseIterable {
    case tunnel, call, link, authentication, address, echo
  }

  /// A session that did not come up: the phase, and why. Printed as *phase: why*.
  public struct Failure: Error, Hashable, Sendable, CustomStringConvertible {
    public var phase: Phase
    public var reason: String
    /// Whether it is the account or the test itself that the server does not take, or one client more than there is room for. It says
    /// nothing about the clients that are connected.
    public var isInability = false
    public var description: String { "\(phase): \(reason)" }
  }

  /// What the server gave.
  public struct Session: Hashable, Sendable {
    public var address: IPAddress
    /// The server's own end, nil when it does not tell.
    public var peer: IPAddress?
    /// `PAP`, `CHAP-MD5`, `MS-CHAPv2`, `none`
    public var authentication: String
  }

  public var credentials: Credentials
  public var hostName: String

  public init(_ credentials: Credentials, hostName: String = "vpnha") {
    self.credentials = credentials
    self.hostName = hostName
  }

  /// The last second is for taking the session down.
  static let teardown = Duration.seconds(1)

  /// Runs a session over `socket`, which is connected to the server's port 1701.
  ///
  /// Begins anew once where the server gives its tunnel or its session the number 0: xl2tpd 1.3.18 draws them from the whole
  /// range.
  public func run(over socket: any DatagramSocket, clock: any Clock, before deadline: Instant) throws(Failure) -> Session {
    let first = dial(over: socket, clock: clock, before: deadline)
    guard first.lacksNumber else { return try first.outcome.get() }
    return try dial(over: socket, clock: clock, before: deadline).outcome.get()
  }

  private func dial(
    over socket: any DatagramSocket, clock: any Clock, before deadline: Instant
  ) -> (outcome: Result<Session, Failure>, lacksNumber: Bool) {
    let client = TunnelClient(over: socket, clock: clock, before: deadline)
    let dialogue = Dialogue(client: client, clock: clock, deadline: deadline + (.zero - Self.teardown), credentials: credentials)
    let outcome: Result<Session, Failure>
    do throws(Failure) {
      try dialogue.openTunnel(hostName: hostName)
      try dialogue.openCall()
      outcome = .success(try dialogue.runPPP())
    } catch {
      outcome = .failure(error)
    }
    dialogue.close(before: min(deadline, clock.now + Self.teardown))
    return (outcome, dialogue.lacksNumber)
  }
}
