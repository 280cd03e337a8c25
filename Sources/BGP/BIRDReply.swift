/// What BIRD answers to one command (BIRD 2, `doc/reply_codes`; the framing is in `client/client.c`).
///
/// A line is `CODE-TEXT`, or ` TEXT` with the code of the line before it; the last one is `CODE TEXT`. What begins with `+` is
/// a copy of the log and belongs to no answer.
public struct Reply: Equatable, Sendable {
  public struct Line: Equatable, Sendable {
    public var code: Int
    public var text: String
    public init(_ code: Int, _ text: String) {
      self.code = code
      self.text = text
    }
  }

  /// Everything in front of the last line.
  public var lines: [Line]
  public var code: Int
  public var text: String

  public init(_ lines: [Line], _ code: Int, _ text: String) {
    self.lines = lines
    self.code = code
    self.text = text
  }

  /// The texts of the lines with `code`.
  func texts(_ code: Int) -> [String] { lines.filter { $0.code == code }.map(\.text) }
}

/// Takes bytes as they come and gives the answer when it is whole.
struct ReplyReader {
  static let longestReply = 1 << 20

  private var pending: [UInt8] = []
  private var lines: [Reply.Line] = []
  private var taken = 0

  /// - Returns: the answer; nil while it goes on. Bytes behind it are refused: BIRD says nothing that was not asked.
  mutating func take(_ bytes: [UInt8]) throws(BIRDError) -> Reply? {
    taken += bytes.count
    guard taken <= Self.longestReply else { throw .malformed("it has more than \(Self.longestReply) bytes") }
    pending += bytes
    var start = pending.startIndex
    defer { pending.removeFirst(start) }
    while let end = pending[start...].firstIndex(of: UInt8(ascii: "\n")) {
      let line = pending[start..<end]
      start = end + 1
      guard let reply = try take(line: line) else { continue }
      guard start == pending.endIndex else { throw .malformed("it goes on behind its end") }
      return reply
    }
    return nil
  }

  private mutating func take(line: ArraySlice<UInt8>) throws(BIRDError) -> Reply? {
    func text(_ bytes: ArraySlice<UInt8>) -> String { String(decoding: bytes, as: UTF8.self).plain(keepingTabs: true) }
    switch line.first {
    case UInt8(ascii: "+"): return nil
    case UInt8(ascii: " "):
      guard let last = lines.last else { throw .malformed("it begins in the middle") }
      lines.append(Reply.Line(last.code, text(line.dropFirst())))
      return nil
    default:
      let digits = line.prefix(4)
      guard digits.count == 4, digits.allSatisfy({ (0x30...0x39).contains($0) }), let mark = line.dropFirst(4).first else {
        throw .malformed("a line without a code")
      }
      let code = digits.reduce(0) { $0 * 10 + Int($1 - 0x30) }
      switch mark {
      case UInt8(ascii: "-"):
        lines.append(Reply.Line(code, text(line.dropFirst(5))))
        return nil
      case UInt8(ascii: " "): return Reply(lines, code, text(line.dropFirst(5)))
      default: throw .malformed("a line without a code")
      }
    }
  }
}

extension String {
  /// BIRD sets tabs in front of what belongs to the line above.
  fileprivate func plain(keepingTabs: Bool) -> String { split(separator: "\t", omittingEmptySubsequences: false).map { String($0).plain }.joined(separator: "\t") }
}
