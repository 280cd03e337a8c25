/// What pppds say of themselves, by pid: the variables that their scripts are given (pppd(8), SCRIPTS).
///
/// pppd 2.4 keeps them in `/run/pppd2.tdb`, one record each, `pppd1234` → `IFNAME=ppp0;PEERNAME=alice;…`.
public struct PPPVariables {
  private var values: [Int32: [String: String]] = [:]
  /// Whether all of the database could be read.
  public private(set) var isWhole = true

  public init() {}

  /// From the database's bytes; nil when they are something else.
  public init?(_ bytes: [UInt8]) {
    guard let database = TrivialDatabase(bytes) else { return nil }
    isWhole = database.isWhole
    for (key, value) in database.records {
      guard key.starts(with: "pppd".utf8), let pid = Int32(String(decoding: key.dropFirst(4), as: UTF8.self)), pid > 0 else { continue }
      if values[pid] == nil { values[pid] = Self.variables(in: value) }
    }
  }

  public subscript(pid: Int32, name: String) -> String? { values[pid]?[name] }

  /// A peer names itself, so that a value may have anything in it. What a peer cannot choose was set before it named itself:
  /// the first of two variables with one name is the true one. A semicolon in a name is part of it unless a variable follows.
  private static func variables(in bytes: ArraySlice<UInt8>) -> [String: String] {
    var variables: [String: String] = [:]
    var last: String?
    // A zero byte ends it all.
    for piece in bytes.prefix(limit).prefix(while: { $0 != 0 }).split(separator: UInt8(ascii: ";"), omittingEmptySubsequences: false) {
      if let equals = piece.firstIndex(of: UInt8(ascii: "=")), equals > piece.startIndex, piece[..<equals].allSatisfy(isNameByte) {
        let name = String(decoding: piece[..<equals], as: UTF8.self)
        last = variables[name] == nil ? name : nil
        if last != nil { variables[name] = String(decoding: piece[(equals + 1)...], as: UTF8.self) }
      } else if let last, !piece.isEmpty {
        variables[last]? += ";" + String(decoding: piece, as: UTF8.self)
      }
    }
    return variables
  }
  private static let limit = 16_384

  private static func isNameByte(_ byte: UInt8) -> Bool {
    (0x41...0x5a).contains(byte) || (0x30...0x39).contains(byte) || byte == UInt8(ascii: "_")
  }
}
