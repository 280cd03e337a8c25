import Daemon
import Host
import OCF

// What was in force last, and what could not take its place.

extension Firewall {
  // MARK: Kept

  /// Survives a stop and a reboot: a start whose own rules are refused loads it.
  private static let directory = "/var/lib/vpnha/firewall"
  private static let title = "vpnha-firewall-rules 1"

  private func keptPath(_ call: Call) -> String { "\(Self.directory)/\(call.request.recordName).rules" }

  /// A disk that cannot be written to is no reason to be without rules now.
  func keep(_ definition: Definition, _ call: Call) {
    do throws(SystemError) {
      try call.host.files.makeDirectory(Self.directory, mode: 0o700)
      let head = "\(Self.title)\n\(definition.table)\n\(definition.digest)\n"
      try call.host.files.replace(keptPath(call), with: Array(head.utf8) + definition.body, mode: 0o600)
    } catch {
      call.log.warning("keeping the rules for the next start: \(error)")
    }
  }

  /// The last good rules; nil when there are none of this table, or none that are whole and root's alone.
  func kept(_ call: Call) throws(OCFError) -> Definition? {
    let path = keptPath(call)
    let bytes = try attempt("looking for the last good rules") { () throws(SystemError) -> [UInt8]? in
      for (path, kind) in [(Self.directory, FileStatus.Kind.directory), (path, .regular)] {
        guard let status = try call.host.files.status(path) else { return nil }
        guard status.kind == kind, status.owner == 0, status.mode & 0o022 == 0 else {
          throw SystemError("reading \(path)", .accessDenied, detail: "others than root may write it")
        }
      }
      return try call.host.files.read(path, limit: 2 << 20)
    }
    let lines = bytes?.split(separator: UInt8(ascii: "\n"), maxSplits: 3, omittingEmptySubsequences: false) ?? []
    guard lines.count == 4, lines[0].elementsEqual(Self.title.utf8), lines[1].elementsEqual(table.description.utf8) else { return nil }
    let definition = Definition(table: table.description, body: Array(lines[3]))
    return lines[2].elementsEqual(definition.digest.utf8) ? definition : nil
  }

  // MARK: Wanted

  /// What tells one wish from another: the digest of the rules asked for, or why there can be none.
  func wanted(_ call: Call) -> String {
    do throws(OCFError) { return try definition(call).digest } catch { return error.reason }
  }

  /// The state of a whole table that is not what the parameters ask for; nil when it is, or has become so.
  ///
  /// The rules in force are whole, and it is for the operator to say when they become others. Once he did and they were
  /// refused, a monitor loads what he has mended; at level 10 it tries also what has not changed.
  func outOfDate(_ found: FilterTable, _ call: Call) throws(OCFError) -> ResourceState? {
    let wanted = wanted(call)
    guard wanted != Mark.digest(in: found.comment) else { return nil }
    let isRecurring = call.request.action == .monitor && !call.request.isProbe
    if let problem = problems(call) { return .atRisk("loaded rules are out of date: \(problem)") }
    if let refusal = Refusal.read(call) {
      guard isRecurring, refusal.wanted != wanted || call.depth >= .service else {
        // A start is to load what has changed since.
        return refusal.wanted == wanted || call.request.action != .start ? .atRisk(refusal.words) : .failed(refusal.words)
      }
      do throws(OCFError) {
        try load(call)
        return nil
      } catch { return .atRisk(Refusal(of: wanted, error.reason).words) }
    }
    let changed = wanted.contains(" ") ? wanted : "parameters\(extra.map { " or \($0)" } ?? "") changed; run reload-agent"
    let words = "loaded rules are out of date: \(changed)"
    return call.request.action == .start ? .failed(words) : .atRisk(words)
  }

  /// A monitor and a start go on with defaults for what they cannot read, and those are not to be loaded.
  func problems(_ call: Call) -> String? { Self.loaded(from: call.request).refusals.first }
}

/// A wish that could not be fulfilled, so that a monitor can say why without running nft. Lies under `/run`.
struct Refusal: Equatable {
  let wanted: String
  let reason: String

  init(of wanted: String, _ reason: String) {
    self.wanted = wanted
    self.reason = reason
  }

  var words: String { "refused: \(reason); the last good rules are in force" }

  private static let kind = "refused"
  static func path(_ call: Call) -> String { call.request.recordPath(kind) }

  static func read(_ call: Call) -> Refusal? {
    do throws(SystemError) {
      let lines = String(decoding: try call.host.files.read(path(call), limit: 65_536) ?? [], as: UTF8.self).split(separator: "\n")
      return lines.count == 2 ? Refusal(of: String(lines[0]), String(lines[1])) : nil
    } catch {
      call.log.warning("\(error)")
      return nil
    }
  }

  func write(_ call: Call) {
    do throws(SystemError) {
      let lines = [wanted, reason].map { String($0.map { $0.isNewline ? " " : $0 }) + "\n" }
      try call.keep(Array(lines.joined().utf8), as: Self.kind)
    } catch {
      call.log.warning("\(error)")
    }
  }
}
