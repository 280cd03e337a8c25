import Daemon
import Host
import Ledger
import OCF
import RADIUS

/// The accounts of sessions that ended without a Stop, because their gateway lost power, was fenced, or its pppds were killed.
extension XL2TPD {
  /// How long all servers together may take. Promote waits for that long at the most, and goes on whatever they say.
  static let accountingPatience = Duration.milliseconds(300)

  /// Tells the accounting servers that none of the sessions they have from this address is left.
  ///
  /// To be called while no session can begin: a server ends the accounts of those, too.
  func closeOldAccounts(at gateway: IPAddress, _ call: Call) {
    guard !radius.isEmpty, !hasAccountsThatGoOn(at: gateway, call) else { return }
    do throws(OCFError) {
      let silent = try announceStart(at: gateway, try accountingSecret(call), call)
      guard !silent.isEmpty else { return }
      let names = silent.map(\.description).joined(separator: " ")
      call.log.warning(
        "radius: \(names) did not confirm that old sessions are over: their accounts stay open until the server closes them",
        ("VPNHA_RADIUS", names))
    } catch {
      call.log.warning("old sessions' accounts stay open: \(error.reason)")
    }
  }

  /// Whether a ledger of sessions goes on with accounts of the node that served before, and ends those of the sessions that it cannot
  /// carry on, each by a Stop.
  private func hasAccountsThatGoOn(at gateway: IPAddress, _ call: Call) -> Bool {
    do throws(SystemError) {
      for ledger in try LedgerControl.all(call.host.files) {
        do throws(SystemError) {
          _ = try ledger.ask("accounts \(gateway)", on: call.host, before: call.within(Self.accountingPatience).deadline)
          return true
        } catch { call.log.debug("\(error)") }
      }
    } catch { call.log.debug("\(error)") }
    return false
  }

  func accountingSecret(_ call: Call) throws(OCFError) -> SharedSecret {
    guard let path = radiusSecretFile?.description else { throw .misconfigured("radius_secret_file: is required with radius") }
    return try attempt("radius_secret_file", try SharedSecret(ofFile: path, call.host.files))
  }

  /// Asks all servers at once, and once more those that have not answered half-way.
  ///
  /// - Returns: those that never did.
  private func announceStart(at gateway: IPAddress, _ secret: SharedSecret, _ call: Call) throws(OCFError) -> [IPAddress] {
    var generator = SystemRandomNumberGenerator()
    let request = AccountingOn(
      identifier: UInt8.random(in: 0...255, using: &generator), gateway: gateway, name: radiusNasIdentifier,
      session: UInt64.random(in: 0 ... .max, using: &generator), secret: secret)
    var open: [(server: IPAddress, socket: any DatagramSocket)] = []
    defer { for (_, socket) in open { socket.close() } }
    var silent: [IPAddress] = []
    for server in radius {
      do throws(SystemError) {
        // From where pppd's reports come (its `bindaddr`), which is an address that both nodes have in turn.
        let source = server.isIPv6 == gateway.isIPv6 ? gateway : nil
        open.append((server, try call.host.sockets.connect(toUDP: server, port: radiusPort.number, from: source)))
      } catch {
        call.log.debug("\(error)")
        silent.append(server)
      }
    }
    let start = call.host.clock.now
    let bytes = request.bytes
    for round in 1...2 {
      let end = min(call.deadline, start + Self.accountingPatience / 2 * round)
      for (_, socket) in open { send(bytes, to: socket, call) }
      while !open.isEmpty, call.host.clock.now < end {
        for index in try readable(open.map(\.socket), before: end, call).reversed() {
          switch outcome(of: request, open[index].socket, call) {
          case .unanswered: continue
          case .answered: break
          case .refused: silent.append(open[index].server)
          }
          open.remove(at: index).socket.close()
        }
      }
    }
    return silent + open.map(\.server)
  }

  private func send(_ bytes: [UInt8], to socket: any DatagramSocket, _ call: Call) {
    do throws(SystemError) { try socket.send(bytes) } catch { call.log.debug("\(error)") }
  }

  private func readable(_ sockets: [any DatagramSocket], before end: Instant, _ call: Call) throws(OCFError) -> [Int] {
    try attempt("radius", try call.host.sockets.wait(for: sockets, before: end))
  }

  private enum Outcome { case answered, unanswered, refused }

  private func outcome(of request: AccountingOn, _ socket: any DatagramSocket, _ call: Call) -> Outcome {
    do throws(SystemError) {
      guard let datagram = try socket.receive(limit: 4096, before: call.host.clock.now) else { return .unanswered }
      return request.isAnswered(by: datagram) ? .answered : .unanswered
    } catch  where error.errno == .messageTooLong {
      // No server's, and no reason to hear no more of the server.
      return .unanswered
    } catch {
      // Nobody listens there.
      call.log.debug("\(error)")
      return .refused
    }
  }
}
