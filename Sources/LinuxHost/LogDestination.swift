import CLinux
import Host

/// Where lines of a cluster's agents go, as resource-agents' `ocf_log` decides it from the environment.
enum LogDestination: Equatable {
  case terminal
  /// `facility` is nil when syslog is switched off, a file when none is named; one of them is there. Debug lines go to
  /// syslog and to `debugFile`, all others to both files; a file that is both is `debugFile`.
  case cluster(facility: Int32?, file: String?, debugFile: String?)
  /// Neither a terminal nor a cluster: the caller reads our standard error.
  case standardError

  init(environment: [String: String], isTerminal: Bool) {
    func first(_ names: String...) -> String? {
      for name in names { if let value = environment[name], !value.isEmpty, value != "none" { return value } }
      return nil
    }
    let facility = first("HA_LOGFACILITY", "PCMK_LOGFACILITY", "HA_logfacility", "PCMK_logfacility").flatMap(Self.facility)
    func path(_ name: String?) -> String? { name.flatMap { $0.hasPrefix("/") && $0 != "/dev/null" ? $0 : nil } }
    let file = path(first("HA_LOGFILE", "PCMK_LOGFILE"))
    let debugFile = path(first("HA_DEBUGLOG", "PCMK_DEBUGLOG"))
    if isTerminal {
      self = .terminal
    } else if facility == nil && file == nil && debugFile == nil {
      self = .standardError
    } else {
      self = .cluster(facility: facility, file: file == debugFile ? nil : file, debugFile: debugFile)
    }
  }

  /// `LOG_*` of `syslog.h`, which Pacemaker names in lower case.
  private static func facility(_ name: String) -> Int32? {
    let numbers: [String: Int32] = [
      "kern": 0, "user": 1, "mail": 2, "daemon": 3, "auth": 4, "syslog": 5, "lpr": 6, "news": 7, "uucp": 8, "cron": 9,
      "authpriv": 10, "ftp": 11, "local0": 16, "local1": 17, "local2": 18, "local3": 19, "local4": 20, "local5": 21,
      "local6": 22, "local7": 23,
    ]
    return numbers[name.lowercased()].map { $0 << 3 }
  }
}

/// Whether debug lines are wanted (`HA_debug`, and `PCMK_debug`, which may be a list of daemons).
func wantsDebugLog(_ environment: [String: String]) -> Bool {
  for name in ["HA_debug", "PCMK_debug"] {
    guard let value = environment[name], !value.isEmpty else { continue }
    switch value.lowercased() {
    case "0", "no", "off", "false", "n": continue
    case "yes", "on", "true", "y": return true
    default:
      if Int(value) != nil { return true }
      if value.split(separator: ",").contains(where: { $0 == "pacemaker-execd" || $0 == "lrmd" }) { return true }
    }
  }
  return false
}

extension LogLevel {
  /// As `ocf_log` spells it.
  var word: String {
    switch self {
    case .debug: "DEBUG"
    case .info: "INFO"
    case .notice: "NOTICE"
    case .warning: "WARNING"
    case .error: "ERROR"
    }
  }

  /// `LOG_*` of `syslog.h`.
  var priority: UInt8 {
    switch self {
    case .debug: 7
    case .info: 6
    case .notice: 5
    case .warning: 4
    case .error: 3
    }
  }
}
