import CLinux
import Host

/// All clients, one socket each, in one thread around one epoll.
final class Crowd {
  private var clients: [Client] = []
  private var sockets: [Int32] = []
  private let epoll: Int32
  private(set) var report: Report
  private let isJSON: Bool
  /// What the command line on standard input has not ended yet.
  private var typed: [UInt8] = []
  private var isOver = false

  init(isJSON: Bool) throws(SystemError) {
    epoll = epoll_create1(Int32(EPOLL_CLOEXEC))
    self.isJSON = isJSON
    report = Report(began: Self.now)
    guard epoll >= 0 else { throw Self.failure("making an epoll") }
  }

  static var now: Double {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
  }

  private static func failure(_ what: String) -> SystemError { SystemError(what, Errno(rawValue: errno)) }

  private static func name(_ address: [UInt8], _ port: UInt16) -> sockaddr_in {
    var name = sockaddr_in()
    name.sin_family = sa_family_t(AF_INET)
    name.sin_port = port.bigEndian
    name.sin_addr.s_addr = UInt32(bytes: address).bigEndian
    return name
  }

  /// A client with a socket of its own, from any port of `address` to port 4500 of `server`.
  func add(_ client: Client, from address: [UInt8], to server: [UInt8]) throws(SystemError) {
    let socket = CLinux.socket(AF_INET, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    guard socket >= 0 else { throw Self.failure("opening a socket") }
    let size = socklen_t(MemoryLayout<sockaddr_in>.size)
    for (target, call, what) in [(Self.name(address, 0), clinux_bind, "binding"), (Self.name(server, 4500), clinux_connect, "connecting")] {
      let result = withUnsafePointer(to: target) { call(socket, $0, size) }
      guard result == 0 else { throw Self.failure("\(what) the socket of client \(client.number)") }
    }
    try watch(socket, as: UInt32(clients.count))
    clients.append(client)
    sockets.append(socket)
  }

  private static let keyboard = UInt32.max

  private func watch(_ file: Int32, as number: UInt32) throws(SystemError) {
    var event = epoll_event()
    event.events = EPOLLIN.rawValue
    event.data.u32 = number
    guard epoll_ctl(epoll, EPOLL_CTL_ADD, file, &event) == 0 else { throw Self.failure("watching a socket") }
  }

  var up: Int { clients.count { $0.state == .up } }

  /// Runs until `end`, or until standard input says `stop`. Each `mark NAME` there prints what happened, and begins a new count.
  func run(until end: Double, name: String) throws(SystemError) {
    var name = name
    do throws(SystemError) { try watch(0, as: Self.keyboard) } catch {
      // A file, or nothing: nobody types.
      guard error.errno == .notPermitted else { throw error }
    }
    var events = [epoll_event](repeating: epoll_event(), count: 256)
    var datagram = [UInt8](repeating: 0, count: 4096)
    var told = Self.now
    while !isOver, Self.now < end {
      let count = epoll_wait(epoll, &events, Int32(events.count), 5)
      guard count >= 0 || errno == EINTR else { throw Self.failure("waiting") }
      let now = Self.now
      for event in events.prefix(max(0, Int(count))) {
        guard event.data.u32 != Self.keyboard else {
          for word in commands() { obey(word, &name) }
          continue
        }
        let index = Int(event.data.u32)
        // Bounded, so that nobody starves.
        for _ in 0..<32 {
          let length = recv(sockets[index], &datagram, datagram.count, 0)
          guard length > 0 else { break }
          clients[index].hear(Array(datagram.prefix(length)), now, &report)
        }
        send(index)
      }
      for index in clients.indices where clients[index].due <= now {
        clients[index].turn(now, &report)
        send(index)
      }
      if now - told >= 1 {
        told = now
        progress(now)
      }
    }
    mark(name)
    for index in clients.indices {
      clients[index].hangUp()
      send(index)
    }
  }

  /// What the kernel does not take (nobody answers ARP, no room) is lost, as on any wire.
  private func send(_ index: Int) {
    for bytes in clients[index].outgoing { _ = CLinux.send(sockets[index], bytes, bytes.count, Int32(MSG_NOSIGNAL)) }
    clients[index].outgoing.removeAll(keepingCapacity: true)
  }

  // MARK: - Words

  private func commands() -> [String] {
    var bytes = [UInt8](repeating: 0, count: 1024)
    let count = read(0, &bytes, bytes.count)
    guard count > 0 else {
      _ = epoll_ctl(epoll, EPOLL_CTL_DEL, 0, nil)
      return []
    }
    typed += bytes.prefix(count)
    var lines = typed.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
    typed = Array((lines.popLast() ?? []).prefix(1024))
    return lines.map { String(decoding: $0, as: UTF8.self) }
  }

  private func obey(_ line: String, _ name: inout String) {
    if line == "stop" { isOver = true }
    if line.hasPrefix("mark ") {
      mark(name)
      name = String(line.dropFirst(5))
    }
  }

  /// Prints the count that ends now under its name.
  private func mark(_ name: String) {
    let now = Self.now
    let silences = clients.compactMap { $0.mark(now) }
    let down = clients.filter { $0.state != .up }.map(\.number)
    if isJSON {
      say("{\"report\":\(report.json(name, now: now, up: up, of: clients.count, down: down, silences: silences))}\n")
    } else {
      say("\r" + report.screen(name, now: now, up: up, of: clients.count, silences: silences) + "\n")
    }
    report = Report(began: now)
  }

  private func progress(_ now: Double) {
    let (dialling, waiting) = (clients.count { $0.state == .ike || $0.state == .l2tp }, clients.count { $0.state == .idle })
    if isJSON {
      say("{\"up\":\(up),\"answered\":\(clients.count { $0.isAnswered(now) }),\"protected\":\(clients.count { $0.state == .l2tp || $0.state == .up }),\"dialling\":\(dialling),\"waiting\":\(waiting),\"failed\":\(report.failed)}\n")
    } else if isatty(1) == 1 {
      say("\r\(up) up, \(dialling) dialling, \(waiting) waiting   ")
    }
  }

  private func say(_ text: String) {
    let bytes = Array(text.utf8)
    _ = write(1, bytes, bytes.count)
  }
}
