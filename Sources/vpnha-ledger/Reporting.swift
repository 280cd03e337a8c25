import Host
import Ledger
import RADIUS

/// Reports of carried sessions on their way to the RADIUS servers, from the gateway's address, so that the server hears one gateway and
/// one session. Nothing waits for them.
final class Reporting {
  /// Requests that wait for an answer at the same time, those that wait for their turn at most, and how long each server has before the
  /// next is asked. pppd's own are 3 s and 10 tries.
  static let atOnce = 32
  static let limit = 2 * Replica.limit
  static let patience = Duration.seconds(2)
  static let attempts = 10
  /// Nothing is told later than this, but the end of a session.
  static let interimAttempts = 3

  private struct Report {
    var account: SessionAccount
    var user: String
    var time: UInt32
    var cause: SessionAccounting.Cause?
    var made: Instant
    var attempts = 0
    var next: Instant
    var sent: (request: SessionAccounting, server: Int)?
  }

  private let host: Host
  private let gateway: IPAddress
  private let servers: [IPAddress]
  private let port: UInt16
  private let secret: SharedSecret
  private var waiting: [Report] = []
  private var open: [Report] = []
  private var connections: [Int: any DatagramSocket] = [:]
  private var identifier: UInt8 = 0
  /// The server that has answered last.
  private var preferred = 0
  private(set) var lost = 0

  init(from gateway: IPAddress, to servers: [IPAddress], port: UInt16, _ secret: SharedSecret, _ host: Host) {
    self.host = host
    self.gateway = gateway
    self.servers = servers
    self.port = port
    self.secret = secret
  }

  var sockets: [any Readable] { connections.values.map { $0 as any Readable } }
  var deadline: Instant? { open.map(\.next).min() ?? (waiting.isEmpty ? nil : Instant(nanoseconds: .min)) }

  /// - Parameter cause: why the session is over; nil while it lasts.
  func report(_ record: SessionRecord, _ cause: SessionAccounting.Cause? = nil) {
    guard let account = record.account, !servers.isEmpty, waiting.count < Self.limit else { return }
    let now = host.clock.now
    let time = max(0, host.clock.timestamp.seconds - Int64(clamping: account.began))
    waiting.append(Report(account: account, user: record.user, time: UInt32(clamping: time), cause: cause, made: now, next: now))
  }

  func turn(at now: Instant) {
    for (server, connection) in connections { hear(server, connection, at: now) }
    while open.count < Self.atOnce, !waiting.isEmpty { open.append(waiting.removeFirst()) }
    open = open.compactMap { report in now >= report.next ? sent(report, at: now) : report }
    if open.isEmpty, waiting.isEmpty, !connections.isEmpty {
      for connection in connections.values { connection.close() }
      connections = [:]
    }
  }

  private func hear(_ server: Int, _ connection: any DatagramSocket, at now: Instant) {
    for _ in 0..<Self.atOnce * 2 {
      do throws(SystemError) {
        guard let datagram = try connection.receive(limit: 4096, before: now) else { return }
        guard let index = open.firstIndex(where: { $0.sent?.server == server && $0.sent?.request.isAnswered(by: datagram) ?? false }) else { continue }
        open.remove(at: index)
        preferred = server
      } catch {
        // Nobody listens there: the others are asked at once.
        if error.errno == .connectionRefused { for index in open.indices where open[index].sent?.server == server { open[index].next = now } }
        return
      }
    }
  }

  private func sent(_ report: Report, at now: Instant) -> Report? {
    var report = report
    guard report.attempts < (report.cause == nil ? Self.interimAttempts : Self.attempts) else {
      lost += 1
      say("no RADIUS server has taken the \(report.cause == nil ? "Interim-Update" : "Stop") of \(report.user.isEmpty ? "a session" : report.user)")
      return nil
    }
    let server = (preferred + report.attempts) % servers.count
    report.attempts += 1
    report.next = now + Self.patience
    identifier &+= 1
    let request = SessionAccounting(
      identifier: identifier, constant: report.account.constant, totals: report.account.totals, time: report.time,
      delay: UInt32(clamping: (now - report.made).components.seconds), cause: report.cause, secret: secret)
    report.sent = (request, server)
    do throws(SystemError) {
      if connections[server] == nil {
        connections[server] = try host.sockets.connect(toUDP: servers[server], port: port, from: servers[server].isIPv6 ? nil : gateway)
      }
      try connections[server]?.send(request.bytes)
    } catch {
      // The address may not be here yet, or not be allowed to speak.
    }
    return report
  }
}
