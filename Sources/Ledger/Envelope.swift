import Host

/// What a message says in clear, authenticated with the rest: who sends it to whom, and its number.
///
/// | bytes | |
/// | --- | --- |
/// | 4 | `VHSL` |
/// | 1 | version |
/// | 1 | kind |
/// | 16 | sender: a random name of its life, new at every start |
/// | 16 | receiver: the same of the peer, or zeros while it is not known |
/// | 8 | number: counts what this sender has sent, to whomever |
struct Envelope: Equatable {
  enum Kind: UInt8 {
    /// Asks for the peer's name, or proves that one knows it.
    case hello = 1
    /// Changes of the sender's records.
    case changes = 2
    /// How far the receiver has come, and that the sender lives.
    case report = 3
  }
  typealias Name = [UInt8]

  static let version: UInt8 = 3
  static let mark = Array("VHSL".utf8)
  static let nameLength = 16
  static let size = 4 + 1 + 1 + 2 * nameLength + 8
  static let nobody = Name(repeating: 0, count: nameLength)

  var kind: Kind
  var sender: Name
  var receiver: Name
  var number: UInt64

  var bytes: [UInt8] {
    var writer = ByteWriter(bytes: Self.mark + [Self.version, kind.rawValue] + sender + receiver)
    writer.put(number)
    return writer.bytes
  }

  /// Unique for each message of one sender's life, and so for each key, which is derived from the sender's name.
  var nonce: [UInt8] { [0, 0, 0, 0] + bytes.suffix(8) }

  enum Reading: Equatable {
    case envelope(Envelope)
    case otherVersion(UInt8)
    /// Not of this protocol at all.
    case noise
  }

  static func read(_ datagram: [UInt8]) -> Reading {
    guard datagram.count > mark.count, datagram.starts(with: mark) else { return .noise }
    guard datagram[4] == version else { return .otherVersion(datagram[4]) }
    guard datagram.count >= size + Cryptography.tagLength, let kind = Kind(rawValue: datagram[5]) else { return .noise }
    let number = datagram[38..<46].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    return .envelope(Envelope(kind: kind, sender: Array(datagram[6..<22]), receiver: Array(datagram[22..<38]), number: number))
  }

  /// Random enough for a nonce: the kernel's numbers (getrandom).
  static func newName() -> Name { (0..<nameLength).map { _ in .random(in: 0...255) } }
}

/// Which of a sender's numbers have been seen: the 64 below the highest may come late, each once (as RFC 4303 section 3.4.3 has it).
struct ReplayWindow: Equatable {
  /// The first number of an acquaintance: everything up to it was said before.
  private let start: UInt64
  private var highest: UInt64
  /// Bit n: `highest` - n has been seen.
  private var seen: UInt64 = 1

  init(startingAt number: UInt64) {
    start = number
    highest = number
  }

  func isNew(_ number: UInt64) -> Bool {
    if number > highest { return true }
    let distance = highest - number
    return number > start && distance < 64 && seen & (1 << distance) == 0
  }

  mutating func note(_ number: UInt64) {
    if number > highest {
      let distance = number - highest
      seen = distance < 64 ? seen << distance | 1 : 1
      highest = number
    } else if highest - number < 64 {
      seen |= 1 << (highest - number)
    }
  }
}
