import CLinux
import Host

/// The rest of an announcement, in a process of its own: our program, started as
/// `PROGRAM announce ADDRESS LINK COUNT MILLISECONDS request|reply TARGETS NAMESPACE NUMBER`.
///
/// The arguments are its identity: whoever wants to end the burst looks for them, there is no pid file. The number is that
/// of the network namespace, since another one may hold the same address.
enum Announcer {
  private static let word = "announce"
  /// However many frames are asked for, it ends.
  private static let most = 1000
  private static let longest = Duration.seconds(600)

  static func command(_ announcement: Announcement, program: String, namespace: String?, number: UInt64) -> Command {
    Command(
      program,
      [
        word, announcement.address.description, String(announcement.link), String(announcement.count - 1),
        String(announcement.interval.pollMilliseconds), announcement.asReply ? "reply" : "request",
        announcement.targets.map(\.description).joined(separator: ","), namespace ?? "",
        String(number),
      ])
  }

  static func isBurst(_ process: Process, of address: IPAddress, inNamespace number: UInt64) -> Bool {
    process.arguments.count == 10 && process.arguments[1] == word && process.arguments[2] == address.description
      && process.arguments[9] == String(number)
  }

  /// Nil unless these are exactly the arguments of a burst.
  static func announcement(from arguments: [String]) -> Announcement? {
    guard arguments.count == 10, arguments[1] == word, let address = IPAddress(arguments[2]),
      let link = Int32(arguments[3]), let count = Int(arguments[4]), let pause = Int32(arguments[5]),
      ["request", "reply"].contains(arguments[6])
    else { return nil }
    var targets: [IPAddress] = []
    for text in arguments[7].split(separator: ",") {
      guard let target = IPAddress(text) else { return nil }
      targets.append(target)
    }
    return Announcement(
      address, link: link, count: min(count, most), interval: .milliseconds(max(1, pause)),
      asReply: arguments[6] == "reply", targets: targets)
  }

  static func run(_ announcement: Announcement, on network: LinuxNetwork) -> Int32 {
    _ = clinux_set_process_name("vip-announce")
    do { network.announcing = try network.link(at: announcement.link).flatMap(PacketSocket.init(inheritedOn:)) } catch { return 1 }
    let end = LinuxClock.now + longest
    var next = LinuxClock.now
    for _ in 0..<max(0, announcement.count) {
      next = next + announcement.interval
      guard next < end else { return 0 }
      LinuxClock.sleep(until: next)
      do {
        // Never for an address that has left: another node may hold it by now.
        guard try network.stillHolds(announcement), try network.sendFrames(of: announcement) else { return 0 }
      } catch let error where error.errno == .noBufferSpace || error.errno == .networkDown {
        // A queue that is full, or a link that is down for a moment: the next frame may get through.
      } catch {
        return 1
      }
    }
    return 0
  }
}

extension LinuxNetwork {
  /// Runs the rest of an announcement when the program was started for it.
  ///
  /// - Parameter arguments: all of them, the program's name first.
  /// - Returns: the exit status; nil when these are not an announcer's arguments.
  public static func runAnnouncer(arguments: [String], processes: any Processes) -> Int32? {
    guard let announcement = Announcer.announcement(from: arguments) else { return nil }
    let namespace = arguments[8]
    let network = LinuxNetwork(processes: processes)
    do throws(SystemError) {
      return Announcer.run(announcement, on: namespace.isEmpty ? network : try network.other(namespace))
    } catch {
      return 1
    }
  }
}
