// The digests that PPP's authentication (RFC 1994, RFC 2759) and RADIUS (RFC 2865, RFC 3579) are made of. They guard nothing
// of ours: the protocols prescribe them, and what is hashed is a few dozen bytes. SHA-256 is for `vpnha fingerprint`.

/// MD4 (RFC 1320), the hash of Windows passwords.
public func md4(_ message: [UInt8]) -> [UInt8] {
  var state: (UInt32, UInt32, UInt32, UInt32) = (0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476)
  let rounds: [(order: [Int], shifts: [UInt32], constant: UInt32)] = [
    (Array(0..<16), [3, 7, 11, 19], 0),
    ([0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15], [3, 5, 9, 13], 0x5a82_7999),
    ([0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15], [3, 9, 11, 15], 0x6ed9_eba1),
  ]
  for block in blocks(of: message, lengthIsBigEndian: false) {
    let words = littleEndianWords(block)
    var (a, b, c, d) = state
    for (round, plan) in rounds.enumerated() {
      for step in 0..<16 {
        let mixed =
          switch round {
          case 0: (b & c) | (~b & d)
          case 1: (b & c) | (b & d) | (c & d)
          default: b ^ c ^ d
          }
        let sum = a &+ mixed &+ words[plan.order[step]] &+ plan.constant
        (a, b, c, d) = (d, rotated(sum, plan.shifts[step % 4]), b, c)
      }
    }
    state = (state.0 &+ a, state.1 &+ b, state.2 &+ c, state.3 &+ d)
  }
  return littleEndianBytes([state.0, state.1, state.2, state.3])
}

/// MD5 (RFC 1321).
public func md5(_ message: [UInt8]) -> [UInt8] {
  let shifts: [[UInt32]] = [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]]
  var state: (UInt32, UInt32, UInt32, UInt32) = (0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476)
  for block in blocks(of: message, lengthIsBigEndian: false) {
    let words = littleEndianWords(block)
    var (a, b, c, d) = state
    for step in 0..<64 {
      let mixed: UInt32
      let index: Int
      switch step / 16 {
      case 0: (mixed, index) = ((b & c) | (~b & d), step)
      case 1: (mixed, index) = ((d & b) | (~d & c), (5 * step + 1) % 16)
      case 2: (mixed, index) = (b ^ c ^ d, (3 * step + 5) % 16)
      default: (mixed, index) = (c ^ (b | ~d), (7 * step) % 16)
      }
      let sum = a &+ mixed &+ sines[step] &+ words[index]
      (a, b, c, d) = (d, b &+ rotated(sum, shifts[step / 16][step % 4]), b, c)
    }
    state = (state.0 &+ a, state.1 &+ b, state.2 &+ c, state.3 &+ d)
  }
  return littleEndianBytes([state.0, state.1, state.2, state.3])
}

/// HMAC-MD5 (RFC 2104).
public func hmacMD5(_ message: [UInt8], key: [UInt8]) -> [UInt8] {
  let key = key.count > 64 ? md5(key) : key
  let block = key + [UInt8](repeating: 0, count: 64 - key.count)
  return md5(block.map { $0 ^ 0x5c } + md5(block.map { $0 ^ 0x36 } + message))
}

/// SHA-1 (RFC 3174).
public func sha1(_ message: [UInt8]) -> [UInt8] {
  var state: [UInt32] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0]
  for block in blocks(of: message, lengthIsBigEndian: true) {
    var words = littleEndianWords(block).map(\.byteSwapped)
    for index in 16..<80 {
      words.append(rotated(words[index - 3] ^ words[index - 8] ^ words[index - 14] ^ words[index - 16], 1))
    }
    var (a, b, c, d, e) = (state[0], state[1], state[2], state[3], state[4])
    for (index, word) in words.enumerated() {
      let (mixed, constant): (UInt32, UInt32) =
        switch index / 20 {
        case 0: ((b & c) | (~b & d), 0x5a82_7999)
        case 1: (b ^ c ^ d, 0x6ed9_eba1)
        case 2: ((b & c) | (b & d) | (c & d), 0x8f1b_bcdc)
        default: (b ^ c ^ d, 0xca62_c1d6)
        }
      let sum = rotated(a, 5) &+ mixed &+ e &+ constant &+ word
      (a, b, c, d, e) = (sum, a, rotated(b, 30), c, d)
    }
    for (index, value) in [a, b, c, d, e].enumerated() { state[index] = state[index] &+ value }
  }
  return littleEndianBytes(state.map(\.byteSwapped))
}

/// SHA-256 (RFC 6234).
public func sha256(_ message: [UInt8]) -> [UInt8] {
  var state: [UInt32] = [
    0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19,
  ]
  var words = [UInt32](repeating: 0, count: 64)
  for block in blocks(of: message, lengthIsBigEndian: true) {
    for index in 0..<16 {
      words[index] = (0..<4).reduce(0) { $0 << 8 | UInt32(block[block.startIndex + 4 * index + $1]) }
    }
    for index in 16..<64 {
      let (old, new) = (words[index - 15], words[index - 2])
      let first = rotated(old, 25) ^ rotated(old, 14) ^ old >> 3
      let second = rotated(new, 15) ^ rotated(new, 13) ^ new >> 10
      words[index] = words[index - 16] &+ first &+ words[index - 7] &+ second
    }
    var (a, b, c, d, e, f, g, h) = (state[0], state[1], state[2], state[3], state[4], state[5], state[6], state[7])
    for index in 0..<64 {
      let first = h &+ (rotated(e, 26) ^ rotated(e, 21) ^ rotated(e, 7)) &+ (e & f ^ ~e & g) &+ cubeRoots[index] &+ words[index]
      let second = (rotated(a, 30) ^ rotated(a, 19) ^ rotated(a, 10)) &+ (a & b ^ a & c ^ b & c)
      (a, b, c, d, e, f, g, h) = (first &+ second, a, b, c, d &+ first, e, f, g)
    }
    for (index, value) in [a, b, c, d, e, f, g, h].enumerated() { state[index] = state[index] &+ value }
  }
  return littleEndianBytes(state.map(\.byteSwapped))
}

/// HMAC-SHA-256 (RFC 2104).
public func hmacSHA256(_ message: [UInt8], key: [UInt8]) -> [UInt8] {
  let key = key.count > 64 ? sha256(key) : key
  let block = key + [UInt8](repeating: 0, count: 64 - key.count)
  return sha256(block.map { $0 ^ 0x5c } + sha256(block.map { $0 ^ 0x36 } + message))
}

private func rotated(_ word: UInt32, _ count: UInt32) -> UInt32 { word << count | word >> (32 - count) }

/// 64-byte blocks: the message, a one bit, zeros, and the message's length in bits.
private func blocks(of message: [UInt8], lengthIsBigEndian: Bool) -> [ArraySlice<UInt8>] {
  let bits = UInt64(message.count) << 3
  let padding = (119 - message.count % 64) % 64
  var padded = message + [0x80] + [UInt8](repeating: 0, count: padding)
  withUnsafeBytes(of: lengthIsBigEndian ? bits.bigEndian : bits.littleEndian) { padded += $0 }
  return stride(from: 0, to: padded.count, by: 64).map { padded[$0..<($0 + 64)] }
}

private func littleEndianWords(_ block: ArraySlice<UInt8>) -> [UInt32] {
  stride(from: block.startIndex, to: block.endIndex, by: 4).map { index in
    (0..<4).reduce(0) { $0 | UInt32(block[index + $1]) << UInt32(8 * $1) }
  }
}

private func littleEndianBytes(_ words: [UInt32]) -> [UInt8] {
  words.flatMap { word in (0..<4).map { UInt8(truncatingIfNeeded: word >> UInt32(8 * $0)) } }
}

/// ⌊2³²·|sin(i + 1)|⌋, i = 0 … 63 (RFC 1321 §3.4).
private let sines: [UInt32] = [
  0xd76a_a478, 0xe8c7_b756, 0x2420_70db, 0xc1bd_ceee, 0xf57c_0faf, 0x4787_c62a, 0xa830_4613, 0xfd46_9501,
  0x6980_98d8, 0x8b44_f7af, 0xffff_5bb1, 0x895c_d7be, 0x6b90_1122, 0xfd98_7193, 0xa679_438e, 0x49b4_0821,
  0xf61e_2562, 0xc040_b340, 0x265e_5a51, 0xe9b6_c7aa, 0xd62f_105d, 0x0244_1453, 0xd8a1_e681, 0xe7d3_fbc8,
  0x21e1_cde6, 0xc337_07d6, 0xf4d5_0d87, 0x455a_14ed, 0xa9e3_e905, 0xfcef_a3f8, 0x676f_02d9, 0x8d2a_4c8a,
  0xfffa_3942, 0x8771_f681, 0x6d9d_6122, 0xfde5_380c, 0xa4be_ea44, 0x4bde_cfa9, 0xf6bb_4b60, 0xbebf_bc70,
  0x289b_7ec6, 0xeaa1_27fa, 0xd4ef_3085, 0x0488_1d05, 0xd9d4_d039, 0xe6db_99e5, 0x1fa2_7cf8, 0xc4ac_5665,
  0xf429_2244, 0x432a_ff97, 0xab94_23a7, 0xfc93_a039, 0x655b_59c3, 0x8f0c_cc92, 0xffef_f47d, 0x8584_5dd1,
  0x6fa8_7e4f, 0xfe2c_e6e0, 0xa301_4314, 0x4e08_11a1, 0xf753_7e82, 0xbd3a_f235, 0x2ad7_d2bb, 0xeb86_d391,
]

/// The first 32 bits behind the point of the cube roots of the first 64 primes (RFC 6234 §5.1).
private let cubeRoots: [UInt32] = [
  0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5, 0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5,
  0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3, 0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174,
  0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc, 0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da,
  0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7, 0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967,
  0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13, 0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85,
  0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3, 0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070,
  0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5, 0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3,
  0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208, 0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2,
]
