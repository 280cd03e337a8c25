import Daemon
import Host
import IKEProbe
import OCF
import VICI

/// What level 20 remembers between two monitors, which are processes of their own: when it last left a half-open SA behind. Two
/// monitors at the same moment may leave two.
struct ProbeRecord {
  var lastMainMode: Instant?

  /// charon drops a half-open SA after 30 s.
  static let halfOpenLife = Duration.seconds(31)

  private static let kind = "probe"
  static func path(for request: Request) -> String { request.recordPath(kind) }

  /// What was written; nothing where it is no record.
  init(reading call: Call) throws(SystemError) {
    guard let bytes = try call.host.files.read(Self.path(for: call.request), limit: 64) else { return }
    lastMainMode = Int64(String(decoding: bytes, as: UTF8.self).prefix { $0 != "\n" }).map { Instant(nanoseconds: $0) }
  }

  /// Whether a Main Mode message would open the only half-open SA of ours. A clock that runs behind the record is another boot's.
  func mayAskMainMode(_ now: Instant) -> Bool {
    guard let lastMainMode else { return true }
    return now < lastMainMode || now - lastMainMode > Self.halfOpenLife
  }

  func write(_ call: Call) throws(SystemError) {
    try call.keep(Array("\(lastMainMode?.nanoseconds ?? 0)\n".utf8), as: Self.kind)
  }
}

extension StrongSwan {
  /// Probes IKE on the address as a client would reach it. Nil when it is well.
  ///
  /// Port 4500 is asked for a version nobody has, port 500 for what the loaded connections speak: version 2 for a proposal
  /// nobody has, version 1 for the real proposals of L2TP clients twice a minute and for impossible ones in between.
  func probe(_ call: Call, isPromoted: Bool) -> ResourceState? {
    guard let address else { return nil }
    var isHeard = false
    do {
      guard try call.host.network.holds(address) else {
        // A standby is ready without the address.
        return call.isPromotable && !isPromoted ? nil : .failed("address: \(address) is not on this node", promoted: isPromoted)
      }
      let deadline = call.within(.seconds(8)).deadline
      // Its own: charon takes the bytes of a half-open SA for a retransmission and answers the port that sent them first.
      let spi = UInt64.random(in: 1...UInt64.max)
      func ask(_ probe: IKEProbe, _ port: UInt16 = 500) throws(IKEProbeError) -> IKEAnswer {
        try IKEProber(address, port: port, from: address, spi: spi).ask(probe, on: call.host, before: deadline)
      }
      _ = try ask(.version)
      _ = try ask(.version, 4500)
      isHeard = true
      let served = try served(at: address, call)
      if served.v2 { _ = try ask(.proposalV2) }
      guard served.v1 else { return nil }
      var record = try ProbeRecord(reading: call)
      guard record.mayAskMainMode(call.host.clock.now) else {
        _ = try ask(.proposalV1)
        return nil
      }
      // Written before it is sent: who is killed in between has asked.
      record.lastMainMode = call.host.clock.now
      try record.write(call)
      switch try ask(.mainMode) {
      case .accepted, .cookie: return nil
      case .noProposal where !served.l2tp: return nil
      case .noProposal:
        return .failed("IKEv1 on \(address): no connection for it accepts what L2TP clients offer", promoted: isPromoted)
      case let other: return .failed("IKEv1 on \(address): unexpected answer \(other)", promoted: isPromoted)
      }
    } catch let error as IKEProbeError where error.kind == .timedOut && isHeard {
      // charon hears, and the workers that answer VICI are those that answer clients.
      guard let limit = limitReached(call) else { return .failed("\(error)", promoted: isPromoted) }
      return .atRisk("charon turns new clients away: \(limit)", promoted: isPromoted)
    } catch {
      return .failed("\(error)", promoted: isPromoted)
    }
  }

  /// What the loaded connections serve at `address`. A name or a range may stand for it; whether one for L2TP clients does must be sure.
  private func served(at address: IPAddress, _ call: Call) throws(VICIError) -> (v1: Bool, v2: Bool, l2tp: Bool) {
    var served = (v1: false, v2: false, l2tp: false)
    try connect(call, within: .seconds(5)).connections { connection in
      let local = connection.localAddresses
      let isHere = local.isEmpty || local.contains { $0 == "%any" || IPAddress($0) == address }
      guard connection.name != "ha", isHere || local.contains(where: { IPAddress($0) == nil }) else { return }
      if connection.version != "IKEv2" { served.v1 = true }
      if connection.version != "IKEv1" { served.v2 = true }
      if connection.version == "IKEv1", isHere, connection.isForEverybody, connection.children.contains(where: \.isTransport) { served.l2tp = true }
    }
    return served
  }

  /// Which of its own limits has charon leave first messages unanswered (`receiver.c`); nil when none is reached.
  private func limitReached(_ call: Call) -> String? {
    let settings: SettingsFile
    do throws(SettingsError) { settings = try SettingsFile(reading: Self.daemonSettings, from: call.host.files) } catch { return nil }
    func limit(_ name: String) -> UInt64 { settings.daemonValue(name).flatMap { UInt64($0) } ?? 0 }
    do throws(VICIError) {
      let statistics = try connect(call, within: .seconds(2)).statistics()
      let halfOpen = limit("init_limit_half_open")
      if halfOpen > 0, statistics.halfOpen >= halfOpen {
        return "\(statistics.halfOpen) SAs are half-open, init_limit_half_open is \(halfOpen)"
      }
      let jobs = limit("init_limit_job_load")
      if jobs > 0, statistics.queues.total > jobs { return "\(statistics.queues.total) jobs wait, init_limit_job_load is \(jobs)" }
    } catch { call.log.warning("looking for why charon is silent: \(error)") }
    return nil
  }
}
