import Host

/// Seconds that a recurring monitor waits for events after it has found all well; 0: it does not wait.
public struct WatchTime: ParameterValue, Hashable, Sendable, ExpressibleByIntegerLiteral {
  public let seconds: Int64
  /// Where the rule below fails, a monitor that waits holds the cluster's other recoveries up for no longer than this.
  public static let longest: Int64 = 8

  public init(integerLiteral seconds: Int64) { self.seconds = seconds }

  public static var contentType: ContentType { .integer }
  public init(parameter text: String) throws(Unreadable) {
    guard text.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }), let seconds = Int64(text), seconds <= Self.longest else {
      throw Unreadable("expected a whole number of seconds from 0 to \(Self.longest)")
    }
    self.seconds = seconds
  }
  public var parameterText: String? { String(seconds) }
}

/// When a recurring monitor may wait.
///
/// The first monitor of a series is an action of the cluster's transition: while it waits, no other failure is handled. So one
/// waits only when the monitor before it, of the same interval and role, ended by itself one interval ago: the executor counts from
/// that end, and whoever comes sooner was asked for by a transition, after a cancellation that no action of ours has seen. The record
/// of that end is removed when a wait begins and by every other action, so that after a kill or a probe the next monitor returns at
/// once.
struct WaitingRule {
  private let call: Call
  private static let record = "watched"
  /// How late the executor may be. On a machine that is busier than that nobody waits, and the next monitor comes when it is due.
  private static let slack = Duration.milliseconds(500)
  private var path: String { call.request.recordPath(Self.record) }

  init(_ call: Call) { self.call = call }

  /// Whether this call is a monitor that could ever wait.
  var concerns: Bool {
    call.request.action == .monitor && !call.request.isProbe && call.request.isFromCluster && call.depth == .basic
  }

  /// Takes the record of the last monitor's end; true when it allows this one to wait.
  func takeTurn() -> Bool {
    do throws(SystemError) {
      guard let bytes = try call.host.files.read(path, limit: 128) else { return false }
      try call.host.files.remove(path)
      let words = String(decoding: bytes, as: UTF8.self).split(whereSeparator: \.isWhitespace)
      guard words.count == 2, words[0] == series, let ended = Int64(words[1]) else { return false }
      let age = call.host.clock.now - Instant(nanoseconds: ended) - .milliseconds(call.request.interval)
      return age >= .zero && age <= Self.slack
    } catch {
      call.log.debug("looking for the last monitor's end: \(error)")
      return false
    }
  }

  /// Records that this monitor ends by itself.
  func end() {
    do throws(SystemError) {
      try call.keep(Array("\(series) \(call.host.clock.now.nanoseconds)\n".utf8), as: Self.record)
    } catch { call.log.debug("recording this monitor's end: \(error)") }
  }

  /// Whatever else is done with the resource begins a new series.
  func interrupt() {
    do throws(SystemError) { try call.host.files.remove(path) } catch {
      call.log.debug("forgetting the last monitor's end: \(error)")
    }
  }

  private var series: String { "\(call.request.interval)/\(call.request.expectedRole?.rawValue ?? "-")" }
}

extension ResourceAgent {
  /// Waits for events and has `look` judge each of them, until it is not content or the time is over. `look` answers whether all
  /// is as the cluster expects.
  ///
  /// It looks once more when the sources are open: what happened in between would be missed. An event decides nothing, the look
  /// does; a link gets 50 ms to make up its mind, and a storm of events is looked at twenty times a second.
  func wait(_ call: Call, _ look: () -> Bool) {
    let rule = WaitingRule(call)
    guard rule.takeTurn() else { return rule.end() }
    let clock = call.host.clock
    // Half of the time that is left is kept for the last look.
    let end = clock.now + min(.seconds(watch.seconds), (call.deadline - clock.now) / 2)
    do throws(OCFError) {
      let sources = try eventSources(call)
      guard !sources.isEmpty else { return rule.end() }
      let calm = Duration.milliseconds(50)
      do throws(SystemError) {
        let watch = try call.host.events.watch(sources)
        guard look() else { return }
        var looked = clock.now
        while clock.now < end, let source = try watch.next(before: end) {
          call.log.debug("event: \(source)")
          switch source {
          case .process: break
          case .links: clock.sleep(until: min(end, clock.now + calm))
          case .addresses, .packetFilter: clock.sleep(until: min(end, looked + calm))
          }
          guard look() else { return }
          looked = clock.now
        }
      } catch { throw .failed("\(error)") }
    } catch {
      // Nothing to wait for: the next monitor comes when it is due.
      call.log.debug("waiting for events: \(error.reason)")
    }
    rule.end()
  }
}
