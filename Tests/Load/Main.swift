import ArgumentParser
import CLinux
import Host
import L2TP
import LinuxHost

/// `vpnha-load`: L2TP/IPsec clients by the hundred from one process, for the lab. ESP travels in UDP and is made here, so the kernel
/// needs neither IPsec nor L2TP nor PPP; each client has a socket, and an address, of its own.
@main struct LoadMaker: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "vpnha-load", abstract: "Scripted L2TP/IPsec clients by the hundred: who gets a session, how fast, and how it is lost.",
    discussion: "The addresses from --from on must be this machine's, for example by: ip route add local 10.64.0.0/16 dev lo. "
      + "A line 'mark NAME' on standard input prints what happened since the last one, 'stop' ends it.\n\nWhere the profiles' timers come from:\n"
      + Profile.all.map { "  \($0.name): \($0.source)" }.joined(separator: "\n"))

  @Argument(help: "The gateway's address.") var server: String
  @Option(help: "How many clients.") var sessions = 100
  @Option(help: "The first client's address; the others follow it.") var from = "10.64.0.1"
  @Option(help: "Clients behind one address, with ports of their own.") var perAddress = 1
  @Option(help: "First dials a second; 0: all at once.") var rate = 0.0
  @Option(help: "Seconds until it ends.") var seconds = 60.0
  @Option(help: "Pings a second through each session; 0: none.") var pings = 1.0
  @Option(help: "Bytes of data in a ping.") var size = 56
  @Option(help: "The clients' timers: linux, windows, apple, android, eager, or mixed (the first four in turn).") var profile = "eager"
  @Option(help: "The file with the pre-shared key.") var secretFile: String
  @Option(help: "The user of all clients.") var user = "client"
  @Option(help: "The file with the user's password.") var passwordFile: String
  @Option(help: "IKE's suite: aes128 or aes256, sha1 or sha256, modp2048 or ecp256.") var ike = "aes256-sha256-modp2048"
  @Option(help: "ESP's suite: aes128 or aes256, sha1 or sha256.") var esp = "aes256-sha256"
  @Option(help: "The name of the first count.") var name = "all"
  @Flag(help: "One JSON object a line: progress once a second, a report at each mark and at the end.") var json = false

  func validate() throws {
    guard (1...10_000).contains(sessions), (1...1000).contains(perAddress), rate >= 0, (1...86_400).contains(seconds), (0...100).contains(pings), (0...1200).contains(size) else {
      throw ValidationError("a number is out of range")
    }
    guard Profile.named(profile, client: 0) != nil else { throw ValidationError("there is no profile \(profile)") }
    guard Self.suites(ike: ike, esp: esp) != nil else { throw ValidationError("a suite that is none of ours: \(ike), \(esp)") }
    guard Self.address(server) != nil, Self.address(from) != nil else { throw ValidationError("an address is no IPv4 address") }
  }

  func run() throws {
    signal(SIGPIPE, SIG_IGN)
    // A descriptor for each client.
    var limit = rlimit(rlim_cur: rlim_t(sessions + 64), rlim_max: rlim_t(sessions + 64))
    setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    guard let (suite, espSuite) = Self.suites(ike: ike, esp: esp), let server = Self.address(server), let first = Self.address(from) else { return }
    let files = LinuxFiles()
    let settings = KeyExchange.Settings(ike: suite, esp: espSuite, secret: try Self.line(of: secretFile, files))
    let credentials = Credentials(user: user, password: String(decoding: try Self.line(of: passwordFile, files), as: UTF8.self))
    let crypto = try LibCrypto()
    let crowd = try Crowd(isJSON: json)
    let now = Crowd.now
    for number in 0..<sessions {
      guard let profile = Profile.named(profile, client: number) else { continue }
      let (index, place) = (number / perAddress, number % perAddress)
      let address = (UInt32(bytes: first) + UInt32(index)).bytes
      // Behind one address each client has one of its own inside, and a port that the gateway can tell it by.
      let inside: [UInt8] = perAddress == 1 ? address : [172, 16] + UInt16(number + 1).bytes
      let ends = KeyExchange.Ends(server: server, client: inside, port: perAddress == 1 ? 1701 : UInt16(20_000 + place))
      let client = Client(
        number: number, profile, settings, ends, credentials, crypto, ping: (pings == 0 ? .infinity : 1 / pings, size),
        dialAt: rate == 0 ? now : now + Double(number) / rate)
      try crowd.add(client, from: address, to: server)
    }
    try crowd.run(until: now + seconds, name: name)
  }

  // MARK: - Words

  static func address(_ text: String) -> [UInt8]? {
    guard let address = IPAddress(text), !address.isIPv6 else { return nil }
    return address.bytes
  }

  /// The first line: no secret is on a command line.
  private static func line(of path: String, _ files: LinuxFiles) throws -> [UInt8] {
    guard let bytes = try files.read(path, limit: 4096), let line = bytes.split(separator: UInt8(ascii: "\n")).first else {
      throw ValidationError("\(path) is missing or empty")
    }
    return Array(line)
  }

  static func suites(ike: String, esp: String) -> (KeyExchange.Suite, ESP.Suite)? {
    let bits: [Substring: UInt16] = ["aes128": 128, "aes256": 256]
    let hashes: [Substring: LibCrypto.Hash] = ["sha1": .sha1, "sha256": .sha256]
    let groups: [Substring: LibCrypto.Group] = ["modp2048": .modp2048, "ecp256": .ecp256]
    let (phase1, phase2) = (ike.split(separator: "-"), esp.split(separator: "-"))
    guard phase1.count == 3, phase2.count == 2, let bits1 = bits[phase1[0]], let hash1 = hashes[phase1[1]], let group = groups[phase1[2]],
      let bits2 = bits[phase2[0]], let hash2 = hashes[phase2[1]]
    else { return nil }
    return (KeyExchange.Suite(keyBits: bits1, hash: hash1, group: group), ESP.Suite(keyBits: bits2, hash: hash2))
  }
}
