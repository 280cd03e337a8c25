import ConntrackSync
import Daemon
import Host
import OCF

extension Conntrackd {
  package func start(_ call: Call) throws(OCFError) {
    let configuration = try presentConfiguration(call)
    let daemon = daemon(call)
    // What is there cannot be used, or it would not be started.
    if try found(call) != nil { try daemon.stop(call.within(.seconds(5)), grace: .seconds(1)) }
    try removeLeftovers(of: configuration, call)
    let socket = ConntrackSocket(configuration.socketPath)
    let process = try daemon.start(call) { process throws(OCFError) in
      do throws(ConntrackError) {
        _ = try socket.statistics(on: call.host, before: call.within(.seconds(1)).deadline)
        return true
      } catch {
        switch error.kind {
        // One that ends while it is asked says better why.
        case .absent, .unread, .unanswered, .system: return false
        case .malformed, .refused: throw .failed("starting conntrackd: \(error.reason)")
        }
      }
    }
    keep(configuration, of: process, call)
    // A node that was away knows nothing. The answer is a bulk update from whoever serves; without a peer it is lost.
    do { try socket.ask(.requestResync, on: call.host, before: call.deadline) } catch { throw .failed(error.reason) }
  }

  package func stop(_ call: Call) throws(OCFError) {
    var problem: OCFError?
    let known = keptConfiguration(of: nil, call)
    do throws(OCFError) {
      let ending = try daemon(call).stop(call, grace: .seconds(2))
      // With the daemon goes a flush of the kernel's table that a demote has scheduled.
      if ending != .wasGone { call.log.info("stopped: conntrackd \(ending.rawValue); the kernel's connections stay as they are") }
    } catch { problem = error }
    withdrawFlowCount(call)
    for note in ["sample", "settings"] {
      // Hints for the next call: one that cannot go misleads nobody, and is no reason to fence the node.
      do throws(SystemError) { try call.host.files.remove(notePath(note, call)) } catch { call.log.warning("\(error)") }
    }
    // What is left when nothing of ours runs, or is somebody else's, can only stand in the way of a start, which says so. To fence
    // the node for it would help nobody.
    if problem == nil, let configuration = known ?? configurationIfReadable(call) {
      do throws(OCFError) { try removeLeftovers(of: configuration, call) } catch { call.log.warning(error.reason) }
    }
    if let problem { throw problem }
  }

  /// Removes the lock and the socket of a daemon that did not live to do it, unless another one has them.
  ///
  /// The lock is a file that exists and names nobody; conntrackd does not start as long as it is there.
  private func removeLeftovers(of configuration: SyncConfiguration, _ call: Call) throws(OCFError) {
    try attempt("cleaning up after conntrackd") { () throws(SystemError) in
      let files = call.host.files
      let lock = try files.status(configuration.lockPath)
      let socket = try files.status(configuration.socketPath)
      guard lock != nil || socket != nil else { return }
      if let other = try holder(of: configuration, call) {
        throw SystemError("removing \(configuration.lockPath)", .exists, detail: "another conntrackd (pid \(other.pid)) has it")
      }
      do throws(SystemError) { try files.remove(configuration.lockPath) } catch {
        let directory = configuration.lockPath.split(separator: "/").dropLast().reduce("") { "\($0)/\($1)" }
        guard let status = try files.status("\(directory)/."), status.mode & 0o002 != 0 else { throw error }
        throw SystemError(
          "set LockFile to a path such as /run/conntrackd.lock: every user may write to \(directory); \(error.operation)", error.errno)
      }
      try files.remove(configuration.socketPath)
    }
  }

  /// A daemon that is not ours and has the lock or the socket of this configuration.
  func holder(of configuration: SyncConfiguration, _ call: Call) throws(SystemError) -> Process? {
    let own = try daemon(call).find(call)
    return try call.host.processes.running(binaryPath(call)).first { other in
      guard other != own, let theirs = self.configuration(of: other, call) else { return false }
      return theirs.lockPath == configuration.lockPath || theirs.socketPath == configuration.socketPath
    }
  }

  /// What another daemon was told; nil when that cannot be read any more, or is no regular file: its arguments may name anything.
  private func configuration(of process: Process, _ call: Call) -> SyncConfiguration? {
    let words = process.arguments
    let option = words.lastIndex(of: "-C").flatMap { $0 + 1 < words.count ? words[$0 + 1] : nil }
    let path = option ?? "/etc/conntrackd/conntrackd.conf"
    let place = path.hasPrefix("/") ? path : "/proc/\(process.pid)/cwd/\(path)"
    do throws(SystemError) {
      guard let bytes = try call.host.files.read(place, limit: 1 << 20) else { return nil }
      do { return try SyncConfiguration(bytes) } catch { return nil }
    } catch {
      call.log.debug("\(error)")
      return nil
    }
  }
}

// MARK: - Roles

extension Conntrackd: PromotableAgent {
  package func promote(_ call: Call) throws(OCFError) {
    let (process, settings) = try running(call)
    try TakeOver(settings.configuration, call.within(Self.commit)).commit()
    try record(.promoted, of: process, call)
  }

  /// conntrackd reads the kernel's whole table (9 ms for an empty one) and answers nobody meanwhile.
  package func promoted(_ call: Call) {
    do throws(OCFError) { try TakeOver(try running(call).settings.configuration, call.within(Self.haste)).announce() } catch {
      call.log.warning("telling the peer what is here: \(error.reason)")
    }
  }

  package func demote(_ call: Call) throws(OCFError) {
    // Outside a clone a resource that does not run may be demoted.
    if !call.isPromotable, try found(call) == nil { return }
    let (process, settings) = try running(call)
    try checkAwake(process)
    try TakeOver(settings.configuration, call.within(Self.haste)).yield()
    try record(.unpromoted, of: process, call)
  }

  private func record(_ role: Role, of process: Process, _ call: Call) throws(OCFError) {
    try attempt("recording the role", try daemon(call).record(role, of: process, call))
  }

  private func running(_ call: Call) throws(OCFError) -> (process: Process, settings: Settings) {
    guard let process = try found(call) else { throw .failed("conntrackd does not run") }
    return (process, settings(of: process, call))
  }
}

extension Conntrackd: NotifiableAgent {
  /// The node that serves sends everything it has to a peer that has started, and to one that is about to take over.
  package func notify(_ notification: Notification, _ call: Call) throws(OCFError) {
    let concerned: [String]
    switch (notification.moment, notification.operation) {
    case (.post, .start): concerned = notification.starting
    case (.pre, .promote): concerned = notification.promoting
    default: return
    }
    guard concerned.contains(where: { $0 != call.request.nodeName }) else { return }
    let (process, settings) = try running(call)
    guard try isPromoted(process, call) else { return }
    let socket = ConntrackSocket(settings.configuration.socketPath)
    // The peer's promotion waits for this.
    do { try socket.ask(.sendBulk, on: call.host, before: call.within(Self.haste).deadline) } catch { throw .failed(error.reason) }
    call.log.info("sent a bulk update to \(concerned.joined(separator: " "))")
  }
}

extension Conntrackd: ReloadableAgent {
  /// Unit and launcher matter at the next start; nothing running has to be told.
  package func reload(_ call: Call) throws(OCFError) {}
}
