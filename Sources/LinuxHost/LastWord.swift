import CLinux
import Host

/// A datagram that is sent if the program ends before it has taken it back: by a trap, a signal or its time limit.
public struct LastWord {
  private struct Ready {
    var socket: Int32 = -1
    var bytes: UnsafeMutableRawBufferPointer?
  }
  /// Made before the handler is: that may do no more than read memory and send (signal-safety(7)).
  nonisolated(unsafe) private static let ready = {
    let ready = UnsafeMutablePointer<Ready>.allocate(capacity: 1)
    ready.initialize(to: Ready())
    return ready
  }()

  init() { _ = Self.ready }

  /// Has `datagram` ready for the UNIX socket at `path`, in place of one that is. Where nobody listens there it is lost.
  public func prepare(_ datagram: [UInt8], to path: String) {
    takeBack()
    let socket = CLinux.socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), 0)
    guard socket >= 0 else { return }
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { room in room.copyBytes(from: path.utf8.prefix(room.count - 1)) }
    let isConnected = clinux_connect(socket, &address, socklen_t(MemoryLayout<sockaddr_un>.size)) == 0
    guard isConnected else {
      close(socket)
      return
    }
    let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: datagram.count, alignment: 1)
    bytes.copyBytes(from: datagram)
    Self.ready.pointee = Ready(socket: socket, bytes: bytes)
  }

  /// What it says has been said, or is not true any more. Its memory stays: the handler may be reading it.
  public func takeBack() {
    let socket = Self.ready.pointee.socket
    Self.ready.pointee = Ready()
    if socket >= 0 { close(socket) }
  }

  static func say() {
    let ready = Self.ready.pointee
    guard ready.socket >= 0, let bytes = ready.bytes else { return }
    _ = send(ready.socket, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL))
  }
}
