import DynamicLibrary
import Host

/// What a client of IKE and ESP computes, by OpenSSL's libcrypto, opened at run time as the ledger does.
///
/// The functions are declared as OpenSSL 3's `evp.h`, `hmac.h`, `bn.h` and `ec.h` have them: their headers are no build dependency.
/// The vectors of the papers run through these declarations.
final class LibCrypto {
  private typealias Handle = OpaquePointer
  private typealias Bytes = UnsafePointer<UInt8>
  private typealias Room = UnsafeMutablePointer<UInt8>

  /// A hash: its number in IKEv1 (RFC 2409 App. A) and as an ESP authenticator (RFC 2407 §4.5), its length, what ESP keeps of it.
  struct Hash: Hashable, Sendable {
    var ike: UInt16
    var esp: UInt16
    var length: Int
    var kept: Int
    static let sha1 = Hash(ike: 2, esp: 2, length: 20, kept: 12)
    static let sha256 = Hash(ike: 4, esp: 5, length: 32, kept: 16)
  }

  /// A Diffie-Hellman group by its number in IKE.
  enum Group: UInt16, Sendable {
    /// 2048 bits (RFC 3526 §3).
    case modp2048 = 14
    /// NIST's P-256 (RFC 5903 §3.1).
    case ecp256 = 19
  }

  /// A private number, the public value that goes over the wire.
  struct KeyPair {
    fileprivate var secret: [UInt8]
    var value: [UInt8]
  }

  private let newContext: @convention(c) () -> Handle?
  private let freeContext: @convention(c) (Handle?) -> Void
  private let ciphers: (aes128: Handle?, aes256: Handle?)
  private let cipherInit: @convention(c) (Handle?, Handle?, Handle?, Bytes?, Bytes?, Int32) -> Int32
  private let cipherUpdate: @convention(c) (Handle?, Room?, UnsafeMutablePointer<Int32>, Bytes?, Int32) -> Int32
  private let setPadding: @convention(c) (Handle?, Int32) -> Int32
  private let hmac: @convention(c) (Handle?, Bytes?, Int32, Bytes?, Int, Room?, UnsafeMutablePointer<UInt32>?) -> Room?
  private let digest: @convention(c) (Bytes?, Int, Room?, UnsafeMutablePointer<UInt32>?, Handle?, Handle?) -> Int32
  private let hashes: (sha1: Handle?, sha256: Handle?)
  private let read: @convention(c) (Bytes?, Int32, Handle?) -> Handle?
  private let writePadded: @convention(c) (Handle?, Room?, Int32) -> Int32
  private let powerModulo: @convention(c) (Handle?, Handle?, Handle?, Handle?, Handle?) -> Int32
  private let newNumber: @convention(c) () -> Handle?
  private let freeNumber: @convention(c) (Handle?) -> Void
  private let newPoint: @convention(c) (Handle?) -> Handle?
  private let freePoint: @convention(c) (Handle?) -> Void
  private let multiplyPoint: @convention(c) (Handle?, Handle?, Handle?, Handle?, Handle?, Handle?) -> Int32
  private let writePoint: @convention(c) (Handle?, Handle?, Int32, Room?, Int, Handle?) -> Int
  private let readPoint: @convention(c) (Handle?, Handle?, Bytes?, Int, Handle?) -> Int32

  // Made once: they live as long as the program.
  private let scratch: Handle?
  private let prime: Handle?
  private let curve: Handle?

  init() throws(SystemError) {
    let library = try DynamicLibrary("libcrypto.so.3", package: "libssl3")
    typealias Constant = @convention(c) () -> Handle?
    newContext = try library.function("EVP_CIPHER_CTX_new")
    freeContext = try library.function("EVP_CIPHER_CTX_free")
    let (aes128, aes256): (Constant, Constant) = (try library.function("EVP_aes_128_cbc"), try library.function("EVP_aes_256_cbc"))
    ciphers = (aes128(), aes256())
    cipherInit = try library.function("EVP_CipherInit_ex")
    cipherUpdate = try library.function("EVP_CipherUpdate")
    setPadding = try library.function("EVP_CIPHER_CTX_set_padding")
    hmac = try library.function("HMAC")
    digest = try library.function("EVP_Digest")
    let (sha1, sha256): (Constant, Constant) = (try library.function("EVP_sha1"), try library.function("EVP_sha256"))
    hashes = (sha1(), sha256())
    read = try library.function("BN_bin2bn")
    writePadded = try library.function("BN_bn2binpad")
    powerModulo = try library.function("BN_mod_exp")
    newNumber = try library.function("BN_new")
    freeNumber = try library.function("BN_free")
    newPoint = try library.function("EC_POINT_new")
    freePoint = try library.function("EC_POINT_free")
    multiplyPoint = try library.function("EC_POINT_mul")
    writePoint = try library.function("EC_POINT_point2oct")
    readPoint = try library.function("EC_POINT_oct2point")
    let newScratch: Constant = try library.function("BN_CTX_new")
    let modp2048: @convention(c) (Handle?) -> Handle? = try library.function("BN_get_rfc3526_prime_2048")
    let curveByName: @convention(c) (Int32) -> Handle? = try library.function("EC_GROUP_new_by_curve_name")
    scratch = newScratch()
    prime = modp2048(nil)
    curve = curveByName(415)  // NID_X9_62_prime256v1
  }

  private static func refused(_ what: String) -> SystemError { SystemError(what, .invalidArgument, detail: "libcrypto refuses it") }

  // MARK: - Ciphers and hashes

  static let block = 16

  /// AES-CBC without padding (RFC 3602): as many bytes as `text` has, which must be whole blocks.
  func aes(_ text: some Collection<UInt8>, key: [UInt8], iv: [UInt8], encrypting: Bool) throws(SystemError) -> [UInt8] {
    let text = Array(text)
    let context = newContext()
    defer { freeContext(context) }
    var out = [UInt8](repeating: 0, count: text.count + Self.block)
    var count: Int32 = 0
    guard text.count % Self.block == 0, iv.count == Self.block, key.count == 16 || key.count == 32,
      cipherInit(context, key.count == 16 ? ciphers.aes128 : ciphers.aes256, nil, key, iv, encrypting ? 1 : 0) == 1, setPadding(context, 0) == 1,
      cipherUpdate(context, &out, &count, text, Int32(text.count)) == 1, Int(count) == text.count
    else { throw Self.refused("AES-CBC") }
    out.removeLast(out.count - text.count)
    return out
  }

  func hmac(_ message: [UInt8], key: [UInt8], _ hash: Hash) -> [UInt8] {
    var out = [UInt8](repeating: 0, count: hash.length)
    _ = hmac(hash == .sha1 ? hashes.sha1 : hashes.sha256, key, Int32(key.count), message, message.count, &out, nil)
    return out
  }

  func digest(_ message: [UInt8], _ hash: Hash) -> [UInt8] {
    var out = [UInt8](repeating: 0, count: hash.length)
    _ = digest(message, message.count, &out, nil, hash == .sha1 ? hashes.sha1 : hashes.sha256, nil)
    return out
  }

  // MARK: - Diffie-Hellman

  /// A new pair; a secret of 256 bits, which is what group 14's strength asks for (RFC 3526 §8). A fixed one is for tests.
  func keyPair(in group: Group, secret fixed: [UInt8]? = nil) throws(SystemError) -> KeyPair {
    var secret = fixed ?? (0..<32).map { _ in UInt8.random(in: 0...255) }
    if fixed == nil { secret[0] = secret[0] & 0x7f | 0x40 }  // below the curve's order, and not small
    switch group {
    case .modp2048: return KeyPair(secret: secret, value: try power([2], secret))
    case .ecp256: return KeyPair(secret: secret, value: try multiplied(nil, secret))
    }
  }

  /// What both sides share: g^xy (RFC 2409 §5), of a point the first coordinate (RFC 5903 §9).
  func shared(_ pair: KeyPair, with theirs: [UInt8], in group: Group) throws(SystemError) -> [UInt8] {
    switch group {
    case .modp2048: try power(theirs, pair.secret)
    case .ecp256: Array(try multiplied(theirs, pair.secret).prefix(32))
    }
  }

  private func power(_ base: [UInt8], _ exponent: [UInt8]) throws(SystemError) -> [UInt8] {
    let (base, exponent, result) = (read(base, Int32(base.count), nil), read(exponent, Int32(exponent.count), nil), newNumber())
    defer { for number in [base, exponent, result] { freeNumber(number) } }
    var out = [UInt8](repeating: 0, count: 256)
    guard powerModulo(result, base, exponent, prime, scratch) == 1, writePadded(result, &out, 256) == 256 else { throw Self.refused("modp2048") }
    return out
  }

  /// The point (of the generator where it is nil) times `factor`, both coordinates.
  private func multiplied(_ point: [UInt8]?, _ factor: [UInt8]) throws(SystemError) -> [UInt8] {
    let (factor, base, result) = (read(factor, Int32(factor.count), nil), newPoint(curve), newPoint(curve))
    defer {
      freeNumber(factor)
      for point in [base, result] { freePoint(point) }
    }
    let uncompressed: Int32 = 4
    var out = [UInt8](repeating: 0, count: 65)
    let isMultiplied: Bool
    if let point {
      isMultiplied = readPoint(curve, base, [4] + point, point.count + 1, scratch) == 1 && multiplyPoint(curve, result, nil, base, factor, scratch) == 1
    } else {
      isMultiplied = multiplyPoint(curve, result, factor, nil, nil, scratch) == 1
    }
    guard isMultiplied, writePoint(curve, result, uncompressed, &out, out.count, scratch) == out.count else { throw Self.refused("ecp256") }
    return Array(out.dropFirst())
  }
}
