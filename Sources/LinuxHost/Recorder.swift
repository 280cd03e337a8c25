import Host
import WatchedHost

extension Host {
  /// This host, with a debug line for each call: every change, and every observation that differs from the last one like
  /// it, so that a wait of many looks is a few lines. They end in the flight recording or in a trace.
  public var recorded: Host { watched(by: Recorder(log)) }
}

private final class Recorder: Watcher {
  private let log: any Log
  // With room for a monitor: to make a table that grows, Swift first looks for the type among all conformances.
  private var lastSeen = [String: String](minimumCapacity: 16)

  init(_ log: any Log) { self.log = log }

  func begins(_ what: String) {}
  func saw(_ what: String, _ result: String) {
    guard lastSeen.updateValue(result, forKey: what) != result else { return }
    log.debug("\(what): \(result)")
  }
  func did(_ what: String, _ result: String) { log.debug("\(what): \(result)") }
  func inside() -> any Watcher { Recorder(log) }
}
