import Glibc
import Host

/// Pacemaker's own scheduler, asked by crm_simulate: nothing is done.
extension PacemakerTools {
  struct Question: Hashable {
    /// What is injected, as arguments of crm_simulate; nil: how it is, with nothing worked out.
    var arguments: [String]?
    var cib: [UInt8]
    /// Whether the CIB that comes of it is wanted as well.
    var isSaved = false
  }

  struct Answer {
    var now: ClusterMonitor
    /// After the scheduler has done all that it wants to, if that was asked for.
    var cib: [UInt8]
  }

  /// What it makes of the loss of a node; nil when it gives no answer.
  func simulated(loss node: String, in cib: [UInt8]) -> ClusterMonitor? {
    do throws(SystemError) { return try simulated(["--node-fail", node], in: cib) } catch {
      return nil
    }
  }

  /// What it makes of `cib` and of what is injected.
  func simulated(_ arguments: [String]?, in cib: [UInt8]) throws(SystemError) -> ClusterMonitor {
    try simulated([Question(arguments: arguments, cib: cib)])[0].now
  }

  /// The same for several, several at a time.
  ///
  /// Pacemaker 3.0's crm_simulate works out what follows an injection, and its XML leaves that out. There it only injects, and is then
  /// asked what follows in the state that it saved.
  func simulated(_ questions: [Question]) throws(SystemError) -> [Answer] {
    var questions = questions
    let injected = questions.indices.filter { questions[$0].arguments?.isEmpty == false && Self.isFromPacemaker3(questions[$0].cib) }
    let states = try simulate(injected.map { Run(arguments: questions[$0].arguments ?? [], cib: questions[$0].cib, saving: "--save-input") })
    for (index, state) in zip(injected, states) { (questions[index].arguments, questions[index].cib) = ([], state.saved) }
    let said = try simulate(
      questions.map { one in
        Run(arguments: (one.arguments == nil ? [] : ["--simulate"]) + ["--output-as=xml"] + (one.arguments ?? []), cib: one.cib, saving: one.isSaved ? "--save-output" : nil)
      })
    var answers: [Answer] = []
    for (question, one) in zip(questions, said) {
      answers.append(Answer(now: try ClusterMonitor(one.said, section: question.arguments == nil ? "cluster_status" : "revised_cluster_status"), cib: one.saved))
    }
    return answers
  }

  private struct Run {
    var arguments: [String]
    var cib: [UInt8]
    /// The option that names the file to save in.
    var saving: String?
  }

  /// In memory: crm_simulate writes the CIB twice and waits for the disk. On the disk where the memory's folder is full.
  private func simulate(_ runs: [Run]) throws(SystemError) -> [(said: [UInt8], saved: [UInt8])] {
    guard geteuid() == 0 else { return try simulate(runs, in: "/tmp") }
    do throws(SystemError) { return try simulate(runs, in: "/run") } catch {
      guard error.errno != .timedOut else { throw error }
      return try simulate(runs, in: "/tmp")
    }
  }

  private func simulate(_ runs: [Run], in folder: String) throws(SystemError) -> [(said: [UInt8], saved: [UInt8])] {
    guard !runs.isEmpty else { return [] }
    // crm_simulate works in the file that it is to save, and puts another one in its place.
    var paths: [Int: any ReplyFile] = [:]
    defer { for file in paths.values { file.discard() } }
    for index in runs.indices where runs[index].saving != nil { paths[index] = try files.makeReplyFile(in: folder) }
    var environment = environment
    if geteuid() == 0 { environment["CIB_shadow_dir"] = folder }
    let commands = runs.enumerated().map { index, one in
      Command(
        "/usr/sbin/crm_simulate", ["--xml-pipe"] + one.arguments + (paths[index].map { ["\(one.saving ?? "")=\($0.path)"] } ?? []), environment: environment,
        input: Self.trusted(one.cib), outputLimit: Self.limit)
    }
    do throws(SystemError) {
      // The time of one, and a little for each that waits for its turn.
      let results = try processes.run(commands, before: clock.now + Self.patience + .milliseconds(500) * (runs.count - 1))
      var all: [(said: [UInt8], saved: [UInt8])] = []
      for (index, (command, result)) in zip(commands, results).enumerated() {
        let said = try Self.output(of: command, result)
        guard let path = paths[index]?.path else {
          all.append((said, []))
          continue
        }
        guard let saved = try files.read(path, limit: Self.limit), !saved.isEmpty else { throw SystemError("asking crm_simulate", .noSuchFile, detail: "it saved nothing") }
        all.append((said, saved))
      }
      for file in paths.values { try files.remove(file.path) }
      return all
    } catch {
      for file in paths.values { try files.remove(file.path) }
      throw error
    }
  }

  /// The CIB, marked as one that needs no validation, which takes a third of crm_simulate's time: the cluster has validated it. One of
  /// an older schema is left as it is, since crm_simulate has to transform it; so is every one of Pacemaker 3, for which schema 3 is older.
  static func trusted(_ cib: [UInt8]) -> [UInt8] {
    let mark = Array(#" validate-with="pacemaker-3."#.utf8)
    guard !isFromPacemaker3(cib), let end = cib.firstIndex(of: UInt8(ascii: ">")), let place = cib[..<end].firstRange(of: mark), let close = cib[place.upperBound..<end].firstIndex(of: UInt8(ascii: "\"")) else { return cib }
    return cib[..<place.lowerBound] + Array(#" validate-with="none"#.utf8) + cib[close...]
  }

  /// Whether the cluster's oldest node is one of Pacemaker 3: by the feature set, 3.20 and later.
  static func isFromPacemaker3(_ cib: [UInt8]) -> Bool {
    let mark = Array(#" crm_feature_set="3."#.utf8)
    guard let end = cib.firstIndex(of: UInt8(ascii: ">")), let place = cib[..<end].firstRange(of: mark) else { return false }
    return Int(String(decoding: cib[place.upperBound..<end].prefix { $0 != UInt8(ascii: ".") }, as: UTF8.self)).map { $0 >= 20 } ?? false
  }
}
