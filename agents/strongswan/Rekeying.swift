import Daemon
import Host
import OCF
import Sessions
import VICI

/// What a promotion need not wait for, in a process of its own after it: the other nodes are told the epoch, and every
/// inherited CHILD SA gets new keys, one after the other.
///
/// It heals what the ha plugin's messages, which nobody acknowledges, did not carry over, and begins new sequence numbers.
/// It ends by itself: when it is done, or as soon as this charon is not promoted any more.
struct Rekeying {
  /// The only argument that starts it.
  static let word = "rekey-inherited"
  /// Before the first order: the rest of the take-over needs the processor more.
  static let delay = Duration.seconds(2)
  /// Between two orders. A rekeying is one exchange with a client and some arithmetic here.
  static let pause = Duration.milliseconds(50)
  static let limit = Duration.seconds(600)

  let agent: StrongSwan
  let call: Call

  init(agent: StrongSwan, call: Call) {
    self.agent = agent
    self.call = call
  }

  /// Whether the program was started for this.
  static func isMeant(by arguments: [String]) -> Bool { arguments.count == 2 && arguments[1] == word }

  /// Starts it; the promotion does not wait for it, nor fail because of it.
  static func launch(_ call: Call, in epoch: Epoch?) {
    var environment = call.request.environment.filter { $0.key.hasPrefix("OCF_") || $0.key.hasPrefix("HA_") || $0.key.hasPrefix("PCMK_") }
    environment["OCF_RESOURCE_TYPE"] = call.request.type
    environment[Epoch.variable] = epoch.map { String($0.number) }
    do throws(SystemError) {
      _ = try call.host.processes.relaunch([word], environment: environment)
    } catch { call.log.warning("rekeying inherited SAs: \(error)") }
  }

  /// - Returns: how many rekeyings were ordered.
  @discardableResult func run() -> Int {
    var ordered = 0
    call.host.clock.sleep(until: call.host.clock.now + Self.delay)
    agent.spreadEpoch(call)
    do throws(OCFError) {
      var children: [UInt64] = []
      try ask { () throws(VICIError) in
        try agent.connect(call, within: .seconds(10)).sas { sa in
          guard agent.isOurs(sa), sa.isEstablished else { return }
          children += sa.children.filter { $0.state == "INSTALLED" }.map(\.uniqueID)
        }
      }
      for child in children {
        guard try isPromoted(), call.host.clock.now < call.deadline else { break }
        try order(child)
        ordered += 1
        call.host.clock.sleep(until: call.host.clock.now + Self.pause)
      }
      call.log.info("rekeying \(ordered) inherited CHILD SAs")
    } catch { call.log.warning("rekeying inherited SAs: \(error.reason)") }
    return ordered
  }

  private func order(_ child: UInt64) throws(OCFError) {
    let lock = try agent.exclusive(call.within(.seconds(10)))
    defer { lock.release() }
    try ask(try agent.connect(call, within: .seconds(10)).rekey(.childID(child)))
  }

  private func isPromoted() throws(OCFError) -> Bool {
    try attempt("reading the role") { () throws(SystemError) in
      guard let process = try agent.daemon(call).find(call) else { return false }
      return try agent.daemon(call).isPromoted(process, call)
    }
  }
}

extension StrongSwan {
  package static func detachedWork(for arguments: [String]) -> DetachedWork<StrongSwan>? {
    Rekeying.isMeant(by: arguments) ? DetachedWork(for: Rekeying.limit) { agent, call in Rekeying(agent: agent, call: call).run() } : nil
  }
}
