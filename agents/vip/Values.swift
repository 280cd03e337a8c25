import Host
import OCF

/// The width of a network: `24`, or `255.255.255.0` as earlier agents took it.
struct PrefixLength: ParameterValue, Hashable {
  let bits: Int
  static var contentType: ContentType { .string }

  init(parameter text: String) throws(Unreadable) {
    if let quad = IPAddress(text), !quad.isIPv6 {
      let mask = quad.bytes.reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
      bits = mask.nonzeroBitCount
      guard mask.leadingZeroBitCount == 32 || (~mask).leadingZeroBitCount == bits else {
        throw Unreadable("expected a netmask")
      }
    } else {
      guard text.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let bits = Int(text) else {
        throw Unreadable("expected a prefix length such as 24")
      }
      self.bits = bits
    }
    guard (1...128).contains(bits) else { throw Unreadable("expected a prefix length from 1 to 128") }
  }
  var parameterText: String? { String(bits) }
}

/// A broadcast address, or how it is made of the address: `+` sets the host bits, `-` clears them.
enum Broadcast: ParameterValue, Hashable {
  case hostBitsSet, hostBitsCleared
  case address(IPAddress)
  static var contentType: ContentType { .string }

  init(parameter text: String) throws(Unreadable) {
    switch text {
    case "+": self = .hostBitsSet
    case "-": self = .hostBitsCleared
    default:
      guard let address = IPAddress(text), !address.isIPv6 else { throw Unreadable("expected an IPv4 address, + or -") }
      self = .address(address)
    }
  }
  var parameterText: String? {
    switch self {
    case .hostBitsSet: "+"
    case .hostBitsCleared: "-"
    case .address(let address): address.description
    }
  }
}

/// Seconds, or `forever` (RFC 4862 §5.5.4).
struct Lifetime: ParameterValue, Hashable {
  /// Nil is for ever.
  let seconds: UInt32?
  static var contentType: ContentType { .string }
  static let forever = Lifetime(seconds: nil)

  private init(seconds: UInt32?) { self.seconds = seconds }
  init(parameter text: String) throws(Unreadable) {
    if text == "forever" {
      self = .forever
      return
    }
    guard text.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let seconds = UInt32(text) else {
      throw Unreadable("expected seconds or forever")
    }
    self.seconds = seconds == .max ? nil : seconds
  }
  var parameterText: String? { seconds.map(String.init) ?? "forever" }
}

/// Who put a route into the table: a name of `rt_protos` that iproute2 knows without its configuration, or a number.
struct RouteOrigin: ParameterValue, Hashable {
  let number: UInt8
  let text: String
  static var contentType: ContentType { .string }
  private static let names: [String: UInt8] = [
    "redirect": 1, "kernel": 2, "boot": 3, "static": 4, "ra": 9, "zebra": 11, "bird": 12, "dhcp": 16, "keepalived": 18,
    "babel": 42, "bgp": 186, "isis": 187, "ospf": 188, "rip": 189, "eigrp": 192,
  ]

  init(parameter text: String) throws(Unreadable) {
    guard let number = Self.names[text] ?? UInt8(text) else {
      throw Unreadable("expected kernel, static, boot, dhcp, ra or another route protocol")
    }
    self.number = number
    self.text = text
  }
  var parameterText: String? { text }
}
