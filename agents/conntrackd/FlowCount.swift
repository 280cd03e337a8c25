import Daemon
import Host
import OCF

/// What the members of the clone tell each other through the attribute daemons: how many flows of its own each has. One that
/// stands by compares with it what it holds of the others'.
struct FlowCount: Equatable {
  var flows: UInt64
  /// When it was told, in seconds of the teller's own clock: nobody else can read more from it than that it is another.
  var told: UInt64

  init(flows: UInt64, told: UInt64) {
    self.flows = flows
    self.told = told
  }

  /// Nil for anything but two numbers.
  init?(_ text: String) {
    let words = text.split(separator: " ", omittingEmptySubsequences: false)
    guard words.count == 2, let flows = UInt64(words[0]), let told = UInt64(words[1]) else { return nil }
    self.init(flows: flows, told: told)
  }

  var text: String { "\(flows) \(told)" }

  static func name(for request: Request) -> String { "vpnha-flows-\(request.resource)" }

  /// What is told again although it is much the same, in seconds: a value that is never renewed may be that of a node where
  /// nobody looks any more.
  static let renewal: UInt64 = 300

  /// Whether the others should hear of `now`. Not at every look: each time is a line in the log of every node.
  func isOutdated(by now: FlowCount) -> Bool {
    let change = max(now.flows, flows) - min(now.flows, flows)
    return change > max(Comparison.inFlight / 4, flows / 20) || now.told < told || now.told - told >= Self.renewal
  }
}

/// At one look: the flows of the others that this node holds, beside how many they say that there are.
struct Comparison: Equatable {
  var held: UInt64
  var promised: UInt64
  /// The sum of the moments at which the others told: another one when somebody told anew.
  var edition: UInt64
  /// The monotonic clock of this node, in milliseconds, when the edition was first seen.
  var since: Int64
  /// The same clock at this look.
  var taken: Int64

  /// What was counted on the two nodes.
  enum Measure {
    /// Caches: both numbers are of replicated flows alone.
    case cache
    /// The standby has the flows in its kernel's table, beside some of its own.
    case copy
    /// The node that serves has no cache either, and its table holds what is not replicated: only next to nothing is too little.
    case table
  }

  struct Mismatch: Equatable {
    var text: String
    var isLack: Bool
    /// Next to nothing is here: to promote this node is to lose the connections.
    var isBare: Bool
  }

  /// Flows that come and go between two looks, and are on their way.
  static let inFlight: UInt64 = 100
  /// What was not told anew for so long is not believed, in milliseconds.
  static let staleness = Int64(FlowCount.renewal) * 2500

  /// What does not agree, in a few words; nil when nothing is known to.
  ///
  /// The two numbers are not of one moment, and flows come in bursts. What lies between the last two looks agrees with
  /// everything in between: only what was wrong at both of them, and by more than a fifth, is wrong.
  func trouble(since earlier: Comparison, at now: Int64, _ measure: Measure) -> Mismatch? {
    guard now - since < Self.staleness else { return nil }
    let held = (low: min(held, earlier.held), high: max(held, earlier.held))
    let promised = (low: min(promised, earlier.promised), high: max(promised, earlier.promised))
    let isBare = held.high < promised.low / 20
    if promised.low > held.high, promised.low - held.high > max(Self.inFlight, promised.low / 5), measure != .table || isBare {
      return Mismatch(
        text: "only \(self.held) of the peer's \(self.promised) flows are replicated here", isLack: true,
        isBare: isBare)
    }
    if measure == .cache, held.low > promised.high, held.low - promised.high > max(Self.inFlight, held.low / 5) {
      return Mismatch(
        text: "\(self.held) flows are here for the peer's \(self.promised): conntrackd -f external, then conntrackd -n", isLack: false,
        isBare: false)
    }
    return nil
  }
}

extension Comparison {
  /// What does not agree, and what the next look is compared with: the first of those that disagreed in this way.
  ///
  /// - Parameter gap: milliseconds that lie between two looks which prove something.
  func judged(after earlier: Comparison?, gap: Int64, _ measure: Measure) -> (mismatch: Mismatch?, kept: Comparison) {
    guard let earlier, let mismatch = trouble(since: earlier, at: taken, measure) else { return (nil, self) }
    var first = self
    (first.held, first.promised, first.taken) = (earlier.held, earlier.promised, earlier.taken)
    return (taken - first.taken >= gap ? mismatch : nil, first)
  }
}

extension Conntrackd {
  /// The time between two looks of one monitor, in which the peer has looked, too; a minute for a look by hand. Of two monitors, with
  /// a role and without, one may look right after the other, when nobody has told anything new.
  static func gap(_ request: Request) -> Int64 {
    guard let interval = Int64(request.environment["OCF_RESKEY_CRM_meta_interval"] ?? ""), interval > 0 else { return 60_000 }
    return interval / 10 * 9
  }

  /// Tells the others what is here, and compares what is held of theirs. Nil where there is nothing to compare: on the node that
  /// serves, which has no use for the standby's flows, without caches, outside a cluster, or while nobody else has told anything.
  func comparison(of own: UInt64?, holding held: UInt64?, isServing: Bool, since earlier: SyncSample?, _ call: Call) -> Comparison? {
    guard let node = call.request.nodeName else { return nil }
    let name = FlowCount.name(for: call.request)
    let now = call.host.clock.now.nanoseconds / 1_000_000
    do throws(SystemError) {
      let counts = try call.host.cluster.nodeAttribute(name).compactMapValues { FlowCount($0) }
      if let own {
        let current = FlowCount(flows: own, told: UInt64(max(0, now / 1000)))
        if counts[node]?.isOutdated(by: current) ?? true { try call.host.cluster.share(current.text, as: name, on: nil) }
      }
      let others = counts.filter { $0.key != node }.values
      guard let held, !isServing, !others.isEmpty else { return nil }
      let edition = others.reduce(0) { $0 &+ $1.told }
      let before = earlier?.comparison
      return Comparison(
        held: held, promised: others.reduce(0) { $0.addingSaturating($1.flows) }, edition: edition,
        since: before?.edition == edition ? before?.since ?? now : now, taken: now)
    } catch {
      call.log.warning("comparing the flows with the peer's: \(error)")
      return nil
    }
  }

  /// What was told of flows that have gone with the daemon.
  func withdrawFlowCount(_ call: Call) {
    guard call.request.nodeName != nil else { return }
    do throws(SystemError) {
      // Nothing was told before the first look.
      guard try call.host.files.status(notePath("sample", call)) != nil else { return }
      try call.host.cluster.setNodeAttribute(FlowCount.name(for: call.request), to: nil, dampening: .zero)
    } catch { call.log.warning("\(error)") }
  }
}

extension UInt64 {
  fileprivate func addingSaturating(_ other: UInt64) -> UInt64 {
    let (sum, overflow) = addingReportingOverflow(other)
    return overflow ? .max : sum
  }
}
