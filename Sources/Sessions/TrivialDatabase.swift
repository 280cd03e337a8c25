/// The records of a TDB file, the trivial database of Samba in the version that pppd 2.4 carries (`tdb.c`, version 6).
///
/// The file is another program's, which may be writing at the same time: whatever is in it, reading ends, and takes from it
/// what is whole. Numbers are in the machine's byte order.
public struct TrivialDatabase {
  public private(set) var records: [(key: ArraySlice<UInt8>, value: ArraySlice<UInt8>)] = []
  /// Whether every chain of records came to its end. A look a moment later may find what is missing.
  public private(set) var isWhole = true

  private let bytes: [UInt8]

  /// Nil when it is no database, or one of another version.
  public init?(_ bytes: [UInt8]) {
    self.bytes = bytes
    guard bytes.starts(with: Self.food), let version = number(at: 32), version == Self.version, let chains = number(at: 36) else {
      return nil
    }
    // The list of free space comes first, then one chain for each hash.
    let first = Self.headerSize + 4
    guard chains <= (bytes.count - first) / 4 else { return nil }
    // There cannot be more records than fit in: what has more goes round in circles.
    var left = bytes.count / Self.recordSize
    for chain in 0..<chains {
      var place = number(at: first + 4 * chain) ?? 0
      while place != 0 {
        guard left > 0, let next = take(at: place) else {
          isWhole = false
          break
        }
        left -= 1
        place = next
      }
    }
  }

  /// Takes the record at `place`, unless it has been deleted; where the next one is, nil when there is no record.
  private mutating func take(at place: Int) -> Int? {
    guard let next = number(at: place), let room = number(at: place + 4), let keySize = number(at: place + 8),
      let valueSize = number(at: place + 12), let magic = number(at: place + 20)
    else { return nil }
    if magic == Self.deleted { return next }
    let start = place + Self.recordSize
    guard magic == Self.living, keySize + valueSize <= room, start + keySize + valueSize <= bytes.count else { return nil }
    records.append((bytes[start..<(start + keySize)], bytes[(start + keySize)..<(start + keySize + valueSize)]))
    return next
  }

  private func number(at place: Int) -> Int? {
    guard place >= 0, place <= bytes.count - 4 else { return nil }
    return bytes.withUnsafeBytes { Int($0.loadUnaligned(fromByteOffset: place, as: UInt32.self)) }
  }

  /// `struct tdb_header`: 32 bytes of text, version, number of chains, locks, and what is reserved.
  private static let headerSize = 168
  private static let food = Array("TDB file\n".utf8)
  private static let version = 0x2601_1967 + 6
  /// `struct list_struct`: next, room, key's size, value's size, hash, magic.
  private static let recordSize = 24
  private static let living = 0x2601_1999
  private static let deleted = 0xfee1_dead
}
