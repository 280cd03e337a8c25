import Host
import OCF

extension Process {
  /// Whether a daemon that has not answered was at work all the same since it was looked at: in a storm of returning clients one may
  /// wait for a processor, or start sessions, for longer than a monitor waits. One that hangs, or is frozen, uses nothing.
  ///
  /// A daemon that turns in circles is taken for one that works; so whoever asks has an end of his own.
  package func isAtWork(_ call: Call) -> Bool {
    do throws(SystemError) {
      guard let now = try call.host.processes.process(pid), now.startTime == startTime, !now.isStopped else { return false }
      return now.processorTime >= processorTime + 10
    } catch {
      call.log.debug("\(error)")
      return false
    }
  }
}
