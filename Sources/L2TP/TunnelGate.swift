import Host

/// Keeps new tunnels out of a server that has no switch for it, and leaves those that it has alone.
///
/// Every request for a tunnel, and nothing else, is addressed to tunnel 0 (RFC 2661 §3.1, §5.1). xl2tpd makes a tunnel of
/// whatever comes to it, so all of that is dropped in front of its socket. The filter cannot outlive the daemon.
public enum TunnelGate {
  public static let filter = SocketFilter([
    .init(loadByte, udpHeader),
    .init(jumpIfSet, 0x40, jumpIfFalse: 2),  // the L bit: a length stands in front of the tunnel
    .init(loadHalf, udpHeader + 4),
    .init(jump, 1),
    .init(loadHalf, udpHeader + 2),
    .init(jumpIfEqual, 0, jumpIfFalse: 1),
    .init(pass, 0),
    .init(pass, .max),
  ])

  private static let udpHeader: UInt32 = 8
  // `BPF_*` of linux/bpf_common.h.
  private static let loadByte: UInt16 = 0x30
  private static let loadHalf: UInt16 = 0x28
  private static let jump: UInt16 = 0x05
  private static let jumpIfEqual: UInt16 = 0x15
  private static let jumpIfSet: UInt16 = 0x45
  private static let pass: UInt16 = 0x06
}
