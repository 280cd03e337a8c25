import Host
import OCF

extension Process {
  /// This process as it is now, if it has been at work since it was looked at: in a storm of returning clients a daemon waits for a
  /// processor, or starts sessions, for longer than a monitor waits. Nil of one that hangs or is frozen: it uses nothing.
  ///
  /// A daemon that turns in circles is taken for one that works; so whoever asks has an end of his own.
  ///
  /// - Parameter ticks: of 10 ms; one may be an accident.
  package func atWork(_ call: Call, ticks: UInt64 = 1) -> Process? {
    do throws(SystemError) {
      guard let now = try call.host.processes.process(pid), now.startTime == startTime, !now.isStopped else { return nil }
      return now.processorTime >= processorTime + ticks ? now : nil
    } catch {
      call.log.debug("\(error)")
      return nil
    }
  }
}
