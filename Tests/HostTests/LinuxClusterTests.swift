import Host
import HostTestKit
import LinuxHost
import Testing

@Suite struct LinuxClusterTests {
  let machine = InMemoryMachine()
  var cluster: LinuxCluster { LinuxCluster(processes: machine.processes, clock: machine.clock) }

  func answer(_ path: String, _ ending: CommandResult.Ending, _ output: String = "", error: String = "") {
    machine.processes.whenRun(path) { _ in
      CommandResult(ending, output: Array(output.utf8), error: Array(error.utf8))
    }
  }

  @Test func scores() throws {
    answer("/usr/sbin/attrd_updater", .exited(0))
    try cluster.setPromotionScore(1000, of: "vip")
    try cluster.setPromotionScore(nil, of: "vip")
    #expect(machine.processes.ran.map(\.arguments) == [["-n", "master-vip", "-U", "1000"], ["-n", "master-vip", "-D"]])
  }

  @Test func sharing() throws {
    let text = """
      name="vpnha-epoch-ipsec" host="moon" value="4"
      name="vpnha-epoch-ipsec" host="sun" value=""
      name="vpnha-epoch-ipsec" host="cut
      nonsense

      """
    answer("/usr/sbin/attrd_updater", .exited(0), text)
    #expect(try cluster.nodeAttribute("vpnha-epoch-ipsec") == ["moon": "4", "sun": ""])
    try cluster.share("5", as: "vpnha-epoch-ipsec", on: nil)
    try cluster.share("5", as: "vpnha-epoch-ipsec", on: "sun")
    #expect(
      machine.processes.ran.map(\.arguments) == [
        ["-n", "vpnha-epoch-ipsec", "-Q", "-A"], ["-n", "vpnha-epoch-ipsec", "-p", "-U", "5"],
        ["-n", "vpnha-epoch-ipsec", "-p", "-U", "5", "-N", "sun"],
      ])
    for status: Int32 in [78, 105] {
      answer("/usr/sbin/attrd_updater", .exited(status), error: "attrd_updater: Could not query value of x: attribute does not exist\n")
      #expect(try cluster.nodeAttribute("x") == [:])
      #expect(failure { try cluster.share("5", as: "x", on: nil) } != nil)
    }
  }

  @Test func members() throws {
    answer("/usr/sbin/crm_node", .exited(0), "1 moon member\n2 sun lost\n3 star \n4 comet member\n")
    #expect(try cluster.members() == ["moon", "comet"])
    #expect(machine.processes.ran.map(\.arguments) == [["-l"]])
    answer("/usr/sbin/crm_node", .exited(102))
    #expect(failure { _ = try cluster.members() }?.errno == .connectionRefused)
  }

  @Test func attributesOfAllNodes() throws {
    answer(
      "/usr/sbin/attrd_updater", .exited(0),
      """
      name="firewall-digest" host="moon" value="00ff"
      name="firewall-digest" host="sun" value=""
      something else
      name="firewall-digest" host="half
      """)
    #expect(try cluster.nodeAttribute("firewall-digest") == ["moon": "00ff", "sun": ""])
    answer("/usr/sbin/attrd_updater", .exited(105), error: "attrd_updater: Could not query value: attribute does not exist")
    #expect(try cluster.nodeAttribute("firewall-digest") == [:])
    answer("/usr/sbin/attrd_updater", .exited(102))
    #expect(failure { _ = try cluster.nodeAttribute("firewall-digest") }?.errno == .connectionRefused)
    #expect(machine.processes.ran.first?.arguments == ["-n", "firewall-digest", "-Q", "-A"])
  }

  @Test func failures() {
    #expect(
      failure { try cluster.setPromotionScore(5, of: "vip") }
        == SystemError(
          "setting the promotion score of vip", .noSuchFile,
          detail: "/usr/sbin/attrd_updater is missing (package pacemaker-cli-utils)"))
    let endings: [(CommandResult.Ending, Errno)] = [
      (.exited(102), .connectionRefused), (.exited(1), .io), (.exited(4), .accessDenied), (.exited(64), .invalidArgument),
      (.exited(124), .timedOut), (.timedOut, .timedOut), (.signalled(11), .io),
    ]
    for (ending, errno) in endings {
      answer("/usr/sbin/attrd_updater", ending, error: "Could not connect\nmore")
      #expect(failure { try cluster.setPromotionScore(5, of: "vip") }?.errno == errno)
    }
  }

  /// The real tools on a machine without a cluster: they fail, and in time.
  @Test(.enabled(if: LinuxFiles().isExecutable("/usr/sbin/attrd_updater"), "Pacemaker's tools are not installed"))
  func outsideACluster() throws {
    let cluster = LinuxCluster(processes: LinuxProcesses(), clock: LinuxClock(), patience: .seconds(2))
    let error = try #require(failure { try cluster.setPromotionScore(5, of: "vpnha-test") })
    #expect([.connectionRefused, .timedOut].contains(error.errno), "\(error)")
    #expect(failure { _ = try cluster.nodeAttribute("vpnha-test") } != nil)
    #expect(failure { _ = try cluster.members() } != nil)
  }
}
