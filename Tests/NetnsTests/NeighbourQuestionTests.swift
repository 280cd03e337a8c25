import Host
import LinuxHost
import Testing

@Suite("Questions to a neighbour", .enabled(if: noNamespaces == nil, Comment(rawValue: noNamespaces ?? "")))
struct NeighbourQuestionTests {
  /// Replies of another host, and at last the neighbour's.
  private static let flood = """
    import socket
    far = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    far.bind(("far", 0x0806))
    def reply(sender):
        return bytes.fromhex("ffffffffffff020000000009080600010800060400020200000000 09".replace(" ", "")) + bytes(sender) + bytes(10)
    for _ in range(100):
        far.send(reply([192, 0, 2, 77]))
    far.send(reply([192, 0, 2, 1]))
    """

  @Test("A link that never falls silent keeps nobody behind the deadline")
  func flood() throws {
    try PrivateNetwork.run { it in
      let neighbour = try #require(IPAddress("192.0.2.1"))
      let question = try LinuxSockets().connect(toNeighbour: neighbour, on: try it.link("near"), from: nil)
      try it.run("/usr/bin/python3", ["-c", Self.flood])
      #expect(try question.receive(limit: 100, before: LinuxClock().now) == nil)
      #expect(try question.receive(limit: 100, before: LinuxClock().now) == [2, 0, 0, 0, 0, 9])
    }
  }
}
