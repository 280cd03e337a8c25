import Host

/// How a member of the cluster stands, as the cluster was last told it: its promotion score, and what puts it at risk.
///
/// Kept beside the role record, so that a monitor tells only what has changed. A score that could not be told is not in it,
/// and every monitor tries again; what an attribute daemon was told is lost when that daemon ends, so its process id is kept
/// as well. Nothing an action answers depends on it: a record that cannot be read counts as absent.
struct Standing: Equatable {
  /// Works, but may not for long. Each check level sees its own, and only that level or a deeper one ends it.
  struct Known: Equatable {
    var origin: Origin
    /// Whether a standby could not serve.
    var isUnfit: Bool
    var since: Timestamp
    var reason: String

    /// Whether `other` says the same, perhaps with another count: it has gone on since.
    func isAbout(_ other: String) -> Bool {
      func subject(_ text: String) -> [Substring] { text.split(separator: " ").filter { !$0.allSatisfy(\.isNumber) } }
      return reason == other || subject(reason) == subject(other)
    }
  }

  /// Who found a risk.
  enum Origin: Hashable {
    case check(CheckLevel)
    /// A reload that was refused; the next one that succeeds ends it.
    case reload

    init?(_ text: Substring) {
      if text == "reload" { self = .reload } else if let level = Int(text) { self = .check(CheckLevel(level)) } else { return nil }
    }
    var text: String {
      switch self {
      case .check(let level): "\(level.rawValue)"
      case .reload: "reload"
      }
    }
  }

  /// The score that was told, and the attribute daemon that heard it.
  var score: (value: Int, daemon: Int32)?
  var risks: [Known] = []
  /// The attribute as it was told, and the attribute daemon that heard it.
  var told: (text: String, daemon: Int32)?
  /// The files that the last deep look judged, as they were.
  var marks: [FileMark] = []

  static func == (a: Standing, b: Standing) -> Bool {
    a.score?.value == b.score?.value && a.score?.daemon == b.score?.daemon && a.risks == b.risks
      && a.told?.text == b.told?.text && a.told?.daemon == b.told?.daemon && a.marks == b.marks
  }
}

// MARK: - Scores and risks

extension Standing {
  /// Scores are equal in both roles: an equal score moves no role (pacemaker, `sort_promotable_instance`), and a role that
  /// changes hands changes no score, which would abort the transition in flight.
  static let healthy = 100
  /// A promoted member between a reload and its next monitor: all that time Pacemaker does not know that it is promoted. When that
  /// is so for every member of a group, equal scores let the order of the nodes decide, and the standby is promoted beside the
  /// member that serves. No longer than that: scores that differ make a planned move stop and start both members.
  static let reloaded = 101
  static let atRisk = 50
  static let failedLately = 20
  static let unfit = 5

  /// How long a member that failed has to be well before it is as good a candidate as another.
  static let probation: Int64 = 60

  /// How long a member that failed may take to start again while its peer waits for that.
  static let restart = Duration.seconds(5)

  /// How good a candidate for promotion a working member is. One that serves stays where it is.
  func score(_ role: Role, failedLately: Bool) -> Int {
    if role == .promoted { return Self.healthy }
    if risks.contains(where: \.isUnfit) { return Self.unfit }
    if failedLately { return Self.failedLately }
    return risks.isEmpty ? Self.healthy : Self.atRisk
  }

  /// All of them, as the attribute says it.
  var text: String? {
    let worst = risks.map { Risk($0.reason, unfit: $0.isUnfit) }.ordered
    return RiskReport(worst.map { risk in .init(since: risks.first { $0.reason == risk.reason }?.since, risk.reason) }).text
  }

  /// Takes all that a check found. A check sees what every less deep one sees.
  mutating func found(_ found: [Risk], by origin: Origin, at now: Timestamp) {
    func isCovered(_ other: Origin) -> Bool {
      switch (origin, other) {
      case (.check(let depth), .check(let level)): level <= depth
      default: origin == other
      }
    }
    let found = found.prefix(Self.most).map { Risk(String($0.reason.plain.prefix(400)), unfit: $0.isUnfit) }
    // What is over is over at every level that found the same.
    let over = risks.filter { known in isCovered(known.origin) && !found.contains { known.isAbout($0.reason) } }.map(\.reason)
    risks.removeAll { over.contains($0.reason) }
    for risk in found {
      guard let index = risks.firstIndex(where: { $0.isAbout(risk.reason) }) else {
        risks.append(Known(origin: origin, isUnfit: risk.isUnfit, since: now, reason: risk.reason))
        continue
      }
      // A less deep check that sees it too can tell when it is over.
      if !isCovered(risks[index].origin) { risks[index].origin = origin }
      (risks[index].isUnfit, risks[index].reason) = (risk.isUnfit, risk.reason)
    }
  }

  private static let most = 16
}

// MARK: - The record

extension Standing {
  private static let limit = 32_768

  /// Lines of `score VALUE DAEMON`, `risk ORIGIN fit|unfit SINCE REASON`, `told DAEMON TEXT`, `file EDITION PATH`; others mean nothing.
  init(_ bytes: [UInt8]) {
    for line in String(decoding: bytes, as: UTF8.self).split(separator: "\n") {
      let words = line.split(separator: " ", maxSplits: 4)
      switch words.first {
      case "score":
        if words.count == 3, let value = Int(words[1]), let daemon = Int32(words[2]) { score = (value, daemon) }
      case "risk":
        guard words.count == 5, let origin = Origin(words[1]), let since = Int64(words[3]) else { continue }
        risks.append(
          Known(origin: origin, isUnfit: words[2] == "unfit", since: Timestamp(seconds: since), reason: String(words[4])))
      case "told":
        let parts = line.split(separator: " ", maxSplits: 2)
        if parts.count == 3, let daemon = Int32(parts[1]) { told = (String(parts[2]), daemon) }
      case "file":
        let parts = line.split(separator: " ", maxSplits: 2)
        if parts.count == 3, let edition = UInt64(parts[1]) { marks.append(FileMark(path: String(parts[2]), edition: edition)) }
      default: continue
      }
    }
  }

  var bytes: [UInt8] {
    var lines: [String] = []
    if let score { lines.append("score \(score.value) \(score.daemon)") }
    for risk in risks {
      lines.append("risk \(risk.origin.text) \(risk.isUnfit ? "unfit" : "fit") \(risk.since.seconds) \(risk.reason)")
    }
    if let told { lines.append("told \(told.daemon) \(told.text)") }
    lines += marks.map { "file \($0.edition) \($0.path)" }
    return Array((lines.joined(separator: "\n") + "\n").utf8)
  }

  static func read(_ call: Call) -> Standing {
    do throws(SystemError) {
      return try call.host.files.read(call.request.recordPath("standing"), limit: limit).map { Standing($0) } ?? Standing()
    } catch {
      call.log.debug("reading how this member stands: \(error)")
      return Standing()
    }
  }

  /// Replaces the record, or removes it when there is nothing to keep.
  func write(_ call: Call) {
    do throws(SystemError) {
      guard self != Standing() else { return try call.host.files.remove(call.request.recordPath("standing")) }
      try call.keep(bytes, as: "standing")
    } catch {
      call.log.debug("keeping how this member stands: \(error)")
    }
  }

  /// Removes the record.
  static func forget(_ call: Call) {
    do throws(SystemError) { try call.host.files.remove(call.request.recordPath("standing")) } catch {
      call.log.debug("forgetting how this member stood: \(error)")
    }
  }
}

/// A file as it was when it was judged.
struct FileMark: Equatable {
  var path: String
  /// `FileStatus.edition`; 0: there was none, or it could not be looked at.
  var edition: UInt64

  init(path: String, edition: UInt64) { (self.path, self.edition) = (path, edition) }

  init(_ path: String, _ call: Call) {
    self.path = path
    do throws(SystemError) { edition = try call.host.files.status(path)?.edition ?? 0 } catch {
      call.log.debug("\(error)")
      edition = 0
    }
  }

  /// Of no more than a monitor can look at in no time, and of none whose name a line of the record cannot hold.
  static func all(_ paths: [String], _ call: Call) -> [FileMark] { paths.prefix(32).filter { !$0.contains("\n") }.map { FileMark($0, call) } }
}

// MARK: - Failures

/// When a member failed last, and whether it has been started since. It outlives the stop and the start that follow, so it is not
/// kept under `/run`.
enum LastFailure {
  private static let directory = "/var/lib/vpnha/failures"
  private static func path(_ call: Call) -> String { "\(directory)/\(call.request.recordName)" }

  static func keep(_ call: Call) { write("\(call.host.clock.timestamp.seconds)", call) }

  /// Whether the last failure is less than `Standing.probation` seconds ago. Forgets an older one.
  static func isRecent(_ call: Call) -> Bool { recent(call) != nil }

  /// Whether this is the first start after a recent failure. It is not asked twice.
  static func isNew(_ call: Call) -> Bool {
    guard let words = recent(call), words.count == 1 else { return false }
    return write("\(words[0]) started", call)
  }

  @discardableResult
  private static func write(_ line: String, _ call: Call) -> Bool {
    do throws(SystemError) {
      try call.host.files.makeDirectory(directory, mode: 0o700)
      try call.host.files.replace(path(call), with: Array("\(line)\n".utf8), mode: 0o600)
      return true
    } catch {
      call.log.debug("keeping the time of a failure: \(error)")
      return false
    }
  }

  /// `SECONDS` and perhaps `started`, of a failure that was a short while ago.
  private static func recent(_ call: Call) -> [Substring]? {
    do throws(SystemError) {
      guard let bytes = try call.host.files.read(path(call), limit: 48) else { return nil }
      let words = String(decoding: bytes, as: UTF8.self).split(whereSeparator: \.isWhitespace)
      let age = words.first.flatMap { Int64($0) }.map { call.host.clock.timestamp.seconds &- $0 }
      // A clock that was set back makes no failure last longer.
      if let age, (0..<Standing.probation).contains(age) { return words }
      try call.host.files.remove(path(call))
    } catch {
      call.log.debug("reading the time of the last failure: \(error)")
    }
    return nil
  }
}
