/// The recipes for crmsh, a file each. crmsh adds no monitors by itself, so every one of them is here.
extension Recipe {
  var hasCrm: Bool { crmFile != nil }

  var crm: String {
    """
    cat >vpn.crm <<'END'
    \(crmFile ?? "")
    END
    crm configure load update vpn.crm
    """
  }

  private var crmFile: String? {
    switch name {
    case .promotable, .seamless: crmStandby
    case .twoAddresses: crmTwoAddresses
    case .balanced: crmBalanced
    case .libreswan: crmLibreswan
    case .probe: crmProbe
    case .announce: crmAnnounce
    case .alert: "alert vpnha /usr/libexec/vpnha/vpnha-alert to { \"\(values.receiver)\" attributes format=\(values.format) }"
    case .cluster, .group, .firewall: nil
    }
  }

  private var crmProbe: String {
    let targets = targets.map { "\($0.name)=\"\($0.value)\"" }
    return """
      primitive path ocf:vpnha:probe \\
        params \((targets + ["vip=\(values.address)"]).joined(separator: " ")) \\
      \(Self.plain)
      clone path-clone path meta failure-timeout=30s
      location vpn-clone-path vpn-clone rule $role=Promoted 1000: not_defined vpnha-path or vpnha-path gt 0
      """
  }

  private var crmAnnounce: String {
    """
    primitive announce ocf:vpnha:announce \\
      params \((["prefixes=\(values.address)"] + announcer).joined(separator: " ")) \\
    \(Self.actions(start: 20, stop: 20, promote: 20, demote: 20)) \\
    \(Self.monitors)
    clone announce-clone announce meta promotable=true promoted-max=1 clone-max=2 interleave=true notify=false failure-timeout=30s migration-threshold=3
    order announce-last Mandatory: vpn-clone:promote announce-clone:promote
    colocation announce-with-vpn inf: announce-clone:Promoted vpn-clone:Promoted
    """
  }

  private var crmCluster: String {
    let v = values
    let fences =
      v.fence.flatMap { fence in
        ["primitive fence-\(fence.node) stonith:\(v.fenceAgent) params ip=\(fence.device) username=\(v.fenceUser) \(v.fencePasswordScript.map { "password_script=\($0)" } ?? "password=secret") pcmk_host_list=\(fence.node) op monitor interval=60s"]
      } + v.fence.map { "location fence-\($0.node)-elsewhere fence-\($0.node) -inf: \($0.node)" }
    return """
      property stonith-enabled=true \(Self.pace.joined(separator: " "))\(v.hasQuorumDevice ? "" : " priority-fencing-delay=5s")
      rsc_defaults resource-stickiness=100
      \(fences.joined(separator: "\n"))
      """
  }

  private static func crmVIP(_ suffix: String, _ address: String, _ prefix: Int, _ nic: String) -> String {
    """
    primitive vip\(suffix) ocf:vpnha:vip \\
      params ip=\(address) cidr_netmask=\(prefix) nic=\(nic) \\
    \(actions(start: 20, stop: 20, promote: 20, demote: 20)) \\
      op monitor interval=10s timeout=20s role=Promoted \\
      op monitor interval=60s timeout=20s role=Promoted OCF_CHECK_LEVEL=10 \\
      op monitor interval=11s timeout=20s role=Unpromoted \\
      op monitor interval=61s timeout=20s role=Unpromoted OCF_CHECK_LEVEL=10
    """
  }

  private static func crmServer(_ suffix: String, _ parameters: [String]) -> String {
    """
    primitive xl2tpd\(suffix) ocf:vpnha:xl2tpd \\
      params \(parameters.joined(separator: " ")) \\
    \(actions(start: 30, stop: 40, promote: 20, demote: 40)) \\
    \(monitors)
    """
  }

  /// Cluster and two addresses in one.
  private var crmTwoAddresses: String {
    let shared = """
      primitive strongswan ocf:vpnha:strongswan \\
        params connections="\(connectionsOfBoth)" \\
        op start interval=0 timeout=60s \\
        op stop interval=0 timeout=60s \\
        op monitor interval=10s timeout=20s \\
        op monitor interval=60s timeout=20s OCF_CHECK_LEVEL=10
      clone strongswan-clone strongswan meta interleave=true failure-timeout=30s
      primitive firewall ocf:vpnha:firewall \\
        params address="\(addresses)" outside=\(values.nic) pool="\(pools)" nat=true nat_address="\(addresses)" \\
      \(Self.plain) \\
        op monitor interval=60s timeout=20s OCF_CHECK_LEVEL=10
      clone firewall-clone firewall meta interleave=true failure-timeout=30s
      primitive path ocf:vpnha:probe \\
        params \(targets.map { "\($0.name)=\"\($0.value)\"" }.joined(separator: " ")) \\
      \(Self.plain)
      clone path-clone path meta failure-timeout=30s
      """
    let each = gateways.map { one in
      """
      \(Self.crmVIP(one.suffix, one.address, one.prefix, values.nic))
      \(Self.crmServer(one.suffix, ["address=\(one.address)", "launcher=direct"] + one.files))
      group \(one.vpn) vip\(one.suffix) xl2tpd\(one.suffix)
      clone \(one.vpn)-clone \(one.vpn) meta promotable=true promoted-max=1 clone-max=2 interleave=true notify=false failure-timeout=30s\(one.priority.map { " \($0)" }.joined())
      order strongswan-then-\(one.vpn) Mandatory: strongswan-clone:start \(one.vpn)-clone:start
      colocation \(one.vpn)-with-strongswan inf: \(one.vpn)-clone strongswan-clone
      order firewall-then-\(one.vpn) Optional: firewall-clone:start \(one.vpn)-clone:promote
      colocation \(one.vpn)-with-firewall inf: \(one.vpn)-clone firewall-clone
      location \(one.vpn)-clone-path \(one.vpn)-clone rule $role=Promoted 1000: not_defined vpnha-path or vpnha-path gt 0
      location \(one.vpn)-clone-home \(one.vpn)-clone rule $role=Promoted 500: #uname eq \(one.home) and date spec hours=\(values.homeHour)
      """
    }
    return ([crmCluster, shared] + each).joined(separator: "\n")
  }

  /// Cluster and warm standby in one, with or without the ledger of sessions.
  private var crmStandby: String {
    let v = values
    let isSeamless = name == .seamless
    let sessions =
      !isSeamless
      ? ""
      : """

      primitive sessions ocf:vpnha:sessions \\
        params address=\(v.address) \\
      \(Self.actions(start: 20, stop: 20, promote: 20, demote: 20)) \\
      \(Self.monitors)
      clone sessions-clone sessions meta promotable=true promoted-max=1 clone-max=2 interleave=true notify=false failure-timeout=30s migration-threshold=3
      """
    return """
      \(crmCluster)
      \(Self.crmVIP("", v.address, v.prefix, v.nic))
      primitive strongswan ocf:vpnha:strongswan \\
        params connections=\(crmConnections) address=\(v.address) \\
      \(Self.actions(start: 60, stop: 60, promote: 30, demote: 30)) \\
      \(Self.monitors)
      \(Self.crmServer("", ["address=\(v.address)"]))
      group vpn vip strongswan xl2tpd
      clone vpn-clone vpn meta promotable=true promoted-max=1 clone-max=2 interleave=true notify=false failure-timeout=30s priority=10
      primitive conntrackd ocf:vpnha:conntrackd \\
      \(Self.actions(start: 30, stop: 30, promote: 30, demote: 30)) \\
      \(Self.monitors)
      clone conntrackd-clone conntrackd meta promotable=true promoted-max=1 clone-max=2 interleave=true notify=false failure-timeout=30s migration-threshold=3\(sessions)
      primitive firewall ocf:vpnha:firewall \\
        params address=\(v.address) outside=\(v.nic) pool=\(v.pool) nat=true \\
      \(Self.plain) \\
        op monitor interval=60s timeout=20s OCF_CHECK_LEVEL=10
      clone firewall-clone firewall meta interleave=true failure-timeout=30s
      order conntrackd-first Optional: conntrackd-clone:promote vpn-clone:promote\(isSeamless ? " symmetrical=false\norder sessions-first Optional: sessions-clone:start vpn-clone:promote" : "")
      order firewall-first Optional: firewall-clone:start vpn-clone:promote
      colocation vpn-with-firewall inf: vpn-clone firewall-clone
      \((isSeamless ? ["conntrackd", "sessions"] : ["conntrackd"]).map(Self.follows).joined(separator: "\n"))
      """
  }

  /// Of one role.
  private static func crmPlain(_ name: String, _ parameters: String, start: Int, stop: Int, interval: Int = 12) -> String {
    """
    primitive \(name) ocf:vpnha:\(name) \\
      params \(parameters) \\
      op start interval=0 timeout=\(start)s \\
      op stop interval=0 timeout=\(stop)s \\
      op monitor interval=\(interval)s timeout=20s \\
      op monitor interval=\(interval + 50)s timeout=20s OCF_CHECK_LEVEL=10
    """
  }

  private var crmConnections: String { values.connections.contains(" ") ? "\"\(values.connections)\"" : values.connections }

  /// Cluster, the gateways and what hands their clients out in one.
  private var crmBalanced: String {
    let v = values
    return """
      \(crmCluster)
      \(Self.crmPlain("vip", "ip=\(v.address) cidr_netmask=32 nic=lo", start: 20, stop: 20))
      \(Self.crmPlain("strongswan", "connections=\(crmConnections) address=\(v.address)", start: 60, stop: 60))
      \(Self.crmPlain("xl2tpd", "address=\(v.address)", start: 30, stop: 40))
      group vpn vip strongswan xl2tpd
      clone vpn-clone vpn meta interleave=true failure-timeout=30s
      primitive balancer ocf:vpnha:balancer \\
        params address=\(v.address) nic=\(v.nic) sync_nic=\(v.syncNic) servers="\(v.servers.joined(separator: " "))" \\
      \(Self.actions(start: 20, stop: 20, promote: 20, demote: 20)) \\
        op notify interval=0 timeout=20s \\
        op monitor interval=10s timeout=20s role=Promoted \\
        op monitor interval=11s timeout=20s role=Unpromoted \\
        op monitor interval=15s timeout=20s role=Promoted OCF_CHECK_LEVEL=10 \\
        op monitor interval=16s timeout=20s role=Unpromoted OCF_CHECK_LEVEL=10
      clone balancer-clone balancer meta promotable=true promoted-max=1 interleave=true notify=true failure-timeout=30s priority=10
      order vpn-then-balancer Mandatory: vpn-clone:start balancer-clone:start
      colocation balancer-with-vpn inf: balancer-clone vpn-clone
      """
  }

  /// Cluster and the group of pluto's in one.
  private var crmLibreswan: String {
    let v = values
    return """
      \(crmCluster)
      \(Self.crmPlain("vip", "ip=\(v.address) cidr_netmask=\(v.prefix) nic=\(v.nic)", start: 20, stop: 20))
      \(Self.crmPlain("libreswan", "connections=\(crmConnections) address=\(v.address)", start: 60, stop: 60, interval: 10))
      \(Self.crmPlain("xl2tpd", "address=\(v.address)", start: 30, stop: 40))
      group vpn vip libreswan xl2tpd meta failure-timeout=30s priority=10
      primitive firewall ocf:vpnha:firewall \\
        params address=\(v.address) outside=\(v.nic) pool=\(v.pool) nat=true \\
      \(Self.plain) \\
        op monitor interval=60s timeout=20s OCF_CHECK_LEVEL=10
      clone firewall-clone firewall meta interleave=true failure-timeout=30s
      order firewall-first Optional: firewall-clone:start vpn:start
      colocation vpn-with-firewall inf: vpn firewall-clone
      """
  }

  /// The script around it, as for pcs. crmsh replaces what is there under the same name, so nothing may be.
  var crmScript: String {
    let length = values.address.contains(":") ? 128 : 32
    let conditions =
      makes.map { "! grep -q '<primitive id=\"\($0)\"' vpn.xml || refuse 'there is a resource \($0) already'" }
      + (name == .alert ? ["! grep -q '<alert id=\"vpnha\"' vpn.xml || refuse 'there is an alert vpnha already'"] : [])
      + (needed.map { ["grep -q 'id=\"\($0)\"' vpn.xml || refuse 'there is no \($0) yet: vpnha recipe promotable --crm'"] } ?? [])
      + (name == .announce
        ? ["[ \"$(crm_resource -r vip -g cidr_netmask 2>/dev/null)\" = \(length) ] || refuse 'vip must hold the whole address: crm resource param vip set cidr_netmask \(length), which restarts it'"] : [])
    return """
      #!/bin/sh
      # vpnha recipe \(name.rawValue) --crm: \(needsInterface ? "fencing, and " : "")\(name.about)
      set -eu
      refuse() { echo "nothing was changed: $1" >&2; exit 1; }
      [ "$(id -u)" = 0 ] || refuse 'run this as root'
      \(needsInterface ? "[ -e /sys/class/net/\(values.nic) ] || refuse 'there is no interface \(values.nic) on this node'\n" : "")\
      cibadmin --query >/dev/null 2>&1 || refuse 'the cluster does not answer here: crm cluster start'
      folder=$(mktemp -d)
      trap 'rm -rf "$folder"' EXIT
      cd "$folder"
      cibadmin --query >vpn.xml
      \(conditions.joined(separator: "\n"))
      \(crm)
      """
  }

  private static func follows(_ name: String) -> String {
    "xml <rsc_colocation id=\"\(name)-with-vpn\" rsc=\"\(name)-clone\" rsc-role=\"Promoted\" with-rsc=\"vpn-clone\" with-rsc-role=\"Promoted\" score=\"INFINITY\" influence=\"false\"/>"
  }

  /// Of a resource that is not promoted.
  private static let plain = """
      op start interval=0 timeout=20s \\
      op stop interval=0 timeout=20s \\
      op monitor interval=10s timeout=20s
    """

  /// By their timeouts in seconds.
  private static func actions(start: Int, stop: Int, promote: Int, demote: Int) -> String {
    [("start", start), ("stop", stop), ("promote", promote), ("demote", demote)].map { "  op \($0.0) interval=0 timeout=\($0.1)s" }.joined(separator: " \\\n")
  }

  private static let monitors = """
      op monitor interval=10s timeout=20s role=Promoted \\
      op monitor interval=11s timeout=20s role=Unpromoted \\
      op monitor interval=60s timeout=20s role=Promoted OCF_CHECK_LEVEL=10 \\
      op monitor interval=61s timeout=20s role=Unpromoted OCF_CHECK_LEVEL=10
    """
}
