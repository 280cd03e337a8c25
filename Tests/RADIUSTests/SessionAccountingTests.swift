import Digests
import Host
import Testing

@testable import RADIUS

struct SessionAccountingTests {
  static let secret = SharedSecret(file: Array("xyzzy5461\n".utf8))

  /// As pppd 2.4.9 says it, but for the order.
  static let constant: [UInt8] =
    [44, 16] + Array("656B10F003E500".utf8) + [1, 7] + Array("alice".utf8) + [25, 4, 0xca, 0xfe] + [6, 6, 0, 0, 0, 2] + [8, 6, 10, 9, 0, 250] + [5, 6, 0, 0, 0, 3]
  static func packet(_ attributes: [UInt8], secret: String = "xyzzy5461") -> [UInt8] {
    let length = 20 + attributes.count
    let head: [UInt8] = [4, 7, UInt8(length >> 8), UInt8(length & 0xff)]
    return head + md5(head + [UInt8](repeating: 0, count: 16) + attributes + secret.utf8) + attributes
  }
  private static let start = packet([40, 6, 0, 0, 0, 1] + constant + [41, 6, 0, 0, 0, 0])

  @Test("pppd's Start is heard, and what changes is left out")
  func heard() throws {
    let secret = try #require(Self.secret)
    let heard = try #require(HeardAccounting(Self.start, secret: secret))
    #expect(heard.status == .start && heard.client == IPAddress("10.9.0.250") && heard.user == "alice" && heard.time == 0 && heard.totals == AccountTotals())
    #expect(heard.constant == Self.constant)
  }

  @Test("an Interim-Update and a Stop of ours are read back as the same session, with more than 4 GiB")
  func goesOn() throws {
    let secret = try #require(Self.secret)
    let totals = AccountTotals(octetsIn: 5 << 32 | 7, octetsOut: 9, packetsIn: 11, packetsOut: 13)
    let interim = SessionAccounting(identifier: 9, constant: Self.constant, totals: totals, time: 61, delay: 2, cause: nil, secret: secret)
    let heard = try #require(HeardAccounting(interim.bytes, secret: secret))
    #expect(heard.status == .interim && heard.constant == Self.constant && heard.totals == totals && heard.time == 61)
    let stop = SessionAccounting(identifier: 9, constant: Self.constant, totals: totals, time: 62, delay: 0, cause: .lostCarrier, secret: secret)
    #expect(HeardAccounting(stop.bytes, secret: secret)?.status == .stop)
    #expect(Array(stop.bytes.suffix(6)) == [49, 6, 0, 0, 0, 2])
    #expect(Array(interim.bytes[20..<26]) == [40, 6, 0, 0, 0, 3] && interim.bytes[1] == 9)
    #expect(stop.isAnswered(by: AccountingOnTests.answer(to: stop.bytes)) && !stop.isAnswered(by: AccountingOnTests.answer(to: interim.bytes)))
    #expect(!stop.isAnswered(by: AccountingOnTests.answer(to: stop.bytes, secret: "wrong")))
  }

  @Test("cut anywhere, with any bit another, by somebody without the secret, without an id, of too much: not heard")
  func refused() throws {
    let secret = try #require(Self.secret)
    for count in Self.start.indices { #expect(HeardAccounting(Array(Self.start.prefix(count)), secret: secret) == nil) }
    for index in Self.start.indices {
      var other = Self.start
      other[index] ^= 4
      // The identifier is no part of what is kept, and of what is authenticated it is.
      #expect(HeardAccounting(other, secret: secret) == nil)
    }
    #expect(HeardAccounting(Self.packet([40, 6, 0, 0, 0, 1] + Self.constant, secret: "wrong"), secret: secret) == nil)
    #expect(HeardAccounting(Self.packet([40, 6, 0, 0, 0, 1] + Self.constant.dropFirst(16)), secret: secret) == nil)
    #expect(HeardAccounting(Self.packet([40, 6, 0, 0, 0, 7] + Self.constant), secret: secret) == nil)
    let much = [UInt8](repeating: 65, count: 253)
    #expect(HeardAccounting(Self.packet([40, 6, 0, 0, 0, 1] + Self.constant + [25, 255] + much + [25, 255] + much), secret: secret) == nil)
  }
}
