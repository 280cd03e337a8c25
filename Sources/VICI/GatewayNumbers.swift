import Host

/// What charon and the kernel count on a gateway, at one moment. What could not be had is nil.
public struct GatewayNumbers: Equatable, Sendable {
  /// charon's own measure: SAs in all and half-open ones, workers, queues.
  public var statistics: Statistics
  /// IKE SAs by state (`ESTABLISHED`, `PASSIVE` …). Those between the two gateways are not counted; those that another thread
  /// of charon was busy with are missing.
  public var ikeSAs: [String: Int] = [:]
  /// CHILD SAs by state (`INSTALLED`, `REKEYED` …), of the same IKE SAs.
  public var childSAs: [String: Int] = [:]
  /// charon's counters (`invalid-spi`: packets for an SA that this charon does not know, as after a take-over); nil without
  /// its counters plugin.
  public var counters: [String: UInt64]?
  /// The kernel's (`/proc/net/xfrm_stat`: `XfrmInNoStates` are ESP packets for an SA that the kernel does not know).
  public var kernel: [String: UInt64]?
  /// Processor time of charon's threads: IKE. ESP is the kernel's.
  public var charonTime: Duration?
  /// Processor time of the kernel's soft interrupts on all processors: ESP, and everything else about packets.
  public var softInterruptTime: Duration?

  public init(statistics: Statistics) { self.statistics = statistics }

  /// Asks charon and the kernel. A busy SA is left out, not waited for.
  ///
  /// - Parameter process: charon.
  public static func read(from charon: Charon, process: Int32, files: any Files) throws(VICIError) -> GatewayNumbers {
    var numbers = GatewayNumbers(statistics: try charon.statistics())
    try charon.sas { sa in
      guard sa.connection != "ha" else { return }
      numbers.ikeSAs[sa.state, default: 0] += 1
      for child in sa.children { numbers.childSAs[child.state, default: 0] += 1 }
    }
    do throws(VICIError) { numbers.counters = try charon.counters() } catch {
      guard error.kind == .notSupported else { throw error }
    }
    numbers.kernel = lines(of: "/proc/net/xfrm_stat", files).map(counted)
    numbers.charonTime = lines(of: "/proc/\(process)/stat", files)?.first.flatMap(processTime)
    numbers.softInterruptTime = lines(of: "/proc/stat", files)?.first.flatMap(softInterruptTime)
    return numbers
  }

  private static func lines(of path: String, _ files: any Files) -> [Substring]? {
    let bytes: [UInt8]?
    do throws(SystemError) { bytes = try files.read(path, limit: 1 << 20) } catch { bytes = nil }
    return bytes.map { String(decoding: $0, as: UTF8.self).split(separator: "\n") }
  }

  /// `XfrmInNoStates          \t12`
  private static func counted(_ lines: [Substring]) -> [String: UInt64] {
    var values: [String: UInt64] = [:]
    for line in lines {
      let words = line.split { $0 == " " || $0 == "\t" }
      if words.count == 2, let value = UInt64(words[1]) { values[String(words[0])] = value }
    }
    return values
  }

  /// `utime` and `stime`, fields 14 and 15 of proc_pid_stat(5). The name in parentheses may hold anything.
  private static func processTime(_ line: Substring) -> Duration? {
    guard let end = line.lastIndex(of: ")") else { return nil }
    let fields = line[end...].split(separator: " ").dropFirst()
    guard fields.count > 12, let user = Int64(fields[fields.startIndex + 11]), let system = Int64(fields[fields.startIndex + 12])
    else { return nil }
    return duration(ofTicks: user.addingReportingOverflow(system).partialValue)
  }

  /// `cpu  user nice system idle iowait irq softirq …` of proc_stat(5).
  private static func softInterruptTime(_ line: Substring) -> Duration? {
    let words = line.split(separator: " ")
    guard words.count > 7, words[0] == "cpu", let ticks = Int64(words[7]) else { return nil }
    return duration(ofTicks: ticks)
  }

  /// `USER_HZ` is 100 wherever Linux runs these daemons.
  private static func duration(ofTicks ticks: Int64) -> Duration { .milliseconds(ticks.multipliedReportingOverflow(by: 10).partialValue) }
}

extension Statistics: CustomStringConvertible {
  public var description: String {
    "\(ikeSAs) IKE SAs, \(halfOpen) of them half-open; \(idleWorkers) of \(workers) workers idle, \(queues.total) jobs wait"
  }
}

extension GatewayNumbers: CustomStringConvertible {
  /// One line; of the counters only those that are not zero.
  public var description: String {
    func list(_ values: [String: some BinaryInteger]) -> String {
      values.filter { $0.value != 0 }.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(separator: ", ")
    }
    let parts = [
      ("IKE SAs", list(ikeSAs)), ("CHILD SAs", list(childSAs)), ("charon", list(counters ?? [:])), ("kernel", list(kernel ?? [:])),
      ("charon's CPU", charonTime.map { "\($0)" } ?? ""), ("soft interrupts' CPU", softInterruptTime.map { "\($0)" } ?? ""),
    ]
    return (["\(statistics)"] + parts.filter { !$0.1.isEmpty }.map { "\($0.0): \($0.1)" }).joined(separator: "; ")
  }
}
