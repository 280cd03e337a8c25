import Host
import OCF

/// The texts that a program, or a library, holds: what another version than the one that is known here may take for a word.
public final class Vocabulary {
  /// Nil: it is no program of the machine's, or not there, and cannot be judged.
  private let texts: [ArraySlice<UInt8>]?
  private var answers: [String: Bool] = [:]

  public init(of path: String, _ call: Call) {
    do throws(SystemError) {
      let program = try call.host.files.read(path, limit: 16 << 20)
      texts = program.flatMap { $0.starts(with: [0x7f] + Array("ELF".utf8)) ? $0.split(separator: 0) : nil }
    } catch {
      call.log.debug("reading \(path): \(error)")
      texts = nil
    }
  }

  /// Whether it holds that word; a linker keeps what ends another text only there. True where that cannot be told.
  public func mayKnow(_ word: String) -> Bool {
    guard let texts else { return true }
    if let known = answers[word] { return known }
    let letters = Array(word.utf8)
    let isKnown = texts.contains { $0.suffix(letters.count).elementsEqual(letters) }
    answers[word] = isKnown
    return isKnown
  }
}

extension Call {
  /// Whether the program, or library, at `path` may know that word.
  public func mayKnow(_ word: String, program path: String) -> Bool { Vocabulary(of: path, self).mayKnow(word) }
}
