import Host

/// What a resident waits for before it has something to do again.
package struct Pause {
  package struct Source {
    var readable: any Readable
    var hear: () -> Void

    /// - Parameter hear: called when something can be read. A resident that reads all its sources in every turn needs none.
    package init(_ readable: any Readable, hear: @escaping () -> Void = {}) {
      self.readable = readable
      self.hear = hear
    }
  }

  var sources: [Source]
  var deadline: Instant

  package init(for sources: [Source], before deadline: Instant) {
    self.sources = sources
    self.deadline = deadline
  }
}

/// The life of a program that stays: one thread, one `poll`, turns until it is told to end.
package final class Loop {
  private let host: Host
  private let ending: (any Readable)?
  private let lock: (any FileLock)?
  private var isOver = false

  /// - Parameters:
  ///   - ending: readable once the program shall end; `TerminationSignals` in a real one.
  ///   - path: a file that one instance has locked for as long as it lives.
  /// - Throws: `EEXIST` when another instance has it.
  package init(on host: Host, endingWith ending: (any Readable)? = nil, aloneWith path: String? = nil) throws(SystemError) {
    self.host = host
    self.ending = ending
    do throws(SystemError) { lock = try path.map { path throws(SystemError) in try host.files.lock(path, before: host.clock.now) } } catch {
      guard error.errno == .timedOut else { throw error }
      throw SystemError("running a second time", .exists, detail: error.detail)
    }
  }

  deinit { lock?.release() }

  /// The turn that runs is the last one.
  package func end() { isOver = true }

  /// Takes turns until the end. `turn` does what is due, and says what to wait for.
  package func run<Failure: Error>(_ turn: () throws(Failure) -> Pause) throws(Failure) {
    while !isOver {
      let pause = try turn()
      if !isOver { wait(pause) }
    }
  }

  private func wait(_ pause: Pause) {
    var readables = pause.sources.map(\.readable)
    if let ending { readables.append(ending) }
    do throws(SystemError) {
      for position in try host.sockets.wait(for: readables, before: pause.deadline) {
        if position == pause.sources.count { isOver = true } else { pause.sources[position].hear() }
      }
    } catch {
      // Without memory for a wait the clock is what is left.
      host.log.warning("\(error)")
      host.clock.sleep(until: min(pause.deadline, host.clock.now + .milliseconds(100)))
    }
  }
}
