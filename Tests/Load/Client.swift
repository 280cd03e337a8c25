import Host
import L2TP

/// One scripted client: it dials, keeps its session alive, sends its data, notices when the session is lost, and dials again.
final class Client {
  enum State { case idle, ike, l2tp, up }

  let number: Int
  private let profile: Profile
  private let settings: KeyExchange.Settings
  private let ends: KeyExchange.Ends
  private let credentials: Credentials
  private let crypto: LibCrypto
  private let ping: (every: Double, size: Int)

  private(set) var state = State.idle
  private var dialAt: Double
  private var exchange: KeyExchange?
  private var repeatAt = Double.infinity
  private var repeats = 0
  /// The newest first; an SA that has been replaced is heard a while longer.
  private var inbound: [ESP] = []
  private var outbound: ESP?
  private var call: Call?
  private var pingAt = Double.infinity
  private var ponged = 0

  // When what happened.
  private var dialled = 0.0
  private var protected = 0.0
  private var connected = 0.0
  /// Since when it has been without its session; nil before the first one and while it has one.
  private var lost: Double?
  private var heard: Double?
  /// The longest time without an answer since the last mark.
  private(set) var silence = 0.0

  /// Datagrams for port 4500.
  var outgoing: [[UInt8]] = []

  init(
    number: Int, _ profile: Profile, _ settings: KeyExchange.Settings, _ ends: KeyExchange.Ends, _ credentials: Credentials, _ crypto: LibCrypto,
    ping: (every: Double, size: Int), dialAt: Double
  ) {
    self.number = number
    self.profile = profile
    self.settings = settings
    self.ends = ends
    self.credentials = credentials
    self.crypto = crypto
    self.ping = ping
    self.dialAt = dialAt
  }

  private static let marker: [UInt8] = [0, 0, 0, 0]

  // MARK: - What comes

  func hear(_ datagram: [UInt8], _ now: Double, _ report: inout Report) {
    if datagram.starts(with: Self.marker) {
      for event in exchange?.hear(Array(datagram.dropFirst(4))) ?? [] { take(event, now, &report) }
      return flush(now, &report)
    }
    guard datagram.count > 8 else { return }
    let spi = UInt32(bytes: datagram[0..<4])
    guard let index = inbound.firstIndex(where: { $0.spi == spi }), let (payload, next) = inbound[index].opened(datagram), next == 17,
      let udp = UDPPacket(payload), udp.destination == ends.port
    else { return report.strays += 1 }
    call?.hear(udp.payload, now)
    flush(now, &report)
  }

  private func take(_ event: KeyExchange.Event, _ now: Double, _ report: inout Report) {
    switch event {
    case .send(let bytes):
      outgoing.append(Self.marker + bytes)
      repeats = 0
      repeatAt = exchange?.unanswered == nil ? .infinity : now + profile.ikeRepeats[0]
    case .protected(let inbound, let outbound):
      self.inbound = [inbound] + self.inbound.prefix(2)
      self.outbound = outbound
      guard state == .ike else { return report.rekeyed += 1 }
      protected = now
      report.ike.append(now - dialled)
      state = .l2tp
      call = Call(profile, credentials, hostName: "load\(number)", now: now)
      ponged = 0
    case .deleted(let spi):
      if let spi, spi != outbound?.spi { return }
      over("IKE: the gateway deletes the \(spi == nil ? "IKE" : "IPsec") SA", now, &report)
    case .failed(let reason): over(reason, now, &report)
    case .heard: break
    }
  }

  // MARK: - The clock

  /// When `turn` has something to do next.
  var due: Double {
    switch state {
    case .idle: dialAt
    case .ike: min(repeatAt, dialled + profile.patience)
    case .l2tp: min(call?.due ?? .infinity, dialled + profile.patience)
    case .up: min(call?.due ?? .infinity, pingAt)
    }
  }

  func turn(_ now: Double, _ report: inout Report) {
    switch state {
    case .idle: if now >= dialAt { dial(now, &report) }
    case .ike:
      if now >= repeatAt, let exchange, let bytes = exchange.unanswered {
        repeats += 1
        guard repeats < profile.ikeRepeats.count else { return over("IKE: no answer to \(repeats) transmissions", now, &report) }
        repeatAt = now + profile.ikeRepeats[repeats]
        outgoing.append(Self.marker + bytes)
        report.repeated += 1
      }
    case .l2tp, .up:
      call?.turn(now)
      if state == .up, now >= pingAt {
        pingAt = max(pingAt + ping.every, now)
        call?.ping(size: ping.size)
        report.pinged += 1
      }
    }
    if state == .ike || state == .l2tp, now >= dialled + profile.patience { over("no session after \(Int(profile.patience)) s", now, &report) }
    flush(now, &report)
  }

  private func dial(_ now: Double, _ report: inout Report) {
    exchange = KeyExchange(settings, ends, crypto)
    dialled = now
    state = .ike
    repeats = 0
    repeatAt = now + profile.ikeRepeats[0]
    report.dialled += 1
    if let exchange { outgoing.append(Self.marker + exchange.begin()) }
  }

  /// The call's words go into ESP; what it has reached or lost is noticed.
  private func flush(_ now: Double, _ report: inout Report) {
    guard let call else { return }
    for datagram in call.outgoing { protect(datagram) }
    call.outgoing = []
    if call.ponged > ponged {
      report.ponged += call.ponged - ponged
      ponged = call.ponged
      if let heard { silence = max(silence, now - heard) }
      heard = now
    }
    if connected == 0, call.phase.rawValue >= Call.Phase.link.rawValue, call.phase != .over {
      connected = now
      report.l2tp.append(now - protected)
    }
    if call.phase == .over { return over(call.reason, now, &report) }
    if state == .l2tp, call.phase == .up {
      state = .up
      report.ppp.append(now - connected)
      report.session.append(now - dialled)
      report.came(now)
      if let lost { report.redial.append(now - lost) }
      lost = nil
      if ping.every < .infinity { pingAt = now + .random(in: 0..<ping.every) }
    }
  }

  /// A datagram of L2TP goes into ESP.
  private func protect(_ datagram: [UInt8]) {
    do throws(SystemError) {
      if let packet = try outbound?.sealed(UDPPacket(source: ends.port, destination: 1701, payload: datagram).bytes, next: 17) { outgoing.append(packet) }
    } catch {}
  }

  private func over(_ reason: String, _ now: Double, _ report: inout Report) {
    if state == .up {
      lost = now
      report.lost += 1
    } else {
      report.failed += 1
    }
    report.reasons[reason, default: 0] += 1
    // Where nobody hears it, it costs nothing.
    if let farewell = call?.farewell() { protect(farewell) }
    if let farewell = exchange?.farewell() { outgoing.append(Self.marker + farewell) }
    (exchange, call, inbound, outbound, connected, pingAt) = (nil, nil, [], nil, 0, .infinity)
    state = .idle
    dialAt = now + profile.redial
  }

  /// Whether its last pings were answered.
  func isAnswered(_ now: Double) -> Bool { state == .up && heard.map { now - $0 < max(3, 3 * ping.every) } == true }

  /// A new count of silence begins. Returns the old one, with what is still going on.
  func mark(_ now: Double) -> Double? {
    guard let since = heard else { return nil }
    defer { silence = 0 }
    return max(silence, now - since)
  }

  /// Says goodbye for good.
  func hangUp() {
    if let farewell = call?.farewell() { protect(farewell) }
    if let farewell = exchange?.farewell() { outgoing.append(Self.marker + farewell) }
  }
}
