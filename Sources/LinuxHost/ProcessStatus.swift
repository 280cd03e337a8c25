import Host

/// What `/proc/PID/stat` says (proc_pid_stat(5)).
struct ProcessStatus: Equatable {
  var state: Character
  var parent: Int32
  var session: Int32
  var startTime: UInt64
  /// In user mode and in the kernel, in ticks of 10 ms.
  var processorTime: UInt64

  init(_ text: [UInt8], _ operation: String) throws(SystemError) {
    // The name in parentheses may hold anything, parentheses and newlines included.
    guard let end = text.lastIndex(of: UInt8(ascii: ")")) else { throw SystemError(operation, .badMessage) }
    let fields = text[(end + 1)...].split { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\n") }
      .map { String(decoding: $0, as: UTF8.self) }
    // The first of these is field 3.
    guard fields.count >= 20, let state = fields[0].first, let parent = Int32(fields[1]), let session = Int32(fields[3]),
      let startTime = UInt64(fields[19]), let user = UInt64(fields[11]), let system = UInt64(fields[12])
    else { throw SystemError(operation, .badMessage) }
    self.state = state
    self.parent = parent
    self.session = session
    self.startTime = startTime
    processorTime = user &+ system
  }
}

/// Whose process it is, as `/proc/PID/status` says (proc_pid_status(5)).
struct ProcessOwner: Equatable {
  /// Real, effective and saved.
  var users: [UInt32]
  var effectiveCapabilities: UInt64

  init(_ text: [UInt8], _ operation: String) throws(SystemError) {
    var users: [UInt32] = []
    var capabilities: UInt64?
    for line in text.split(separator: UInt8(ascii: "\n")) {
      let isUsers = line.starts(with: "Uid:".utf8)
      guard isUsers || line.starts(with: "CapEff:".utf8) else { continue }
      let words = String(decoding: line, as: UTF8.self).split(whereSeparator: \.isWhitespace).dropFirst()
      if isUsers { users = words.prefix(3).compactMap { UInt32($0) } } else { capabilities = words.first.flatMap { UInt64($0, radix: 16) } }
    }
    guard users.count == 3, let capabilities else { throw SystemError(operation, .badMessage) }
    self.users = users
    effectiveCapabilities = capabilities
  }

  /// Root's and the user's own processes are; so is a daemon that root has made another user's and let keep what it needs to change
  /// the network (charon with `charon.user`), which nobody can give to himself. A program that is set-uid root keeps its user's
  /// real id, and is not.
  func isTrusted(byUser own: UInt32) -> Bool {
    if users[0] == 0 || users[0] == own { return true }
    return Set(users).count == 1 && effectiveCapabilities & (1 << 12) != 0
  }
}
