import OCF
import VICI

extension StrongSwan {
  /// `sas`: charon's IKE SAs, those that it holds for the peer among them.
  package func counts(_ call: Call) throws(OCFError) -> [String: UInt64] {
    ["sas": UInt64(clamping: try ask(try connect(call, within: .seconds(1)).statistics().ikeSAs))]
  }
}
