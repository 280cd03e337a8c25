import ArgumentParser
import Glibc
import Host
import L2TP
import LinuxHost
import Sessions

struct SessionsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "sessions",
    abstract: "List the L2TP sessions of this node: who, with which addresses, since when, and what went through.",
    discussion: """
      Asks the kernel and pppd, not xl2tpd: it works when the daemon hangs, and finds sessions whose daemon is gone. IN and \
      OUT are bytes from the client and to it. What is not known is shown as -, and is null in JSON: a session that is \
      still being set up has no address, and without the kernel's L2TP the outer address is known only with "pass peer = \
      yes" in xl2tpd's configuration.
      """)

  @Flag(help: "One JSON object in place of a table.")
  var json = false
  @Option(help: ArgumentHelp("xl2tpd's configuration, which tells its sessions from others.", valueName: "file"))
  var config = "/etc/xl2tpd/xl2tpd.conf"

  func run() throws {
    // Others see no program behind a process, and would be told that there is no session.
    guard geteuid() == 0 else {
      throw SystemError("listing sessions", .notPermitted, detail: "only root sees which programs run")
    }
    let host = Host.silent
    let report = SessionReport(try SessionInventory(marks(host.files)).sessions(on: host))
    print(json ? report.json : report.table)
  }

  /// A file that cannot be read is no reason to show nothing: the sessions of a daemon that runs are known by their parent.
  private func marks(_ files: any Files) -> SessionMarks {
    do {
      guard let bytes = try files.read(config, limit: 1 << 20) else { return SessionMarks() }
      return SessionMarks(try XL2TPDConfiguration(bytes))
    } catch {
      let warning = Array("vpnha: \(config): \(error): sessions whose xl2tpd is gone may be missing\n".utf8)
      _ = write(2, warning, warning.count)
      return SessionMarks()
    }
  }
}
