import Glibc
import Host
import LinuxHost
import Testing

@testable import vpnha_load

private func bytes(_ hex: String) -> [UInt8] {
  let digits = hex.utf8.compactMap { Character(UnicodeScalar($0)).hexDigitValue }
  return stride(from: 0, to: digits.count, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
}

@Suite struct LoadCryptographyTests {
  let crypto: LibCrypto
  init() throws { crypto = try LibCrypto() }

  /// RFC 3602 §4, case 1 and 2.
  @Test(arguments: [
    ("06a9214036b8a15b512e03d534120006", "3dafba429d9eb430b422da802c9fac41", "53696e676c6520626c6f636b206d7367", "e353779c1079aeb82708942dbe77181a"),
    (
      "c286696d887c9aa0611bbb3e2025a45a", "562e17996d093d28ddb3ba695a2e6f58", "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
      "d296cd94c2cccf8a3a863028b5e1dc0a7586602d253cfff91b8266bea6d61ab1"
    ),
  ]) func aes(key: String, iv: String, text: String, sealed: String) throws {
    #expect(try crypto.aes(bytes(text), key: bytes(key), iv: bytes(iv), encrypting: true) == bytes(sealed))
    #expect(try crypto.aes(bytes(sealed), key: bytes(key), iv: bytes(iv), encrypting: false) == bytes(text))
    #expect(throws: SystemError.self) { try crypto.aes(bytes(text).dropLast(), key: bytes(key), iv: bytes(iv), encrypting: true) }
  }

  /// RFC 2202 §3 and RFC 4231 §4.3, case 2 of each; RFC 3174 §7.3 and RFC 6234 §8.5.
  @Test func hashes() {
    let (text, key) = (Array("what do ya want for nothing?".utf8), Array("Jefe".utf8))
    #expect(crypto.hmac(text, key: key, .sha1) == bytes("effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"))
    #expect(crypto.hmac(text, key: key, .sha256) == bytes("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"))
    #expect(crypto.digest(Array("abc".utf8), .sha1) == bytes("a9993e364706816aba3e25717850c26c9cd0d89d"))
    #expect(crypto.digest(Array("abc".utf8), .sha256) == bytes("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"))
  }

  /// RFC 5903 §8.1.
  @Test func ecp256() throws {
    let initiator = try crypto.keyPair(in: .ecp256, secret: bytes("C88F01F510D9AC3F70A292DAA2316DE544E9AAB8AFE84049C62A9C57862D1433"))
    let responder = try crypto.keyPair(in: .ecp256, secret: bytes("C6EF9C5D78AE012A011164ACB397CE2088685D8F06BF9BE0B283AB46476BEE53"))
    #expect(
      initiator.value
        == bytes("DAD0B65394221CF9B051E1FECA5787D098DFE637FC90B9EF945D0C37725811805271A0461CDB8252D61F1C456FA3E59AB1F45B33ACCF5F58389E0577B8990BB3"))
    #expect(try crypto.shared(initiator, with: responder.value, in: .ecp256) == bytes("D6840F6B42F6EDAFD13116E0E12565202FEF8E9ECE7DCE03812464D04B9442DE"))
    // A point that is not on the curve.
    #expect(throws: SystemError.self) { try crypto.shared(initiator, with: [UInt8](repeating: 1, count: 64), in: .ecp256) }
  }

  /// The generator is 2 (RFC 3526 §3); both sides come to the same.
  @Test func modp2048() throws {
    #expect(try crypto.keyPair(in: .modp2048, secret: [9]).value == [UInt8](repeating: 0, count: 254) + [2, 0])
    let (one, other) = (try crypto.keyPair(in: .modp2048), try crypto.keyPair(in: .modp2048))
    #expect(try crypto.shared(one, with: other.value, in: .modp2048) == crypto.shared(other, with: one.value, in: .modp2048))
  }

  @Test func longKeysAreStretched() {
    // K1 = prf(K, 0), K2 = prf(K, K1) (RFC 2409 App. B).
    #expect(KeyExchange.stretched([7], to: 3) { key, text in [key[0], text[0], UInt8(text.count)] } == [7, 0, 1])
    #expect(KeyExchange.stretched([7], to: 5) { key, text in [key[0], text[0], UInt8(text.count)] } == [7, 0, 1, 7, 7])
    #expect(KeyExchange.stretched([7, 8, 9], to: 2) { _, _ in [] } == [7, 8])
  }
}

@Suite struct ESPTests {
  @Test(arguments: [(UInt16(128), LibCrypto.Hash.sha1), (256, .sha256)]) func thereAndBack(bits: UInt16, hash: LibCrypto.Hash) throws {
    let (crypto, suite) = (try LibCrypto(), ESP.Suite(keyBits: bits, hash: hash))
    let material = (0..<suite.keyLength).map { UInt8(truncatingIfNeeded: $0) }
    var (ours, theirs) = (ESP(spi: 0x1234_5678, suite, material: material, crypto), ESP(spi: 0x1234_5678, suite, material: material, crypto))
    for length in 0..<40 {
      let payload = [UInt8](repeating: UInt8(length), count: length)
      let packet = try ours.sealed(payload, next: 17)
      #expect(packet.prefix(8) == [0x12, 0x34, 0x56, 0x78, 0, 0, 0, UInt8(length + 1)])
      let opened = theirs.opened(packet)
      #expect(opened?.payload == payload && opened?.next == 17)
    }
    let packet = try ours.sealed([1, 2, 3], next: 17)
    for place in packet.indices {
      var other = packet
      other[place] ^= 1
      let found = [theirs.opened(other), theirs.opened(Array(packet.prefix(place)))]
      #expect(found.allSatisfy { $0 == nil })
    }
    // One from long ago is none.
    for _ in 0..<80 { _ = theirs.opened(try ours.sealed([], next: 17)) }
    let late = theirs.opened(packet)
    #expect(late == nil)
  }

  @Test func udp() {
    let packet = UDPPacket(source: 1701, destination: 1701, payload: [1, 2, 3])
    #expect(packet.bytes == [0x06, 0xa5, 0x06, 0xa5, 0, 11, 0, 0, 1, 2, 3])
    #expect(UDPPacket(packet.bytes + [0, 0])?.payload == [1, 2, 3])
    for length in 0..<packet.bytes.count { #expect(UDPPacket(Array(packet.bytes.prefix(length))) == nil) }
  }
}

@Suite struct ScriptedClientTests {
  /// As charon 5.9.8 proposes when it rekeys: proposals one after the other, a transform each.
  @Test func proposals() {
    let transform = bytes("0000001c 010c0000 80010001 80020e10 80040004 80050005 80060100")
    let one = [2, 0] + UInt16(12 + transform.count).bytes + [1, 3, 4, 1, 0xc1, 2, 3, 4] + transform
    let foreign = [0, 0] + UInt16(12 + transform.count).bytes + [2, 3, 4, 1, 0xc5, 6, 7, 8] + bytes("0000001c 01030000 80010001 80020e10 80040004 80050002 80060080")
    let body: [UInt8] = [0, 0, 0, 1, 0, 0, 0, 1] + one + foreign
    let found = KeyExchange.proposals(in: body)
    #expect(found.map(\.spi) == [0xc102_0304, 0xc506_0708])
    #expect(found.map(\.suite) == [ESP.Suite(keyBits: 256, hash: .sha256), nil])
    for length in body.indices { #expect(KeyExchange.proposals(in: Array(body.prefix(length))).count <= 1) }
  }

  @Test func nonsenseIsNoAnswer() throws {
    let exchange = KeyExchange(.init(secret: [1]), .init(server: [203, 0, 113, 50], client: [10, 64, 0, 1], port: 1701), try LibCrypto())
    let first = exchange.begin()
    #expect(exchange.unanswered == first && first.count > 100)
    // Its own message, cut and changed at every place.
    for place in first.indices {
      var other = first
      other[place] ^= 0xff
      _ = exchange.hear(other)
      _ = exchange.hear(Array(first.prefix(place)))
    }
  }

  @Test func percentiles() {
    #expect(Report.percentile(0.5, of: []) == nil)
    #expect(Report.percentile(0.5, of: [3, 1, 2]) == 2)
    #expect([0.5, 0.9, 0.99, 1].map { Report.percentile($0, of: (1...100).map(Double.init)) } == [50, 90, 99, 100])
  }

  /// Main mode and quick mode with each suite, twenty at the same time, and a secret that is not the gateway's.
  @Test("a real charon takes the scripted clients", .enabled(if: geteuid() == 0 && access("/usr/sbin/charon-systemd", X_OK) == 0, "needs root and charon-systemd"))
  func againstCharon() throws {
    let folder = #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/")
    let own = try #require(realpath("/proc/self/exe", nil))
    defer { free(own) }
    let built = String(cString: own).split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/")
    let result = try LinuxProcesses().run(Command("\(folder)/against-charon", ["\(built)/vpnha-load"], outputLimit: 1 << 20), before: LinuxClock().now + .seconds(120))
    let output = String(decoding: result.output, as: UTF8.self)
    let reports = output.split(separator: "\n").filter { $0.contains("report") }
    try #require(reports.count == 4, "\(output)\(String(decoding: result.error, as: UTF8.self))")
    for (report, count) in zip(reports, [1, 1, 20, 0]) { #expect(report.contains(#""ike":{"count":\#(count),"#), "\(report)") }
    #expect(!reports[3].contains(#""failed":0"#), "\(reports[3])")
  }
}
