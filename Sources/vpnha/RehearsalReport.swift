import Host

/// A rehearsal for people, for programs and for the file.
struct RehearsalReport {
  var title: String
  var rehearsal: Rehearsal
  var conditions: [Rehearsal.Condition]
  /// Nil: nothing was done.
  var outcome: Rehearsal.Outcome?
  /// What a client saw; nil: nobody was asked.
  var client: ClientLog.Outage?
  var began: Timestamp
  /// What was said beside it.
  var remarks: [String] = []

  var isReady: Bool { conditions.allSatisfy(\.isMet) }
  private var longest: Duration? { [outcome?.outage, client?.length].compactMap { $0 }.max() }

  var verdict: Verdict {
    guard let outcome else { return isReady ? .good : .bad }
    if outcome.complaint != nil { return .bad }
    guard let longest else { return .unknown }
    return longest > rehearsal.limit || outcome.left?.isEmpty == false ? .risk : .good
  }

  var headline: String {
    guard let outcome else {
      if rehearsal.isNeedless { return padded(verdict.shown, 9) + "\(rehearsal.status.serving ?? "") serves already; nothing was done" }
      return padded(verdict.shown, 9) + (isReady ? "\(title) can be done; nothing was done" : "\(title) cannot be done now; nothing was done")
    }
    if let complaint = outcome.complaint {
      return padded(verdict.shown, 9) + "\(complaint); \(outcome.isUndone ? "undone" : "it could not be undone"): \(outcome.to.map { "\($0) serves" } ?? "nobody serves")"
    }
    let seen = [outcome.outage.map { "\(shown($0)) as this node saw it" }, client.map { "\(shown($0.length)) as the client did" }].compactMap { $0 }
    let what = outcome.from == outcome.to ? "\(outcome.to ?? "") still serves" : "\(outcome.to ?? "nobody") serves; \(outcome.from) did"
    return padded(verdict.shown, 9) + what + "; without service: " + (seen.isEmpty ? "not measured, the address does not answer this node" : seen.joined(separator: ", ")) + (longest.map { $0 > rehearsal.limit } == true ? "; the limit is \(shown(rehearsal.limit))" : "")
  }

  func text(_ confirmation: String) -> String {
    var screen = Screen()
    screen.add(headline, indent: 9)
    for remark in remarks { screen.add(" " + remark, indent: 9) }
    if let outcome {
      for finding in outcome.left ?? [] { screen.add(finding, now: began) }
      for step in outcome.steps { screen.add(String(repeating: " ", count: max(0, 8 - shown(step.at).count)) + "+" + shown(step.at) + "  " + step.what, indent: 11) }
      return screen.text(more: "--json")
    }
    if rehearsal.isNeedless { return screen.text(more: "--json") }
    for condition in conditions {
      screen.add((condition.isMet ? " [ok]   " : " [no]   ") + condition.what, indent: 8)
      for command in condition.fix where !condition.isMet { screen.add(verbatim: "        " + command) }
    }
    for line in rehearsal.intent { screen.add(" will   " + line, indent: 8) }
    screen.add(" undo   if nobody serves for \(shown(rehearsal.limit)): \(rehearsal.undoing)", indent: 8)
    if isReady { screen.add(" now    \(confirmation) does it", indent: 8) }
    return screen.text(more: "--json")
  }

  var json: String {
    func seconds(_ duration: Duration?) -> String? { duration.map { "\($0.nanoseconds / 1_000_000_000).\(String(1000 + $0.nanoseconds / 1_000_000 % 1000).dropFirst())" } }
    return jsonObject([
      ("verdict", verdict.name.jsonQuoted), ("done", "\(outcome != nil)"), ("event", title.jsonQuoted), ("began", began.description.jsonQuoted),
      ("from", (outcome?.from ?? rehearsal.status.serving)?.jsonQuoted), ("to", (outcome == nil ? rehearsal.successor : outcome?.to)?.jsonQuoted),
      ("outage", seconds(outcome?.outage)), ("client_outage", seconds(client?.length)), ("limit", seconds(rehearsal.limit)),
      ("complaint", outcome?.complaint?.jsonQuoted), ("undone", outcome.map { "\($0.isUndone)" }),
      ("findings", outcome?.left.map { jsonArray($0.map(\.json)) }),
      ("conditions", jsonArray(conditions.map { jsonObject([("met", "\($0.isMet)"), ("what", $0.what.jsonQuoted), ("fix", jsonArray($0.fix.map(\.jsonQuoted)))]) })),
      ("will", jsonArray(rehearsal.plan.map(\.jsonQuoted))),
      ("steps", jsonArray((outcome?.steps ?? []).map { jsonObject([("at", seconds($0.at)), ("what", $0.what.jsonQuoted)]) })),
    ])
  }

  /// For the file that is kept.
  var markdown: String {
    var lines = ["# \(title), \(began)", "", "**\(headline.split(separator: " ").joined(separator: " "))**", "", "| | |", "| --- | --- |"]
    lines += ["| asked on | \(rehearsal.here) |", "| served before | \(outcome?.from ?? rehearsal.status.serving ?? "nobody") |", "| serves now | \(outcome?.to ?? "nobody") |"]
    lines.append("| without service, as \(rehearsal.here) saw it | \(outcome?.outage.map(shown) ?? "not measured") |")
    lines.append("| without service, as the client saw it | \(client.map { "\(shown($0.length)) (\($0.answers) answers in its log)" } ?? "not measured") |")
    lines += ["| limit | \(shown(rehearsal.limit)) |", "", "## Before", ""]
    lines += conditions.map { "- [\($0.isMet ? "x" : " ")] \($0.what)" }
    lines += ["", "## What was done", ""] + rehearsal.plan.map { "    \($0)" }
    if let outcome { lines += ["", "## What was seen", "", "| after | |", "| ---: | --- |"] + outcome.steps.map { "| \(shown($0.at)) | \($0.what.split(separator: "|").joined(separator: "/")) |" } }
    return lines.joined(separator: "\n") + "\n"
  }
}

/// What `ping -D` wrote on a client: `[1795551315.123456] 64 bytes from …` for each answer.
struct ClientLog {
  struct Outage: Equatable {
    var length: Duration
    var answers: Int
  }

  /// Microseconds since 1970, of each answer.
  var answers: [Int64]

  init(_ text: String) {
    answers = text.split(whereSeparator: \.isNewline).compactMap { line in
      guard line.first == "[", let end = line.firstIndex(of: "]"), line[end...].contains("bytes from") else { return nil }
      let parts = line[line.index(after: line.startIndex)..<end].split(separator: ".", omittingEmptySubsequences: false)
      guard parts.count == 2, let seconds = Int64(parts[0]), parts[1].count == 6, let micros = Int64(parts[1]), (0...(1 << 40)).contains(seconds) else { return nil }
      return seconds * 1_000_000 + micros
    }
  }

  /// The log of a client that has answers again: its own timers may let it wait longer than we do. Nil when it is not back in time.
  ///
  /// - Throws: `ENOENT` when there is no such file.
  static func settled(_ file: String, on host: Host, within patience: Duration) throws(SystemError) -> ClientLog? {
    let deadline = host.clock.now + patience
    var known: Int?
    while host.clock.now < deadline {
      host.clock.sleep(until: host.clock.now + .seconds(1))
      guard let bytes = try host.files.read(file, limit: 64 << 20) else { throw SystemError("reading \(file)", .noSuchFile) }
      let log = ClientLog(String(decoding: bytes, as: UTF8.self))
      if let known, log.answers.count > known { return log }
      known = log.answers.count
    }
    return nil
  }

  /// The longest time without an answer that ended after `moment`, less the usual time between two answers.
  ///
  /// - Returns: nil when nothing in it is from before and from after: then it says nothing about what happened at that moment.
  func outage(since moment: Timestamp) -> Outage? {
    let from = moment.seconds * 1_000_000
    guard let first = answers.first, first < from, let last = answers.last, last > from else { return nil }
    let gaps = zip(answers, answers.dropFirst()).map { (end: $1, length: $1 - $0) }
    let usual = gaps.map(\.length).sorted()[gaps.count / 2]
    let longest = gaps.filter { $0.end > from }.map(\.length).max() ?? 0
    return Outage(length: .microseconds(longest > 2 * usual ? longest - usual : 0), answers: answers.count)
  }
}
