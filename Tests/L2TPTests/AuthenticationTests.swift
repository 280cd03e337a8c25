import Digests
import Testing

@testable import L2TP

private func bytes(_ hex: String) -> [UInt8] {
  let digits = hex.utf8.compactMap { Character(UnicodeScalar($0)).hexDigitValue }
  return stride(from: 0, to: digits.count, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
}

@Suite struct AuthenticationTests {
  /// RFC 1320 §A.5, RFC 1321 §A.5, RFC 3174 §7.3.
  @Test(arguments: [
    ("", "31d6cfe0d16ae931b73c59d7e0c089c0", "d41d8cd98f00b204e9800998ecf8427e", "da39a3ee5e6b4b0d3255bfef95601890afd80709"),
    ("abc", "a448017aaf21d8525fc10ae87aa6729d", "900150983cd24fb0d6963f7d28e17f72", "a9993e364706816aba3e25717850c26c9cd0d89d"),
    (
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", "043f8582f241db351ce627e153e7f0e4",
      "d174ab98d277d9f5a5611c2c9f419d9f", "761c457bf73b14d27e9e9265c46f4b4dda11f940"
    ),
    (
      "12345678901234567890123456789012345678901234567890123456789012345678901234567890", "e33b4ddc9c38f2199c3e7b164fcc0536",
      "57edf4a22be3c955ac49da2e2107b67a", "50abf5706a150990a08b2c5ea40fa0e585554732"
    ),
  ]) func digests(text: String, four: String, five: String, one: String) {
    #expect(md4(Array(text.utf8)) == bytes(four))
    #expect(md5(Array(text.utf8)) == bytes(five))
    #expect(sha1(Array(text.utf8)) == bytes(one))
  }

  /// RFC 6234 §8.5 and RFC 4231 §4.3.
  @Test func sha256AndItsHMAC() {
    #expect(sha256([]) == bytes("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"))
    #expect(sha256(Array("abc".utf8)) == bytes("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"))
    #expect(sha256(Array("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq".utf8)) == bytes("248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"))
    #expect(hmacSHA256(Array("what do ya want for nothing?".utf8), key: Array("Jefe".utf8)) == bytes("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"))
  }

  /// Every length around a block's end.
  @Test func paddingOfAnyLength() {
    for count in 0...130 {
      let text = [UInt8](repeating: 0x61, count: count)
      #expect(md5(text).count == 16 && md4(text).count == 16 && sha1(text).count == 20 && sha256(text).count == 32)
    }
  }

  /// RFC 2759 §9.2 and §9.3.
  @Test func microsoftsOwnExample() {
    let credentials = Credentials(user: "User", password: "clientPass")
    let (response, success) = credentials.msChapResponse(
      to: bytes("5B5D7C7D7B3F2F3E3C2C602132262628"), peerChallenge: bytes("21402324255E262A28295F2B3A337C7E"))
    #expect(response.count == 49)
    #expect(Array(response[24..<48]) == bytes("82309ECD8D708B5EA08FAA3981CD83544233114A3D85D6DF"))
    #expect(success == "S=407A5589115FD0D6209F510FE9C04566932CDA56")
    let domain = Credentials(user: "BIG\\User", password: "clientPass")
    #expect(
      domain.msChapResponse(
        to: bytes("5B5D7C7D7B3F2F3E3C2C602132262628"), peerChallenge: bytes("21402324255E262A28295F2B3A337C7E")
      ).success == success)
  }

  /// FIPS 81's example of ECB, without parity in the key.
  @Test func oneBlockOfDES() {
    // 0123456789abcdef with its parity bits taken out.
    let key: UInt64 = [0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef].reduce(0) { $0 << 7 | UInt64($1 >> 1) }
    let seven = (0..<7).map { UInt8(truncatingIfNeeded: key >> UInt64(48 - 8 * $0)) }
    #expect(des(Array("Now is t".utf8), key: seven) == bytes("3fa40e8a984d4815"))
  }

  @Test func passwordsAreNotPrinted() {
    let credentials = Credentials(user: "probe", password: "hunter2")
    var dumped = ""
    dump(credentials, to: &dumped)
    #expect(!"\(credentials) \(String(reflecting: credentials)) \(dumped)".contains("hunter2"))
  }

  @Test func papAndMD5() {
    let credentials = Credentials(user: "u", password: "pw")
    #expect(credentials.papRequest == [1, 0x75, 2, 0x70, 0x77])
    #expect(credentials.chapResponse(to: [1, 2, 3], identifier: 9) == md5([9, 0x70, 0x77, 1, 2, 3]))
    let long = Credentials(user: String(repeating: "x", count: 999), password: "")
    #expect(long.papRequest.count == 257)
  }
}
