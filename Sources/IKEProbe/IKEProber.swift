import Host

/// Sends probes to one IKE daemon and waits for what it says.
public struct IKEProber {
  public var address: IPAddress
  /// 500, or any other: then every message has the non-ESP marker in front (RFC 3948 §2.2).
  public var port: UInt16
  /// The address the probes come from; nil lets the kernel choose.
  public var source: IPAddress?
  /// The initiator's SPI of every probe.
  public var spi: UInt64

  public init(_ address: IPAddress, port: UInt16 = 500, from source: IPAddress? = nil, spi: UInt64) {
    self.address = address
    self.port = port
    self.source = source
    self.spi = spi
  }

  /// How long the first transmission waits; every further one waits twice as long.
  static let firstWait = Duration.milliseconds(500)
  /// Datagrams that are no answer and are read past.
  static let noiseLimit = 64

  /// Sends `probe`, again and again in the same bytes, until it is answered or `deadline` has come.
  ///
  /// What is no answer to this SPI is passed over, however much of it comes.
  public func ask(_ probe: IKEProbe, on host: Host, before deadline: Instant) throws(IKEProbeError) -> IKEAnswer {
    let operation = "probing IKE at \(address) port \(port)"
    let hasMarker = port != 500
    let bytes = (hasMarker ? [0, 0, 0, 0] : []) + probe.message(spi: spi).bytes
    let socket: any DatagramSocket
    do { socket = try host.sockets.connect(toUDP: address, port: port, from: source) } catch {
      throw .system(error, while: operation)
    }
    defer { socket.close() }
    var wait = Self.firstWait
    var noise = 0
    while true {
      let next = min(deadline, host.clock.now + wait)
      do {
        try socket.send(bytes)
        while host.clock.now < next, noise < Self.noiseLimit,
          let datagram = try socket.receive(limit: IKEMessage.sizeLimit, before: next)
        {
          if let answer = answer(datagram, hasMarker) { return answer }
          noise += 1
        }
      } catch { throw .system(error, while: operation) }
      guard host.clock.now < deadline, noise < Self.noiseLimit else {
        throw IKEProbeError(.timedOut, operation, noise == 0 ? Errno.timedOut.description : "\(noise) datagrams came, none is an answer")
      }
      wait = wait * 2
    }
  }

  private func answer(_ datagram: [UInt8], _ hasMarker: Bool) -> IKEAnswer? {
    if hasMarker, !datagram.starts(with: [0, 0, 0, 0]) { return nil }
    let bytes = hasMarker ? Array(datagram.dropFirst(4)) : datagram
    do throws(IKEProbeError) { return IKEAnswer(try IKEMessage(decoding: bytes), to: spi) } catch { return nil }
  }
}
