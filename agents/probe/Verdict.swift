import Host

/// What the targets' states mean for the node.
struct Verdict: Equatable {
  /// Whether the path is up; nil before enough probes were made.
  var path: Bool?
  /// Whether the service's address answers, as far as this node can tell; nil when it is not watched or not known yet.
  var address: Bool?
  /// What is wrong, the gravest first.
  var troubles: [String] = []
  /// How long another node may take to come to the same conclusion.
  var skew = Duration.zero
}

/// A target with what is known of it.
struct Finding: Equatable {
  var target: Target
  var state: History.State
  /// Since when the host says that nobody listens there.
  var refusedSince: Timestamp?
  /// What the network said instead of an answer, the last time.
  var obstacle: String?
  /// Why this node cannot put the question, and so knows nothing of the answer.
  var inability: String?

  fileprivate var isDown: Bool { if case .down = state { true } else { false } }

  fileprivate var complaint: String? {
    if case .down(let since) = state {
      let why = (inability ?? obstacle).map { " (\($0))" } ?? ""
      return "\(target.address) has not answered \(target.question) since \(since)\(why)"
    }
    if let inability { return "\(target.address) cannot be asked, \(target.question): \(inability)" }
    // The host said so itself, so the path to it is up. What is dead there is not ours to move away from.
    return refusedSince.map { "\(target.address) has refused \(target.question) since \($0)" }
  }

  /// Nil while it is not known.
  fileprivate static func isUp(_ group: [Finding]) -> Bool? {
    if group.contains(where: { $0.state == .up }) { return true }
    return group.allSatisfy(\.isDown) ? false : nil
  }
}

extension Verdict {
  /// - Parameters:
  ///   - groups: targets that stand in for each other.
  ///   - watched: the service's address, nil when it is not watched or this node holds it.
  init(groups: [[Finding]], watched: Finding?, holdsAddress: Bool, skew: (Target.Kind) -> Duration) {
    let states = groups.map(Finding.isUp)
    path = states.contains(false) ? false : states.contains(nil) ? nil : true
    for (group, isUp) in zip(groups, states) where isUp == false {
      let kinds = group.map { skew($0.target.kind) }
      self.skew = max(self.skew, kinds.max() ?? .zero)
      guard let first = group.compactMap(\.complaint).first else { continue }
      troubles.append("path down: \(first)\(group.count > 1 ? ", nor \(group.count - 1) more" : "")")
    }
    let seen: Finding? = holdsAddress ? nil : watched
    if holdsAddress {
      address = true
    } else if let seen {
      // Behind a dead path nothing is seen, and nothing can be said.
      address = Finding.isUp([seen]) ?? nil
      if path == false, address == false { address = true }
      if address == false, let complaint = seen.complaint {
        troubles.append("seen from here \(complaint)")
        self.skew = max(self.skew, skew(.vip))
      }
    }
    for (group, isUp) in zip(groups, states) where isUp != false { troubles += group.compactMap(\.complaint) }
    if let seen, seen.inability != nil, !seen.isDown { troubles += [seen.complaint].compactMap(\.self) }
  }
}
