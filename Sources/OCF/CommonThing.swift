import Host

/// What every node should have alike, and each of them could serve with alone: who is let in, above all. A standby that has another
/// pre-shared key is as well as can be until it takes over.
///
/// The cluster is told a digest, with a key that only the nodes have (`FingerprintKey`): nothing can be learned from it.
public struct CommonThing: Equatable {
  /// One word.
  public var name: String
  /// What it is, and where: `the secrets in /etc/swanctl/swanctl.conf`.
  public var words: String
  public var bytes: [UInt8]

  public init(_ name: String, _ words: String, _ bytes: [UInt8]) { (self.name, self.words, self.bytes) = (name, words, bytes) }
}

/// The common things of one member, as they are compared with its peers'.
struct Comparison {
  var digests: [String: String] = [:]
  var risks: [Risk] = []

  /// - Parameter things: none where nothing should be alike, or nothing is known.
  init(_ things: [CommonThing], _ call: Call) {
    guard !things.isEmpty, let home = call.request.home else { return }
    do throws(SystemError) {
      let key = try FingerprintKey(call.host.files)
      for thing in things { digests[thing.name] = "\(key.name).\(key.digest(of: thing.bytes, as: thing.name))" }
      let looks = try call.host.cluster.nodeAttribute(call.request.lookAttribute)
      let now = call.host.clock.timestamp.seconds
      for (node, text) in looks.sorted(by: { $0.key < $1.key }) where node != home {
        // One that is too old is of before both were changed.
        guard let look = Look(text), now - look.at.seconds <= Look.lifetime else { continue }
        risks += things.compactMap { thing in
          guard let other = look.digests[thing.name], other.hasPrefix("\(key.name)."), other != digests[thing.name] else { return nil }
          return Risk("\(thing.words) are not those of \(node): make them the same")
        }
      }
    } catch { call.log.debug("comparing with the other nodes: \(error)") }
  }
}
