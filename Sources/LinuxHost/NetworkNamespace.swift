import CLinux
import Host

/// A named network namespace (`ip netns`), held open.
///
/// Only for a moment does the process go there, to open a socket: the cluster's own tools are reached over sockets of the
/// namespace it came from. Namespaces belong to threads, so this is for single-threaded programs, and for tests that know.
final class NetworkNamespace {
  let name: String
  private let there: Descriptor
  private let home: Descriptor
  /// `NS_GET_NSTYPE`, `_IO(0xb7, 3)` (ioctl_ns(2)).
  private static let getType: UInt = 0xb703

  /// `ENOENT` when there is none of that name. A file that is no network namespace is what is left of one, or what `ip netns`
  /// makes first.
  init(_ name: String) throws(SystemError) {
    let operation = "opening network namespace \(name)"
    // What cannot be a name is nobody's.
    guard !name.isEmpty, name != ".", name != "..", !name.contains("/"), !name.contains("\0"), name.utf8.count <= NAME_MAX else {
      throw SystemError(operation, .noSuchFile)
    }
    self.name = name
    there = try Descriptor(opening: "/run/netns/\(name)", O_RDONLY, operation: operation)
    guard clinux_ioctl(there.number, Self.getType, nil) == CLONE_NEWNET else { throw SystemError(operation, .noSuchFile) }
    home = try Descriptor(opening: "/proc/thread-self/ns/net", O_RDONLY, operation: "opening our network namespace")
  }

  /// What tells it from every other (the inode number on nsfs); of the one we are in for nil.
  static func number(of namespace: NetworkNamespace?) throws(SystemError) -> UInt64 {
    if let namespace { return UInt64(try namespace.there.status("looking at network namespace \(namespace.name)").st_ino) }
    let operation = "looking at our network namespace"
    let here = try Descriptor(opening: "/proc/thread-self/ns/net", O_RDONLY, operation: operation)
    return UInt64(try here.status(operation).st_ino)
  }

  func enter<Value>(_ body: () throws(SystemError) -> Value) throws(SystemError) -> Value {
    try check("entering network namespace \(name)") { setns(there.number, CLONE_NEWNET) }
    let result: Result<Value, SystemError>
    do throws(SystemError) { result = .success(try body()) } catch { result = .failure(error) }
    try check("leaving network namespace \(name)") { setns(home.number, CLONE_NEWNET) }
    return try result.get()
  }
}
