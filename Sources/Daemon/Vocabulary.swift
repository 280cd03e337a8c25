import Host
import OCF

extension Call {
  /// Whether the program, or library, at `path` holds that word, as another version than the one that is known here may. What is
  /// no program of the machine's, or not there, cannot be judged.
  public func mayKnow(_ word: String, program path: String) -> Bool {
    do throws(SystemError) {
      guard let program = try host.files.read(path, limit: 16 << 20), program.starts(with: [0x7f] + Array("ELF".utf8)) else { return true }
      return program.split(separator: 0).contains { $0.elementsEqual(word.utf8) }
    } catch {
      log.debug("looking for '\(word)' in \(path): \(error)")
      return true
    }
  }
}
