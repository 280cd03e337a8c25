import Host
import WatchedHost

// A statically linked release build compiles this target too, and the toolchain has no static Testing.
#if canImport(Testing)
  import Testing
#endif

extension Host {
  /// A host that fails the test, naming the call. Tests replace what they expect to be used.
  public static var refusing: Host { refusing(record: Refuser.failTest) }

  /// - Parameter record: what to do about a call.
  public static func refusing(record: @escaping (String) -> Void) -> Host {
    let refuser = Refuser(record: record)
    var host = InMemoryMachine().host.watched(by: refuser)
    host.clock = refuser
    host.events = refuser
    host.log = refuser
    return host
  }
}

/// Records every call, then throws `ENOSYS` or answers with nothing: the machine is never reached.
private final class Refuser: Watcher, Clock, Events, Log {
  private let record: (String) -> Void

  init(record: @escaping (String) -> Void) { self.record = record }

  static func failTest(_ call: String) {
    #if canImport(Testing)
      Issue.record("unexpected: \(call)")
    #else
      fatalError("unexpected: \(call)")
    #endif
  }

  func begins(_ what: String) throws(SystemError) {
    record(what)
    throw SystemError(what, .notImplemented, detail: "refused by the test's host")
  }
  func saw(_ what: String, _ result: String) {}
  func did(_ what: String, _ result: String) {}
  func inside() -> any Watcher { self }

  var now: Instant {
    record("now")
    return Instant(nanoseconds: 0)
  }
  var timestamp: Timestamp {
    record("timestamp")
    return Timestamp(seconds: 0)
  }
  func sleep(until instant: Instant) { record("sleep") }

  func watch(_ sources: [EventSource]) throws(SystemError) -> any Watch {
    try begins("watch")
    throw SystemError("watch", .notImplemented)
  }

  func write(_ level: LogLevel, _ message: String, _ fields: [(String, String)]) { record("log \(message)") }
}
