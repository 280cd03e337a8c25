import Host
import OCF

extension Process {
  /// Asks this daemon something. A monitor asks one that is at work once more, as long as there is time for what else it asks: in a storm
  /// of returning clients a daemon waits for a processor, or starts sessions, for longer than a monitor waits, and whoever failed it for that
  /// would send all of them away to dial once more. One that hangs or is frozen uses no processor and has its time once.
  ///
  /// - Parameters:
  ///   - patience: how long each question may take.
  ///   - isSilence: whether an error means that there was no answer.
  package func answer<Value, Failure: Error>(
    within patience: Duration, _ call: Call, isSilence: (Failure) -> Bool, _ ask: (Call) throws(Failure) -> Value
  ) throws(Failure) -> Value {
    var seen = self
    let rest = call.depth >= .service ? Duration.seconds(5) : .seconds(2)
    while true {
      do throws(Failure) { return try ask(call.within(patience)) } catch {
        guard call.request.action == .monitor, isSilence(error), call.host.clock.now + patience + rest < call.deadline, let now = seen.atWork(call) else { throw error }
        seen = now
        call.log.warning("\(executable) (pid \(pid)) is at work and has not answered for \(patience.components.seconds) s")
      }
    }
  }

  /// This process as it is now, if it has been at work since it was looked at. A daemon that turns in circles is taken for one that works;
  /// so whoever asks has an end of his own.
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
