import Adoption
import CLinux
import Host
import Ledger
import LinuxHost
import RADIUS
import Resident

/// The resident of `ocf:vpnha:sessions`: which sessions this node carries, and what its peer does. Started and ended by the agent.
@main enum Main {
  static func main() {
    signal(SIGPIPE, SIG_IGN)
    let host = Host.silent
    guard let options = Options(Array(CommandLine.arguments.dropFirst())) else {
      say("usage: vpnha-ledger --instance ID --address VIP --key-file FILE --peer ADDRESS --source ADDRESS --port PORT --strongswan ID [--radius ADDRESS,… --radius-port PORT --radius-secret-file FILE]")
      exit(2)
    }
    do {
      let key = try LedgerKey(ofFile: options.keyFile, host.files)
      try host.files.makeDirectory(LedgerControl.folder, mode: 0o755)
      let loop = try Loop(on: host, endingWith: TerminationSignals(), aloneWith: options.control.lock)
      var (accounts, reporting): (AccountWatch?, Reporting?) = (nil, nil)
      if let radius = options.radius {
        let secret = try SharedSecret(ofFile: radius.secretFile, host.files)
        accounts = try AccountWatch(from: options.address, toPort: radius.port, secret)
        reporting = Reporting(from: options.address, to: radius.servers, port: radius.port, secret, host)
      }
      let resident = try SessionResident(
        options, Replica(key: key), host, kernel: LinuxSessionKernel(), address: AddressWatch(of: options.address), accounts: accounts, reporting: reporting)
      let control = try ControlSocket(at: options.control.path, host.files)
      log = LinuxLog(environment: processEnvironment(), type: "sessions", instance: options.instance, action: "resident")
      // Nothing is lost with the process: what it knows it learns again.
      resident.serve(control, loop)
      control.remove()
    } catch {
      say("\(error)")
      exit(1)
    }
  }
}

/// Where lines go once it serves; until then the agent reads them, to say why it did not start.
nonisolated(unsafe) private var log: LinuxLog?

/// One line to the agent's log.
func say(_ line: String) {
  if let log { return log.info(line) }
  let bytes = Array("vpnha-ledger: \(line)\n".utf8)
  _ = bytes.withUnsafeBytes { write(2, $0.baseAddress, $0.count) }
}

/// The command line: every option once, each with a value; those of RADIUS together or not at all.
struct Options: Equatable {
  struct Accounting: Equatable {
    var servers: [IPAddress]
    var port: UInt16
    var secretFile: String
  }

  var instance: String
  var control: LedgerControl
  /// The address that clients dial.
  var address: IPAddress
  var keyFile: String
  /// Where the other node's ledger is, and where this one speaks from.
  var peer: IPAddress
  var source: IPAddress
  var port: UInt16
  /// The resource whose IPsec SAs carry the sessions.
  var strongswan: String
  var radius: Accounting?

  init?(_ arguments: [String]) {
    guard arguments.count == 14 || arguments.count == 20 else { return nil }
    var values: [String: String] = [:]
    for index in stride(from: 0, to: arguments.count, by: 2) where values.updateValue(arguments[index + 1], forKey: arguments[index]) != nil { return nil }
    guard let instance = values["--instance"], let control = LedgerControl(instance: instance),
      let address = values["--address"].flatMap({ IPAddress($0) }), !address.isIPv6, let keyFile = values["--key-file"],
      let peer = values["--peer"].flatMap({ IPAddress($0) }), let source = values["--source"].flatMap({ IPAddress($0) }),
      peer.isIPv6 == source.isIPv6, let strongswan = values["--strongswan"], !strongswan.isEmpty, let port = values["--port"].flatMap({ UInt16($0) }), port > 0
    else { return nil }
    (self.instance, self.control, self.address, self.keyFile, self.peer, self.source, self.port) = (instance, control, address, keyFile, peer, source, port)
    self.strongswan = strongswan
    guard arguments.count == 20 else { return }
    guard let names = values["--radius"]?.split(separator: ","), let port = values["--radius-port"].flatMap({ UInt16($0) }), port > 0,
      let file = values["--radius-secret-file"]
    else { return nil }
    let servers = names.compactMap { IPAddress(String($0)) }
    guard !servers.isEmpty, servers.count == names.count else { return nil }
    radius = Accounting(servers: servers, port: port, secretFile: file)
  }
}
