import Glibc
import Host
import L2TP
import LinuxHost
import Testing

/// Two stock xl2tpd; the one that was called is killed, and its client is told by a program that knows nothing but the two numbers
/// of the tunnel.
@Suite("Farewell to a real client", .enabled(if: noNamespaces == nil, Comment(rawValue: noNamespaces ?? "")))
struct FarewellToClientTests {
  private static let daemons = """
    set -eu
    cd "$1"
    ip address add 192.0.2.1/32 dev lo
    ip address add 192.0.2.2/32 dev lo
    printf '[global]\\nlisten-addr = 192.0.2.1\\n[lns default]\\nip range = 10.9.0.10-10.9.0.20\\nlocal ip = 10.9.0.1\\n' >server.conf
    printf '[global]\\nlisten-addr = 192.0.2.2\\n' >client.conf
    for name in server client; do
      xl2tpd -D -c $name.conf -p $name.pid -C $name.control >$name.log 2>&1 </dev/null &
      echo $! >$name
    done
    try() { for _ in $(seq 200); do eval "$1" && return; sleep 0.05; done; cat *.log; return 1; }
    try 'grep -q "^.*Listening on" server.log && grep -q "^.*Listening on" client.log && [ -p client.control ]'
    echo 't 192.0.2.1' >client.control
    try 'grep -q "Connection established" server.log && grep -q "Connection established" client.log'
    kill -KILL $(cat server)
    wait $(cat server) || :
    sed -n 's/.*Connection established.*Local: \\([0-9]*\\), Remote: \\([0-9]*\\).*/\\1 \\2/p' server.log
    """

  @Test("A client whose gateway was killed learns it at once, and acknowledges")
  func told() throws {
    try PrivateNetwork.run { it in
      let folder = try it.run("/usr/bin/mktemp", ["-d"]).filter { !$0.isWhitespace }
      defer {
        let ending = "cd \"$1\" && kill -KILL $(cat client) || :; rm -r \"$1\""
        _ = try? it.run("/bin/sh", ["-c", ending, "sh", folder])
      }
      let numbers = try it.run("/bin/sh", ["-c", Self.daemons, "sh", folder]).split(whereSeparator: \.isWhitespace).compactMap { UInt16($0) }
      try #require(numbers.count == 2)
      let socket = try Self.socket(from: "192.0.2.1", to: "192.0.2.2")
      defer { close(socket) }

      let clock = LinuxClock()
      var farewell = Farewell(tunnel: numbers[0], peerTunnel: numbers[1])
      var buffer = [UInt8](repeating: 0, count: 4096)
      while farewell.outcome == nil {
        if let message = farewell.due(at: clock.now) { send(socket, message, message.count, 0) }
        guard let deadline = farewell.deadline else { break }
        var request = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
        guard poll(&request, 1, Int32(max(0, min(1000, (deadline - clock.now) / .milliseconds(1))))) > 0 else { continue }
        let count = recv(socket, &buffer, buffer.count, 0)
        guard count > 0 else { continue }
        if let answer = farewell.receive(Array(buffer.prefix(count))) { send(socket, answer, answer.count, 0) }
      }
      #expect(farewell.outcome == .told)
      let said = try it.run("/bin/cat", ["\(folder)/client.log"])
      #expect(said.contains("Connection closed to 192.0.2.1"), "\(said)")
    }
  }

  /// From port 1701 to port 1701.
  private static func socket(from source: String, to peer: String) throws -> Int32 {
    let number = Glibc.socket(AF_INET, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0)
    func place(_ text: String) -> sockaddr_in {
      var place = sockaddr_in()
      place.sin_family = UInt16(AF_INET)
      place.sin_port = UInt16(1701).bigEndian
      place.sin_addr.s_addr = inet_addr(text)
      return place
    }
    func call(_ function: (Int32, UnsafePointer<sockaddr>, socklen_t) -> Int32, _ place: sockaddr_in) -> Bool {
      withUnsafeBytes(of: place) { bytes in
        bytes.withMemoryRebound(to: sockaddr.self) { all in
          all.baseAddress.map { function(number, $0, socklen_t(bytes.count)) == 0 } ?? false
        }
      }
    }
    guard number >= 0, call(bind, place(source)), call(connect, place(peer)) else {
      throw SystemError("opening a socket from \(source) to \(peer)", Errno(rawValue: Glibc.errno))
    }
    return number
  }
}
