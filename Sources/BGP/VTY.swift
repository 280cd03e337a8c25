import Host

/// Why FRR gave no answer that can be used. `refused` carries the status of a command.
public typealias FRRError = AnswerError

extension FRRError {
  static func malformed(of daemon: String, _ what: String) -> FRRError { FRRError(kind: .malformed, reason: "reading \(daemon)'s answer: \(what)") }
}

/// A conversation over the socket that one of FRR's daemons keeps for vtysh (FRR 8.4, `lib/vty.c`): a command and a NUL; the answer is
/// text, three NULs and a status.
///
/// Equivalent to: `vtysh -d DAEMON -c COMMAND`.
final class VTY {
  static let longestReply = 1 << 20

  let daemon: String
  private let path: String
  private let stream: any ByteStream
  private let deadline: Instant

  /// - Parameters:
  ///   - folder: where FRR's sockets are.
  ///   - deadline: for all of the conversation.
  init(_ daemon: String, in folder: String, on host: Host, before deadline: Instant) throws(FRRError) {
    self.daemon = daemon
    self.path = "\(folder)/\(daemon).vty"
    self.deadline = deadline
    do throws(SystemError) { stream = try host.sockets.connect(toUnix: path, before: deadline) } catch { throw FRRError(error, "asking \(daemon) through \(path)") }
    do throws(FRRError) { try command("enable") } catch {
      stream.close()
      throw error
    }
  }

  func close() { stream.close() }

  struct Answer: Equatable {
    var text: String
    /// 0: done; what else there is `lib/command.h` has.
    var status: UInt8
  }

  func ask(_ command: String) throws(FRRError) -> Answer {
    guard command.utf8.allSatisfy({ $0 >= 0x20 }) else { throw .malformed(of: daemon, "a command of several lines") }
    do throws(SystemError) { try stream.write(Array(command.utf8) + [0], before: deadline) } catch { throw FRRError(error, "asking \(daemon) through \(path)") }
    var reader = AnswerReader(daemon: daemon)
    while true {
      let bytes: [UInt8]
      do throws(SystemError) { bytes = try stream.read(limit: 65_536, before: deadline) } catch { throw FRRError(error, "asking \(daemon) through \(path)") }
      guard !bytes.isEmpty else { throw .malformed(of: daemon, "it ends in the middle") }
      if let answer = try reader.take(bytes) { return answer }
    }
  }

  /// Gives a command that changes something, or the mode that the next one is in.
  func command(_ command: String) throws(FRRError) {
    let answer = try ask(command)
    guard answer.status != 0 else { return }
    let why = answer.text.split(whereSeparator: \.isNewline).map { String($0).plain }.joined(separator: "; ")
    throw FRRError(kind: .refused(Int(answer.status)), reason: "\(daemon) refuses \(command): \(why.isEmpty ? "status \(answer.status)" : String(why.prefix(300)))")
  }
}

/// Takes bytes as they come and gives the answer when it is whole.
struct AnswerReader {
  var daemon = "bgpd"
  private var taken: [UInt8] = []
  /// NULs in a row at the end of what was taken.
  private var nuls = 0

  init(daemon: String) { self.daemon = daemon }

  /// - Returns: the answer; nil while it goes on. Bytes behind it are refused: a daemon says nothing that was not asked.
  mutating func take(_ bytes: [UInt8]) throws(FRRError) -> VTY.Answer? {
    guard taken.count + bytes.count <= VTY.longestReply else { throw .malformed(of: daemon, "it has more than \(VTY.longestReply) bytes") }
    for (place, byte) in bytes.enumerated() {
      if nuls == 3 {
        guard place == bytes.count - 1 else { throw .malformed(of: daemon, "it goes on behind its end") }
        return VTY.Answer(text: String(decoding: taken.dropLast(3), as: UTF8.self), status: byte)
      }
      guard byte == 0 || nuls == 0 else { throw .malformed(of: daemon, "a NUL in its text") }
      taken.append(byte)
      nuls = byte == 0 ? nuls + 1 : 0
    }
    return nil
  }
}
