import CQB
import DynamicLibrary
import Glibc
import Host
import Testing

@testable import LinuxHost

@Suite struct LogDestinationTests {
  @Test(arguments: [
    ([:], LogDestination.standardError),
    (["HA_LOGFACILITY": "daemon"], .cluster(facility: 3 << 3, file: nil, debugFile: nil)),
    (["PCMK_logfacility": "LOCAL7"], .cluster(facility: 23 << 3, file: nil, debugFile: nil)),
    (["HA_LOGFILE": "/a", "HA_DEBUGLOG": "/b"], .cluster(facility: nil, file: "/a", debugFile: "/b")),
    (["HA_LOGFILE": "/a", "PCMK_DEBUGLOG": "/a"], .cluster(facility: nil, file: nil, debugFile: "/a")),
    (["HA_LOGFACILITY": "none", "PCMK_LOGFACILITY": "none"], .standardError),
    (["HA_LOGFACILITY": "none", "HA_LOGFILE": "/var/log/ha"], .cluster(facility: nil, file: "/var/log/ha", debugFile: nil)),
    (["HA_LOGFACILITY": "nonsense"], .standardError),
    (["HA_LOGFACILITY": "", "PCMK_LOGFILE": "relative"], .standardError),
    (["HA_LOGFILE": "/dev/null"], .standardError),
  ])
  func byEnvironment(_ environment: [String: String], _ destination: LogDestination) {
    #expect(LogDestination(environment: environment, isTerminal: false) == destination)
    #expect(LogDestination(environment: environment, isTerminal: true) == .terminal)
  }

  @Test func debugIsAskedFor() {
    #expect(!wantsDebugLog([:]))
    for no in ["", "0", "no", "false", "off", "pacemaker-controld,corosync"] {
      #expect(!wantsDebugLog(["HA_debug": no, "PCMK_debug": no]), "\(no)")
    }
    for yes in ["1", "2", "yes", "pacemaker-execd", "corosync,lrmd"] { #expect(wantsDebugLog(["PCMK_debug": yes]), "\(yes)") }
  }
}

/// libqb's log is the process's own, and its blackbox prints to standard output: one test at a time.
@Suite(.serialized) struct LinuxLogTests {
  let files = LinuxFiles()
  let scratch: Scratch
  init() throws { scratch = try Scratch() }

  func log(_ environment: [String: String] = [:], instance: String = "vip0") -> LinuxLog {
    LinuxLog(
      environment: environment, type: "vip", instance: instance, action: "start", journalSocket: scratch["no-journal"],
      blackboxes: scratch["blackbox"])
  }

  func text(_ path: String) throws -> String {
    String(decoding: try #require(try files.read(path, limit: 1 << 20)), as: UTF8.self)
  }

  /// What `body` writes to standard output, which is a file for that time.
  func standardOutput(_ body: () -> Void) throws -> String {
    fflush(nil)
    let saved = dup(1)
    let output = open(scratch["printed"], O_WRONLY | O_CREAT | O_TRUNC, 0o600)
    dup2(output, 1)
    body()
    fflush(nil)
    dup2(saved, 1)
    close(output)
    close(saved)
    let printed = try text(scratch["printed"])
    try files.remove(scratch["printed"])
    // The test runner's own lines come here as well.
    return printed
  }

  /// What `qb-blackbox` prints.
  func blackbox(_ path: String) throws -> String {
    let library = try DynamicLibrary("libqb.so.100", package: "libqb100")
    let printFile: cqb_log_blackbox_print_from_file = try library.function("qb_log_blackbox_print_from_file")
    return try standardOutput { _ = printFile(path) }
  }

  @Test func aFileGetsWhatOCFLogWouldWrite() throws {
    let log = log(["HA_LOGFACILITY": "none", "HA_LOGFILE": scratch["ha.log"]])
    log.debug("an observation")
    log.info("adding 192.0.2.1/24 to eth0")
    log.error("two\nlines\u{1b}[31m", ("VPNHA_X", "y"))
    let lines = try text(scratch["ha.log"]).split(separator: "\n")
    #expect(lines.count == 2)
    // Nov 24 14:25:33  vip(vip0)[123]:    INFO: …
    #expect(lines[0].hasSuffix("  vip(vip0)[\(getpid())]:    INFO: adding 192.0.2.1/24 to eth0"))
    #expect(lines[1].hasSuffix(":    ERROR: two lines?[31m"))
  }

  @Test func debugLinesWhenTheClusterDebugs() throws {
    let log = log(["HA_LOGFILE": scratch["ha.log"], "HA_DEBUGLOG": scratch["debug.log"], "HA_debug": "1"])
    log.debug("an observation")
    log.info("a change")
    #expect(try text(scratch["ha.log"]).split(separator: "\n").map { $0.hasSuffix("INFO: a change") } == [true])
    let lines = try text(scratch["debug.log"]).split(separator: "\n")
    #expect(lines.count == 2)
    #expect(lines.first?.hasSuffix("DEBUG: an observation") == true)
  }

  @Test func aFailedActionLeavesARecording() throws {
    let log = log(["HA_LOGFILE": scratch["ha.log"]])
    for number in 0..<600 { log.debug("observation \(number)") }
    log.warning("it will not work: 100% %s")
    let printedMeanwhile = try standardOutput { log.recordFailure(status: 1, reason: "no such device") }
    #expect(!printedMeanwhile.contains("Ringbuffer"), "libqb writes to standard output")
    let names = try #require(try files.entries(of: scratch["blackbox"]))
    #expect(names.count == 1)
    let name = try #require(names.first)
    #expect(name.hasPrefix("vip-vip0-start.20") && name.hasSuffix(".\(getpid())"))
    let path = scratch["blackbox/\(name)"]
    #expect(try files.status(path)?.mode == 0o600)
    #expect(try files.status(scratch["blackbox"])?.mode == 0o700)
    let printed = try blackbox(path)
    #expect(printed.contains("ms observation 599"))
    #expect(!printed.contains("observation 10\n"))
    #expect(printed.contains("warning") && printed.contains("it will not work: 100% %s"))
    #expect(printed.contains("start ends with status 1: no such device"))
    // Only what was worth a line is in the log, and nothing is left in shared memory.
    #expect(try text(scratch["ha.log"]).split(separator: "\n").count == 1)
    #expect(try files.entries(of: "/dev/shm")?.filter { $0.contains("vip0") } == [])
  }

  @Test func recordingsAreFewAndOnlyOurs() throws {
    try files.makeDirectory(scratch["blackbox"], mode: 0o700)
    for number in 10..<19 {
      try scratch.put("", at: "blackbox/vip-vip0-start.2020-01-01.00:00:\(number).7")
      try scratch.put("", at: "blackbox/vip-other.name-stop.2020-01-01.00:00:\(number).7")
    }
    try scratch.put("", at: "blackbox/README")
    log().recordFailure(status: 1, reason: "x")
    let names = try #require(try files.entries(of: scratch["blackbox"]))
    #expect(names.filter { $0.hasPrefix("vip-vip0-start.") }.count == FlightRecording.perName)
    #expect(names.filter { $0.hasPrefix("vip-other") }.count == 9)
    #expect(names.contains("README") && !names.contains("vip-vip0-start.2020-01-01.00:00:14.7"))

    for number in 100..<200 { try scratch.put("", at: "blackbox/xl2tpd-l\(number)-stop.2021-01-01.00:00:00.\(number)") }
    log().recordFailure(status: 1, reason: "x")
    #expect(try #require(try files.entries(of: scratch["blackbox"])).count <= FlightRecording.inAll + 1)
  }

  @Test func hostileNamesStayInside() throws {
    log(instance: "../../etc/\u{0}passwd\n ü").recordFailure(status: 1, reason: "x")
    let names = try #require(try files.entries(of: scratch["blackbox"]))
    #expect(names.first?.hasPrefix("vip-_.._.._etc__passwd____-start.") == true, "\(names)")
    #expect(fileName("") == "_")
    #expect(fileName(String(repeating: "x", count: 500)).utf8.count == 64)
  }

  @Test func aRecorderThatCannotRecordSaysNothing() throws {
    // Others can write to the directory.
    try files.makeDirectory(scratch["blackbox"], mode: 0o777)
    log().recordFailure(status: 1, reason: "x")
    #expect(try files.entries(of: scratch["blackbox"]) == [])
    // It is a link.
    #expect(symlink(scratch.path, scratch["link"]) == 0)
    LinuxLog(environment: [:], type: "vip", instance: "v", action: "start", blackboxes: scratch["link"])
      .recordFailure(status: 1, reason: "x")
    // It cannot be.
    try scratch.put("", at: "file")
    LinuxLog(environment: [:], type: "vip", instance: "v", action: "start", blackboxes: scratch["file/below"])
      .recordFailure(status: 1, reason: "x")
    #expect(try files.entries(of: scratch.path) == ["blackbox", "file", "link"])
  }

  @Test func lines() {
    #expect(oneLine("a\nb\tc\u{7f}") == "a b c?")
    #expect(oneLine(String(repeating: "x", count: 5000)).utf8.count == 1003)
    #expect(oneLine("\u{9b}31m\u{202e}ü") == "?31m?ü")
    #expect(isJournalField("VPNHA_ADDRESS2"))
    for bad in ["", "_PID", "1A", "lower", "A B", String(repeating: "A", count: 65)] { #expect(!isJournalField(bad)) }
    #expect(milliseconds(.microseconds(1_002_003)) == "1002.003")
    #expect(milliseconds(.seconds(-1)) == "0.000")
  }

  /// Foreign text steers no terminal: not by C0 or C1 controls, nor by marks that turn its direction.
  @Test func foreignTextIsPlain() {
    #expect("10.77.0.1 port 1701 is taken by /tmp/p\u{9b}31mX\u{202e} (pid 25)".plain == "10.77.0.1 port 1701 is taken by /tmp/p?31mX? (pid 25)")
    #expect("a\u{1b}[2J\u{0}\u{7f}\u{85}\r\n\tb\u{2028}c".plain == "a?[2J??    b c")
    #expect("\u{200b}\u{feff}\u{e000}\u{2066}".plain == "????")
    #expect("plain ~ grün 漢字 🇩🇪 e\u{301}".plain == "plain ~ grün 漢字 🇩🇪 e\u{301}")
  }

  /// Pacemaker looks for the last mark, not for the first of a line: a path with a line end in it must not say that all is well.
  @Test func foreignTextForgesNoReason() {
    let mark = "ocf-exit-reason:"
    let line = String(decoding: reasonLine("port 1701 is taken by /tmp/a\nocf-exit-reason:all is well", prefix: mark), as: UTF8.self)
    #expect(line == "ocf-exit-reason:port 1701 is taken by /tmp/a ocf-exit-reason?all is well\n")
    #expect(Array("WARNING: ocf-exit-reason:ocf-exit-reason:\n".utf8).without(mark: mark) == Array("WARNING: ocf-exit-reason?ocf-exit-reason?\n".utf8))
    #expect(Array("short".utf8).without(mark: mark) == Array("short".utf8) && Array("a".utf8).without(mark: "") == Array("a".utf8))
  }

  @Test func aReasonIsOneLineOf128Bytes() {
    #expect(reasonLine("a\nb\u{9b}", prefix: "p:") == Array("p:a b?\n".utf8))
    for (letter, count) in [("x", 108), ("ü", 54), ("漢", 36), ("🇩", 27)] as [(String, Int)] {
      let line = String(decoding: reasonLine(String(repeating: letter, count: 100_000), prefix: "ocf-exit-reason: "), as: UTF8.self)
      #expect(line == "ocf-exit-reason: " + String(repeating: letter, count: count) + "...\n")
    }
    #expect(reasonLine(String(repeating: "x", count: 128), prefix: "").count == 129)
  }

  // MARK: Trace

  @Test func aTraceHasEveryLine() throws {
    let log = log(["OCF_RESKEY_trace_ra": "1", "OCF_RESKEY_trace_dir": scratch["trace"], "HA_LOGFILE": scratch["ha.log"]])
    log.debug("observed: stopped")
    log.info("adding 192.0.2.1/24 to eth0")
    let name = try #require(try files.entries(of: scratch["trace/vip"])?.first)
    #expect(name.hasPrefix("vip0.start.20"))
    #expect(try files.status(scratch["trace/vip/\(name)"])?.mode == 0o600)
    let lines = try text(scratch["trace/vip/\(name)"]).split(separator: "\n")
    #expect(lines.count == 3)
    #expect(lines[0].hasPrefix("vip(vip0)[\(getpid())] start, 20"))
    #expect(lines[1].hasPrefix("+") && lines[1].hasSuffix(" ms debug observed: stopped"))
    #expect(lines[2].hasSuffix(" ms info adding 192.0.2.1/24 to eth0"))
  }

  /// In a folder of somebody else's the folder for the agent may be his as well.
  @Test func aTraceFollowsNoLink() throws {
    try files.makeDirectory(scratch["elsewhere"], mode: 0o755)
    try scratch.put("kept", at: "target")
    symlink(scratch["elsewhere"], scratch["vip"])
    symlink(scratch["target"], scratch["file"])
    log(["OCF_RESKEY_trace_ra": "1", "OCF_RESKEY_trace_dir": scratch.path]).debug("x")
    log(["OCF_RESKEY_trace_ra": "1", "OCF_RESKEY_trace_file": scratch["file"]]).debug("x")
    #expect(try files.entries(of: scratch["elsewhere"]) == [])
    #expect(try text(scratch["target"]) == "kept")
  }

  @Test func traceFiles() throws {
    func trace(_ file: String) { log(["OCF_TRACE_RA": "true", "OCF_TRACE_FILE": file]).debug("x") }
    trace(scratch["a"])
    trace(scratch["a"])
    #expect(try text(scratch["a"]).split(separator: "\n").count == 4)
    let number = open(scratch["b"], O_WRONLY | O_CREAT, 0o600)
    if (3...9).contains(number) {
      trace("\(number)")
      #expect(try text(scratch["b"]).split(separator: "\n").count == 2)
    }
    close(number)
    // No trace is asked for, or none can be written: nothing fails.
    log(["OCF_TRACE_FILE": scratch["c"]]).debug("x")
    log(["OCF_TRACE_RA": "0", "OCF_TRACE_FILE": scratch["c"]]).debug("x")
    trace(scratch["no/such/directory"])
    #expect(try files.status(scratch["c"]) == nil)
  }
}
