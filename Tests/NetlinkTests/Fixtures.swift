import Host
import Netlink

/// Bytes written as hexadecimal pairs; `#` begins a comment.
func bytes(_ annotated: String) -> [UInt8] {
  annotated.split(separator: "\n").flatMap { line in
    line.prefix { $0 != "#" }.split(separator: " ").compactMap { UInt8($0, radix: 16) }
  }
}

func address(_ text: String) -> IPAddress { IPAddress(text) ?? .unspecifiedIPv4 }

/// What a little-endian kernel (6.18) sent, each field named. Sequence number 7 throughout.
enum Fixture {
  static let link = bytes(
    """
    e8 00 00 00              # length 232
    10 00                    # RTM_NEWLINK
    00 00                    # flags
    07 00 00 00              # sequence 7
    d0 29 00 00              # port
    00 00                    # family, padding
    01 00                    # ARPHRD_ETHER
    03 00 00 00              # index 3
    43 10 01 00              # UP BROADCAST RUNNING MULTICAST LOWER_UP
    00 00 00 00              # change mask
    0a 00 03 00 76 65 74 68 30 00 00 00   # IFLA_IFNAME veth0, padded
    05 00 10 00 06 00 00 00               # IFLA_OPERSTATE up
    08 00 04 00 dc 05 00 00               # IFLA_MTU 1500
    0a 00 01 00 02 00 00 00 00 01 00 00   # IFLA_ADDRESS 02:00:00:00:00:01
    0a 00 02 00 ff ff ff ff ff ff 00 00   # IFLA_BROADCAST
    08 00 05 00 02 00 00 00               # IFLA_LINK 2
    10 00 12 00                           # IFLA_LINKINFO
      09 00 01 00 76 65 74 68 00 00 00 00 #   IFLA_INFO_KIND veth
    68 00 1a 00                           # IFLA_AF_SPEC
      64 00 02 00                         #   AF_INET
        60 00 01 00                       #     IFLA_INET_CONF: 23 settings
        00 00 00 00 00 00 00 00 00 00 00 00 01 00 00 00 01 00 00 00 01 00 00 00 01 00 00 00 00 00 00 00
        01 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00   # promote_secondaries, the 20th: 0
    14 00 34 80                           # IFLA_PROP_LIST, nested
      0f 00 35 00 77 61 6e 2d 75 70 6c 69 6e 6b 00 00   #   IFLA_ALT_IFNAME wan-uplink
    """)

  static let ipv4Address = bytes(
    """
    64 00 00 00              # length 100
    14 00                    # RTM_NEWADDR
    02 00                    # NLM_F_MULTI
    07 00 00 00              # sequence 7
    d0 29 00 00              # port
    02 18 80 00              # AF_INET, /24, permanent, scope universe
    03 00 00 00              # interface 3
    08 00 01 00 c0 00 02 01  # IFA_ADDRESS 192.0.2.1
    08 00 02 00 c0 00 02 01  # IFA_LOCAL 192.0.2.1
    08 00 04 00 c0 00 02 ff  # IFA_BROADCAST 192.0.2.255
    0e 00 03 00 76 65 74 68 30 3a 76 70 6e 00 00 00   # IFA_LABEL veth0:vpn
    08 00 08 00 80 00 00 00  # IFA_FLAGS permanent
    08 00 09 00 32 00 00 00  # IFA_RT_PRIORITY 50
    14 00 06 00              # IFA_CACHEINFO
      ff ff ff ff            #   preferred for ever
      ff ff ff ff            #   valid for ever
      c1 0e 02 00 c1 0e 02 00   #   created, updated
    """)

  static let ipv6Address = bytes(
    """
    48 00 00 00              # length 72
    14 00                    # RTM_NEWADDR
    00 00                    # flags
    07 00 00 00              # sequence 7
    d0 29 00 00              # port
    0a 40 a2 00              # AF_INET6, /64, permanent deprecated nodad, scope universe
    03 00 00 00              # interface 3
    14 00 01 00 20 01 0d b8 00 00 00 00 00 00 00 00 00 00 00 01   # IFA_ADDRESS 2001:db8::1
    14 00 06 00              # IFA_CACHEINFO
      00 00 00 00            #   preferred for 0 s
      ff ff ff ff            #   valid for ever
      c1 0e 02 00 c1 0e 02 00
    08 00 08 00 a2 00 00 00  # IFA_FLAGS permanent deprecated nodad
    """)

  static let connectedRoute = bytes(
    """
    44 00 00 00              # length 68
    18 00                    # RTM_NEWROUTE
    22 00                    # NLM_F_MULTI, NLM_F_DUMP_FILTERED
    07 00 00 00              # sequence 7
    d0 29 00 00              # port
    02 18 00 00              # AF_INET, /24 from /0, no TOS
    fe 02 fd 01              # main table, RTPROT_KERNEL, scope link, unicast
    00 00 00 00              # flags
    08 00 0f 00 fe 00 00 00  # RTA_TABLE main
    08 00 01 00 c0 00 02 00  # RTA_DST 192.0.2.0
    08 00 06 00 32 00 00 00  # RTA_PRIORITY 50
    08 00 07 00 c0 00 02 01  # RTA_PREFSRC 192.0.2.1
    08 00 04 00 03 00 00 00  # RTA_OIF 3
    """)

  static let gatewayRoute = bytes(
    """
    3c 00 00 00 18 00 22 00 07 00 00 00 d0 29 00 00   # header
    02 18 00 00              # AF_INET, /24
    fe 03 00 01              # main table, RTPROT_BOOT, scope universe, unicast
    00 00 00 00              # flags
    08 00 0f 00 fe 00 00 00  # RTA_TABLE main
    08 00 01 00 c6 33 64 00  # RTA_DST 198.51.100.0
    08 00 05 00 c0 00 02 fe  # RTA_GATEWAY 192.0.2.254
    08 00 04 00 03 00 00 00  # RTA_OIF 3
    """)

  static let localRoute = bytes(
    """
    3c 00 00 00 18 00 00 00 07 00 00 00 d0 29 00 00   # header
    02 20 00 00              # AF_INET, /32
    fe 02 fe 02              # table (see RTA_TABLE), RTPROT_KERNEL, scope host, local
    00 00 00 00              # flags
    08 00 0f 00 ff 00 00 00  # RTA_TABLE local
    08 00 01 00 c0 00 02 01  # RTA_DST 192.0.2.1
    08 00 07 00 c0 00 02 01  # RTA_PREFSRC 192.0.2.1
    08 00 04 00 03 00 00 00  # RTA_OIF 3
    """)

  static let done = bytes("14 00 00 00 03 00 02 00 07 00 00 00 d0 29 00 00 00 00 00 00")

  static let acknowledgement = bytes(
    """
    24 00 00 00              # length 36
    02 00                    # NLMSG_ERROR
    00 01                    # NLM_F_CAPPED
    07 00 00 00              # sequence 7
    d0 29 00 00              # port
    00 00 00 00              # no error
    20 00 00 00 14 00 05 06 07 00 00 00 00 00 00 00   # the header of our request
    """)

  static let refusal = bytes(
    """
    44 00 00 00              # length 68
    02 00                    # NLMSG_ERROR
    00 03                    # NLM_F_CAPPED, NLM_F_ACK_TLVS
    07 00 00 00              # sequence 7
    d0 29 00 00              # port
    ea ff ff ff              # -EINVAL
    20 00 00 00 14 00 05 06 07 00 00 00 00 00 00 00   # the header of our request
    20 00 01 00              # NLMSGERR_ATTR_MSG
    69 70 76 34 3a 20 49 6e 76 61 6c 69 64 20 70 72 65 66 69 78 20 6c 65 6e 67 74 68 00   # ipv4: Invalid prefix length
    """)

  static let refusalOfAnOldKernel = bytes(
    """
    2c 00 00 00              # length 44
    02 00 00 00              # NLMSG_ERROR, no flags: the whole request comes back
    07 00 00 00              # sequence 7
    d0 29 00 00              # port
    ed ff ff ff              # -ENODEV
    18 00 00 00 14 00 05 06 07 00 00 00 00 00 00 00   # the header of our request, length 24
    02 18 00 00 63 00 00 00  # its body
    """)

  static let forwarding = bytes(
    """
    24 00 00 00 50 00 00 00 07 00 00 00 d0 29 00 00   # RTM_NEWNETCONF
    0a 00 00 00              # AF_INET6
    08 00 01 00 03 00 00 00  # NETCONFA_IFINDEX 3
    08 00 02 00 01 00 00 00  # NETCONFA_FORWARDING on
    """)

  static let connection = bytes(
    """
    58 00 00 00 14 00 02 00 07 00 00 00 d0 29 00 00   # length 88, SOCK_DIAG_BY_FAMILY
    02 01 00 00              # AF_INET, established, no timer
    00 50 c0 00              # ports 80 and 49152, network order
    c0 00 02 32 00 00 00 00 00 00 00 00 00 00 00 00   # local 192.0.2.50
    c0 00 02 09 00 00 00 00 00 00 00 00 00 00 00 00   # peer 192.0.2.9
    00 00 00 00              # interface
    01 02 03 04 00 00 00 00  # cookie
    00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 39 30 00 00   # expires, queues, owner, inode
    """)

  static let association = bytes(
    """
    00 01 00 00 10 00 02 00 07 00 00 00 d0 29 00 00   # length 256, XFRM_MSG_NEWSA
    # struct xfrm_selector
    c0 00 02 01 00 00 00 00 00 00 00 00 00 00 00 00   # destination 192.0.2.1
    cb 00 71 09 00 00 00 00 00 00 00 00 00 00 00 00   # source 203.0.113.9
    00 00 00 00 00 00 00 00  # ports and their masks
    00 00 20 20              # family, prefix lengths
    00 00 00 00              # protocol, padding
    00 00 00 00 00 00 00 00  # interface, user
    # struct xfrm_id, 56
    c0 00 02 01 00 00 00 00 00 00 00 00 00 00 00 00   # destination 192.0.2.1
    c0 ff ee 00              # SPI, network order
    32 00 00 00              # ESP
    cb 00 71 09 00 00 00 00 00 00 00 00 00 00 00 00   # source 203.0.113.9
    ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff   # lifetimes: bytes
    ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff   # packets
    00 00 00 00 00 00 00 00 1e 00 00 00 00 00 00 00   # seconds since added
    00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00   # seconds since used
    00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00   # bytes and packets so far
    34 95 05 6b 00 00 00 00 00 00 00 00 00 00 00 00   # added, used
    00 00 00 00 00 00 00 00 00 00 00 00               # statistics
    00 00 00 00              # sequence of the acquire
    07 00 00 00              # request id 7
    02 00                    # AF_INET
    00 00 00 00              # mode transport, replay window, flags
    00 00 00 00 00 00        # padding
    10 00 0a 00              # XFRMA_REPLAY_VAL
      05 00 00 40            #   last sequence number sent 0x40000005
      00 00 00 00 00 00 00 00   #   received, bitmap
    """)

  static let policy = bytes(
    """
    14 01 00 00 13 00 02 00 07 00 00 00 d0 29 00 00   # length 276, XFRM_MSG_NEWPOLICY
    # struct xfrm_selector
    cb 00 71 09 00 00 00 00 00 00 00 00 00 00 00 00   # destination 203.0.113.9
    c0 00 02 01 00 00 00 00 00 00 00 00 00 00 00 00   # source 192.0.2.1
    00 00 00 00 06 a5 ff ff  # ports: any, 1701
    02 00 20 20              # AF_INET, /32, /32
    11 00 00 00              # UDP
    00 00 00 00 00 00 00 00  # interface, user
    ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff   # lifetimes
    ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff
    00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
    00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
    00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00   # bytes and packets so far
    34 95 05 6b 00 00 00 00 00 00 00 00 00 00 00 00   # added, used
    00 00 00 00              # priority
    09 00 00 00              # index 9
    01 00 00 00              # out, allow, flags, share
    00 00 00 00              # padding
    44 00 05 00              # XFRMA_TMPL, one template
      cb 00 71 09 00 00 00 00 00 00 00 00 00 00 00 00   #   destination 203.0.113.9
      00 00 00 00 32 00 00 00                           #   any SPI, ESP
      02 00 00 00                                       #   AF_INET
      c0 00 02 01 00 00 00 00 00 00 00 00 00 00 00 00   #   source 192.0.2.1
      07 00 00 00 00 00 00 00                           #   request id, transport
      ff ff ff ff ff ff ff ff ff ff ff ff               #   algorithms
    0a 00 10 00 00 00 00 00 00 00 00 00   # XFRMA_POLICY_TYPE main
    0c 00 15 00 2a 00 00 00 ff ff ff ff   # XFRMA_MARK 0x2a
    """)
}
