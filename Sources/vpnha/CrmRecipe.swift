extension Recipe {
  /// Cluster and warm standby for crmsh, in one file, with or without the ledger of sessions. crmsh adds no monitors by itself, so every
  /// one of them is here.
  var crm: String {
    let v = values
    let fences =
      v.fence.flatMap { fence in
        ["primitive fence-\(fence.node) stonith:\(v.fenceAgent) params ip=\(fence.device) username=\(v.fenceUser) \(v.fencePasswordScript.map { "password_script=\($0)" } ?? "password=secret") pcmk_host_list=\(fence.node) op monitor interval=60s"]
      } + v.fence.map { "location fence-\($0.node)-elsewhere fence-\($0.node) -inf: \($0.node)" }
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
      cat >vpn.crm <<'END'
      property stonith-enabled=true \(Self.unthrottled.joined(separator: " "))\(v.hasQuorumDevice ? "" : " priority-fencing-delay=5s")
      rsc_defaults resource-stickiness=100
      \(fences.joined(separator: "\n"))
      primitive vip ocf:vpnha:vip \\
        params ip=\(v.address) cidr_netmask=\(v.prefix) nic=\(v.nic) \\
      \(Self.actions(start: 20, stop: 20, promote: 20, demote: 20)) \\
        op monitor interval=10s timeout=20s role=Promoted \\
        op monitor interval=60s timeout=20s role=Promoted OCF_CHECK_LEVEL=10 \\
        op monitor interval=11s timeout=20s role=Unpromoted \\
        op monitor interval=61s timeout=20s role=Unpromoted OCF_CHECK_LEVEL=10
      primitive strongswan ocf:vpnha:strongswan \\
        params connections=\(v.connections.contains(" ") ? "\"\(v.connections)\"" : v.connections) address=\(v.address) \\
      \(Self.actions(start: 60, stop: 60, promote: 30, demote: 30)) \\
      \(Self.monitors)
      primitive xl2tpd ocf:vpnha:xl2tpd \\
        params address=\(v.address) \\
      \(Self.actions(start: 30, stop: 40, promote: 20, demote: 40)) \\
      \(Self.monitors)
      group vpn vip strongswan xl2tpd
      clone vpn-clone vpn meta promotable=true promoted-max=1 clone-max=2 interleave=true notify=false failure-timeout=30s priority=10
      primitive conntrackd ocf:vpnha:conntrackd \\
      \(Self.actions(start: 30, stop: 30, promote: 30, demote: 30)) \\
      \(Self.monitors)
      clone conntrackd-clone conntrackd meta promotable=true promoted-max=1 clone-max=2 interleave=true notify=false failure-timeout=30s migration-threshold=3\(sessions)
      primitive firewall ocf:vpnha:firewall \\
        params address=\(v.address) outside=\(v.nic) pool=\(v.pool) nat=true \\
        op start interval=0 timeout=20s \\
        op stop interval=0 timeout=20s \\
        op monitor interval=10s timeout=20s \\
        op monitor interval=60s timeout=20s OCF_CHECK_LEVEL=10
      clone firewall-clone firewall meta interleave=true failure-timeout=30s
      order conntrackd-first Optional: conntrackd-clone:promote vpn-clone:promote\(isSeamless ? " symmetrical=false" : "")
      order firewall-first Optional: firewall-clone:start vpn-clone:promote
      colocation vpn-with-firewall inf: vpn-clone:Promoted firewall-clone
      \((isSeamless ? ["conntrackd", "sessions"] : ["conntrackd"]).map(Self.follows).joined(separator: "\n"))
      END
      crm configure load update vpn.crm
      """
  }

  /// The script around it, as for pcs. crmsh replaces what is there under the same name, so nothing may be.
  var crmScript: String {
    """
    #!/bin/sh
    # vpnha recipe \(name.rawValue) --crm: fencing, and \(name.about)
    set -eu
    refuse() { echo "nothing was changed: $1" >&2; exit 1; }
    [ "$(id -u)" = 0 ] || refuse 'run this as root'
    [ -e /sys/class/net/\(values.nic) ] || refuse 'there is no interface \(values.nic) on this node'
    cibadmin --query >/dev/null 2>&1 || refuse 'the cluster does not answer here: crm cluster start'
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    cd "$folder"
    cibadmin --query >vpn.xml
    \(makes.map { "! grep -q '<primitive id=\"\($0)\"' vpn.xml || refuse 'there is a resource \($0) already'" }.joined(separator: "\n"))
    \(crm)
    """
  }

  private static func follows(_ name: String) -> String {
    "xml <rsc_colocation id=\"\(name)-with-vpn\" rsc=\"\(name)-clone\" rsc-role=\"Promoted\" with-rsc=\"vpn-clone\" with-rsc-role=\"Promoted\" score=\"INFINITY\" influence=\"false\"/>"
  }

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
