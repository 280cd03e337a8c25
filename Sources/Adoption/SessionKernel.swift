import Host
import Ledger
import RADIUS

/// The two sockets of a tunnel: the one that control messages go over, and the one that stands for the kernel's tunnel.
public struct TunnelSockets: Equatable, Sendable {
  public var control: Int32
  public var tunnel: Int32

  public init(control: Int32, tunnel: Int32) {
    self.control = control
    self.tunnel = tunnel
  }
}

/// What makes a session: its socket, the channel that LCP comes through, and the unit that is the interface.
public struct SessionSockets: Equatable, Sendable {
  public var call: Int32
  public var channel: Int32
  public var unit: Int32
  public var interface: String

  public init(call: Int32, channel: Int32, unit: Int32, interface: String) {
    self.call = call
    self.channel = channel
    self.unit = unit
    self.interface = interface
  }
}

/// The kernel, as far as it carries L2TP sessions for a program: what an xl2tpd and its pppds ask of it once all is negotiated.
///
/// Whatever the program opened goes with the program.
public protocol SessionKernel: AnyObject {
  /// Readable when `ready` has something.
  var descriptor: Int32 { get }

  /// A tunnel with the numbers and the ends of `record`. Nothing is sent, and the gateway's address need not be here.
  ///
  /// - Throws: `EEXIST` when the kernel has a tunnel with this number.
  func openTunnel(for record: SessionRecord) throws(SystemError) -> TunnelSockets
  /// A session with its interface and addresses, which is down, sends nothing and drops what comes.
  func openSession(for record: SessionRecord, in tunnel: TunnelSockets) throws(SystemError) -> SessionSockets
  /// From now on it carries packets.
  func switchOn(_ session: SessionSockets) throws(SystemError)
  /// What has gone over its link since it was made; nil when the kernel does not say.
  func totals(of session: SessionSockets) -> AccountTotals?
  func close(_ session: SessionSockets)
  func close(_ tunnel: TunnelSockets)

  /// Sockets that something waits on, a few at a time, each again as long as it does.
  func ready() -> [Int32]
  func receive(from socket: Int32) -> SessionInput
  /// What cannot be sent now is lost.
  func send(_ bytes: [UInt8], to socket: Int32)
}

public enum SessionInput: Equatable, Sendable {
  case nothing
  case bytes([UInt8])
  /// The network says something about an earlier datagram.
  case problem
  /// The kernel has ended it.
  case gone
}
