import Host
import Ledger

/// What this node carries on, in a file that the program finds again when it is killed and started anew. A boot begins without it.
final class Memory {
  let path: String
  private let files: any Files
  private var kept: Set<SessionRecord>?

  private static let mark = Array("VHSM".utf8) + [2]
  private static let limit = 16 << 20

  init(of instance: String, _ files: any Files) {
    path = "/run/vpnha/sessions-\(instance).carried"
    self.files = files
  }

  func keep(_ records: [SessionRecord]) throws(SystemError) {
    let wanted = Set(records)
    guard wanted != kept else { return }
    if records.isEmpty {
      try files.remove(path)
    } else {
      var bytes = Self.mark
      for record in records {
        // The hop to this node is counted again when it is recalled.
        var record = record
        record.hops = record.hops > 0 ? record.hops - 1 : 0
        let encoded = record.encoded()
        bytes += [UInt8(encoded.count >> 8), UInt8(encoded.count & 0xff)] + encoded
      }
      try files.replace(path, with: bytes, mode: 0o600)
    }
    kept = wanted
  }

  /// What is whole of it.
  func recall() throws(SystemError) -> [SessionRecord] {
    guard let bytes = try files.read(path, limit: Self.limit), bytes.starts(with: Self.mark) else { return [] }
    var records: [SessionRecord] = []
    var rest = bytes.dropFirst(Self.mark.count)
    while rest.count >= 2, let first = rest.first {
      let length = Int(first) << 8 | Int(rest[rest.startIndex + 1])
      rest = rest.dropFirst(2)
      guard rest.count >= length else { break }
      do throws(LedgerError) { records.append(try SessionRecord(decoding: Array(rest.prefix(length)))) } catch { break }
      rest = rest.dropFirst(length)
    }
    return records
  }
}
