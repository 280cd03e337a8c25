import Host

/// A file system of values. A path is absent until a test or the agent makes it; parents need not exist.
public final class InMemoryFiles: Files {
  public struct Node {
    public var status: FileStatus
    public var bytes: [UInt8]
    public init(_ bytes: [UInt8] = [], _ kind: FileStatus.Kind = .regular, mode: UInt32 = 0o644) {
      // FNV-1a: the same content is the same edition.
      let edition = bytes.reduce(0xcbf2_9ce4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
      status = FileStatus(kind, mode: mode, size: Int64(bytes.count), edition: edition)
      self.bytes = bytes
    }
  }

  public var nodes: [String: Node] = [:]
  public var kernelParameters: [String: String] = [:]
  /// Who reads from a FIFO: called with each message. A FIFO without a reader answers `ENXIO`.
  public var readers: [String: ([UInt8]) -> Void] = [:]
  /// Locks that another process holds for as long as they are in here.
  public var lockedElsewhere: Set<String> = []
  public private(set) var heldLocks: Set<String> = []
  public private(set) var sent: [(fifo: String, bytes: [UInt8])] = []

  private let calls: Calls
  private let clock: ManualClock
  private var replies: [String: InMemoryReplyFile] = [:]
  private var made = 0

  public init(calls: Calls = Calls(), clock: ManualClock = ManualClock()) {
    self.calls = calls
    self.clock = clock
  }

  public func put(_ text: String, at path: String, mode: UInt32 = 0o644) { nodes[path] = Node(Array(text.utf8), mode: mode) }
  public func putExecutable(_ path: String) { nodes[path] = Node(mode: 0o755) }
  public func putFIFO(_ path: String, reader: (([UInt8]) -> Void)? = nil) {
    nodes[path] = Node([], .fifo, mode: 0o600)
    readers[path] = reader
  }
  public func text(at path: String) -> String? { nodes[path].map { String(decoding: $0.bytes, as: UTF8.self) } }
  /// What the other side does: writes into the reply file at `path` and unlinks it.
  public func reply(_ text: String, to path: String, finishing: Bool = true) {
    replies[path]?.bytes += Array(text.utf8)
    if finishing {
      replies[path]?.isUnlinked = true
      nodes[path] = nil
    }
  }

  public func read(_ path: String, limit: Int) throws(SystemError) -> [UInt8]? {
    try calls.sees("files.read(\(path))")
    guard let node = nodes[path] else { return nil }
    switch node.status.kind {
    case .directory: throw SystemError("reading \(path)", .isADirectory)
    case .fifo, .socket, .other: throw SystemError("reading \(path)", .invalidArgument, detail: "not a regular file")
    case .regular, .symbolicLink: break
    }
    guard node.bytes.count <= limit else { throw SystemError("reading \(path)", .tooLarge) }
    return node.bytes
  }
  public func replace(_ path: String, with bytes: [UInt8], mode: UInt32) throws(SystemError) {
    try calls.changes("files.replace(\(path))")
    if nodes[path]?.status.kind == .directory { throw SystemError("replacing \(path)", .isADirectory) }
    nodes[path] = Node(bytes, mode: mode)
  }
  public func create(_ path: String, with bytes: [UInt8], mode: UInt32) throws(SystemError) {
    try calls.changes("files.create(\(path))")
    if nodes[path] != nil { throw SystemError("writing \(path)", .exists) }
    nodes[path] = Node(bytes, mode: mode)
  }
  public func remove(_ path: String) throws(SystemError) {
    try calls.changes("files.remove(\(path))")
    if nodes[path]?.status.kind == .other { throw SystemError("removing \(path)", .notPermitted, detail: "it is a device") }
    if nodes.keys.contains(where: { $0.hasPrefix(path + "/") }) { throw SystemError("removing \(path)", Errno(rawValue: 39)) }  // ENOTEMPTY
    nodes[path] = nil
  }
  public func status(_ path: String) throws(SystemError) -> FileStatus? {
    try calls.sees("files.status(\(path))")
    return nodes[path]?.status
  }
  public func isExecutable(_ path: String) -> Bool {
    calls.note("files.isExecutable(\(path))")
    return nodes[path].map { $0.status.kind == .regular && $0.status.mode & 0o111 != 0 } ?? false
  }
  public func entries(of directory: String) throws(SystemError) -> [String]? {
    try calls.sees("files.entries(of: \(directory))")
    let prefix = directory.hasSuffix("/") ? directory : directory + "/"
    let names = Set(nodes.keys.filter { $0.hasPrefix(prefix) }.compactMap { $0.dropFirst(prefix.count).split(separator: "/").first })
    guard !names.isEmpty || nodes[directory]?.status.kind == .directory else { return nil }
    return names.map(String.init).sorted()
  }
  public func makeDirectory(_ path: String, mode: UInt32) throws(SystemError) {
    try calls.changes("files.makeDirectory(\(path))")
    if let node = nodes[path] {
      guard node.status.kind == .directory else { throw SystemError("making directory \(path)", .exists) }
    } else {
      nodes[path] = Node([], .directory, mode: mode)
    }
  }

  public func lock(_ path: String, before deadline: Instant) throws(SystemError) -> any FileLock {
    try calls.changes("files.lock(\(path))")
    while lockedElsewhere.contains(path) || heldLocks.contains(path) {
      guard clock.now < deadline else { throw SystemError("locking \(path)", .timedOut) }
      clock.sleep(until: min(deadline, clock.now + .milliseconds(50)))
    }
    heldLocks.insert(path)
    if nodes[path] == nil { nodes[path] = Node(mode: 0o600) }
    return Lock { [weak self] in self?.heldLocks.remove(path) }
  }

  public func send(_ bytes: [UInt8], toFIFO path: String) throws(SystemError) {
    let operation = "writing to \(path)"
    try calls.changes("files.send(\(String(decoding: bytes, as: UTF8.self)) to \(path))")
    guard let node = nodes[path] else { throw SystemError(operation, .noSuchFile) }
    guard node.status.kind == .fifo else { throw SystemError(operation, .invalidArgument, detail: "not a FIFO") }
    guard let reader = readers[path] else { throw SystemError(operation, .noSuchDeviceOrAddress) }
    sent.append((path, bytes))
    reader(bytes)
  }

  public func makeReplyFile(in directory: String) throws(SystemError) -> any ReplyFile {
    try calls.changes("files.makeReplyFile(in: \(directory))")
    made += 1
    let path = "\(directory)/reply-\(made)"
    let file = InMemoryReplyFile(path: path, calls: calls) { [weak self] in
      self?.nodes[path] = nil
      self?.replies[path] = nil
    }
    replies[path] = file
    nodes[path] = Node(mode: 0o600)
    return file
  }

  public func kernelParameter(_ name: String) throws(SystemError) -> String? {
    try calls.sees("files.kernelParameter(\(name))")
    return kernelParameters[name]
  }
  public func setKernelParameter(_ name: String, to value: String) throws(SystemError) {
    try calls.changes("files.setKernelParameter(\(name) to \(value))")
    guard kernelParameters[name] != nil else { throw SystemError("setting \(name)", .noSuchFile) }
    kernelParameters[name] = value
  }

  private final class Lock: FileLock {
    private var give: (() -> Void)?
    init(_ give: @escaping () -> Void) { self.give = give }
    deinit { give?() }
    func release() {
      give?()
      give = nil
    }
  }
}

final class InMemoryReplyFile: ReplyFile {
  let path: String
  var bytes: [UInt8] = []
  var isUnlinked = false
  private let calls: Calls
  private let remove: () -> Void

  init(path: String, calls: Calls, remove: @escaping () -> Void) {
    self.path = path
    self.calls = calls
    self.remove = remove
  }

  func isComplete() throws(SystemError) -> Bool {
    try calls.sees("replyFile.isComplete()")
    return isUnlinked
  }
  func read(limit: Int) throws(SystemError) -> [UInt8] {
    try calls.sees("replyFile.read()")
    guard bytes.count <= limit else { throw SystemError("reading \(path)", .tooLarge) }
    return bytes
  }
  func discard() {
    calls.note("replyFile.discard()", isChange: true)
    remove()
  }
}
