import Host

extension SettingsFile {
  /// A connection that charon would refuse, and why.
  public struct Refused: Hashable, Sendable {
    public var connection: String
    public var reason: String
  }

  /// What charon knows in a place of a connection (strongSwan 5.9.8, `vici_config.c`), by the form of the values.
  private struct Words {
    var any: String
    var flags = ""
    var times = ""

    private static func list(_ words: String) -> [String] { words.split(separator: " ").map(String.init) }
    var all: [String] { Self.list(any) + Self.list(flags) + Self.list(times) }

    /// What is wrong with one setting; nil: nothing that can be told without charon.
    func complaint(about setting: Setting, _ isWord: (String) -> Bool) -> String? {
      let key = setting.key
      if Self.list(flags).contains(key) {
        guard let value = setting.value, SettingsFile.Setting.flag(value) == nil else { return nil }
        return "'\(key)' must be yes or no"
      }
      if Self.list(times).contains(key) {
        let digits = setting.value?.prefix { $0.isASCII && $0.isNumber } ?? "0"
        let unit = setting.value?.dropFirst(digits.count).drop { $0 == " " } ?? ""
        return !digits.isEmpty && ["", "s", "m", "h", "d"].contains(unit.prefix(1)) ? nil : "'\(key)' must be a time, as 30s or 1h"
      }
      if Self.list(any).contains(key) || isWord(key) { return nil }
      return "charon does not know '\(key)'" + (nearest(to: key, among: all).map { ", did you mean '\($0)'?" } ?? "")
    }
  }

  private static let connectionWords = Words(
    any: "version dscp fragmentation childless send_cert ocsp keyingtries unique local_port remote_port ppk_id if_id_in if_id_out mediated_by "
      + "mediation_peer local_addrs remote_addrs proposals vips pools",
    flags: "aggressive pull encap mobike send_certreq ppk_required mediation",
    times: "dpd_delay dpd_timeout reauth_time rekey_time over_time rand_time")
  private static let authenticationWords = Words(
    any: "auth id aaa_id eap_id xauth_id revocation round groups cert_policy certs cacerts pubkeys ca_id")
  private static let childWords = Words(
    any: "updown mode replay_window rekey_bytes life_bytes rand_bytes rekey_packets life_packets rand_packets dpd_action start_action "
      + "close_action reqid mark_in mark_out set_mark_in set_mark_out if_id_in if_id_out tfc_padding priority interface hw_offload copy_dscp "
      + "label label_mode local_ts remote_ts esp_proposals ah_proposals",
    flags: "hostaccess policies policies_fwd_out ipcomp mark_in_sa sha256_96 copy_df copy_ecn",
    times: "rekey_time life_time rand_time inactivity")

  /// The connections that charon would refuse, as far as a file tells: a word that it does not know, in that place or at all, a
  /// flag or a time that is none, an algorithm that it does not know, a proposal without a group, and a network that is none.
  ///
  /// - Parameters:
  ///   - isWord: whether this charon knows a word that 5.9.8 does not.
  ///   - isAlgorithm: whether it knows a word of a proposal.
  public func refusedConnections(_ isWord: (String) -> Bool, isAlgorithm: (String) -> Bool = { _ in true }) -> [Refused] {
    (resolved("connections")?.sections ?? []).compactMap { connection in
      (Self.complaint(about: connection, isWord) ?? Self.complaintAboutValues(of: connection, isAlgorithm)).map { Refused(connection: connection.name, reason: $0) }
    }
  }

  private static func complaintAboutValues(of section: Section, _ isAlgorithm: (String) -> Bool) -> String? {
    for setting in section.settings {
      var found: String?
      switch setting.key {
      case "proposals", "esp_proposals", "ah_proposals": found = complaint(aboutProposals: setting, isAlgorithm)
      case "local_ts", "remote_ts":
        found = section.list(setting.key).first { !TrafficSelector($0).isReadable }.map { "charon cannot read '\($0)' in \(setting.key)" }
      default: break
      }
      if let found { return "\(found) (\(setting.place))" }
    }
    for child in section.sections {
      if let found = complaintAboutValues(of: child, isAlgorithm) { return found }
    }
    return nil
  }

  /// `proposal.c`, `proposal_create_from_string` and `check_proposal`.
  private static func complaint(aboutProposals setting: Setting, _ isAlgorithm: (String) -> Bool) -> String? {
    for proposal in (setting.value ?? "").split(whereSeparator: { $0 == "," || $0 == " " }) where proposal.lowercased() != "default" {
      let words = proposal.split(separator: "-").map(String.init)
      if let unknown = words.first(where: { !isAlgorithm($0) }) { return "charon knows no algorithm '\(unknown)'" }
      if setting.key == "proposals", words.allSatisfy({ word in noGroups.contains(where: word.hasPrefix) }) { return "'\(proposal)' has no group, as modp2048" }
    }
    return nil
  }

  /// How words begin that are no groups.
  private static let noGroups = ["aes", "camellia", "3des", "sha", "md5", "prf", "cast", "blowfish", "chacha", "serpent", "twofish", "null"]

  private static func complaint(about connection: Section, _ isWord: (String) -> Bool) -> String? {
    if let found = complaint(connectionWords, connection, isWord) { return found }
    for section in connection.sections {
      let name = section.name.lowercased()
      if name == "children" {
        for child in section.sections {
          if let found = complaint(childWords, child, isWord) { return found }
        }
      } else if name.hasPrefix("local") || name.hasPrefix("remote") {
        if let found = complaint(authenticationWords, section, isWord) { return found }
      } else if !isWord(section.name) {
        return "charon knows no section '\(section.name)' in a connection (\(section.place))"
      }
    }
    return nil
  }

  private static func complaint(_ words: Words, _ section: Section, _ isWord: (String) -> Bool) -> String? {
    for setting in section.settings {
      if let found = words.complaint(about: setting, isWord) { return "\(found) (\(setting.place))" }
    }
    return nil
  }
}
