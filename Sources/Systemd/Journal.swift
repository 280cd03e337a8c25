import CSystemd
import Host

/// Structured entries of the journal (sd_journal_sendv(3)). Without journald they vanish.
public struct Journal {
  private let library: SystemdLibrary

  public init() throws(SystemError) { library = try SystemdLibrary() }

  /// - Parameter fields: names in upper case, digits and underscores; values may hold anything, newlines included.
  public func send(_ fields: [(String, String)]) throws(SystemError) {
    var bytes: [UInt8] = []
    var parts: [(start: Int, count: Int)] = []
    for (name, value) in fields {
      let start = bytes.count
      bytes += "\(name)=\(value)".utf8
      parts.append((start, bytes.count - start))
    }
    let answer = bytes.withUnsafeMutableBytes { buffer in
      let vectors = parts.map { part in
        iovec(iov_base: buffer.baseAddress.map { $0 + part.start }, iov_len: part.count)
      }
      return library.journalSend(vectors, Int32(clamping: vectors.count))
    }
    guard answer >= 0 else { throw SystemError("writing to the journal", Errno(rawValue: -answer)) }
  }

  /// Where journald listens.
  public static let socket = "/run/systemd/journal/socket"

  /// An entry as journald takes it from there ("Native Journal Protocol"): for one that cannot call `send` any more.
  public static func datagram(_ fields: [(String, String)]) -> [UInt8] {
    fields.flatMap { name, value in
      let bytes = Array(value.utf8)
      guard bytes.contains(UInt8(ascii: "\n")) else { return Array(name.utf8) + [UInt8(ascii: "=")] + bytes + [UInt8(ascii: "\n")] }
      let length = stride(from: 0, to: 64, by: 8).map { UInt8(truncatingIfNeeded: UInt64(bytes.count) >> UInt64($0)) }
      return Array(name.utf8) + [UInt8(ascii: "\n")] + length + bytes + [UInt8(ascii: "\n")]
    }
  }
}
