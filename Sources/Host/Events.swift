/// What a monitor can wait for instead of being asked again and again.
public enum EventSource: Hashable, Sendable {
  /// A process that ends.
  case process(Process)
  /// An interface that changes: carrier, state, name.
  case links
  /// An address that comes or goes.
  case addresses
  /// A rule set that changes.
  case packetFilter
}

public protocol Events: AnyObject {
  /// From now on, what happens at `sources` is kept until it is asked for.
  func watch(_ sources: [EventSource]) throws(SystemError) -> any Watch
}

public protocol Watch: AnyObject {
  /// Waits until something has happened since the last call; nil when nothing had by `deadline`. What was lost because too much
  /// happened counts as an event of its source.
  func next(before deadline: Instant) throws(SystemError) -> EventSource?
}
