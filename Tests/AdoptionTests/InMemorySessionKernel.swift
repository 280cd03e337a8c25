import Host
import Ledger
import RADIUS

@testable import Adoption

/// A kernel that makes sessions of numbers, and remembers what was asked of it.
final class InMemorySessionKernel: SessionKernel {
  let descriptor: Int32 = 3
  private var next: Int32 = 10
  private(set) var open: Set<Int32> = []
  private(set) var on: Set<String> = []
  private(set) var tunnels: [UInt16: TunnelSockets] = [:]
  private(set) var sessions: [SessionKey: SessionSockets] = [:]
  private(set) var sent: [(socket: Int32, bytes: [UInt8])] = []
  private var inputs: [Int32: [SessionInput]] = [:]
  /// What the next calls answer, the first first.
  var errors: [Errno] = []

  private func number() -> Int32 {
    next += 1
    open.insert(next)
    return next
  }

  private func fail(_ operation: String) throws(SystemError) {
    if !errors.isEmpty { throw SystemError(operation, errors.removeFirst()) }
  }

  func openTunnel(for record: SessionRecord) throws(SystemError) -> TunnelSockets {
    try fail("tunnel")
    guard tunnels[record.tunnel].map({ !open.contains($0.tunnel) }) ?? true else { throw SystemError("tunnel", .exists) }
    let sockets = TunnelSockets(control: number(), tunnel: number())
    tunnels[record.tunnel] = sockets
    return sockets
  }

  func openSession(for record: SessionRecord, in tunnel: TunnelSockets) throws(SystemError) -> SessionSockets {
    try fail("session")
    guard open.contains(tunnel.control) else { throw SystemError("session", .invalidArgument) }
    let sockets = SessionSockets(call: number(), channel: number(), unit: number(), interface: "ppp\(next)")
    sessions[record.key] = sockets
    return sockets
  }

  func switchOn(_ session: SessionSockets) throws(SystemError) {
    try fail("on")
    on.insert(session.interface)
  }

  /// By interface.
  var traffic: [String: AccountTotals] = [:]
  func totals(of session: SessionSockets) -> AccountTotals? { traffic[session.interface] }

  func close(_ session: SessionSockets) {
    for descriptor in [session.call, session.channel, session.unit] where open.remove(descriptor) == nil { fatalError("closed twice") }
    on.remove(session.interface)
  }

  func close(_ tunnel: TunnelSockets) {
    for descriptor in [tunnel.control, tunnel.tunnel] where open.remove(descriptor) == nil { fatalError("closed twice") }
  }

  func ready() -> [Int32] { inputs.filter { !$0.value.isEmpty && open.contains($0.key) }.keys.sorted() }

  func receive(from socket: Int32) -> SessionInput {
    guard inputs[socket]?.isEmpty == false else { return .nothing }
    return inputs[socket]?.removeFirst() ?? .nothing
  }

  func send(_ bytes: [UInt8], to socket: Int32) {
    guard open.contains(socket) else { fatalError("sent to a closed socket") }
    sent.append((socket, bytes))
  }

  func arrive(_ input: SessionInput, on socket: Int32) { inputs[socket, default: []].append(input) }
  func clearSent() { sent = [] }
}
