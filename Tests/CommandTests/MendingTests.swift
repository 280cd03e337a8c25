import Glibc
import Host
import LinuxHost
import Testing

@testable import vpnha

/// What an operator is told to type about what an agent says.
@Suite struct MendingTests {
  struct Case: CustomTestStringConvertible {
    var agent: String
    var says: String
    var given: [String: String] = [:]
    var typed: [String]
    init(_ agent: String, _ says: String, _ given: [String: String] = [:], _ typed: String...) { (self.agent, self.says, self.given, self.typed) = (agent, says, given, typed) }
    var testDescription: String { "\(agent): \(says)" }
  }

  static let swanctl = "/etc/swanctl/swanctl.conf"
  static let load = "swanctl --load-all --noprompt"
  @Test(arguments: [
    Case("strongswan", "connections: l2tpx is not in \(swanctl)", ["connections": "l2tpx"], "editor \(swanctl)", load, "pcs resource update r connections=…    # where l2tpx is the slip"),
    Case("strongswan", "connections: l2tp has no pre-shared key for 203.0.113.50 in \(swanctl)", [:], "editor \(swanctl)", "swanctl --load-creds"),
    Case("strongswan", "connections: l2tp has no pre-shared key for 203.0.113.50: secret ike-l2tp was refused", [:], "editor \(swanctl)", "swanctl --load-creds"),
    Case("libreswan", "connections: l2tp has no private key for its certificate gw", [:], "ipsec import …    # the certificate with its private key, in a file of PKCS #12", "ipsec whack --rereadcerts"),
    Case("strongswan", "connections: local_addrs of l2tp is not 203.0.113.50", ["config": "/etc/vpn.conf"], "editor /etc/vpn.conf", "\(load) --file /etc/vpn.conf"),
    Case("strongswan", "connections: l2tp is not loaded", [:], load),
    Case("strongswan", "connections: mode, children of l2tp in \(swanctl) was changed and is not loaded", [:], load),
    Case("strongswan", "secrets: ike-bob of \(swanctl) is not loaded", [:], "swanctl --load-creds"),
    // swanctl's own file would have it unload all of the resource's.
    Case("strongswan", "connections: l2tp is not loaded", ["config": "/etc/vpn.conf", "vici": "/run/vpn.vici"], "\(load) --file /etc/vpn.conf --uri unix:///run/vpn.vici"),
    Case("strongswan", "charon has loaded no plugin socket-… and hears no client: see load in /etc/strongswan.conf", [:], "editor /etc/strongswan.conf", "vpnha switchover --yes", "pcs node standby moon", "pcs node unstandby moon"),
    Case("strongswan", "config: \(swanctl):2: connections is followed by l2tp, not by = or {", [:], "editor +2 \(swanctl)", load),
    Case("strongswan", "\(swanctl):5: connections is followed by l2tp, not by = or {", [:], "editor +5 \(swanctl)"),
    Case("strongswan", "config: /nope is missing", ["config": "/nope"], "pcs resource update r config=…"),
    Case("xl2tpd", "config: /etc/xl2tpd/xl2tpd.conf line 6: xl2tpd does not know 'requrie pap', did you mean 'require pap'?", [:], "editor +6 /etc/xl2tpd/xl2tpd.conf"),
    Case("xl2tpd", "config: add \"listen-addr = 203.0.113.50\" to [global] of /etc/xl2tpd/xl2tpd.conf: bound to every address, xl2tpd answers from the wrong one", [:], "sed -i '/^\\[global\\]/a listen-addr = 203.0.113.50' /etc/xl2tpd/xl2tpd.conf"),
    Case("xl2tpd", "address: is 203.0.113.50, but /etc/xl2tpd/xl2tpd.conf line 2 has listen-addr 203.0.113.51", ["address": "203.0.113.50"], "sed -i '2s/.*/listen-addr = 203.0.113.50/' /etc/xl2tpd/xl2tpd.conf"),
    Case("xl2tpd", "address: is 203.0.113.99, but /etc/xl2tpd/xl2tpd.conf line 2 has listen-addr 203.0.113.50", ["address": "203.0.113.99"], "pcs resource update r address=203.0.113.50"),
    Case("xl2tpd", "pppd: In file /etc/ppp/options.xl2tpd: unrecognized option 'crtscs'", [:], "editor /etc/ppp/options.xl2tpd"),
    Case("xl2tpd", "no user can log in: /etc/ppp/chap-secrets has no entry, and no plugin of pppd is configured", [:], "editor /etc/ppp/chap-secrets"),
    Case("xl2tpd", "set net.ipv4.ip_forward=1: this node forwards nothing for clients", [:], "sysctl -w net.ipv4.ip_forward=1"),
    Case("firewall", "pool: clients reach nothing while net.ipv4.ip_forward is 0: set it to 1", ["pool": "10.9.0.0/24"], "sysctl -w net.ipv4.ip_forward=1"),
    Case("announce", "BIRD does not run: systemctl start bird (asking BIRD through /run/bird/bird.ctl: connection refused (ECONNREFUSED))", [:], "systemctl start bird"),
    Case("announce", "FRR does not run: systemctl start frr (asking zebra through /run/frr/zebra.vty: connection refused (ECONNREFUSED))", ["daemon": "frr"], "systemctl start frr"),
    Case("announce", "FRR hangs: bgpd has no connection to zebra: systemctl restart frr", ["daemon": "frr"], "systemctl restart frr"),
    Case("xl2tpd", "/dev/ppp is missing: modprobe ppp_generic (the kernel has no PPP)", [:], "modprobe ppp_generic"),
    Case("xl2tpd", "moon gives out 10.9.0.10-10.9.0.127, too: make the ip ranges of the nodes disjoint", [:], "editor /etc/xl2tpd/xl2tpd.conf    # ip range", "pcs node standby sun", "pcs node unstandby sun"),
    Case("xl2tpd", "2 programs are bound to 203.0.113.50 port 1701 (another xl2tpd: pid 2795)", [:], "kill 2795"),
    Case("firewall", "outside: eht0 is not an interface of this node, so the rules for it match nothing", ["outside": "eht0"], "pcs resource update r outside=…"),
    Case("conntrackd", "config: /nope is missing", ["config": "/nope"], "pcs resource update r config=…"),
    Case("conntrackd", "config: /etc/conntrackd/conntrackd.conf is missing", [:], "cp /usr/share/doc/vpnha/examples/conntrackd/conntrackd.conf /etc/conntrackd/conntrackd.conf"),
    Case("conntrackd", "config: /etc/conntrackd/conntrackd.conf line 13: syntax error at 'HashSise'", [:], "editor +13 /etc/conntrackd/conntrackd.conf"),
    Case("conntrackd", "config: exchange 10.77.0.1 and 10.77.0.2 in /etc/conntrackd/conntrackd.conf: the file is the other node's", [:], "editor /etc/conntrackd/conntrackd.conf"),
    Case("conntrackd", "config: /etc/conntrackd/conntrackd.conf has changed since conntrackd was started, and counts from its next start", [:], "vpnha switchover --yes", "pcs node standby moon", "pcs node unstandby moon"),
    Case("firewall", "refused: extra: /etc/vpnha/extra.nft:1:1-5: syntax error, unexpected table; the last good rules are in force", ["extra": "/etc/vpnha/extra.nft"], "editor +1 /etc/vpnha/extra.nft"),
    Case("firewall", "extra: /etc/vpnha/extra.nft is missing", ["extra": "/etc/vpnha/extra.nft"], "pcs resource update r extra=…"),
    Case("vip", "nic: eht0 is not on this node", ["nic": "eht0"], "pcs resource update r nic=…"),
    Case("vip", "203.0.113.50/32 is on peer0 as well", [:], "ip address del 203.0.113.50/32 dev peer0"),
    Case("strongswan", "/usr/sbin/swanctl is missing (package strongswan-swanctl)", [:], "apt-get install strongswan-swanctl"),
    Case("xl2tpd", "firewall guards UDP port 1701, xl2tpd serves 1703: L2TP in clear text is let in; set port=1703 of firewall", [:], "pcs resource update firewall port=1703"),
    Case("strongswan", "the secrets in \(swanctl) are not those of sun: make them the same", [:], "scp -p sun:\(swanctl) \(swanctl)    # on moon, if sun has the right one", "swanctl --load-creds --clear"),
    Case("xl2tpd", "the users in /etc/ppp/chap-secrets and /etc/ppp/pap-secrets are not those of sun: make them the same", [:], "scp -p sun:/etc/ppp/chap-secrets /etc/ppp/chap-secrets    # on moon, if sun has the right one"),
    Case("xl2tpd", "the options of pppd are not those of sun: make them the same", [:], "vpnha fingerprint --diff sun"),
    Case("firewall", "accept the clients' packets in chain forward of table ip filter, which drops them", [:], "nft list chain ip filter forward", "editor /etc/nftables.conf"),
    Case("firewall", "accept the clients' packets, answers to clients in chain FORWARD of table ip filter, which drops them", ["pool": "10.9.0.0/24 fd00:9::/64"], "nft insert rule ip filter FORWARD ip saddr 10.9.0.0/24 accept", "nft insert rule ip filter FORWARD ip daddr 10.9.0.0/24 ct state established,related accept", "editor /etc/nftables.conf    # the same, where it makes this chain"),
    // Nothing that one command mends.
    Case("vip", "eth0 has no carrier", [:]), Case("xl2tpd", "promoting: xl2tpd does not run", [:]), Case("probe", "path down: 203.0.113.1 does not answer ping since 09:03:17Z", ["ping": "203.0.113.1"]),
  ]) func itIsNamed(_ one: Case) {
    var mending = Mending("r", agent: one.agent) { one.given[$0] }
    (mending.node, mending.standby, mending.addresses) = ("moon", "sun", ["203.0.113.50"])
    #expect(mending.commands(one.says) == one.typed)
  }

  /// Typed where another program's chain drops everything.
  @Test(.enabled(if: geteuid() == 0 && access("/usr/sbin/nft", X_OK) == 0, "needs root and nft"))
  func whatAnotherTableDropsIsLetIn() throws {
    let typed = Mending("firewall", agent: "firewall") { _ in nil }.commands("accept UDP 500, UDP 4500, ESP, UDP 1701 out of IPsec in chain input of table inet filter, which drops them")
    #expect(typed.count == 5 && typed.last == "editor /etc/nftables.conf    # the same, where it makes this chain")
    let story = "set -e; nft 'table inet filter { chain input { type filter hook input priority 0; policy drop; }; }'; \(typed.dropLast().joined(separator: "; ")); nft -s list chain inet filter input"
    let result = try LinuxProcesses().run(Command("/usr/bin/unshare", ["-n", "/bin/sh", "-c", story], outputLimit: 4096), before: LinuxClock().now + .seconds(20))
    let said = String(decoding: result.output + result.error, as: UTF8.self)
    #expect(result.succeeded, "\(said)")
    for rule in ["udp dport 500 accept", "udp dport 4500 accept", "meta l4proto esp accept", "meta ipsec exists udp dport 1701 accept"] { #expect(said.contains(rule), "\(said)") }
  }
}
