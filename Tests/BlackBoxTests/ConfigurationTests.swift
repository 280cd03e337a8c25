import Testing

/// The package's example configurations, put where they say they go, in front of the programs that read them.
struct ConfigurationTests {
  static let preamble = """
    set -euo pipefail
    examples='\(Built.checkout)/Packaging/examples'
    # /etc as a gateway's: a layer of its own over this machine's.
    mkdir /run/top /run/work
    mount -t overlay overlay -o lowerdir=/etc,upperdir=/run/top,workdir=/run/work /etc
    for place in swanctl/swanctl.conf:strongswan/swanctl.conf strongswan.d/vpnha.conf:strongswan/vpnha.conf xl2tpd/xl2tpd.conf:xl2tpd/xl2tpd.conf \\
      ppp/options.xl2tpd:ppp/options.xl2tpd ppp/chap-secrets:ppp/chap-secrets conntrackd/conntrackd.conf:conntrackd/conntrackd.conf; do
      mkdir -p /etc/${place%/*}
      mkdir -p "$(dirname /etc/${place%%:*})"
      install -m 600 "$examples/${place##*:}" /etc/${place%%:*}
    done
    ip address add 203.0.113.50/24 dev v0
    ip link add eth1 type veth peer name eth1-peer
    for link in eth1 eth1-peer; do ip link set $link up; done
    ip address add 10.77.0.1/24 dev eth1
    run() { '\(Built.folder)/vpnha' run --agents \(Agent.folder) "$@"; }

    """

  func gateway(_ script: String) throws {
    let answer = try Sandbox.run(["bash", "-c", Self.preamble + script])
    #expect(answer.status == 0, "\(answer.output)\(answer.error)")
  }

  @Test("charon takes the example, with and without the ha plugin", .needsNamespaces, .needs("/usr/sbin/charon-systemd", "/usr/sbin/swanctl"), arguments: ["no", "yes"])
  func strongSwan(_ ha: String) throws {
    try gateway(
      """
      sed -i '/^ *ha {/,/}/s/load = no/load = \(ha)/' /etc/strongswan.d/vpnha.conf
      [ \(ha) = no ] || grep -q 'load = yes' /etc/strongswan.d/vpnha.conf
      [ -d /usr/lib/ipsec/plugins ] && [ -e /usr/lib/ipsec/plugins/libstrongswan-ha.so ] || [ \(ha) = no ]
      run strongswan start connections=l2tp address=203.0.113.50 launcher=direct drain_timeout=0
      status=0; run strongswan monitor --depth 10 connections=l2tp address=203.0.113.50 launcher=direct || status=$?
      [ $status = 0 -o $status = 8 ]
      swanctl --list-conns | grep -F 203.0.113.50
      loaded=no; [ ! -p /run/charon.ha ] || loaded=yes
      [ $loaded = \(ha) ]
      run strongswan stop connections=l2tp address=203.0.113.50 launcher=direct drain_timeout=0
      """)
  }

  /// With the real charon: 0, 1 and 2 are good, at risk and no start.
  @Test(
    "check says of charon's file what a start comes to", .needsNamespaces, .needs("/usr/sbin/charon-systemd", "/usr/sbin/swanctl"),
    arguments: [
      ("", 0, 0), ("s/proposals = aes256-sha256-modp2048/proposals = default/", 0, 0), ("s/aes256-sha256-modp2048/aes256-sha257-modp2048/", 2, 1), ("s/aes256-sha256-modp2048/aes256-sha256/", 2, 1),
      ("s/aes128-sha1$/aes128-sha9/", 2, 1), ("s|dynamic.udp/1701.|192.0.2.300/24|", 2, 1), ("s|dynamic.udp/1701.|192.0.2.1-192.0.2.9|", 0, 0), ("s|dynamic.udp/1701.|dynamic[17/1701]|", 0, 0),
      ("s|dynamic.udp/1701.|dynamic[tcp/1701]|", 1, 0), ("s/mode = transport/mode = tunnel/", 1, 0), ("0,/auth = psk/s//certs = absent.pem/", 2, 1), ("s/secret = /sekret = /", 1, 0),
    ] as [(String, Int, Int)])
  func foreseen(edit: String, check: Int, start: Int) throws {
    try gateway(
      """
      parameters='connections=l2tp address=203.0.113.50 launcher=direct drain_timeout=0'
      sed -i '\(edit)' /etc/swanctl/swanctl.conf
      status=0; '\(Built.folder)/vpnha' check --agents \(Agent.folder) strongswan $parameters >/run/said || status=$?
      cat /run/said
      [ $status = \(check) ]
      status=0; run strongswan start $parameters || status=$?
      [ $status = \(start) ]
      run strongswan stop $parameters
      """)
  }

  @Test("xl2tpd takes the examples, and pppd its options", .needsNamespaces, .needs("/usr/sbin/xl2tpd", "/usr/sbin/pppd"))
  func xl2tpd() throws {
    try gateway(
      """
      run xl2tpd start address=203.0.113.50 launcher=direct drain_timeout=0
      run xl2tpd monitor address=203.0.113.50 launcher=direct
      run xl2tpd stop address=203.0.113.50 launcher=direct drain_timeout=0
      # pppd reads the options before it looks for the kernel's PPP: 2 is an option that it does not know.
      accepted() { status=0; pppd file "$1" dryrun notty nodetach </dev/null >/run/said 2>&1 || status=$?; [ $status = 0 -o $status = 4 ]; }
      accepted /etc/ppp/options.xl2tpd
      sed s/noccp/nocccp/ /etc/ppp/options.xl2tpd >/run/misspelt
      ! accepted /run/misspelt
      # Users of the server that xl2tpd says it is, one with an address that no pool has.
      awk '$1 == "name" && $2 == "=" { name = $3 } END { print name }' /etc/xl2tpd/xl2tpd.conf | grep -x vpnha
      awk '!/^#/ && NF { users++; if ($2 != "vpnha") exit 1 } END { exit users < 2 }' /etc/ppp/chap-secrets
      """)
  }

  @Test("conntrackd takes the example", .needsNamespaces, .needs("/usr/sbin/conntrackd"))
  func conntrackd() throws {
    try gateway(
      """
      run conntrackd start launcher=direct
      run conntrackd monitor launcher=direct
      conntrackd -s >/run/said
      grep -q 'cache external' /run/said
      run conntrackd stop launcher=direct
      """)
  }

  @Test("the kernel has the parameters and the modules", .needsNamespaces)
  func kernel() throws {
    try gateway(
      """
      sysctl -p "$examples/sysctl.d/vpnha.conf"
      [ "$(cat /proc/sys/net/ipv4/ip_forward)" = 1 ]
      tree='\(Built.checkout)/build/kernel'
      [ -d $tree/lib/modules ] || exit 0
      grep -v '^#' "$examples/modules-load.d/vpnha.conf" | while read -r module; do
        find $tree/lib/modules -name "$module.ko*" | grep -q . || { echo "no module $module"; exit 1; }
      done
      """)
  }
}
