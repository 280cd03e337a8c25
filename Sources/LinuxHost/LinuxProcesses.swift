import CLinux
import Host

/// The process table as `/proc` shows it (proc(5)), pidfds, and `posix_spawn`.
public final class LinuxProcesses: Processes {
  let proc: String
  let launches: String?
  var outputs: [Int32: Output] = [:]

  /// - Parameter launches: a file that every launch on this node has locked until its program runs. It stays, and is empty.
  ///   Nil where nobody waits for launches.
  /// - Parameter proc: where proc(5) is mounted.
  public init(launches: String? = nil, proc: String = "/proc") {
    self.proc = proc
    self.launches = launches
  }

  // MARK: Looking

  public func current() throws(SystemError) -> Process {
    guard let process = try process(getpid()) else { throw SystemError("looking at this process", .noSuchProcess) }
    return process
  }

  public func process(_ pid: Int32) throws(SystemError) -> Process? {
    guard pid > 0 else { return nil }
    do throws(SystemError) {
      // One open directory is one process, even if its pid is reused while we look.
      let directory = try Descriptor(opening: "\(proc)/\(pid)", O_PATH | O_DIRECTORY, operation: "looking at process \(pid)")
      return try process(pid, directory)
    } catch  where error.isAbsence || error.errno == .noSuchProcess {
      return nil
    }
  }

  public func running(_ executable: String) throws(SystemError) -> [Process] {
    let wanted = Set([executable, resolved(executable)])
    let all = try Descriptor(opening: proc, O_RDONLY | O_DIRECTORY, operation: "listing processes")
    var found: [Process] = []
    var failure: SystemError?
    var isWhole = false
    let own = getpid()
    let name = executable.split(separator: "/").last.map(String.init) ?? executable
    try eachName(in: all, "listing processes") { entry in
      guard let pid = Int32(String(cString: entry)), pid > 0 else { return true }
      if pid == own { isWhole = true }
      do throws(SystemError) {
        let path: String?
        do throws(SystemError) {
          path = try linkTarget(at: all.number, "\(pid)/exe", pid)
        } catch  where error.errno == .accessDenied || error.errno == .notPermitted {
          // Only a process that may be the one makes its secrecy a problem.
          guard try comm(at: all.number, "\(pid)/comm", pid) == String(name.prefix(15)), try isRoots(at: all.number, pid) else {
            return true
          }
          throw error
        }
        guard let path, wanted.contains(path), try sharesNamespace("net", at: all.number, pid), try isRoots(at: all.number, pid)
        else { return true }
        if let process = try process(pid), process.state != "Z", wanted.contains(process.executable) { found.append(process) }
      } catch  where error.isAbsence || error.errno == .noSuchProcess {
        // It ended while we looked.
      } catch {
        failure = error
        return false
      }
      return true
    }
    if let failure { throw failure }
    // Where not even we are, nobody can be seen not to run.
    guard isWhole else { throw SystemError("listing processes", .notSupported, detail: "\(proc) shows none: mount -t proc proc \(proc)") }
    return found.sorted { $0.pid < $1.pid }
  }

  public func owner(ofSocket inode: UInt64) throws(SystemError) -> Process? {
    let wanted = "socket:[\(inode)]"
    let all = try Descriptor(opening: proc, O_RDONLY | O_DIRECTORY, operation: "listing processes")
    var found: Process?
    var failure: SystemError?
    try eachName(in: all, "listing processes") { entry in
      guard let pid = Int32(String(cString: entry)), pid > 0 else { return true }
      do throws(SystemError) {
        if try holds(wanted, pid) { found = try process(pid) }
      } catch  where error.isAbsence || [.noSuchProcess, .accessDenied, .notPermitted].contains(error.errno) {
        // It ended while we looked, or is hidden from us.
      } catch {
        failure = error
      }
      return found == nil && failure == nil
    }
    if let failure { throw failure }
    return found
  }

  /// Whether one of the process's descriptors is the object of this name.
  func holds(_ name: String, _ pid: Int32) throws(SystemError) -> Bool {
    let operation = "looking at descriptors of process \(pid)"
    let descriptors = try Descriptor(opening: "\(proc)/\(pid)/fd", O_RDONLY | O_DIRECTORY, operation: operation)
    var found = false
    var failure: SystemError?
    try eachName(in: descriptors, operation) { entry in
      let number = String(cString: entry)
      guard Int32(number) != nil else { return true }
      do throws(SystemError) { found = try linkTarget(at: descriptors.number, number, pid) == name } catch { failure = error }
      return !found && failure == nil
    }
    if let failure { throw failure }
    return found
  }

  /// Whether a process lives in our namespace of this kind. Where that cannot be read, it may.
  private func sharesNamespace(_ kind: String, at directory: Int32, _ pid: Int32) throws(SystemError) -> Bool {
    func namespace(_ path: String) throws(SystemError) -> String? {
      do throws(SystemError) { return try linkTarget(at: directory, path, pid) } catch
        where error.errno == .accessDenied || error.errno == .notPermitted
      {
        return nil
      }
    }
    guard let ours = try namespace("thread-self/ns/\(kind)"), let theirs = try namespace("\(pid)/ns/\(kind)") else { return true }
    return ours == theirs
  }

  /// Whether root (or the user we are) has it run: anybody can run a daemon's program with a daemon's arguments, and do in it what he likes.
  private func isRoots(at directory: Int32, _ pid: Int32) throws(SystemError) -> Bool {
    let operation = "looking at process \(pid)"
    let file = try Descriptor(opening: "\(pid)/status", O_RDONLY, at: directory, operation: operation)
    let owner = try ProcessOwner(try file.readToEnd(limit: 65_536, operation), operation)
    guard owner.isTrusted(byUser: getuid()) else { return false }
    // Where a user has made a namespace of his own, he is root.
    return try sharesNamespace("user", at: directory, pid)
  }

  public func isAlive(_ process: Process) throws(SystemError) -> Bool {
    guard process.pid > 0 else { return false }
    do throws(SystemError) {
      let status = try status(process.pid)
      return status.startTime == process.startTime && status.state != "Z" && status.state != "X"
    } catch  where error.isAbsence || error.errno == .noSuchProcess {
      return false
    }
  }

  // MARK: Signals

  public func signal(_ signal: Signal, to process: Process) throws(SystemError) {
    let operation = "sending \(signal) to process \(process.pid)"
    guard process.pid > 0 else { throw SystemError(operation, .invalidArgument) }
    do throws(SystemError) {
      // The pidfd is opened first, so that what the start time says holds for what gets the signal.
      let descriptor = Descriptor(owning: try check(operation) { clinux_pidfd_open(process.pid) })
      guard try status(process.pid).startTime == process.startTime else { return }
      try check(operation) { clinux_pidfd_send_signal(descriptor.number, signal.rawValue) }
    } catch  where error.isAbsence || error.errno == .noSuchProcess {
      return
    }
  }

  public func setNiceness(_ niceness: Int32, of process: Process) throws(SystemError) -> Int32 {
    let operation = "setting the niceness of process \(process.pid)"
    guard process.pid > 0 else { throw SystemError(operation, .invalidArgument) }
    // The kernel takes a pid here. Should it be another's in the next moment, no harm is done.
    guard try isAlive(process) else { return niceness }
    do throws(SystemError) {
      errno = 0
      let before = getpriority(Int32(PRIO_PROCESS.rawValue), id_t(process.pid))
      if before == -1, errno != 0 { throw SystemError(operation, Errno(rawValue: errno)) }
      try check(operation) { setpriority(Int32(PRIO_PROCESS.rawValue), id_t(process.pid), niceness) }
      return before
    } catch  where error.errno == .noSuchProcess {
      return niceness
    }
  }

  // MARK: /proc

  func process(_ pid: Int32, _ directory: borrowing Descriptor) throws(SystemError) -> Process {
    let operation = "looking at process \(pid)"
    let stat = try Descriptor(opening: "stat", O_RDONLY, at: directory.number, operation: operation)
    let status = try ProcessStatus(try stat.readToEnd(limit: 4096, operation), operation)
    let cmdline = try Descriptor(opening: "cmdline", O_RDONLY, at: directory.number, operation: operation)
    // A command line has no limit worth naming; what lies beyond this says nothing about whose process it is.
    var line: [UInt8] = []
    while line.count < 131_072 {
      let part = try cmdline.readPart(16_384, operation)
      if part.isEmpty { break }
      line += part
    }
    if line.last == 0 { line.removeLast() }
    let arguments =
      line.isEmpty
      ? [] : line.split(separator: 0, omittingEmptySubsequences: false).map { String(decoding: $0, as: UTF8.self) }
    var executable = ""
    do throws(SystemError) {
      executable = try linkTarget(at: directory.number, "exe", pid) ?? ""
    } catch  where error.errno == .accessDenied || error.errno == .notPermitted {
      // Somebody else's process, seen without privileges.
    }
    return Process(
      pid: pid, startTime: status.startTime, parent: status.parent, executable: executable, arguments: arguments,
      state: status.state, processorTime: status.processorTime)
  }

  func status(_ pid: Int32) throws(SystemError) -> ProcessStatus {
    let operation = "looking at process \(pid)"
    let file = try Descriptor(opening: "\(proc)/\(pid)/stat", O_RDONLY, operation: operation)
    return try ProcessStatus(try file.readToEnd(limit: 4096, operation), operation)
  }

  /// Nil for what is not there, as the executable of a zombie or of a kernel thread.
  func linkTarget(at directory: Int32, _ path: String, _ pid: Int32) throws(SystemError) -> String? {
    var buffer = [CChar](repeating: 0, count: 4096)
    do throws(SystemError) {
      let count = try check("looking at process \(pid)") { readlinkat(directory, path, &buffer, buffer.count) }
      let text = String(decoding: buffer[..<count].lazy.map(UInt8.init(bitPattern:)), as: UTF8.self)
      return text.hasSuffix(" (deleted)") ? String(text.dropLast(10)) : text
    } catch  where error.errno == .noSuchFile {
      return nil
    }
  }

  private func comm(at directory: Int32, _ path: String, _ pid: Int32) throws(SystemError) -> String {
    let operation = "looking at process \(pid)"
    let file = try Descriptor(opening: path, O_RDONLY, at: directory, operation: operation)
    return String(String(decoding: try file.readToEnd(limit: 64, operation), as: UTF8.self).prefix { $0 != "\n" })
  }

  private func resolved(_ path: String) -> String {
    guard let real = realpath(path, nil) else { return path }
    defer { free(real) }
    return String(cString: real)
  }
}
