import Host
import HostTestKit
import VICI

/// A charon of values behind a VICI socket.
final class ScriptedCharon {
  struct SA {
    var id: UInt64
    var connection = "l2tp"
    var state = "ESTABLISHED"
    var localHost = "203.0.113.50"
    /// `uniqueid` of its CHILD SA; 0 for none.
    var child: UInt64 = 0
    var age = 0
    var childAge = 0
    var isInitiator = false
    /// Whether it goes when it is told to.
    var confirms = true
  }

  /// What `list-conns` tells of each loaded connection, but that those whose names begin so are for IKEv2.
  struct Connection {
    var version = "IKEv1"
    var local = ["203.0.113.50"]
    var remote = ["%any"]
    var mode = "TRANSPORT"
    /// The child's, of this end.
    var selectors: [String] = []
    /// `local-1`, `remote-1` … and what they hold.
    var rounds: [(name: String, class: String, id: String, certs: [String])] = []
  }
  struct Certificate {
    var subject: String
    var hasKey = true
    /// `YYMMDDhhmmssZ`
    var end = "300101000000Z"
    var kind = "X509"
  }

  var loaded: [String] = []
  var connection = Connection()
  /// Where the clients of a connection are, if not where those of `connection` are.
  var remote: [String: [String]] = [:]
  /// Names of the children of a connection, where it has others than the usual one.
  var children: [String: [String]] = [:]
  /// Names of shared secrets.
  var keys: [String] = []
  var certificates: [Certificate] = []
  var halfOpen = 0
  var plugins = ["vici", "kernel-netlink", "socket-default"]
  var sas: [SA] = []
  var idleWorkers = 11
  var queued = 0
  /// Accepts connections and says nothing.
  var isHung = false
  var reloadRefusal: String?
  /// `uniqueid` of the SAs that another thread works on.
  var busy: Set<UInt64> = []
  /// Clients (and ha peers) that were told at its end that their SA is deleted.
  private(set) var goodbyes: [UInt64] = []
  /// Nil before the first order.
  private var hasSegment: Bool?
  /// Bytes it has sent.
  var said = 0
  /// Commands in the order in which they were asked.
  private(set) var asked: [String] = []
  /// `child` of every initiate.
  private(set) var initiated: [String] = []
  /// `child` of every trap that is installed.
  private(set) var trapped: [String] = []
  /// `child-id` of every rekey.
  private(set) var rekeyed: [UInt64] = []
  /// `ike-id` of every terminate.
  private(set) var terminated: [UInt64] = []

  func stream(_ machine: InMemoryMachine) -> ScriptedStream {
    machine.stream { [unowned self] inbox in
      var steps: [ScriptedStream.Step] = []
      while inbox.count >= 4 {
        let length = inbox.prefix(4).reduce(0) { $0 << 8 | Int($1) }
        guard inbox.count >= 4 + length else { break }
        let bytes = Array(inbox[4..<(4 + length)])
        inbox.removeFirst(4 + length)
        guard !isHung else { continue }
        do {
          for packet in answers(to: try Packet(decoding: bytes)) {
            let segment = try packet.segment()
            said += segment.count
            steps.append(.says(segment))
          }
        } catch { steps.append(.closes) }
      }
      return steps
    }
  }

  private func answers(to packet: Packet) -> [Packet] {
    switch packet {
    case .register, .unregister: return [.confirmed]
    case .request(let command, let request):
      asked.append(command)
      return answers(to: command, request)
    default: return []
    }
  }

  private func answers(to command: String, _ request: Message) -> [Packet] {
    var reply = Message()
    switch command {
    case "version":
      reply.append("daemon", "charon-systemd")
      reply.append("version", "5.9.8")
    case "stats":
      var workers = Message()
      workers.append("total", 16)
      workers.append("idle", idleWorkers)
      var queues = Message()
      queues.append("medium", queued)
      var counts = Message()
      counts.append("total", sas.count)
      counts.append("half-open", halfOpen)
      reply.append("workers", workers)
      reply.append("queues", queues)
      reply.append("ikesas", counts)
      reply.append("plugins", plugins)
    case "get-counters":
      var all = Message()
      all.append("invalid-spi", 3)
      all.append("invalid", 0)
      var counters = Message()
      counters.append("", all)
      reply.append("success", true)
      reply.append("counters", counters)
    case "get-conns": reply.append("conns", loaded)
    case "list-conns":
      return loaded.map { name in
        var child = Message()
        child.append("mode", connection.mode)
        if !connection.selectors.isEmpty { child.append("local-ts", connection.selectors) }
        var children = Message()
        if !connection.mode.isEmpty {
          for name in self.children[name] ?? ["l2tp"] { children.append(name, child) }
        }
        var told = Message()
        told.append("version", name.hasPrefix("ikev2") ? "IKEv2" : connection.version)
        told.append("local_addrs", connection.local)
        told.append("remote_addrs", remote[name] ?? connection.remote)
        told.append("children", children)
        for round in connection.rounds {
          var section = Message()
          section.append("class", round.class)
          if !round.id.isEmpty { section.append("id", round.id) }
          section.append("certs", round.certs)
          told.append(round.name, section)
        }
        var row = Message()
        row.append(name, told)
        return .event("list-conn", row)
      } + [.response(Message())]
    case "get-shared": reply.append("keys", keys)
    case "list-certs":
      let subject = request.text("subject")
      let kind = request.text("type")
      return certificates.filter { (subject == nil || $0.subject == subject) && (kind == "ANY" || $0.kind == kind) }.map { certificate in
        var row = Message()
        row.append("type", certificate.kind)
        if certificate.hasKey { row.append("has_privkey", true) }
        row.entries.append(.init("data", .text(Self.encoded(until: certificate.end))))
        return .event("list-cert", row)
      } + [.response(Message())]
    case "list-sas":
      let isNotWaiting = request.flag("noblock")
      guard isNotWaiting || busy.isEmpty else { return [] }
      return sas.filter { !busy.contains($0.id) }.map { sa in
        var section = Message()
        section.append("uniqueid", sa.id)
        section.append("version", 1)
        section.append("state", sa.state)
        section.append("local-host", sa.localHost)
        if sa.isInitiator { section.append("initiator", true) }
        section.append("established", sa.age)
        if sa.child > 0 {
          var child = Message()
          child.append("name", "l2tp")
          child.append("uniqueid", sa.child)
          child.append("state", "INSTALLED")
          child.append("install-time", sa.childAge)
          var children = Message()
          children.append("l2tp-\(sa.child)", child)
          section.append("child-sas", children)
        }
        var row = Message()
        row.append(sa.connection, section)
        return .event("list-sa", row)
      } + [.response(Message())]
    case "terminate":
      let id = request.number("ike-id") ?? 0
      terminated.append(id)
      let matches = sas.filter { $0.id == id }.count
      sas.removeAll { $0.id == id && $0.confirms }
      reply.append("success", matches > 0)
      reply.append("matches", matches)
    case "initiate":
      initiated.append(request.text("child") ?? "")
      reply.append("success", true)
    case "install", "uninstall":
      trapped = command == "install" ? trapped + [request.text("child") ?? ""] : []
      reply.append("success", true)
    case "rekey":
      rekeyed.append(request.number("child-id") ?? 0)
      reply.append("success", true)
      reply.append("matches", 1)
    case "reload-settings":
      reply.append("success", reloadRefusal == nil)
      if let reloadRefusal { reply.append("errmsg", reloadRefusal) }
    default: return [.unknownCommand]
    }
    return [.response(reply)]
  }

  /// The ha plugin's end of its FIFO. A segment that is as it should be already is left alone.
  func segment(_ order: [UInt8]) {
    guard let sign = order.first, sign != UInt8(ascii: "*") else { return }
    let isTaken = sign == UInt8(ascii: "+")
    defer { hasSegment = isTaken }
    guard hasSegment != isTaken else { return }
    let (from, to) = isTaken ? ("PASSIVE", "ESTABLISHED") : ("ESTABLISHED", "PASSIVE")
    for index in sas.indices where sas[index].state == from && sas[index].connection != "ha" { sas[index].state = to }
  }

  /// As much of a certificate as has its dates.
  static func encoded(until end: String) -> [UInt8] {
    func element(_ tag: UInt8, _ content: [UInt8]) -> [UInt8] { [tag, UInt8(content.count)] + content }
    func time(_ text: String) -> [UInt8] { element(text.count > 13 ? 0x18 : 0x17, Array(text.utf8)) }
    let validity = element(0x30, time("200101000000Z") + time(end))
    return element(0x30, element(0x30, element(0xa0, [2, 1, 2]) + [2, 1, 7] + element(0x30, []) + element(0x30, [5, 0]) + validity))
  }

  func sayGoodbye() { goodbyes += sas.filter { ["ESTABLISHED", "REKEYING"].contains($0.state) && $0.connection != "ha" }.map(\.id) }
}
