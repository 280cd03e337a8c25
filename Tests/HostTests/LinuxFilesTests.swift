import Glibc
import Host
import LinuxHost
import Testing

@Suite struct LinuxFilesTests {
  let files = LinuxFiles()
  let scratch: Scratch
  init() throws { scratch = try Scratch() }

  @Test func readsWholeFilesUpToTheLimit() throws {
    try scratch.put("hello", at: "a")
    #expect(try files.read(scratch["a"], limit: 5) == Array("hello".utf8))
    #expect(failure { _ = try files.read(scratch["a"], limit: 4) } == SystemError("reading \(scratch["a"])", .tooLarge))
    #expect(try files.read(scratch["absent"], limit: 5) == nil)
    #expect(try files.read(scratch["a/below a file"], limit: 5) == nil)
    #expect(failure { _ = try files.read(scratch.path, limit: 5) }?.errno == .isADirectory)
    try scratch.put("", at: "empty")
    #expect(try files.read(scratch["empty"], limit: 0) == [])
    // Files of /proc have no size.
    #expect(try files.read("/proc/self/stat", limit: 4096)?.isEmpty == false)
  }

  @Test func aFIFODoesNotHangAReader() throws {
    #expect(mkfifo(scratch["fifo"], 0o600) == 0)
    #expect(failure { _ = try files.read(scratch["fifo"], limit: 5) }?.errno == .invalidArgument)
    #expect(symlink("loop", scratch["loop"]) == 0)
    #expect(failure { _ = try files.read(scratch["loop"], limit: 5) }?.errno == .tooManyLinks)
  }

  /// Another process may have named the path: opening what is no regular file can start a watchdog or let a writer go on.
  @Test func whatIsNoRegularFileIsNotOpened() throws {
    let watch = inotify_init1(Int32(O_NONBLOCK))
    defer { close(watch) }
    mkfifo(scratch["fifo"], 0o600)
    for path in [scratch["fifo"], "/dev/null"] {
      #expect(inotify_add_watch(watch, path, UInt32(IN_OPEN)) > 0)
      #expect(failure { _ = try files.read(path, limit: 5) }?.detail == "not a regular file")
    }
    var event = [UInt8](repeating: 0, count: 4096)
    #expect(read(watch, &event, event.count) == -1 && errno == EAGAIN)
    close(open(scratch["fifo"], O_RDONLY | O_NONBLOCK))
    #expect(read(watch, &event, event.count) > 0)
  }

  @Test func replacesWholeOrNotAtAll() throws {
    // Whatever the umask is.
    try files.replace(scratch["a"], with: [1, 2], mode: 0o666)
    var status = try #require(try files.status(scratch["a"]))
    status.edition = 0
    #expect(status == FileStatus(.regular, mode: 0o666, owner: getuid(), size: 2))
    try files.replace(scratch["a"], with: [3], mode: 0o600)
    #expect(try files.read(scratch["a"], limit: 9) == [3])
    #expect(try files.entries(of: scratch.path) == ["a"])

    #expect(failure { try files.replace(scratch["absent/a"], with: [], mode: 0o600) }?.errno == .noSuchFile)
    // The rename fails, and the temporary goes.
    try files.makeDirectory(scratch["directory"], mode: 0o755)
    #expect(failure { try files.replace(scratch["directory"], with: [1], mode: 0o600) }?.errno == .isADirectory)
    #expect(try files.entries(of: scratch.path) == ["a", "directory"])
  }

  @Test func replacesALinkAndNotWhatItPointsTo() throws {
    try scratch.put("kept", at: "target")
    #expect(symlink(scratch["target"], scratch["link"]) == 0)
    try files.replace(scratch["link"], with: [1], mode: 0o600)
    #expect(try files.status(scratch["link"])?.kind == .regular)
    #expect(try files.read(scratch["target"], limit: 9) == Array("kept".utf8))
    // A link planted at the temporary's name is not followed either.
    #expect(symlink(scratch["target"], scratch[".b.\(getpid()).new"]) == 0)
    try files.replace(scratch["b"], with: [2], mode: 0o600)
    #expect(try files.read(scratch["target"], limit: 9) == Array("kept".utf8))
  }

  @Test func aFullDeviceLeavesNothing() throws {
    guard getuid() == 0, mount("tmpfs", scratch.path, "tmpfs", 0, "size=4k") == 0 else { return }
    // A process that another test starts at this moment may have a file open for as long as it takes to run its program.
    defer { umount2(scratch.path, Int32(MNT_DETACH)) }
    let error = failure { try files.replace(scratch["a"], with: Array(repeating: 1, count: 100_000), mode: 0o600) }
    #expect(error == SystemError("writing \(scratch["a"])", .noSpace))
    #expect(try files.entries(of: scratch.path) == [])
  }

  /// The kernel refuses to remove anything from a read-only file system, also what is not there.
  @Test func whatIsNotThereIsRemovedFromAReadOnlyPlace() throws {
    guard getuid() == 0, mount("tmpfs", scratch.path, "tmpfs", 0, "size=64k") == 0 else { return }
    defer { umount2(scratch.path, Int32(MNT_DETACH)) }
    try scratch.put("x", at: "a")
    #expect(mount("tmpfs", scratch.path, "tmpfs", UInt(MS_REMOUNT | MS_RDONLY), "size=64k") == 0)
    try files.remove(scratch["b"])
    #expect(failure { try files.remove(scratch["a"]) }?.errno == .readOnly)
  }

  @Test func removesAndSweepsWhatAKilledWriterLeft() throws {
    let writer = try LinuxProcesses().launch(Command("/bin/true"))
    waitpid(writer.pid, nil, 0)
    try scratch.put("x", at: "a")
    try scratch.put("x", at: ".a.\(writer.pid).new")
    try scratch.put("x", at: ".a.\(getpid()).new")
    try scratch.put("x", at: ".a.1.new")
    try scratch.put("x", at: ".a.not-a-pid.new")
    try scratch.put("x", at: ".ab.123.new")
    try files.remove(scratch["a"])
    // Process 1 may be writing it.
    #expect(try files.entries(of: scratch.path) == [".a.1.new", ".a.not-a-pid.new", ".ab.123.new"])
    try files.remove(scratch["a"])
    try files.remove(scratch["absent/a"])
    try scratch.put("x", at: "file")
    try files.remove(scratch["file/a"])
    // A wrong parameter names it: `control=/dev/null`.
    if mknod(scratch["device"], S_IFCHR | 0o600, 0x103) == 0 {
      #expect(failure { try files.remove(scratch["device"]) }?.errno == .notPermitted)
      unlink(scratch["device"])
    }
    try files.makeDirectory(scratch["d/full"], mode: 0o755)
    #expect(failure { try files.remove(scratch["d"]) } != nil)
    #expect(try files.entries(of: scratch["d"]) == ["full"])
  }

  @Test func statusIsOfThePathItself() throws {
    #expect(symlink("nowhere", scratch["link"]) == 0)
    #expect(mkfifo(scratch["fifo"], 0o600) == 0)
    #expect(try files.status(scratch["link"])?.kind == .symbolicLink)
    #expect(try files.status(scratch["fifo"])?.kind == .fifo)
    #expect(try files.status(scratch.path)?.kind == .directory)
    #expect(try files.status("/dev/null")?.kind == .other)
    #expect(try files.status(scratch["absent"]) == nil)
    #expect(failure { _ = try files.status(scratch[String(repeating: "x", count: 300)]) }?.errno == .nameTooLong)
  }

  @Test func executablesAreRegularFiles() throws {
    let script = try scratch.script("run", "exit 0")
    #expect(files.isExecutable(script))
    #expect(symlink(script, scratch["link"]) == 0)
    #expect(files.isExecutable(scratch["link"]))
    try scratch.put("x", at: "plain")
    #expect(!files.isExecutable(scratch["plain"]))
    #expect(!files.isExecutable(scratch.path))
    #expect(!files.isExecutable(scratch["absent"]))
  }

  @Test func listsNamesSorted() throws {
    for name in ["b", "a", "ü"] { try scratch.put("", at: name) }
    #expect(try files.entries(of: scratch.path) == ["a", "b", "ü"])
    #expect(try files.entries(of: scratch["absent"]) == nil)
    #expect(failure { _ = try files.entries(of: scratch["a"]) }?.errno == .notADirectory)
  }

  @Test func makesDirectoriesWithParents() throws {
    try files.makeDirectory(scratch["a/b/c"], mode: 0o1755)
    #expect(try files.status(scratch["a/b/c"])?.mode == 0o1755)
    try files.makeDirectory(scratch["a/b/c"], mode: 0o700)
    #expect(try files.status(scratch["a/b/c"])?.mode == 0o1755)
    try scratch.put("", at: "file")
    #expect(failure { try files.makeDirectory(scratch["file"], mode: 0o755) }?.errno == .exists)
    #expect(failure { try files.makeDirectory(scratch["file/below"], mode: 0o755) }?.errno == .exists)
    #expect(symlink(scratch["a"], scratch["link"]) == 0)
    try files.makeDirectory(scratch["link/d"], mode: 0o755)
    #expect(try files.entries(of: scratch["a"]) == ["b", "d"])
  }

  @Test func locksExcludeEachOther() throws {
    let path = scratch["lock"]
    let first = try files.lock(path, before: soon())
    #expect(try files.status(path)?.mode == 0o600)
    let began = LinuxClock().now
    let refusal = SystemError("locking \(path)", .timedOut, detail: "held by process \(getpid())")
    #expect(failure { _ = try files.lock(path, before: soon(.milliseconds(60))) } == refusal)
    #expect(LinuxClock().now - began >= .milliseconds(60))
    first.release()
    let second = try files.lock(path, before: soon(.zero))
    // Removing the file under a holder lets others in, but never onto a file without a name.
    try files.remove(path)
    let third = try files.lock(path, before: soon(.zero))
    #expect(try files.status(path) != nil)
    second.release()
    third.release()
    #expect(symlink(path, scratch["link"]) == 0)
    #expect(failure { _ = try files.lock(scratch["link"], before: soon()) }?.errno == .tooManyLinks)
  }

  @Test func aLockEndsWithItsProcess() throws {
    let path = scratch["lock"]
    // Its child does not have the lock.
    let holder = try LinuxProcesses().launch(Command("/usr/bin/flock", ["-o", path, "/bin/sleep", "5"]))
    let clock = LinuxClock()
    let deadline = soon()
    while clock.now < deadline, let lock = try? files.lock(path, before: clock.now) {
      lock.release()
      clock.sleep(until: clock.now + .milliseconds(5))
    }
    #expect(failure { _ = try files.lock(path, before: clock.now) }?.errno == .timedOut)
    try LinuxProcesses().signal(.kill, to: holder)
    try files.lock(path, before: soon()).release()
  }

  @Test func sendsToAFIFOSomebodyReads() throws {
    let path = scratch["fifo"]
    #expect(failure { try files.send([1], toFIFO: path) }?.errno == .noSuchFile)
    #expect(mkfifo(path, 0o600) == 0)
    #expect(failure { try files.send([1], toFIFO: path) }?.errno == .noSuchDeviceOrAddress)
    let reader = open(path, O_RDONLY | O_NONBLOCK)
    try files.send(Array("d lns".utf8), toFIFO: path)
    var buffer = [UInt8](repeating: 0, count: 10)
    #expect(read(reader, &buffer, 10) == 5)
    #expect(failure { try files.send(Array(repeating: 0, count: 4097), toFIFO: path) }?.errno == .messageTooLong)
    // A reader that takes nothing: the pipe fills up and we are not kept.
    #expect(failure { for _ in 0..<64 { try files.send(Array(repeating: 0, count: 4096), toFIFO: path) } }?.errno == .wouldBlock)
    close(reader)

    try scratch.put("kept", at: "regular")
    #expect(failure { try files.send([1], toFIFO: scratch["regular"]) }?.detail == "not a FIFO")
    #expect(symlink(path, scratch["link"]) == 0)
    #expect(failure { try files.send([1], toFIFO: scratch["link"]) }?.detail == "not a FIFO")
    #expect(try files.read(scratch["regular"], limit: 9) == Array("kept".utf8))
  }

  @Test func replyFilesAreCompleteWhenUnlinked() throws {
    try scratch.put("", at: "vpnha-reply-999999999-1")
    let file = try files.makeReplyFile(in: scratch.path)
    #expect(try files.entries(of: scratch.path) == [String(file.path.split(separator: "/").last!)])
    #expect(try files.status(file.path)?.mode == 0o600)
    #expect(try file.isComplete() == false)
    let writer = open(file.path, O_WRONLY)
    #expect(write(writer, "ok", 2) == 2)
    unlink(file.path)
    #expect(try file.isComplete())
    #expect(try file.read(limit: 2) == Array("ok".utf8))
    #expect(failure { _ = try file.read(limit: 1) }?.errno == .tooLarge)
    close(writer)
    // Somebody else's file of the same name stays.
    try scratch.put("", at: String(file.path.split(separator: "/").last!))
    file.discard()
    #expect(try files.status(file.path) != nil)
    #expect(failure { _ = try file.read(limit: 1) }?.errno == Errno(rawValue: EBADF))
    #expect(failure { _ = try file.isComplete() }?.errno == Errno(rawValue: EBADF))

    let second = try files.makeReplyFile(in: scratch.path)
    let third = try files.makeReplyFile(in: scratch.path)
    #expect(try !second.isComplete() && !third.isComplete())
    second.discard()
    third.discard()
    #expect(try files.status(second.path) == nil && files.status(third.path) == nil)
    #expect(failure { _ = try files.makeReplyFile(in: scratch["absent"]) }?.errno == .noSuchFile)
  }

  @Test func kernelParametersByName() throws {
    #expect(try files.kernelParameter("kernel.ostype") == "Linux")
    #expect(try files.kernelParameter("net.ipv4.conf.no/such.forwarding") == nil)
    #expect(try files.kernelParameter("kernel.no_such_thing") == nil)
    for bad in ["", "kernel..ostype", "kernel.//.ostype", "."] {
      #expect(failure { _ = try files.kernelParameter(bad) }?.errno == .invalidArgument)
    }
    #expect(failure { try files.setKernelParameter("kernel.no_such_thing", to: "1") }?.errno == .noSuchFile)
    #expect(failure { try files.setKernelParameter("kernel.ostype", to: "1") } != nil)
  }

  @Test func leavesNoDescriptorOpen() throws {
    try scratch.put("x", at: "a")
    _ = mkfifo(scratch["fifo"], 0o600)
    func everything() {
      for path in [scratch["a"], scratch["fifo"], scratch.path, scratch["absent"]] {
        _ = failure { _ = try files.read(path, limit: 0) }
        _ = failure { _ = try files.entries(of: path) }
        _ = failure { try files.send([1], toFIFO: path) }
        _ = failure { try files.lock(path, before: soon(.zero)).release() }
        _ = failure { try files.makeReplyFile(in: path).discard() }
      }
    }
    everything()
    let before = try openDescriptors()
    for _ in 0..<50 { everything() }
    // Other tests run at the same time; a leak would be hundreds.
    #expect(try openDescriptors() < before + 100)
  }
}
