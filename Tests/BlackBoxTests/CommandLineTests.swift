import Host
import Testing

/// `vpnha` as an operator types it, with the agents beside it.
struct CommandLineTests {
  func vpnha(_ words: String..., environment: [String: String] = [:]) throws -> Answer {
    try Answer(Command("\(Built.folder)/vpnha", words, environment: environment, outputLimit: 1_048_576), within: .seconds(30))
  }

  @Test("the call, the outcome, the reason and the consequence are shown; the status is the agent's")
  func explained() throws {
    let answer = try vpnha("run", "vip", "validate-all", "ip=nonsense")
    #expect(answer.status == 6)
    #expect(answer.output.contains("OCF_RESKEY_ip=nonsense \\\n"))
    #expect(answer.output.contains("\(Built.folder)/vip validate-all\n"))
    #expect(answer.output.contains("6 OCF_ERR_CONFIGURED, after "))
    #expect(answer.output.contains("\nreason: ip: "))
    #expect(answer.output.contains("\nthe cluster: "))
    #expect(try vpnha("run", "vip", "validate-all", "ip=192.0.2.10", "nic=v0").status == 0)
    #expect(try vpnha("run", "vip", "frobnicate", "ip=192.0.2.10").status == 3)
  }

  @Test("the timeout is the one the agent advises, unless another is asked for")
  func timeout() throws {
    let advised = try vpnha("run", "conntrackd", "validate-all").output
    #expect(advised.contains("OCF_RESKEY_CRM_meta_timeout=20000 "))
    #expect(try vpnha("run", "conntrackd", "validate-all", "--timeout", "7").output.contains("OCF_RESKEY_CRM_meta_timeout=7000 "))
  }

  @Test("meta-data comes out alone, as the agent prints it")
  func metaData() throws {
    let answer = try vpnha("run", "strongswan", "meta-data")
    #expect(answer.status == 0)
    #expect(answer.output == (try Agent.strongswan.answer(["meta-data"])).output)
  }

  @Test("no secret is shown, wherever it came from")
  func secrets() throws {
    let typed = try vpnha("run", "xl2tpd", "validate-all", "test_password=open sesame")
    #expect(!(typed.output + typed.error).contains("sesame"))
    let inherited = try vpnha("run", "xl2tpd", "validate-all", environment: ["OCF_RESKEY_test_password": "open sesame"])
    #expect(inherited.output.contains("OCF_RESKEY_test_password=<secret>"))
    #expect(!(inherited.output + inherited.error).contains("sesame"))
  }

  @Test("a wrong call is 64, with what was wrong", arguments: [
    ["run"], ["run", "vip"], ["run", "nobody", "start"], ["run", "vip", "start", "ip"], ["run", "vip", "start", "--timeout", "0"],
    ["metadata", "nobody"],
  ])
  func usage(_ words: [String]) throws {
    let answer = try Answer(Command("\(Built.folder)/vpnha", words), within: .seconds(30))
    #expect(answer.status == 64)
    #expect(!answer.error.isEmpty)
  }

  @Test("the recorded meta-data is what the agents say; another recording is noticed, shown and mended")
  func recordings() throws {
    let same = try vpnha("metadata", "--folder", "\(Built.checkout)/metadata")
    #expect(same.status == 0, "\(same.output)\(same.error)")
    let script = """
      set -eu
      folder=$(mktemp -d)
      trap 'rm -rf "$folder"' EXIT
      cp '\(Built.checkout)'/metadata/*.xml "$folder"
      sed -i s/Default/Else/ "$folder/vip.xml"
      ! '\(Built.folder)/vpnha' metadata --folder "$folder" vip
      ! '\(Built.folder)/vpnha' metadata --write --folder "$folder"
      '\(Built.folder)/vpnha' metadata --folder "$folder"
      cmp "$folder/vip.xml" '\(Built.checkout)/metadata/vip.xml'
      """
    let answer = try Answer(Command("/bin/bash", ["-c", script]), within: .seconds(30))
    #expect(answer.status == 0, "\(answer.output)\(answer.error)")
    #expect(answer.output.contains("vip.xml: line "))
    #expect(answer.output.contains("vip.xml: recorded; review the difference"))
  }

  @Test("where there is no session the count is 0; who may not look is told so", .needsNamespaces, .needs("/usr/sbin/runuser"))
  func sessions() throws {
    let script = """
      set -eu
      install -m 755 '\(Built.folder)/vpnha' /run/vpnha
      [ "$(/run/vpnha sessions)" = '0 sessions' ]
      [ "$(/run/vpnha sessions --json --config /dev/null 2>/run/said)" = '{"count":0,"sessions":[]}' ]
      grep -q 'not a regular file' /run/said
      printf 'nonsense\\n' >/run/config
      [ "$(/run/vpnha sessions --config /run/config 2>/run/said)" = '0 sessions' ]
      grep -q 'line 1: a setting outside of a section: sessions whose xl2tpd is gone may be missing' /run/said
      ! runuser -u nobody -- /run/vpnha sessions 2>/run/said
      grep -q 'only root sees which programs run' /run/said
      """
    let answer = try Sandbox.run(["bash", "-c", script])
    #expect(answer.status == 0, "\(answer.output)\(answer.error)")
  }
}
