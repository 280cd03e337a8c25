import Digests
import Testing

@testable import RADIUS

private func bytes(_ hex: String) -> [UInt8] {
  let digits = hex.utf8.compactMap { Character(UnicodeScalar($0)).hexDigitValue }
  return stride(from: 0, to: digits.count, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
}

struct StatusServerTests {
  /// RFC 5997 §6.1: a minimal query to an authentication port, and its answer.
  static let secret = SharedSecret(file: Array("xyzzy5461\n".utf8))
  static let query = bytes("0cda0026 8a54f4686fb394c52866e302185d0623 5012 5a665e2e1e8411f3e243822097c84fa3")
  static let answer = bytes("02da0014 ef0d552a4bf2d693ec2b6fe8b5411d66")

  static func question(secret: SharedSecret? = secret) throws -> StatusServer {
    StatusServer(identifier: 0xda, authenticator: bytes("8a54f4686fb394c52866e302185d0623"), secret: try #require(secret))
  }

  /// The answer with these attributes and both authenticators right.
  static func answer(_ code: UInt8 = 2, attributes: [UInt8] = [], secret: String = "xyzzy5461") -> [UInt8] {
    let length = 20 + attributes.count
    let head = [code, 0xda, UInt8(length >> 8), UInt8(length & 0xff)]
    let asked = Array(query[4..<20])
    return head + md5(head + asked + attributes + secret.utf8) + attributes
  }

  static func messageAuthenticator(in code: UInt8 = 2, flip: UInt8 = 0) -> [UInt8] {
    let blank = [UInt8](repeating: 0, count: 16)
    let packet = [code, 0xda, 0, 38] + Array(query[4..<20]) + [80, 18] + blank
    var mac = hmacMD5(packet, key: Array("xyzzy5461".utf8))
    mac[3] ^= flip
    return [80, 18] + mac
  }

  @Test("the query of RFC 5997 §6.1, byte for byte")
  func rfcQuery() throws { #expect(try Self.question().bytes == Self.query) }

  @Test("its answer, also with padding behind it")
  func rfcAnswer() throws {
    let question = try Self.question()
    #expect(question.isAnswered(by: Self.answer))
    #expect(question.isAnswered(by: Self.answer + [0, 0, 0]))
  }

  @Test("Access-Accept and Accounting-Response answer, a reject does not")
  func codes() throws {
    let question = try Self.question()
    for (code, isAnswer) in [(UInt8(2), true), (5, true), (3, false), (11, false), (12, false)] {
      #expect(question.isAnswered(by: Self.answer(code)) == isAnswer, "code \(code)")
    }
  }

  @Test("an answer is right in every bit, or none")
  func everyBit() throws {
    let question = try Self.question()
    for bit in 0..<(Self.answer.count * 8) {
      var other = Self.answer
      other[bit / 8] ^= 1 << UInt8(bit % 8)
      #expect(!question.isAnswered(by: other), "bit \(bit)")
    }
    for length in 0..<Self.answer.count { #expect(!question.isAnswered(by: Array(Self.answer.prefix(length))), "\(length) bytes") }
  }

  @Test("a Message-Authenticator in the answer has to be right")
  func authenticated() throws {
    let question = try Self.question()
    #expect(question.isAnswered(by: Self.answer(attributes: Self.messageAuthenticator())))
    #expect(!question.isAnswered(by: Self.answer(attributes: Self.messageAuthenticator(flip: 1))))
    #expect(!question.isAnswered(by: Self.answer(attributes: [80, 3, 1])))
  }

  /// RFC 5997 §6.1 has an answer without one, and FreeRADIUS 3.2.1 (Debian 12) sends no other.
  @Test("an answer without a Message-Authenticator is one; a Message-Authenticator that is there is right")
  func unsigned() throws {
    let question = try Self.question()
    #expect(question.isAnswered(by: Self.answer))
    #expect(question.isAnswered(by: Self.answer(attributes: Self.messageAuthenticator())))
    #expect(!question.isAnswered(by: Self.answer(attributes: Self.messageAuthenticator(flip: 1))))
  }

  @Test("attributes that do not fill the packet are no answer", arguments: [[1], [18, 1], [18, 0], [18, 9, 1], [18, 4, 65]] as [[UInt8]])
  func attributes(_ attributes: [UInt8]) throws {
    #expect(try !Self.question().isAnswered(by: Self.answer(attributes: attributes)))
  }

  @Test("unknown attributes are passed over")
  func passedOver() throws { #expect(try Self.question().isAnswered(by: Self.answer(attributes: [18, 4, 65, 66, 26, 2]))) }

  @Test("another secret gives another query and takes no answer")
  func otherSecret() throws {
    let question = try Self.question(secret: SharedSecret(file: Array("xyzzy5462".utf8)))
    #expect(question.bytes != Self.query && question.bytes.prefix(22) == Self.query.prefix(22))
    #expect(!question.isAnswered(by: Self.answer))
  }

  @Test("a secret is a file's first line, and is never printed")
  func secrets() throws {
    #expect(SharedSecret(file: []) == nil && SharedSecret(file: Array("\nx".utf8)) == nil)
    let secret = try #require(SharedSecret(file: Array("hush\r\nmore".utf8)))
    #expect(secret.bytes == Array("hush".utf8))
    var dumped = ""
    dump(secret, to: &dumped)
    dump(try Self.question(), to: &dumped)
    #expect(!"\(secret)\(try Self.question())\(dumped)".contains("hush") && !dumped.contains("bytes"))
  }

  /// RFC 2202 §2.
  @Test(
    "HMAC-MD5 as RFC 2202 has it",
    arguments: [
      ([UInt8](repeating: 0x0b, count: 16), "Hi There", "9294727a3638bb1c13f48ef8158bfc9d"),
      (Array("Jefe".utf8), "what do ya want for nothing?", "750c783e6ab0b503eaa86e310a5db738"),
      (
        [UInt8](repeating: 0xaa, count: 80), "Test Using Larger Than Block-Size Key - Hash Key First",
        "6b1ab7fe4bd7bf8f0b62e6ce61b9d0cd"
      ),
    ])
  func hmac(_ key: [UInt8], _ text: String, _ digest: String) { #expect(hmacMD5(Array(text.utf8), key: key) == bytes(digest)) }
}
