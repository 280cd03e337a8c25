import Host
import LinuxHost
import OCFMetadata
import Testing

@testable import AnnounceAgent
import BalancerAgent
@testable import ConntrackdAgent
@testable import FirewallAgent
@testable import LibreswanAgent
@testable import OCF
@testable import ProbeAgent
@testable import SessionsAgent
@testable import StrongSwanAgent
@testable import VIPAgent
@testable import XL2TPDAgent

/// The documents: what the agents print, what is committed, and what the cluster's tools accept.
@Suite struct Documents {
  struct Subject: CustomStringConvertible, Sendable {
    let description: String
    let agent: any ResourceAgent.Type
    var xml: String { get throws { try Self.metadata(of: agent, description) } }
    private static func metadata<Agent: ResourceAgent>(of agent: Agent.Type, _ name: String) throws -> String {
      try OCFMetadata.metadata(of: agent, named: name)
    }
  }

  static let subjects = [
    Subject(description: "vip", agent: VirtualIP.self), Subject(description: "strongswan", agent: StrongSwan.self),
    Subject(description: "xl2tpd", agent: XL2TPD.self), Subject(description: "conntrackd", agent: Conntrackd.self),
    Subject(description: "probe", agent: PathProbe.self),
    Subject(description: "firewall", agent: Firewall.self), Subject(description: "sessions", agent: SessionLedger.self),
    Subject(description: "announce", agent: RouteAnnouncement.self), Subject(description: "libreswan", agent: Libreswan.self),
    Subject(description: "balancer", agent: Balancer.self),
  ]

  /// `vpnha metadata --write` records them anew.
  @Test(arguments: subjects) func theCommittedFileIsWhatTheAgentSays(_ subject: Subject) throws {
    let root = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
    let recorded = try LinuxFiles().read("/\(root)/metadata/\(subject).xml", limit: 1 << 20)
    #expect(try recorded.map { String(decoding: $0, as: UTF8.self) } == subject.xml)
  }

  /// An agent's parameters are found by Swift's layout of types in memory; the slow way finds the same.
  @Test(arguments: subjects) func everyParameterIsWhatItsMirrorShows(_ subject: Subject) throws {
    let agent = subject.agent.init()
    let mirrored = Mirror(reflecting: agent).children.map { ($0.label, Mirror(reflecting: $0.value).children.first?.value as? AnyParameter) }
    #expect(mirrored.allSatisfy { $0.1 != nil }, "every stored property is a parameter")
    #expect(agent.parameters.map { ObjectIdentifier($0.parameter) } == mirrored.compactMap { $0.1.map(ObjectIdentifier.init) })
    let spelled = agent.parameters.map { "_\($0.name.filter { $0 != "_" })" }
    #expect(spelled == mirrored.compactMap { $0.0?.lowercased() })
  }

  /// By its own document type, which is in a file of the package and says no less than the official schema of OCF 1.1, and by the schema of
  /// pcs. Declarations in the document itself fill Pacemaker 3.0's log with errors.
  @Test(arguments: subjects) func itIsValid(_ subject: Subject) throws {
    let xml = try subject.xml
    #expect(!xml.contains("<!ELEMENT"))
    #expect(try Schema.isValidByItsOwnDocumentType(xml))
    #expect(try !Schema.isValidByItsOwnDocumentType(xml.replacing("<shortdesc", with: "<short").replacing("</shortdesc", with: "</short")))
    if let pcs = try LinuxFiles().read("/usr/share/pcs/data/ocf-1.1.rng", limit: 1 << 20) {
      #expect(try Schema.isValid(subject.xml, againstRelaxNG: pcs) == true)
    }
  }

  /// crmsh cannot read a document that declares its encoding, and the first byte must be `<`.
  @Test(arguments: subjects) func itIsPlainASCIIWithoutADeclaredEncoding(_ subject: Subject) throws {
    let xml = try subject.xml
    #expect(xml.hasPrefix("<?xml version=\"1.0\"?>\n"))
    #expect(xml.utf8.allSatisfy { $0 < 0x80 })
  }

  @Test(arguments: subjects) func itAdvertisesExactlyWhatTheTypeCanDo(_ subject: Subject) {
    let advertised = Set(subject.agent.operations.map(\.action))
    let supported = Set(Action.allCases.filter { subject.agent.supports($0) })
    #expect(advertised == supported)
  }

  /// Tools copy the advised operations into the cluster: two monitors with one interval collide, and a plain primitive
  /// needs the one without a role, which crmsh wants last.
  @Test(arguments: subjects) func monitorsCanLiveSideBySide(_ subject: Subject) throws {
    let monitors = subject.agent.operations.filter { $0.action == .monitor }
    let intervals = monitors.compactMap(\.interval)
    #expect(intervals.count == monitors.count && Set(intervals).count == intervals.count)
    let hasRoles = subject.agent is any PromotableAgent.Type
    for role in [Role.promoted, .unpromoted] { #expect(monitors.contains { $0.role == role } == hasRoles) }
    #expect(monitors.last?.role == nil)
    #expect(!monitors.contains { $0.depth == .client }, "level 20 is documented, not advertised")
  }

  /// pcs shows nothing of a parameter but its name and the long description: that begins with a sentence of its own, which
  /// names what the parameter is.
  @Test(arguments: subjects) func everyParameterIsExplained(_ subject: Subject) throws {
    let document = try #require(try XMLDocument(Array(subject.xml.utf8))?.root)
    let parameters = document.all(named: "parameter")
    #expect(parameters.count == subject.agent.parameterDescriptions.count + ParameterDescription.tracing.count)
    for parameter in parameters {
      let (short, long) = (parameter.text(of: "shortdesc"), parameter.text(of: "longdesc"))
      #expect(!short.isEmpty && long.hasPrefix("\(short).") && long.hasSuffix("."), "\(parameter["name"] ?? ""): \(long)")
      // Not twice.
      #expect(!long.dropFirst(short.count + 1).contains("\(short)."), "\(parameter["name"] ?? ""): \(long)")
    }
  }

  @Test(arguments: [
    ("Metric", "", "Metric."), ("Metric", "The kernel's by default", "Metric. The kernel's by default."),
    ("Metric", "Metric. Of the route.", "Metric. Of the route."), ("Metric of it", "Metric of its", "Metric of it. Metric of its."),
  ])
  func theShortDescriptionComesFirst(_ short: String, _ long: String, _ both: String) { #expect(sentences(short, long) == both) }

  /// The package, the agents and the pages that are written by hand.
  @Test func thereIsOneVersion() throws {
    let root = "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
    func firstLine(_ path: String) throws -> String {
      let bytes = try #require(try LinuxFiles().read("\(root)/\(path)", limit: 1 << 20))
      return String(decoding: bytes.prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self)
    }
    #expect(try firstLine("Packaging/debian/changelog").hasPrefix("vpnha (\(agentVersion)) "))
    for page in ["vpnha", "vpnha-alert"] {
      #expect(try firstLine("Packaging/man/\(page).8").contains(" \"vpnha \(agentVersion)\" "), "\(page)")
    }
    for subject in Self.subjects { #expect(try subject.xml.contains(" version=\"\(agentVersion)\">")) }
  }

  @Test func textIsEscaped() throws {
    let xml = try OCFMetadata.metadata(of: Awkward.self, named: "awk\"ward")
    #expect(xml.contains("a &lt;b&gt; &amp; c"))
    #expect(xml.contains("name=\"awk&quot;ward\""))
    #expect(try Schema.isValidByItsOwnDocumentType(xml))
  }

  /// The judge itself: a document with a parameter's parts in the wrong order is refused.
  @Test func theJudgeRefuses() throws {
    let xml = try OCFMetadata.metadata(of: Awkward.self, named: "a")
    let broken = xml.replacing("<version>1.1</version>", with: "")
    #expect(broken != xml)
    #expect(try !Schema.isValidByItsOwnDocumentType(broken))
  }
}

private struct Awkward: ResourceAgent {
  static let about = About("a <b> & c", "d")
  static let operations: [Operation] = [.start(timeout: 20)]
  @Parameter("Old", deprecated: Deprecation(replacedWith: "new", note: "use new")) var old: String? = nil
  func observe(_ call: Call) throws(OCFError) -> ResourceState { .stopped }
  func start(_ call: Call) throws(OCFError) {}
  func stop(_ call: Call) throws(OCFError) {}
}
