import Host
import L2TP
import Ledger

/// Tells clients whose sessions this node has inherited and cannot carry that they are over, so that they dial again now.
final class Telling {
  /// How many are told at a time, and how long a client is waited for that nothing can be sent to yet: the address may come, or be
  /// allowed to speak, after the promote.
  static let atOnce = 64
  static let patience = Duration.seconds(30)
  static let retry = Duration.milliseconds(100)

  private struct Client: Hashable {
    var peer: IPAddress
    var port: UInt16
    var tunnel: UInt16
    var peerTunnel: UInt16
    var gateway: IPAddress
  }
  private struct Talk {
    var client: Client
    var farewell: Farewell
    var socket: ClientSocket?
    var retryAt: Instant
    var sessions: Int
  }

  private var waiting: [(client: Client, sessions: Int)] = []
  private var talks: [Talk] = []
  private var until = Instant(nanoseconds: .min)
  /// Sessions.
  private(set) var told = 0
  private(set) var lost = 0

  var isIdle: Bool { waiting.isEmpty && talks.isEmpty }
  var sockets: [ClientSocket] { talks.compactMap(\.socket) }
  var deadline: Instant? {
    talks.compactMap { $0.socket == nil ? $0.retryAt : $0.farewell.deadline }.min() ?? (waiting.isEmpty ? nil : Instant(nanoseconds: .min))
  }

  /// - Parameter counted: these sessions were lost or told; else their tunnels are ended only, which the clients wait for.
  func begin(with records: [SessionRecord], counted: Bool = true, at now: Instant) {
    until = now + Self.patience
    var sessions: [Client: Int] = [:]
    for record in records {
      let client = Client(
        peer: record.peer, port: record.peerPort, tunnel: record.tunnel, peerTunnel: record.peerTunnel, gateway: record.gateway)
      sessions[client, default: 0] += counted ? 1 : 0
    }
    // The youngest tunnels have no better claim than the oldest: in the order of their numbers.
    waiting += sessions.sorted { $0.key.tunnel < $1.key.tunnel }.map { (client: $0.key, sessions: $0.value) }
  }

  /// Nobody is told anything more: this node does not serve any longer.
  func stop() {
    lost += waiting.reduce(0) { $0 + $1.sessions } + talks.reduce(0) { $0 + $1.sessions }
    (waiting, talks) = ([], [])
  }

  func turn(at now: Instant) {
    while talks.count < Self.atOnce, let next = waiting.first {
      waiting.removeFirst()
      talks.append(
        Talk(client: next.client, farewell: Farewell(tunnel: next.client.tunnel, peerTunnel: next.client.peerTunnel), retryAt: now, sessions: next.sessions))
    }
    for index in talks.indices { advance(&talks[index], at: now) }
    talks.removeAll { talk in
      guard let outcome = talk.farewell.outcome else { return false }
      switch outcome {
      case .told: told += talk.sessions
      case .closed, .unanswered: lost += talk.sessions
      }
      say("tunnel \(talk.client.tunnel) of \(talk.client.peer) port \(talk.client.port): \(outcome)")
      return true
    }
  }

  private func advance(_ talk: inout Talk, at now: Instant) {
    if talk.socket == nil {
      guard now >= talk.retryAt else { return }
      do throws(SystemError) {
        talk.socket = try ClientSocket(from: talk.client.gateway, to: talk.client.peer, port: talk.client.port)
      } catch {
        talk.retryAt = now + Self.retry
        if now >= until {
          say("\(error)")
          talk.farewell.refused()
        }
        return
      }
    }
    guard let socket = talk.socket else { return }
    do throws(SystemError) {
      // A client that is busy sends data meanwhile, which comes here.
      for _ in 0..<256 {
        guard let datagram = try socket.receive() else { break }
        if let answer = talk.farewell.receive(datagram) { try socket.send(answer) }
      }
      if let message = talk.farewell.due(at: now) { try socket.send(message) }
    } catch {
      // Errors of earlier datagrams, and of what cannot be sent just now; the next attempt shows which. A closed port is final.
      if error.errno == .connectionRefused { talk.farewell.refused() }
    }
  }
}
