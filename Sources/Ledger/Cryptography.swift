import DynamicLibrary
import Host

/// Authenticated encryption (AES-256-GCM, NIST SP 800-38D) and key derivation (HKDF-SHA-256, RFC 5869) of libcrypto.
///
/// It is opened when a ledger starts; no agent loads it. The functions are declared here as OpenSSL 3's `evp.h` and `kdf.h` have
/// them: their headers are no build dependency of ours, and the test vectors of both papers run through these declarations.
struct Cryptography {
  private typealias Handle = OpaquePointer
  private typealias Bytes = UnsafePointer<UInt8>

  private let newContext: @convention(c) () -> Handle?
  private let freeContext: @convention(c) (Handle?) -> Void
  private let aes256gcm: @convention(c) () -> Handle?
  private let control: @convention(c) (Handle?, Int32, Int32, UnsafeMutableRawPointer?) -> Int32
  private let encryptInit: @convention(c) (Handle?, Handle?, Handle?, Bytes?, Bytes?) -> Int32
  private let encryptUpdate: @convention(c) (Handle?, UnsafeMutablePointer<UInt8>?, UnsafeMutablePointer<Int32>, Bytes?, Int32) -> Int32
  private let encryptFinal: @convention(c) (Handle?, UnsafeMutablePointer<UInt8>?, UnsafeMutablePointer<Int32>) -> Int32
  private let decryptInit: @convention(c) (Handle?, Handle?, Handle?, Bytes?, Bytes?) -> Int32
  private let decryptUpdate: @convention(c) (Handle?, UnsafeMutablePointer<UInt8>?, UnsafeMutablePointer<Int32>, Bytes?, Int32) -> Int32
  private let decryptFinal: @convention(c) (Handle?, UnsafeMutablePointer<UInt8>?, UnsafeMutablePointer<Int32>) -> Int32
  private let newKeyContext: @convention(c) (Int32, Handle?) -> Handle?
  private let freeKeyContext: @convention(c) (Handle?) -> Void
  private let deriveInit: @convention(c) (Handle?) -> Int32
  private let setDigest: @convention(c) (Handle?, Handle?) -> Int32
  private let sha256: @convention(c) () -> Handle?
  private let setSalt: @convention(c) (Handle?, Bytes?, Int32) -> Int32
  private let setKey: @convention(c) (Handle?, Bytes?, Int32) -> Int32
  private let addInfo: @convention(c) (Handle?, Bytes?, Int32) -> Int32
  private let derive: @convention(c) (Handle?, UnsafeMutablePointer<UInt8>?, UnsafeMutablePointer<Int>) -> Int32

  static let keyLength = 32
  static let nonceLength = 12
  static let tagLength = 16

  /// `EVP_CTRL_AEAD_GET_TAG`, `EVP_CTRL_AEAD_SET_TAG`, `EVP_PKEY_HKDF`.
  private static let getTag: Int32 = 0x10
  private static let setTag: Int32 = 0x11
  private static let hkdf: Int32 = 1036

  init() throws(SystemError) {
    let library = try DynamicLibrary("libcrypto.so.3", package: "libssl3")
    newContext = try library.function("EVP_CIPHER_CTX_new")
    freeContext = try library.function("EVP_CIPHER_CTX_free")
    aes256gcm = try library.function("EVP_aes_256_gcm")
    control = try library.function("EVP_CIPHER_CTX_ctrl")
    encryptInit = try library.function("EVP_EncryptInit_ex")
    encryptUpdate = try library.function("EVP_EncryptUpdate")
    encryptFinal = try library.function("EVP_EncryptFinal_ex")
    decryptInit = try library.function("EVP_DecryptInit_ex")
    decryptUpdate = try library.function("EVP_DecryptUpdate")
    decryptFinal = try library.function("EVP_DecryptFinal_ex")
    newKeyContext = try library.function("EVP_PKEY_CTX_new_id")
    freeKeyContext = try library.function("EVP_PKEY_CTX_free")
    deriveInit = try library.function("EVP_PKEY_derive_init")
    setDigest = try library.function("EVP_PKEY_CTX_set_hkdf_md")
    sha256 = try library.function("EVP_sha256")
    setSalt = try library.function("EVP_PKEY_CTX_set1_hkdf_salt")
    setKey = try library.function("EVP_PKEY_CTX_set1_hkdf_key")
    addInfo = try library.function("EVP_PKEY_CTX_add1_hkdf_info")
    derive = try library.function("EVP_PKEY_derive")
  }

  /// `length` bytes of key material.
  func derivedKey(from secret: [UInt8], salt: [UInt8], info: [UInt8], length: Int = keyLength) throws(SystemError) -> [UInt8] {
    let context = newKeyContext(Self.hkdf, nil)
    defer { freeKeyContext(context) }
    var key = [UInt8](repeating: 0, count: length)
    var count = length
    guard context != nil, deriveInit(context) == 1, setDigest(context, sha256()) == 1, setSalt(context, salt, Int32(salt.count)) == 1,
      setKey(context, secret, Int32(secret.count)) == 1, addInfo(context, info, Int32(info.count)) == 1,
      derive(context, &key, &count) == 1, count == length
    else { throw SystemError("deriving a key", .invalidArgument, detail: "libcrypto refuses HKDF") }
    return key
  }

  /// The ciphertext and its tag. A nonce must never be used twice with one key.
  func sealed(_ text: [UInt8], key: [UInt8], nonce: [UInt8], header: [UInt8]) throws(SystemError) -> [UInt8] {
    let context = newContext()
    defer { freeContext(context) }
    var out = [UInt8](repeating: 0, count: text.count + Self.tagLength)
    var tag = [UInt8](repeating: 0, count: Self.tagLength)
    var count: Int32 = 0
    guard key.count == Self.keyLength, nonce.count == Self.nonceLength, context != nil,
      encryptInit(context, aes256gcm(), nil, key, nonce) == 1,
      encryptUpdate(context, nil, &count, header, Int32(header.count)) == 1,
      text.isEmpty || (encryptUpdate(context, &out, &count, text, Int32(text.count)) == 1 && Int(count) == text.count),
      encryptFinal(context, &tag, &count) == 1, control(context, Self.getTag, Int32(Self.tagLength), &tag) == 1
    else { throw SystemError("encrypting", .invalidArgument, detail: "libcrypto refuses AES-256-GCM") }
    out.replaceSubrange(text.count..., with: tag)
    return out
  }

  /// The text; nil when a bit of it, of the header or of the tag is another than it was.
  func opened(_ bytes: ArraySlice<UInt8>, key: [UInt8], nonce: [UInt8], header: [UInt8]) -> [UInt8]? {
    guard bytes.count >= Self.tagLength, key.count == Self.keyLength, nonce.count == Self.nonceLength else { return nil }
    let context = newContext()
    defer { freeContext(context) }
    let ciphertext = Array(bytes.dropLast(Self.tagLength))
    var tag = Array(bytes.suffix(Self.tagLength))
    // One byte more, so that there is an address also for an empty text.
    var text = [UInt8](repeating: 0, count: ciphertext.count + 1)
    var count: Int32 = 0
    guard context != nil, decryptInit(context, aes256gcm(), nil, key, nonce) == 1,
      decryptUpdate(context, nil, &count, header, Int32(header.count)) == 1,
      ciphertext.isEmpty || decryptUpdate(context, &text, &count, ciphertext, Int32(ciphertext.count)) == 1,
      control(context, Self.setTag, Int32(Self.tagLength), &tag) == 1
    else { return nil }
    var rest = [UInt8](repeating: 0, count: Self.tagLength)
    guard decryptFinal(context, &rest, &count) == 1 else { return nil }
    text.removeLast()
    return text
  }
}
