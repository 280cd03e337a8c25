import ArgumentParser
import Host
import Ledger
import LinuxHost
import OCF

/// The secret by which the nodes of a pair know each other.
struct KeyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "key",
    abstract: "Write a new secret for the ledger of sessions.",
    discussion: """
      The secret with which the two nodes encrypt what they tell each other about sessions. Write it once, on one node, and copy \
      the file to the other. It is never printed. An existing file is left as it is.

      Exits with 0 when the file was written, 2 when it was not.
      """)

  static let standardPath = FingerprintKey.files[1]

  @Argument(help: ArgumentHelp("The new file, with an absolute path.", valueName: "file"))
  var file = Self.standardPath

  func validate() throws {
    guard file.hasPrefix("/"), !file.hasSuffix("/") else { throw ValidationError("the file needs an absolute path") }
  }

  func run() throws {
    do throws(SystemError) {
      print(try Self.write(file, Host.silent.files))
    } catch {
      let hint = error.errno == .exists ? "; it is left as it is (remove it first if both nodes are to get a new one)" : ""
      print("no key was written: \(error)\(hint)")
      throw ExitCode(2)
    }
  }

  /// Writes 48 random bytes, which is more than the cipher can use, in a directory that is root's alone when it has to be made.
  static func write(_ path: String, _ files: any Files) throws(SystemError) -> String {
    let directory = path.split(separator: "/").dropLast().map { "/" + $0 }.joined()
    if !directory.isEmpty, try files.status(directory) == nil { try files.makeDirectory(directory, mode: 0o700) }
    // The kernel's random numbers (getrandom), which are good enough for keys.
    let bytes: [UInt8] = (0..<48).map { _ in .random(in: 0...255) }
    try files.create(path, with: bytes, mode: 0o600)
    return """
      A new key is in \(path).
      The other node needs the same file, root's with mode 0600. Copy it over a secure channel:
        ssh root@OTHER-NODE install -d -m 700 \(directory.isEmpty ? "/" : directory)
        scp -p \(path) root@OTHER-NODE:\(path)
      """
  }
}
