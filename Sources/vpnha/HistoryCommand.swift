import ArgumentParser
import Host
import LinuxHost

struct HistoryCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "history",
    abstract: "One timeline: what the cluster did, and what the agents and daemons of this node said.",
    discussion: """
      From the journal of this node (agents, charon, xl2tpd, pppd, conntrackd, Pacemaker, Corosync) and from what the cluster remembers of \
      both. --all on the other node writes what --peer-file reads here. Exits with 0, with 3 when nothing could be read.
      """)

  @Option(parsing: .unconditional, help: ArgumentHelp("From then on, as journalctl reads it, or a time back from now: 1h, today, \"2026-11-28 09:00\".", valueName: "time"))
  var since = "-1h"
  @Option(help: ArgumentHelp("What history --all wrote on the other node.", valueName: "file"))
  var peerFile: String?
  @Flag(help: "Every line, one an event: TIME NODE SOURCE TEXT.")
  var all = false
  @Flag(help: "A JSON list of objects: at, node, source, text.")
  var json = false

  func run() throws {
    let host = Host.silent
    var (events, complaints) = History.events(since: since, on: host)
    if let peerFile {
      guard let bytes = try host.files.read(peerFile, limit: 16 << 20) else { throw SystemError("reading \(peerFile)", .noSuchFile) }
      events += History.read(String(decoding: bytes, as: UTF8.self))
    }
    events = History.ordered(events)
    let isKnown = !events.isEmpty || complaints.isEmpty
    if json || all {
      for complaint in complaints { warn(complaint) }
    }
    if json {
      print(jsonArray(events.map(\.json)))
    } else if all {
      for event in events { print(event.line) }
    } else {
      var screen = Screen()
      screen.add(padded((isKnown ? Verdict.good : .unknown).shown, 9) + "\(events.count) events since \(since)\(complaints.map { "; \($0)" }.joined())", indent: 9)
      for event in events.suffix(Screen.height - 2) { screen.add(verbatim: String(event.line.prefix(Screen.width))) }
      if events.count > Screen.height - 2 { screen.add("... \(events.count - Screen.height + 2) earlier ones: vpnha history --all") }
      print(screen.lines.prefix(Screen.height).joined(separator: "\n"))
    }
    if !isKnown { throw ExitCode(Verdict.unknown.rawValue) }
  }
}

enum History {
  struct Event: Hashable {
    /// Microseconds since 1970.
    var micros: Int64
    var node: String
    var source: String
    var text: String

    /// `2026-11-28T09:12:07.123Z moon xl2tpd …`
    var line: String {
      let whole = Timestamp(seconds: micros / 1_000_000).description.dropLast()
      return "\(whole).\(String(1000 + micros / 1000 % 1000).dropFirst())Z \(node) \(source) \(text)"
    }
    var json: String {
      jsonObject([("at", String(line.prefix { $0 != " " }).jsonQuoted), ("node", node.jsonQuoted), ("source", source.jsonQuoted), ("text", text.jsonQuoted)])
    }
  }

  static let identifiers = [
    "charon-systemd", "charon", "pluto", "xl2tpd", "pppd", "conntrackd", "conntrack-tools", "corosync", "pacemaker-controld", "pacemaker-schedulerd", "pacemaker-fenced",
    "pacemaker-attrd", "pacemakerd",
  ]
  /// Lines that are read, the newest.
  static let limit = 20_000

  static func ordered(_ events: [Event]) -> [Event] { Set(events).sorted { ($0.micros, $0.node, $0.source, $0.text) < ($1.micros, $1.node, $1.source, $1.text) } }

  /// - Returns: what could be read, and what could not.
  static func events(since: String, on host: Host) -> ([Event], [String]) {
    var events: [Event] = []
    var complaints: [String] = []
    do throws(SystemError) { events += journal(try text(since: since, on: host)) } catch { complaints.append("\(error)") }
    // What the cluster remembers has no beginning that could be asked for: from the first line of the journal on.
    let from = events.map(\.micros).min()
    do throws(SystemError) {
      let configuration = try ClusterConfiguration(PacemakerTools(host).configuration())
      events += configuration.nodes.flatMap { operations(configuration.operations(on: $0)) }.filter { from == nil || $0.micros >= from ?? 0 }
    } catch { complaints.append("\(error)") }
    return (events, complaints)
  }

  /// As journalctl takes it, to which a time back from now has a minus in front.
  static func moment(_ since: String) -> String {
    since.contains(#/^[0-9]+ ?(s|sec|m|min|h|hours?|d|days?|w|weeks?)$/#) ? "-\(since)" : since
  }

  private static func text(since: String, on host: Host) throws(SystemError) -> String {
    let tool = "/usr/bin/journalctl"
    guard host.files.isExecutable(tool) else { throw SystemError("reading the journal", .noSuchFile, detail: "there is no journalctl here") }
    let matches = identifiers.map { "SYSLOG_IDENTIFIER=\($0)" } + ["+"] + AgentFolder.agents.map { "VPNHA_AGENT=\($0)" }
    let command = Command(tool, ["--quiet", "--no-pager", "--output=short-unix", "--lines=\(limit)", "--since=\(moment(since))"] + matches, outputLimit: 16 << 20)
    let result = try host.processes.run(command, before: host.clock.now + .seconds(30))
    guard result.succeeded else {
      throw SystemError("reading the journal", .io, detail: String(decoding: result.error, as: UTF8.self).split(whereSeparator: \.isNewline).first.map(String.init))
    }
    return String(decoding: result.output, as: UTF8.self)
  }

  /// Lines of `journalctl -o short-unix`: `1795551315.123456 moon xl2tpd[12]: text`. Others are continuations, and left out.
  static func journal(_ text: String) -> [Event] {
    text.split(whereSeparator: \.isNewline).compactMap { line in
      let words = line.split(separator: " ", maxSplits: 3)
      guard words.count == 4, words[2].last == ":", let micros = micros(words[0]) else { return nil }
      let source = words[2].dropLast().prefix { $0 != "[" }
      return Event(micros: micros, node: String(words[1]).plain, source: String(source).plain, text: masked(String(words[3]).plain))
    }
  }

  private static func micros(_ text: Substring) -> Int64? {
    let parts = text.split(separator: ".")
    guard parts.count == 2, let seconds = Int64(parts[0]), (0...(1 << 40)).contains(seconds), parts[1].count == 6, let rest = Int64(parts[1]) else { return nil }
    return seconds * 1_000_000 + rest
  }

  /// What changed something, and what failed.
  static func operations(_ operations: [ClusterConfiguration.Operation]) -> [Event] {
    operations.compactMap { operation in
      guard let since = operation.since, operation.task != "monitor" || operation.isFailure else { return nil }
      let how = operation.isFailure ? "failed (\(operation.status))\(operation.reason.isEmpty ? "" : ": \(operation.reason)")" : operation.status == 0 ? "done" : "ended with \(operation.status)"
      return Event(micros: since.seconds * 1_000_000, node: operation.node, source: "cluster", text: masked("\(operation.resource) \(operation.task) \(how)".plain))
    }
  }

  /// Lines of `Event.line`.
  static func read(_ text: String) -> [Event] {
    text.split(whereSeparator: \.isNewline).compactMap { line in
      let words = line.split(separator: " ", maxSplits: 3)
      guard words.count == 4, words[0].count == 24, words[0].last == "Z", let dot = words[0].firstIndex(of: "."), let moment = Timestamp(String(words[0][..<dot]) + "Z"),
        let millis = Int64(words[0][words[0].index(after: dot)...].dropLast())
      else { return nil }
      return Event(micros: moment.seconds * 1_000_000 + millis * 1000, node: String(words[1]).plain, source: String(words[2]).plain, text: masked(String(words[3]).plain))
    }
  }

  /// pppd shows what a client sends when it is told to debug and not to hide passwords.
  static func masked(_ text: String) -> String {
    text.replacing(/(?i)(password|passwd|secret|psk)(["']?\s*[=:]\s*)(?!<secret>)("[^"]*"|[^\s,>]+)/) { "\($0.output.1)\($0.output.2)<secret>" }
  }
}
