import CLinux
import CSystemd
import Host

/// A connection to the service manager (`org.freedesktop.systemd1`), on which every call has a deadline.
final class Bus {
  private let library: SystemdLibrary
  private let clock: any Clock
  private let bus: OpaquePointer
  /// On systemd's own socket there is no bus between us, and nobody to be asked for matches.
  private let isDirect: Bool

  private var removedJobs: OpaquePointer?
  /// How jobs ended, by object path, since `watchJobs`.
  fileprivate(set) var endedJobs: [String: String] = [:]

  /// Connects to the system bus, or to systemd itself where no bus runs.
  init(_ library: SystemdLibrary, clock: any Clock, before deadline: Instant) throws(SystemError) {
    let operation = "connecting to the system bus"
    var opened: OpaquePointer?
    var answer = library.openSystem(&opened)
    var isDirect = false
    if answer == -ENOENT || answer == -ECONNREFUSED, let direct = Self.openDirect(library) {
      opened = direct
      answer = 0
      isDirect = true
    }
    guard answer >= 0, let opened else { throw SystemError(operation, Errno(rawValue: answer < 0 ? -answer : EIO)) }
    bus = opened
    self.isDirect = isDirect
    self.library = library
    self.clock = clock
    // A call on a connection that is not ready yet first waits for up to 90 s, whatever its own time limit.
    while true {
      let ready = library.isReady(bus)
      if ready > 0 { break }
      if ready < 0 { throw SystemError(operation, Errno(rawValue: -ready)) }
      guard clock.now < deadline else { throw SystemError(operation, .timedOut) }
      try wait(before: deadline, operation)
    }
  }

  deinit {
    if let removedJobs { _ = library.unrefSlot(removedJobs) }
    _ = library.closeUnref(bus)
  }

  private static func openDirect(_ library: SystemdLibrary) -> OpaquePointer? {
    var opened: OpaquePointer?
    guard library.new(&opened) >= 0, let opened else { return nil }
    guard library.setAddress(opened, "unix:path=/run/systemd/private") >= 0, library.start(opened) >= 0 else {
      _ = library.closeUnref(opened)
      return nil
    }
    return opened
  }

  // MARK: Calls

  /// An object of the service manager and one of its interfaces, without the common prefixes.
  struct Target {
    var path: String
    var interface: String
    static let manager = Target(path: "/org/freedesktop/systemd1", interface: "org.freedesktop.systemd1.Manager")
    static func unit(_ path: String) -> Target { Target(path: path, interface: "org.freedesktop.systemd1.Unit") }
    static func service(_ path: String) -> Target { Target(path: path, interface: "org.freedesktop.systemd1.Service") }
    static func job(_ path: String) -> Target { Target(path: path, interface: "org.freedesktop.systemd1.Job") }
  }

  private static let destination = "org.freedesktop.systemd1"

  /// Calls a method whose arguments are strings; returns the object path it answers with when `answersPath`.
  @discardableResult
  func call(
    _ operation: String, _ target: Target, _ method: String, _ arguments: [String] = [], answersPath: Bool = false,
    before deadline: Instant
  ) throws(SystemError) -> String {
    var message: OpaquePointer?
    try check(operation, library.newMethodCall(bus, &message, Self.destination, target.path, target.interface, method))
    defer { _ = library.unrefMessage(message) }
    for argument in arguments {
      try check(operation, argument.withCString { library.appendBasic(message, CChar(UInt8(ascii: "s")), $0) })
    }
    var reply: OpaquePointer?
    var error = sd_bus_error()
    defer { library.freeError(&error) }
    let answer = library.call(bus, message, try microseconds(deadline, operation), &error, &reply)
    defer { _ = library.unrefMessage(reply) }
    guard answer >= 0 else { throw Self.translated(operation, answer, error) }
    guard answersPath else { return "" }
    var path: UnsafePointer<CChar>?
    try check(operation, library.readBasic(reply, CChar(UInt8(ascii: "o")), &path))
    guard let path else { throw SystemError(operation, .badMessage) }
    return String(cString: path)
  }

  func text(_ operation: String, _ target: Target, _ property: String, before deadline: Instant) throws(SystemError) -> String {
    try setTimeout(deadline, operation)
    var error = sd_bus_error()
    defer { library.freeError(&error) }
    var value: UnsafeMutablePointer<CChar>?
    let answer = library.getPropertyString(bus, Self.destination, target.path, target.interface, property, &error, &value)
    defer { free(value) }
    guard answer >= 0 else { throw Self.translated(operation, answer, error) }
    return value.map { String(cString: $0) } ?? ""
  }

  /// A property of type `u` (number) or `b` (truth value).
  func number(
    _ operation: String, _ target: Target, _ property: String, type: Unicode.Scalar = "u", before deadline: Instant
  ) throws(SystemError) -> UInt32 {
    try setTimeout(deadline, operation)
    var error = sd_bus_error()
    defer { library.freeError(&error) }
    var value: UInt32 = 0
    let answer = library.getPropertyTrivial(
      bus, Self.destination, target.path, target.interface, property, &error, CChar(UInt8(ascii: type)), &value)
    guard answer >= 0 else { throw Self.translated(operation, answer, error) }
    return value
  }

  // MARK: Jobs

  /// Records how jobs end from now on. Done before a job is asked for, so that none is missed however fast it is.
  func watchJobs(before deadline: Instant) throws(SystemError) {
    guard removedJobs == nil else { return }
    let operation = "subscribing to jobs"
    try setTimeout(deadline, operation)
    let target = Target.manager
    var slot: OpaquePointer?
    try check(
      operation,
      library.matchSignal(
        bus, &slot, isDirect ? nil : Self.destination, target.path, target.interface, "JobRemoved", jobRemoved,
        // The slot is given up in deinit, so it never outlives us.
        Unmanaged.passUnretained(self).toOpaque()))
    removedJobs = slot
    do throws(SystemError) {
      try call(operation, .manager, "Subscribe", before: deadline)
    } catch  where error.detail?.contains("AlreadySubscribed") == true {}
  }

  /// Handles what has come; when nothing has, waits for it until `deadline` at most.
  func wait(before deadline: Instant, _ operation: String) throws(SystemError) {
    let handled = library.process(bus, nil)
    if handled < 0, handled != -EINTR { throw SystemError(operation, Errno(rawValue: -handled)) }
    let left = (deadline - clock.now).nanoseconds
    guard handled == 0, left > 0 else { return }
    let answer = library.wait(bus, UInt64(left) / 1000 + 1)
    if answer < 0, answer != -EINTR { throw SystemError(operation, Errno(rawValue: -answer)) }
  }

  fileprivate func read(_ message: OpaquePointer?) {
    // JobRemoved(u id, o job, s unit, s result)
    var id: UInt32 = 0
    var job: UnsafePointer<CChar>?
    var unit: UnsafePointer<CChar>?
    var result: UnsafePointer<CChar>?
    guard library.readBasic(message, CChar(UInt8(ascii: "u")), &id) > 0,
      library.readBasic(message, CChar(UInt8(ascii: "o")), &job) > 0,
      library.readBasic(message, CChar(UInt8(ascii: "s")), &unit) > 0,
      library.readBasic(message, CChar(UInt8(ascii: "s")), &result) > 0, let job, let result
    else { return }
    endedJobs[String(cString: job)] = String(cString: result)
  }

  // MARK: Errors

  private func check(_ operation: String, _ answer: Int32) throws(SystemError) {
    if answer < 0 { throw SystemError(operation, Errno(rawValue: -answer)) }
  }

  private func setTimeout(_ deadline: Instant, _ operation: String) throws(SystemError) {
    try check(operation, library.setMethodCallTimeout(bus, try microseconds(deadline, operation)))
  }

  /// To sd-bus 0 means its own default of 25 s.
  private func microseconds(_ deadline: Instant, _ operation: String) throws(SystemError) -> UInt64 {
    let left = (deadline - clock.now).nanoseconds
    guard left > 0 else { throw SystemError(operation, .timedOut) }
    return UInt64(left) / 1000 + 1
  }

  private static func translated(_ operation: String, _ answer: Int32, _ error: sd_bus_error) -> SystemError {
    let name = error.name.map { String(cString: $0) } ?? ""
    var errno = Errno(rawValue: -answer)
    switch name {
    case "org.freedesktop.systemd1.NoSuchUnit", "org.freedesktop.systemd1.LoadFailed": errno = .noSuchFile
    case "org.freedesktop.systemd1.UnitMasked": errno = .notPermitted
    case "org.freedesktop.DBus.Error.ServiceUnknown", "org.freedesktop.DBus.Error.NameHasNoOwner": errno = .connectionRefused
    case "org.freedesktop.DBus.Error.NoReply": errno = .timedOut
    default: break
    }
    let message = error.message.map { String(cString: $0) } ?? ""
    return SystemError(operation, errno, detail: message.isEmpty ? name : message)
  }
}

private let jobRemoved: sd_bus_message_handler_t = { message, owner, _ in
  if let owner { Unmanaged<Bus>.fromOpaque(owner).takeUnretainedValue().read(message) }
  return 0
}
