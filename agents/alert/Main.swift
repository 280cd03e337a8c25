import Glibc
import Host
import LinuxHost
import Systemd

/// Pacemaker's alert agent: called once for each recipient, as the user hacluster, with everything in the environment.
/// It always ends with 0: nobody could do anything about another status.
@main enum Main {
  static func main() {
    let arguments = Array(CommandLine.arguments.dropFirst())
    if !arguments.isEmpty { exit(byHand(arguments)) }
    runUnfailing(within: 15) { host, environment, lastWord in
      var delivery = delivery(on: host)
      delivery.lastWord = { fields in
        if let fields { lastWord.prepare(Journal.datagram(fields), to: Journal.socket) } else { lastWord.takeBack() }
      }
      delivery.deliver(environment)
    }
  }

  private static func delivery(on host: Host) -> Delivery {
    Delivery(host: host) { fields in
      // Where there is no journal there is nobody to complain to.
      do throws(SystemError) { try Journal().send(fields) } catch {}
    }
  }

  /// `--test RECIPIENT [OPTION=VALUE …]`: sends a test, and says what became of it.
  private static func byHand(_ arguments: [String]) -> Int32 {
    let options = arguments.dropFirst(2).map { $0.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init) }
    guard arguments.count >= 2, arguments[0] == "--test", options.allSatisfy({ $0.count == 2 }) else {
      print("usage: vpnha-alert --test RECIPIENT|- [format=json|slack|alertmanager|pagerduty] [routing_key_file=FILE]")
      return 2
    }
    // The address may be a secret, and arguments are none.
    let recipient = arguments[1] == "-" ? readLine() ?? "" : arguments[1]
    do throws(Webhook.Problem) {
      let answer = try delivery(on: .silent).test(recipient, Dictionary(options.map { ($0[0], $0[1]) }) { $1 })
      print("delivered: \(answer)")
      return 0
    } catch {
      print("not delivered: \(error)")
      return 1
    }
  }
}
