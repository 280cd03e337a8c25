import Testing

@testable import Ledger

private func bytes(_ hex: String) -> [UInt8] {
  let digits = hex.utf8.compactMap { Character(UnicodeScalar($0)).hexDigitValue }
  return stride(from: 0, to: digits.count, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
}

/// The declarations of libcrypto's functions, against the vectors of the papers.
struct CryptographyTests {
  @Test("HKDF-SHA-256: RFC 5869, test case 1")
  func hkdf() throws {
    let key = try Cryptography().derivedKey(
      from: [UInt8](repeating: 0x0b, count: 22), salt: bytes("000102030405060708090a0b0c"), info: bytes("f0f1f2f3f4f5f6f7f8f9"), length: 42)
    #expect(key == bytes("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"))
  }

  /// The cases 15 and 16 of "The Galois/Counter Mode of Operation" (McGrew, Viega).
  static let key = bytes("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308")
  static let nonce = bytes("cafebabefacedbaddecaf888")
  static let text = bytes(
    "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39")
  static let header = bytes("feedfacedeadbeeffeedfacedeadbeefabaddad2")
  static let sealed = bytes(
    "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
      + "76fc6ece0f4e1768cddf8853bb2d551b")

  @Test("AES-256-GCM: test case 16 of the specification, there and back")
  func gcm() throws {
    let cryptography = try Cryptography()
    #expect(try cryptography.sealed(Self.text, key: Self.key, nonce: Self.nonce, header: Self.header) == Self.sealed)
    #expect(cryptography.opened(Self.sealed[...], key: Self.key, nonce: Self.nonce, header: Self.header) == Self.text)
  }

  @Test("any bit that is another opens nothing; an empty text is a text")
  func tampered() throws {
    let cryptography = try Cryptography()
    for index in Self.sealed.indices {
      var other = Self.sealed
      other[index] ^= 1
      #expect(cryptography.opened(other[...], key: Self.key, nonce: Self.nonce, header: Self.header) == nil)
    }
    for count in 0..<Self.sealed.count {
      #expect(cryptography.opened(Self.sealed.prefix(count), key: Self.key, nonce: Self.nonce, header: Self.header) == nil)
    }
    #expect(cryptography.opened(Self.sealed[...], key: Self.key, nonce: Self.nonce, header: []) == nil)
    let empty = try cryptography.sealed([], key: Self.key, nonce: Self.nonce, header: Self.header)
    #expect(cryptography.opened(empty[...], key: Self.key, nonce: Self.nonce, header: Self.header) == [])
  }
}

struct ReplayWindowTests {
  @Test("each number passes once, late ones too, and nothing from before the acquaintance")
  func numbers() {
    var window = ReplayWindow(startingAt: 10)
    func passes(_ number: UInt64) -> Bool {
      guard window.isNew(number) else { return false }
      window.note(number)
      return true
    }
    #expect(!passes(10) && !passes(9) && !passes(0))
    #expect(passes(12) && !passes(12) && passes(11) && !passes(11))
    #expect(passes(75) && passes(13) == true && !passes(13) && !passes(11))
    #expect(passes(1000) && !passes(75) && !passes(936) && passes(937) && !passes(937))
    #expect(passes(.max) && !passes(.max) && passes(.max - 63) && !passes(.max - 64))
  }
}
