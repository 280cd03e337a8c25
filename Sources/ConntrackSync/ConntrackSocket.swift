import Host

/// conntrackd's control socket: one native integer there, text back until the daemon closes (conntrack-tools
/// `include/conntrackd.h`; the numbers are the same from 1.4.2 to 1.4.8).
///
/// That a request was taken means nothing but that: success is to be read from the statistics afterwards.
public struct ConntrackSocket {
  public enum Request: Int32, Hashable, Sendable, CaseIterable {
    /// Ends the daemon.
    case kill = 20
    case statistics = 21
    /// Sends the whole internal cache to the peer.
    case sendBulk = 22
    /// Asks the peer for its whole internal cache.
    case requestResync = 23
    /// Flushes the kernel's table after `PurgeTimeout`, unless a commit or a flush comes first.
    case resetTimers = 26
    case links = 31
    case resendQueue = 32
    case queues = 36
    case runtime = 30
    case flushInternal = 33
    case flushExternal = 34
    /// Reads the kernel's table into the internal cache again.
    case resyncWithKernel = 44
    case flush = 45
    /// Writes the external cache into the kernel's table; the answer ends when that is done.
    case commit = 46

    var words: String {
      switch self {
      case .kill: "end"
      case .statistics: "show statistics"
      case .sendBulk: "send a bulk update"
      case .requestResync: "request a resync"
      case .resetTimers: "reset timers"
      case .links: "show its links"
      case .resendQueue: "show its resend queue"
      case .queues: "show its queues"
      case .runtime: "show its counters"
      case .flushInternal: "flush the internal cache"
      case .flushExternal: "flush the external cache"
      case .resyncWithKernel: "resync with the kernel"
      case .flush: "flush its caches"
      case .commit: "commit the external cache"
      }
    }
  }

  public var path: String

  public init(_ path: String) { self.path = path }

  static let longestReply = 1 << 20

  /// Sends `request` and reads the answer to its end.
  @discardableResult
  public func ask(_ request: Request, on host: Host, before deadline: Instant) throws(ConntrackError) -> String {
    do {
      let stream = try send(request, on: host, before: deadline)
      defer { stream.close() }
      return String(decoding: try stream.readToEnd(limit: Self.longestReply, before: deadline), as: UTF8.self)
    } catch {
      throw ConntrackError(error, "asking \(path) to \(request.words)")
    }
  }

  /// Sends `request`, one without an answer, and leaves: the daemon takes its requests in turn, and reads one that waits after its
  /// sender has gone (`local.c`, `do_local_server_step`).
  public func leave(_ request: Request, on host: Host, before deadline: Instant) throws(ConntrackError) {
    do { try send(request, on: host, before: deadline).close() } catch { throw ConntrackError(error, "asking \(path) to \(request.words)") }
  }

  private func send(_ request: Request, on host: Host, before deadline: Instant) throws(SystemError) -> any ByteStream {
    let stream = try host.sockets.connect(toUnix: path, before: deadline)
    do { try stream.write(withUnsafeBytes(of: request.rawValue, Array.init), before: deadline) } catch {
      stream.close()
      throw error
    }
    return stream
  }

  public func statistics(on host: Host, before deadline: Instant) throws(ConntrackError) -> SyncStatistics {
    try SyncStatistics(ask(.statistics, on: host, before: deadline))
  }

  public func links(on host: Host, before deadline: Instant) throws(ConntrackError) -> [SyncLink] {
    SyncLink.list(in: try ask(.links, on: host, before: deadline))
  }

  /// Messages waiting to be acknowledged by the peer; 0 in a mode without acknowledgements.
  public func resendQueueLength(on host: Host, before deadline: Instant) throws(ConntrackError) -> UInt64 {
    for line in try ask(.resendQueue, on: host, before: deadline).split(separator: "\n") {
      // resent queue (len=0)
      guard line.hasPrefix("resent queue (len="), line.hasSuffix(")") else { continue }
      return UInt64(line.dropFirst("resent queue (len=".count).dropLast()) ?? 0
    }
    return 0
  }
}
