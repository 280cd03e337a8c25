import VICI

/// Packets as they go over the socket, without their length. Those of the client were captured from swanctl 5.9.8, those
/// of the daemon follow strongSwan's `vici_query.c` and `vici_control.c`.
enum Corpus {
  static let statsRequest = bytes("00 05 'stats'")
  static let listSAs = bytes("03 07 'list-sa'")
  static let initiate = bytes(
    """
    00 08 'initiate'                    # CMD_REQUEST
    03 05 'child'    0002 'c1'          # KEY_VALUE
    03 03 'ike'      0002 'i1'
    03 07 'timeout'  0004 '5000'
    03 08 'loglevel' 0001 '1'
    """)
  static let terminate = bytes(
    """
    00 09 'terminate'
    03 05 'child'    0002 'c1'
    03 03 'ike'      0002 'i1'
    03 05 'force'    0003 'yes'
    03 07 'timeout'  0004 '5000'
    03 08 'loglevel' 0001 '1'
    """)
  static let version = bytes(
    """
    01                                  # CMD_RESPONSE
    03 06 'daemon'  000e 'charon-systemd'
    03 07 'version' 0005 '5.9.8'
    03 07 'sysname' 0005 'Linux'
    03 07 'release' 000e '6.1.0-41-amd64'
    03 07 'machine' 0006 'x86_64'
    """)
  static let stats = bytes(
    """
    01
    01 06 'uptime'                      # SECTION_START
      03 07 'running' 0009 '2 minutes'
      03 05 'since'   0014 'Nov 24 13:40:00 2026'
    02                                  # SECTION_END
    01 07 'workers'
      03 05 'total' 0002 '16'
      03 04 'idle'  0002 '11'
      01 06 'active'
        03 08 'critical' 0001 '4'
        03 04 'high'     0001 '0'
        03 06 'medium'   0001 '1'
        03 03 'low'      0001 '0'
      02
    02
    01 06 'queues'
      03 08 'critical' 0001 '0'
      03 04 'high'     0001 '0'
      03 06 'medium'   0001 '3'
      03 03 'low'      0001 '0'
    02
    03 09 'scheduled' 0001 '7'
    01 06 'ikesas'
      03 05 'total'     0002 '42'
      03 09 'half-open' 0001 '1'
    02
    04 07 'plugins'                     # LIST_START
      05 0003 'aes'                     # LIST_ITEM
      05 0002 'ha'
      05 0004 'vici'
    06                                  # LIST_END
    01 08 'mallinfo'
      03 04 'sbrk' 0007 '3100672'
      03 04 'used' 0006 '650000'
    02
    """)
  static let listedSA = bytes(
    """
    07 07 'list-sa'                     # EVENT
    01 04 'l2tp'
      03 08 'uniqueid'    0001 '9'
      03 07 'version'     0001 '1'
      03 05 'state'       000b 'ESTABLISHED'
      03 0a 'local-host'  000c '203.0.113.50'
      03 0a 'local-port'  0004 '4500'
      03 08 'local-id'    000c '203.0.113.50'
      03 0b 'remote-host' 000c '198.51.100.7'
      03 0b 'remote-port' 0005 '21522'
      03 09 'remote-id'   0008 '10.0.0.7'
      03 0d 'initiator-spi' 0010 '1122334455667788'
      03 0d 'responder-spi' 0010 '8877665544332211'
      04 0c 'tasks-queued' 05 0009 'QUICKMODE' 06
      01 09 'child-sas'
        01 07 'l2tp-12'
          03 04 'name'        0004 'l2tp'
          03 08 'uniqueid'    0002 '12'
          03 05 'reqid'       0001 '5'
          03 05 'state'       0009 'INSTALLED'
          03 04 'mode'        0009 'TRANSPORT'
          03 06 'spi-in'      0008 'c0ffee01'
          03 07 'spi-out'     0008 '0badcafe'
          03 08 'bytes-in'    0004 '4096'
          03 0a 'packets-in'  0002 '40'
          03 09 'bytes-out'   0004 '8192'
          03 0b 'packets-out' 0002 '44'
        02
      02
    02
    """)
  static let refusal = bytes("01 03 07 'success' 0002 'no' 03 06 'errmsg' 0008 'no child'")
  static let empty = bytes("01")
  static let success = bytes("01 03 07 'success' 0003 'yes'")
  static let unknownCommand = bytes("02")
  static let confirmed = bytes("05")
  static let unknownEvent = bytes("06")
  static let unregister = bytes("04 07 'list-sa'")
  static let connections = bytes("01 04 05 'conns' 05 0004 'l2tp' 05 0005 'ikev2' 06")

  static let all = [
    statsRequest, listSAs, initiate, terminate, version, stats, listedSA, refusal, empty, success, unknownCommand,
    confirmed, unknownEvent, unregister, connections,
  ]

  /// Hexadecimal digits, quoted text, and comments behind `#`.
  static func bytes(_ notation: String) -> [UInt8] {
    var bytes: [UInt8] = []
    for line in notation.split(separator: "\n") {
      var isQuoted = false
      var high: UInt8?
      for character in line.utf8 {
        if character == UInt8(ascii: "'") {
          isQuoted.toggle()
        } else if isQuoted {
          bytes.append(character)
        } else if character == UInt8(ascii: "#") {
          break
        } else if let digit = Character(Unicode.Scalar(character)).hexDigitValue {
          if let first = high {
            bytes.append(first << 4 | UInt8(digit))
            high = nil
          } else {
            high = UInt8(digit)
          }
        }
      }
    }
    return bytes
  }
}
