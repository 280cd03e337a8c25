import Daemon
import Host
import IKEProbe
import OCF
import VICI

/// What level 20 remembers between two monitors, which are processes of their own: the SPI it probes with, and when it last
/// left a half-open SA behind. Never more than one of ours is there at a time.
struct ProbeRecord {
  var spi: UInt64
  var lastMainMode: Instant?

  /// charon drops a half-open SA after 30 s.
  static let halfOpenLife = Duration.seconds(31)

  static func path(for request: Request) -> String { DaemonRole.path(for: request, "probe") }

  /// What was written, or a new one with an SPI at random.
  init(reading call: Call) throws(SystemError) {
    let text = try call.host.files.read(Self.path(for: call.request), limit: 128).map { String(decoding: $0, as: UTF8.self) }
    let words = (text ?? "").split(whereSeparator: \.isWhitespace)
    if words.count == 2, let spi = UInt64(words[0], radix: 16), spi != 0, let time = Int64(words[1]) {
      self.spi = spi
      lastMainMode = Instant(nanoseconds: time)
    } else {
      spi = UInt64.random(in: 1...UInt64.max)
    }
  }

  /// Whether a Main Mode message would open the only half-open SA of ours. A clock that runs behind the record is another boot's.
  func mayAskMainMode(_ now: Instant) -> Bool {
    guard let lastMainMode else { return true }
    return now < lastMainMode || now - lastMainMode > Self.halfOpenLife
  }

  func write(_ call: Call) throws(SystemError) {
    try call.host.files.makeDirectory(DaemonRole.directory, mode: 0o755)
    let text = "\(String(spi, radix: 16)) \(lastMainMode?.nanoseconds ?? 0)\n"
    try call.host.files.replace(Self.path(for: call.request), with: Array(text.utf8), mode: 0o600)
  }
}

extension StrongSwan {
  /// Probes IKE on the address as a client would reach it. Nil when it is well.
  ///
  /// Port 4500 is asked for a version nobody has, port 500 for what the loaded connections speak: version 2 for a proposal
  /// nobody has, version 1 for the real proposals of L2TP clients twice a minute and for impossible ones in between.
  func probe(_ call: Call, isPromoted: Bool) -> String? {
    guard let address else { return nil }
    do {
      guard try call.host.network.holds(address) else {
        // A standby is ready without the address.
        return call.isPromotable && !isPromoted ? nil : "address: \(address) is not on this node"
      }
      let deadline = call.within(.seconds(8)).deadline
      var record = try ProbeRecord(reading: call)
      func ask(_ probe: IKEProbe, _ port: UInt16) throws(IKEProbeError) -> IKEAnswer {
        try IKEProber(address, port: port, from: address, spi: record.spi).ask(probe, on: call.host, before: deadline)
      }
      _ = try ask(.version, 500)
      _ = try ask(.version, 4500)
      let versions = try versionsInUse(address, call)
      if versions.v2 { _ = try ask(.proposalV2, 500) }
      guard versions.v1 else { return nil }
      guard record.mayAskMainMode(call.host.clock.now) else {
        _ = try ask(.proposalV1, 500)
        return nil
      }
      // Written before it is sent: who is killed in between has asked.
      record.lastMainMode = call.host.clock.now
      try record.write(call)
      switch try ask(.mainMode, 500) {
      case .accepted, .cookie: return nil
      case .noProposal: return "IKEv1 on \(address): no connection for it accepts what L2TP clients offer"
      case let other: return "IKEv1 on \(address): unexpected answer \(other)"
      }
    } catch {
      return "\(error)"
    }
  }

  private func versionsInUse(_ address: IPAddress, _ call: Call) throws(VICIError) -> (v1: Bool, v2: Bool) {
    var v1 = false
    var v2 = false
    try connect(call, within: .seconds(5)).connections { connection in
      let isHere = connection.localAddresses.contains { $0 == "%any" || IPAddress($0) == address }
      guard connection.name != "ha", isHere || connection.localAddresses.isEmpty else { return }
      if connection.version != "IKEv2" { v1 = true }
      if connection.version != "IKEv1" { v2 = true }
    }
    return (v1, v2)
  }
}
