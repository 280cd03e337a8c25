import Host

/// A parameter of an agent, declared once: the wire name (`OCF_RESKEY_arp_count`), the metadata, the parser and the value
/// all come from the property.
///
///     @Parameter("How many times to announce the address", reloadable: true) var arpCount = 5
///
/// A property without a value is required, and tells one resource from another: without it there is nothing to stop. One
/// that is required but does not identify the resource says so, and has a value to go on with.
@propertyWrapper
public struct Parameter<Value: ParameterValue> {
  private let any: AnyParameter

  public init(
    wrappedValue: Value, _ shortDescription: String, _ longDescription: String = "", required: Bool = false,
    uniqueGroup: String? = nil, reloadable: Bool = false, deprecated: Deprecation? = nil
  ) {
    any = AnyParameter(
      Value.self, wrappedValue,
      ParameterDeclaration(shortDescription, longDescription, uniqueGroup, reloadable, deprecated, required: required))
  }

  public init(
    _ shortDescription: String, _ longDescription: String = "", uniqueGroup: String? = nil, reloadable: Bool = false,
    deprecated: Deprecation? = nil
  ) {
    any = AnyParameter(
      Value.self, nil, ParameterDeclaration(shortDescription, longDescription, uniqueGroup, reloadable, deprecated))
  }

  public var wrappedValue: Value {
    get {
      guard let value = any.value else { preconditionFailure("a required parameter was read before it was loaded") }
      // Nothing else is put there: by the first initialiser, by the setter, by the type's own parser.
      return value as! Value
    }
    nonmutating set { any.value = newValue }
  }
}

/// What the loader knows of a parameter, whatever its value's type.
///
/// A class, so that whatever the value's type, the loader finds a reference where the agent keeps the parameter; and not a
/// generic one, of which each action would have to make as many types as there are types of values.
final class AnyParameter {
  let declaration: ParameterDeclaration
  /// Whether there is a value to go on with.
  let hasDefault: Bool
  fileprivate var value: (any ParameterValue)?
  private let type: any ParameterValue.Type

  fileprivate init(_ type: any ParameterValue.Type, _ value: (any ParameterValue)?, _ declaration: ParameterDeclaration) {
    self.declaration = declaration
    self.type = type
    self.value = value
    hasDefault = value != nil
  }

  var isRequired: Bool { !hasDefault || declaration.required }
  var contentType: ContentType { type.contentType }
  /// Of a parameter that has not been read.
  var defaultText: String? { value?.parameterText }
  var isSecret: Bool { type == Secret.self || type == Secret?.self }
  /// Takes the value from its text.
  func read(_ text: String) throws(Unreadable) { value = try type.init(parameter: text) }
}

/// Why a parameter should not be used any more.
public struct Deprecation: Equatable, Sendable {
  public var replacement: String?
  public var note: String?
  public init(replacedWith replacement: String? = nil, note: String? = nil) {
    self.replacement = replacement
    self.note = note
  }
}

struct ParameterDeclaration {
  var short: String
  var long: String
  var uniqueGroup: String?
  var reloadable: Bool
  var deprecated: Deprecation?
  var required: Bool

  init(
    _ short: String, _ long: String, _ uniqueGroup: String?, _ reloadable: Bool, _ deprecated: Deprecation?,
    required: Bool = false
  ) {
    self.short = short
    self.long = long
    self.uniqueGroup = uniqueGroup
    self.reloadable = reloadable
    self.deprecated = deprecated
    self.required = required
  }
}

/// A parameter as metadata and manual pages show it.
public struct ParameterDescription: Equatable, Sendable {
  /// The wire name, such as `arp_count`.
  public var name: String
  public var shortDescription: String
  /// Begins with the short description, and ends with the allowed values and the default: `pcs resource describe` shows nothing
  /// else.
  public var longDescription: String
  public var contentType: ContentType
  /// Nil when there is none.
  public var defaultValue: String?
  public var isRequired: Bool
  public var isReloadable: Bool
  public var uniqueGroup: String?
  public var deprecated: Deprecation?
}

extension ParameterDescription {
  /// Parameters of every agent that belong to its log, not to the resource; `crm resource trace` sets them.
  public static let tracing = [
    ParameterDescription(
      name: "trace_ra", shortDescription: "Whether to trace",
      longDescription: "Whether to trace. Writes every observation and every change to a file while it is true. Default: false.",
      contentType: .boolean, defaultValue: "false", isRequired: false, isReloadable: true),
    ParameterDescription(
      name: "trace_file", shortDescription: "Where to trace to",
      longDescription: "Where to trace to. An absolute path. Unset, each action gets a file of its own below /var/lib/heartbeat/trace_ra.",
      contentType: .string, isRequired: false, isReloadable: true),
  ]
}

/// `content/@type` of OCF 1.1.
public enum ContentType: Equatable, Sendable {
  case string, integer, boolean
  case select([String])
}

/// What a property of a `ResourceAgent` can be.
public protocol ParameterValue {
  static var contentType: ContentType { get }
  /// - Throws: what is expected instead, such as `expected an IPv4 or IPv6 address`.
  init(parameter text: String) throws(Unreadable)
  /// The text that reads back as this value; nil when there is no value.
  var parameterText: String? { get }
}

/// What was expected of a parameter's text.
public struct Unreadable: Error, Equatable, Sendable {
  public var expected: String
  public init(_ expected: String) { self.expected = expected }
}

// MARK: - Values

extension String: ParameterValue {
  public static var contentType: ContentType { .string }
  public init(parameter text: String) throws(Unreadable) {
    guard text.utf8.count <= 4096, text.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7f }) else {
      throw Unreadable("expected at most 4096 printable characters on one line")
    }
    self = text
  }
  public var parameterText: String? { isEmpty ? nil : self }
}

extension Int: ParameterValue {
  public static var contentType: ContentType { .integer }
  /// Whole and not negative: no agent of this suite counts or waits backwards.
  public init(parameter text: String) throws(Unreadable) {
    guard text.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }), let value = Int(text), value <= Int(Int32.max) else {
      throw Unreadable("expected a whole number from 0 to \(Int32.max)")
    }
    self = value
  }
  public var parameterText: String? { String(self) }
}

extension Bool: ParameterValue {
  public static var contentType: ContentType { .boolean }
  public init(parameter text: String) throws(Unreadable) {
    switch text.lowercased() {
    case "true", "yes", "on", "1", "ja": self = true
    case "false", "no", "off", "0": self = false
    default: throw Unreadable("expected true or false")
    }
  }
  public var parameterText: String? { self ? "true" : "false" }
}

extension IPAddress: ParameterValue {
  public static var contentType: ContentType { .string }
  public init(parameter text: String) throws(Unreadable) {
    guard let address = IPAddress(text) else { throw Unreadable("expected an IPv4 or IPv6 address") }
    self = address
  }
  public var parameterText: String? { description }
}

extension Optional: ParameterValue where Wrapped: ParameterValue {
  public static var contentType: ContentType { Wrapped.contentType }
  public init(parameter text: String) throws(Unreadable) { self = text.isEmpty ? nil : try Wrapped(parameter: text) }
  public var parameterText: String? { flatMap { $0.parameterText } }
}

extension Array: ParameterValue where Element: ParameterValue {
  public static var contentType: ContentType { .string }
  /// Separated by spaces.
  public init(parameter text: String) throws(Unreadable) {
    self = []
    for word in text.split(separator: " ") { append(try Element(parameter: String(word))) }
  }
  public var parameterText: String? {
    isEmpty ? nil : compactMap { $0.parameterText }.joined(separator: " ")
  }
}

/// A value out of a fixed set (`select`); raw values are the wire text.
public protocol ParameterChoice: ParameterValue, CaseIterable, RawRepresentable where RawValue == String {}

extension ParameterChoice {
  public static var contentType: ContentType { .select(allCases.map(\.rawValue)) }
  public init(parameter text: String) throws(Unreadable) {
    guard let value = Self(rawValue: text) else {
      throw Unreadable("expected one of \(Self.allCases.map(\.rawValue).joined(separator: ", "))")
    }
    self = value
  }
  public var parameterText: String? { rawValue }
}

/// An absolute path without `..`.
public struct AbsolutePath: ParameterValue, Hashable, Sendable, ExpressibleByStringLiteral, CustomStringConvertible {
  public let description: String
  public static var contentType: ContentType { .string }

  public init(stringLiteral path: String) { description = path }

  public init(parameter text: String) throws(Unreadable) {
    guard text.hasPrefix("/"), text.utf8.count < 4096, !text.split(separator: "/").contains(".."),
      text.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7f })
    else { throw Unreadable("expected an absolute path") }
    description = text
  }
  public var parameterText: String? { description }
}

/// A value that no log, trace or command line may carry.
public struct Secret: ParameterValue, Equatable, Sendable, CustomStringConvertible, CustomDebugStringConvertible,
  CustomReflectable
{
  private let text: String
  public static var contentType: ContentType { .string }
  public init(parameter text: String) throws(Unreadable) { self.text = try String(parameter: text) }
  public var parameterText: String? { nil }
  public var description: String { "<secret>" }
  public var debugDescription: String { "<secret>" }
  public var customMirror: Mirror { Mirror(self, children: [:]) }
  /// Hands out the text for the one use it has.
  public func reveal<Result>(_ use: (String) -> Result) -> Result { use(text) }
}
