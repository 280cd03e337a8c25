import Digests
import Host
import Testing

@testable import RADIUS

struct AccountingOnTests {
  static let secret = SharedSecret(file: Array("xyzzy5461\n".utf8))

  static func request(_ gateway: String = "203.0.113.50", name: String? = "vpn") throws -> AccountingOn {
    AccountingOn(
      identifier: 0x2a, gateway: try #require(IPAddress(gateway)), name: name, session: 0xbeef, secret: try #require(secret))
  }

  /// What a server that knows `secret` says.
  static func answer(
    to request: [UInt8], _ code: UInt8 = 5, attributes: [UInt8] = [], secret: String = "xyzzy5461", length: Int? = nil
  ) -> [UInt8] {
    let length = length ?? 20 + attributes.count
    let head = [code, request[1], UInt8(length >> 8 & 0xff), UInt8(length & 0xff)]
    return head + md5(head + request[4..<20] + attributes + secret.utf8) + attributes
  }

  @Test("every byte of it")
  func annotated() throws {
    let bytes = try Self.request().bytes
    // Accounting-Request, identifier, length
    #expect(bytes[..<4] == [4, 0x2a, 0, 61])
    let attributes: [UInt8] =
      [40, 6, 0, 0, 0, 7]  // Acct-Status-Type: Accounting-On
      + [4, 6, 203, 0, 113, 50]  // NAS-IP-Address
      + [32, 5] + Array("vpn".utf8)  // NAS-Identifier
      + [44, 18] + Array("000000000000BEEF".utf8)  // Acct-Session-Id
      + [41, 6, 0, 0, 0, 0]  // Acct-Delay-Time
    #expect(Array(bytes[20...]) == attributes)
    #expect(Array(bytes[4..<20]) == md5(bytes[..<4] + [UInt8](repeating: 0, count: 16) + attributes + "xyzzy5461".utf8))
  }

  @Test("an IPv6 gateway, a gateway without a name, and one whose name is too long")
  func others() throws {
    let six = try Self.request("2001:db8::50", name: nil).bytes
    #expect(six[26..<28] == [95, 18] && six.count == 20 + 6 + 18 + 18 + 6 && Int(six[3]) == six.count)
    let long = try Self.request(name: String(repeating: "x", count: 300)).bytes
    #expect(long[32..<34] == [32, 255] && Int(long[2]) << 8 | Int(long[3]) == long.count)
    #expect(try Self.request(name: "").bytes == Self.request(name: nil).bytes)
  }

  @Test("the server's answer, and nobody else's")
  func answers() throws {
    let request = try Self.request()
    let bytes = request.bytes
    let right = Self.answer(to: bytes)
    #expect(request.isAnswered(by: right) && request.isAnswered(by: right + [1, 2, 3]))
    #expect(request.isAnswered(by: Self.answer(to: bytes, attributes: [18, 4, 0x6f, 0x6b])))
    for code: UInt8 in [2, 3, 4, 11, 40] { #expect(!request.isAnswered(by: Self.answer(to: bytes, code))) }
    #expect(!request.isAnswered(by: Self.answer(to: bytes, secret: "wrong")))
    #expect(!request.isAnswered(by: bytes) && !request.isAnswered(by: []))
    // Lengths that lie, and attributes that do not fill the packet.
    for length in [0, 19, 21, 4096, 65_535] { #expect(!request.isAnswered(by: Self.answer(to: bytes, length: length))) }
    for attributes: [UInt8] in [[18], [18, 0], [18, 1], [18, 9, 1], [80, 3, 1]] {
      #expect(!request.isAnswered(by: Self.answer(to: bytes, attributes: attributes)))
    }
    for end in 0..<right.count { #expect(!request.isAnswered(by: Array(right[..<end]))) }
    for bit in 0..<(right.count * 8) {
      var other = right
      other[bit / 8] ^= 1 << UInt8(bit % 8)
      #expect(!request.isAnswered(by: other), "bit \(bit)")
    }
  }

  @Test("the secret is never shown")
  func secretStays() throws {
    let request = try Self.request()
    var shown = "\(request) "
    dump(request, to: &shown)
    #expect(!shown.contains("xyzzy") && shown.hasPrefix("Accounting-On 42"))
  }
}
