import Host
import L2TP
import Ledger
import RADIUS

/// Sessions of the other node that this one carries on, or is ready to.
///
/// As standby it has the kernel make every session that the peer tells of, silent. Promoted, it switches them on, keeps their links and
/// tunnels up as long as the clients do, and gives those that it cannot carry to be told that they are over. Which session is whose
/// is never guessed: a message counts only in the tunnel whose socket it came over.
public final class Adoption: Readable {
  /// How long one turn may make sessions, so that what else there is to do is not kept waiting.
  static let turn = Duration.milliseconds(20)
  /// What could not be made is tried again: something of a client's that was here before may still be on its way out.
  static let retry = Duration.milliseconds(50)
  static let patience = Duration.seconds(5)
  /// Signs of life are repeated until the client answers: the way to it may open after the promotion.
  static let announcing = Duration.milliseconds(200)
  static let announcements = 50
  /// How often a client is asked whether it is there, and how many questions without an answer it is gone after.
  static let asking = Duration.seconds(10)
  static let questions = 6
  /// How long a tunnel whose last link was ended is kept for the client to end the call.
  static let grace = Duration.seconds(31)
  /// What one socket may say in one turn.
  static let words = 64

  private struct Tunnel {
    var record: SessionRecord
    var sockets: TunnelSockets
    var sessions: Set<UInt16> = []
    var emptySince: Instant?

    func isSame(as other: SessionRecord) -> Bool {
      (record.peerTunnel, record.peerPort, record.gateway, record.peer) == (other.peerTunnel, other.peerPort, other.gateway, other.peer)
    }
  }

  private struct Session {
    /// Its account as the cluster knows it; `base` is that of the moment from which on this node counts.
    var record: SessionRecord
    var sockets: SessionSockets
    var base: AccountTotals?
    var isOn = false
    var isHeard = false
    /// Signs of life that the client has been given, and questions since it was last heard.
    var announced = 0
    var unanswered = 0
    var identifier: UInt8 = 0
    var next: Instant
  }

  /// What pppd would have run a script for.
  public struct LinkEvent: Equatable, Sendable {
    public var record: SessionRecord
    public var interface: String
    public var isUp: Bool
  }

  /// A session that no node carries any more.
  public struct End: Equatable, Sendable {
    public var record: SessionRecord
    public var cause: SessionAccounting.Cause
  }

  private enum Place {
    case tunnel(UInt16)
    case channel(SessionKey)
    case unit(SessionKey)
  }

  private let kernel: any SessionKernel
  private let clock: any Clock
  private let say: (String) -> Void
  private var isPromoted = false
  private var tunnels: [UInt16: Tunnel] = [:]
  private var sessions: [SessionKey: Session] = [:]
  private var places: [Int32: Place] = [:]
  private var waiting: [(record: SessionRecord, since: Instant, next: Instant)] = []
  private var lookAt = Instant(nanoseconds: .min)
  private var told: [SessionRecord] = []
  private var emptied: [SessionRecord] = []
  private var events: [LinkEvent] = []
  private var ends: [End] = []
  /// Those of this node's own daemons: no other node carried them.
  private var native: Set<SessionKey> = []
  /// Why a session could not be made ready, of the last that could not.
  public private(set) var problem: String?

  public init(_ kernel: any SessionKernel, _ clock: any Clock, say: @escaping (String) -> Void) {
    self.kernel = kernel
    self.clock = clock
    self.say = say
  }

  public var descriptor: Int32 { kernel.descriptor }
  public var count: Int { sessions.count }

  /// What this node carries, by the name that it has in the kernel; nothing as standby.
  public var carried: [SessionKey: SessionRecord] {
    guard isPromoted else { return [:] }
    var records = sessions.mapValues { carriedOn($0.record) }
    for entry in waiting { records[entry.record.key] = carriedOn(entry.record) }
    return records
  }

  /// When `turn` has something to do though nothing comes.
  public var deadline: Instant { min(waiting.map(\.next).min() ?? .init(nanoseconds: .max), tunnels.isEmpty ? .init(nanoseconds: .max) : lookAt) }

  /// Sessions that are over for this node and whose clients are to be told; each once.
  public func takeTold() -> [SessionRecord] {
    defer { told = [] }
    return told
  }

  /// Sessions that their clients have ended, and whose tunnels are of no use any more: xl2tpd dials again once it hears that its
  /// tunnel is over, and not before. Each once.
  public func takeEmptied() -> [SessionRecord] {
    defer { emptied = [] }
    return emptied
  }

  /// Links that have come up, and those that have gone. pppd has said of one that it carried that it is up. Each once.
  public func takeEvents() -> [LinkEvent] {
    defer { events = [] }
    return events
  }

  /// Sessions that are over, and why. Each once.
  public func takeEnds() -> [End] {
    defer { ends = [] }
    return ends
  }

  // MARK: - Role

  /// As standby: what the peer carries now.
  public func follow(_ held: [SessionRecord]) {
    guard !isPromoted else { return }
    let wanted = Dictionary(held.map { ($0.key, $0) }) { $1 }
    for (key, session) in sessions {
      if let record = wanted[key], record.isSame(as: session.record) { sessions[key]?.record.account = record.account } else { end(key) }
    }
    for (number, tunnel) in tunnels where tunnel.sessions.isEmpty { close(number, tunnel) }
    let now = clock.now
    let known = Dictionary(waiting.map { ($0.record.key, $0) }) { $1 }
    waiting = wanted.values.filter { sessions[$0.key] == nil }.sorted { $0.key < $1.key }.map { record in
      if let entry = known[record.key], entry.record.isSame(as: record) { return (record, entry.since, entry.next) }
      return (record, now, now)
    }
    if waiting.isEmpty { problem = nil }
  }

  /// These are this node's from now on, made ready or not.
  public func promote(with records: [SessionRecord]) {
    follow(records)
    let now = clock.now
    isPromoted = true
    problem = nil
    waiting = waiting.map { ($0.record, now, now) }
    for key in sessions.keys.sorted() { switchOn(key) }
    lookAt = now
  }

  /// Carries on what daemons of this node have carried until now, which are gone without a word.
  public func take(_ records: [SessionRecord]) {
    guard isPromoted else { return }
    let now = clock.now
    for record in records.sorted(by: { $0.key < $1.key }) where sessions[record.key] == nil {
      native.insert(record.key)
      waiting.append((record, now, now))
    }
    make(at: now)
  }

  /// As standby: how many of those that it follows this node could do right by at once, if it can speak to these clients: carry them
  /// on, or tell the client that its session is over.
  public func ready(for clients: Set<IPAddress>) -> Int {
    let records = sessions.values.map(\.record) + waiting.map(\.record).filter { Self.refusal($0) != nil }
    return records.count { clients.contains($0.peer) }
  }

  /// All clients are to be told that their sessions are over.
  public func tellAll() {
    for entry in waiting { give(up: entry.record, .adminReset) }
    waiting = []
    for number in tunnels.keys.sorted() { end(tunnel: number, .adminReset, telling: true) }
  }

  /// All that was made is gone, and nobody is told.
  public func stop() {
    for key in Array(sessions.keys) { end(key) }
    for (number, tunnel) in tunnels { close(number, tunnel) }
    (isPromoted, waiting, told, emptied, problem, native) = (false, [], [], [], nil, [])
  }

  /// A session that a daemon of this node has taken: the client has dialled again, or was given an address that is in use.
  public func giveWay(to record: SessionRecord) {
    for (key, session) in sessions where session.record.remote == record.remote {
      let isAgain = session.record.user == record.user
      say("\(name(key)) gives way to one that \(isAgain ? "its client has dialled" : "was given its address")")
      if isAgain { end(key, .lostCarrier) } else { end(key, .nasError, telling: true) }
    }
    for entry in waiting where entry.record.remote == record.remote { ends.append(End(record: entry.record, cause: .lostCarrier)) }
    waiting.removeAll { $0.record.remote == record.remote }
  }

  // MARK: - Accounts

  /// Brings what the cluster knows of a session's account up to date, and returns it; nil of a session that is not here.
  @discardableResult public func publish(_ key: SessionKey) -> SessionRecord? {
    guard let session = sessions[key] else { return nil }
    if let base = session.base, let link = kernel.totals(of: session.sockets) { sessions[key]?.record.account?.totals = base + link }
    return sessions[key]?.record
  }

  public func publishAll() { for key in sessions.keys { publish(key) } }

  private func carriedOn(_ record: SessionRecord) -> SessionRecord {
    guard !native.contains(record.key) else { return record }
    var record = record
    record.hops = record.hops < .max ? record.hops + 1 : .max
    return record
  }

  // MARK: - Making

  private static func refusal(_ record: SessionRecord) -> String? {
    if record.receivesSequences || record.sendsSequences { return "its data have sequence numbers, which are not known" }
    if record.gateway.isIPv6 { return "it is over IPv6" }
    if record.local.isIPv6 { return "it has IPv6 inside" }
    return nil
  }

  private func make(at now: Instant) {
    let enough = now + Self.turn
    var later: [(record: SessionRecord, since: Instant, next: Instant)] = []
    while let entry = waiting.first {
      if clock.now >= enough { break }
      waiting.removeFirst()
      guard now >= entry.next else {
        later.append(entry)
        continue
      }
      let record = entry.record
      do throws(SystemError) {
        if let refusal = Self.refusal(record) { throw SystemError("carrying on \(record.tunnel)/\(record.session)", .notSupported, detail: refusal) }
        try make(record, at: now)
        if isPromoted { switchOn(record.key) }
      } catch {
        let text = "\(error)"
        if isPromoted, now - entry.since >= Self.patience || error.errno == .notSupported || error.errno == .familyNotSupported {
          say(text)
          give(up: record, .lostService)
        } else {
          if problem != text { say(text) }
          problem = text
          // A standby has time: what cannot be made now may be possible when it is needed.
          later.append((record, entry.since, now + (isPromoted ? Self.retry : .seconds(10))))
        }
      }
    }
    waiting += later
    if waiting.isEmpty { problem = nil }
  }

  /// One that nothing was made of: its client is told.
  private func give(up record: SessionRecord, _ cause: SessionAccounting.Cause) {
    told.append(record)
    ends.append(End(record: record, cause: cause))
  }

  private func make(_ record: SessionRecord, at now: Instant) throws(SystemError) {
    var tunnel: Tunnel
    if let known = tunnels[record.tunnel] {
      guard known.isSame(as: record) else { throw SystemError("making tunnel \(record.tunnel)", .exists) }
      tunnel = known
    } else {
      tunnel = Tunnel(record: record, sockets: try kernel.openTunnel(for: record))
    }
    do throws(SystemError) {
      let sockets = try kernel.openSession(for: record, in: tunnel.sockets)
      sessions[record.key] = Session(record: record, sockets: sockets, next: now)
      places[sockets.channel] = .channel(record.key)
      places[sockets.unit] = .unit(record.key)
    } catch {
      if tunnels[record.tunnel] == nil { kernel.close(tunnel.sockets) }
      throw error
    }
    tunnel.sessions.insert(record.session)
    tunnel.emptySince = nil
    tunnels[record.tunnel] = tunnel
    places[tunnel.sockets.control] = .tunnel(record.tunnel)
  }

  private func switchOn(_ key: SessionKey) {
    guard var session = sessions[key], !session.isOn else { return }
    do throws(SystemError) { try kernel.switchOn(session.sockets) } catch {
      say("\(error)")
      return end(key, .nasError, telling: true)
    }
    session.isOn = true
    session.base = session.record.account?.totals
    if !native.contains(key) { events.append(LinkEvent(record: session.record, interface: session.sockets.interface, isUp: true)) }
    session.next = clock.now
    sessions[key] = session
  }

  // MARK: - Ending

  private func name(_ key: SessionKey) -> String {
    let record = sessions[key]?.record
    return "session \(key.session) of tunnel \(key.tunnel)" + (record.map { " (\($0.remote) at \($0.peer) port \($0.peerPort))" } ?? "")
  }

  /// - Parameter telling: the client does not know. One whose tunnel has other sessions is left to find out: it would lose them all.
  private func end(_ key: SessionKey, _ cause: SessionAccounting.Cause? = nil, telling: Bool = false) {
    publish(key)
    guard let session = sessions.removeValue(forKey: key) else { return }
    defer { native.remove(key) }
    if session.isOn { events.append(LinkEvent(record: session.record, interface: session.sockets.interface, isUp: false)) }
    if let cause { ends.append(End(record: carriedOn(session.record), cause: cause)) }
    places[session.sockets.channel] = nil
    places[session.sockets.unit] = nil
    kernel.close(session.sockets)
    guard var tunnel = tunnels[key.tunnel] else { return }
    tunnel.sessions.remove(key.session)
    if tunnel.sessions.isEmpty { tunnel.emptySince = clock.now }
    tunnels[key.tunnel] = tunnel
    if telling, tunnel.sessions.isEmpty {
      // The client is told over a socket of its own.
      close(key.tunnel, tunnel)
      told.append(session.record)
    }
  }

  private func end(tunnel number: UInt16, _ cause: SessionAccounting.Cause, telling: Bool = false) {
    guard let tunnel = tunnels[number] else { return }
    for session in tunnel.sessions.sorted() { end(SessionKey(tunnel: number, session: session), cause, telling: telling) }
    if let tunnel = tunnels[number] { close(number, tunnel) }
  }

  private func empty(_ number: UInt16) {
    guard let tunnel = tunnels[number] else { return }
    close(number, tunnel)
    emptied.append(tunnel.record)
  }

  private func close(_ number: UInt16, _ tunnel: Tunnel) {
    places[tunnel.sockets.control] = nil
    tunnels[number] = nil
    kernel.close(tunnel.sockets)
  }

  // MARK: - Keeping up

  /// Does what is due, and answers what has come.
  public func turn() {
    let now = clock.now
    if !waiting.isEmpty { make(at: now) }
    for socket in kernel.ready() {
      // One that an earlier one of this turn has closed is no more, or is another.
      guard let place = places[socket] else { continue }
      for _ in 0..<Self.words where !hear(socket, place) { break }
    }
    if now >= lookAt { look(at: now) }
  }

  /// Whether there may be more to hear.
  private func hear(_ socket: Int32, _ place: Place) -> Bool {
    guard places[socket] != nil else { return false }
    switch (kernel.receive(from: socket), place) {
    case (.nothing, _): return false
    case (.problem, _): return true
    // A datagram may be empty.
    case (.gone, .tunnel): return true
    case (.gone, .channel(let key)), (.gone, .unit(let key)):
      say("\(name(key)): the kernel has ended it")
      end(key, .nasError, telling: isPromoted)
      return false
    // Nobody knows of a standby yet; what comes is some other session's, which has had these numbers.
    case (.bytes, _) where !isPromoted: return true
    case (.bytes(let bytes), .tunnel(let number)): control(bytes, number, socket)
    case (.bytes(let bytes), .channel(let key)), (.bytes(let bytes), .unit(let key)): frame(bytes, key)
    }
    return true
  }

  private func control(_ bytes: [UInt8], _ number: UInt16, _ socket: Int32) {
    guard let tunnel = tunnels[number] else { return }
    switch TunnelAnswer(to: bytes, tunnel: number, peerTunnel: tunnel.record.peerTunnel) {
    case .nothing: break
    case .goesOn(let answer): kernel.send(answer, to: socket)
    case .callEnds(let session, let peerSession, let answer):
      kernel.send(answer, to: socket)
      for key in tunnel.sessions.map({ SessionKey(tunnel: number, session: $0) }) {
        guard key.session == session || sessions[key]?.record.peerSession == peerSession else { continue }
        say("\(name(key)): the client has ended the call")
        end(key, .userRequest)
      }
      if tunnels[number]?.sessions.isEmpty == true { empty(number) }
    case .tunnelEnds(let answer):
      kernel.send(answer, to: socket)
      say("tunnel \(number) of \(tunnel.record.peer) port \(tunnel.record.peerPort): the client has ended it")
      end(tunnel: number, .userRequest)
    case .beginsAnew:
      say("tunnel \(number) of \(tunnel.record.peer) port \(tunnel.record.peerPort): the client asks for a new one")
      end(tunnel: number, .lostCarrier)
    }
  }

  private func frame(_ bytes: [UInt8], _ key: SessionKey) {
    guard var session = sessions[key] else { return }
    switch LinkAnswer(to: bytes) {
    case .nothing: return
    case .isAlive:
      session.isHeard = true
      session.unanswered = 0
      sessions[key] = session
    case .goesOn(let answer):
      session.isHeard = true
      session.unanswered = 0
      sessions[key] = session
      kernel.send(answer, to: session.sockets.channel)
    case .isOver(let answer):
      kernel.send(answer, to: session.sockets.channel)
      say("\(name(key)): the client hangs up")
      end(key, .userRequest)
    case .beginsAnew:
      say("\(name(key)): the client negotiates its link once more, which cannot be answered here")
      end(tunnel: key.tunnel, .lostService, telling: true)
    }
  }

  private func look(at now: Instant) {
    var next = now + .seconds(1)
    if isPromoted {
      for (key, session) in sessions where now >= session.next { word(to: key, session, at: now) }
      next = min(next, sessions.values.map(\.next).min() ?? next)
    }
    for (number, tunnel) in tunnels {
      if let since = tunnel.emptySince, tunnel.sessions.isEmpty, now - since >= Self.grace { empty(number) }
    }
    lookAt = next
  }

  private func word(to key: SessionKey, _ session: Session, at now: Instant) {
    var session = session
    session.identifier &+= 1
    if !session.isHeard, session.announced < Self.announcements {
      session.announced += 1
      kernel.send(LinkAnswer.signOfLife, to: session.sockets.channel)
      session.next = now + Self.announcing
    } else {
      guard session.unanswered < Self.questions else {
        say("\(name(key)): the client has not answered for \(Self.asking * Self.questions)")
        return end(key, .lostCarrier, telling: true)
      }
      session.unanswered += 1
      session.next = now + Self.asking
    }
    kernel.send(LinkAnswer.echoRequest(session.identifier), to: session.sockets.channel)
    sessions[key] = session
  }
}
