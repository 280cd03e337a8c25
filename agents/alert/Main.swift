import Host
import LinuxHost
import Systemd

/// Pacemaker's alert agent: called once for each recipient, as the user hacluster, with everything in the environment.
/// It always ends with 0: nobody could do anything about another status.
@main enum Main {
  static func main() {
    runUnfailing(within: 15) { host, environment in
      Delivery(host: host) { fields in
        // Where there is no journal there is nobody to complain to.
        do throws(SystemError) { try Journal().send(fields) } catch {}
      }.deliver(environment)
    }
  }
}
