import CLinux
import Host
import Systemd

/// The agents' log. Debug lines are kept in memory; nothing is opened or loaded before something is worth saying, or
/// before an action has failed.
///
/// On a terminal: standard error. In a cluster: syslog through libqb, or, where journald runs, the same line as one
/// structured entry of the journal (which hands it on to syslog), and the files that `HA_LOGFILE` and `HA_DEBUGLOG` name. A trace gets
/// every line.
public final class LinuxLog: Log {
  private let environment: [String: String]
  private let type: String
  private let instance: String
  private let action: String
  private let journalSocket: String
  private let blackboxes: String
  private let begin = LinuxClock.now

  private lazy var destination = LogDestination(environment: environment, isTerminal: isatty(0) == 1 || isatty(2) == 1)
  private lazy var threshold: LogLevel = wantsDebugLog(environment) ? .debug : .info
  private lazy var trace = Trace(environment: environment, type: type, instance: instance, action: action, begin: begin)
  private var ring = FlightRing()
  private var journal: Journal?
  private var qb: QBLog?
  private var isBroken = false

  /// - Parameters:
  ///   - environment: of the action, with the cluster's log settings.
  ///   - type: the agent's name, as `instance` and `action` of the request.
  ///   - journalSocket: shows that journald runs.
  ///   - blackboxes: the directory for the flight recordings of failed actions.
  public init(
    environment: [String: String], type: String, instance: String, action: String,
    journalSocket: String = "/run/systemd/journal/socket", blackboxes: String = "/var/lib/vpnha/blackbox"
  ) {
    self.environment = environment
    self.type = fileName(type)
    self.instance = fileName(instance)
    self.action = fileName(action)
    self.journalSocket = journalSocket
    self.blackboxes = blackboxes
  }

  public func write(_ level: LogLevel, _ message: String, _ fields: [(String, String)]) {
    let message = oneLine(message)
    let record = FlightRing.Record(after: LinuxClock.now - begin, level: level, message: message)
    ring.append(record)
    trace?.write(record)
    if level >= threshold { emit(level, message, fields) }
  }

  /// Writes what this action saw and did into a file that `qb-blackbox` reads:
  /// `TYPE-INSTANCE-ACTION.DATE.TIME.PID` in the directory for flight recordings.
  ///
  /// A recorder that cannot record is no reason to fail, so this throws nothing.
  public func recordFailure(status: Int32, reason: String) {
    write(.debug, "\(action) ends with status \(status): \(reason)", [])
    do throws(SystemError) {
      let file = try FlightRecording(in: blackboxes, named: "\(type)-\(instance)-\(action)")
      do throws(SystemError) {
        let qb = if let open = self.qb { open } else { try QBLog(identity: identity, facility: 0) }
        self.qb = nil
        try qb.record(ring.records, caller: action, file: type, into: file.path)
      } catch {
        file.discard()
        throw error
      }
    } catch {
      trace?.write(FlightRing.Record(after: LinuxClock.now - begin, level: .debug, message: "flight recorder: \(error)"))
    }
  }

  /// The syslog tag is `type(instance)[pid]`; the pid is added by the C library.
  private var identity: String { "\(type)(\(instance))" }

  private func emit(_ level: LogLevel, _ message: String, _ fields: [(String, String)]) {
    let line = "\(level.word): \(message)"
    guard case .cluster(let facility, let file, let debugFile) = destination, !isBroken else { return say(line) }
    do throws(SystemError) {
      let hasJournal = facility != nil && isSocket(journalSocket)
      if let facility, hasJournal { try enterJournal(level, line, facility, fields) }
      if file != nil || debugFile != nil || !hasJournal {
        let qb: QBLog
        if let open = self.qb {
          qb = open
        } else {
          qb = try QBLog(identity: identity, facility: facility ?? 0)
          // Kept before the file is opened: libqb takes one initialisation only.
          self.qb = qb
          qb.setSyslog(facility != nil && !hasJournal)
          if let file { try qb.append(to: file, from: .info) }
          if let debugFile { try qb.append(to: debugFile, from: .debug) }
        }
        qb.write(level.priority, caller: action, file: type, line)
      }
    } catch {
      isBroken = true
      say("WARNING: logging to standard error: \(error)")
      say(line)
    }
  }

  private func enterJournal(
    _ level: LogLevel, _ line: String, _ facility: Int32, _ fields: [(String, String)]
  ) throws(SystemError) {
    let journal = if let open = self.journal { open } else { try Journal() }
    self.journal = journal
    let own = [
      ("MESSAGE", line), ("PRIORITY", "\(level.priority)"), ("SYSLOG_FACILITY", "\(facility >> 3)"),
      ("SYSLOG_IDENTIFIER", identity), ("SYSLOG_PID", "\(getpid())"), ("VPNHA_AGENT", type), ("VPNHA_RESOURCE", instance),
      ("VPNHA_ACTION", action),
    ]
    try journal.send(own + fields.filter { isJournalField($0.0) })
  }

  private func say(_ line: String) { writeAll(Array("\(line)\n".utf8).without(mark: "ocf-exit-reason:"), to: 2) }
}

/// What an action saw and did: the last lines, within bounds.
struct FlightRing {
  struct Record: Equatable {
    /// Since the action began.
    var after: Duration
    var level: LogLevel
    var message: String
  }

  static let capacity = 500
  private(set) var records: [Record] = []

  mutating func append(_ record: Record) {
    // The oldest half goes at once, so that a long action does not move the rest for every line.
    if records.count >= Self.capacity { records.removeFirst(Self.capacity / 2) }
    records.append(record)
  }
}

/// Plain text, cut where it is too long.
func oneLine(_ text: String) -> String {
  let limit = 1000
  guard text.utf8.count > limit else { return text.plain }
  // A character that the limit cuts in two becomes U+FFFD.
  return String(decoding: text.utf8.prefix(limit), as: UTF8.self).plain + "..."
}

/// A name that is safe as part of a file's name: no separators, no leading dot, of bounded length.
func fileName(_ text: String) -> String {
  let safe = text.utf8.prefix(64).map { byte -> UInt8 in
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
      UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: ":"), UInt8(ascii: "."):
      byte
    default: UInt8(ascii: "_")
    }
  }
  let name = String(decoding: safe, as: UTF8.self)
  return name.isEmpty || name.hasPrefix(".") ? "_" + name : name
}

/// Upper-case letters, digits and underscores, not beginning with a digit or an underscore (systemd.journal-fields(7)).
func isJournalField(_ name: String) -> Bool {
  guard let first = name.utf8.first, (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(first), name.utf8.count <= 64 else {
    return false
  }
  return name.utf8.allSatisfy {
    (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains($0) || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0)
      || $0 == UInt8(ascii: "_")
  }
}

private func isSocket(_ path: String) -> Bool {
  var status = stat()
  return stat(path, &status) == 0 && status.is(FileType.socket)
}
